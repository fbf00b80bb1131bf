//! The flags: kube-apiserver's names and defaults for those that are shared.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

/// Arguments of `orlop apiserver`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Shared flags.
    #[command(flatten)]
    pub service: service::Arguments,
    /// Members of the store: http on loopback, https, or unix:///PATH.
    #[arg(long, value_name = "URL", value_delimiter = ',', required = true)]
    pub etcd_servers: Vec<String>,
    /// What all keys of the store begin with.
    #[arg(long, value_name = "PREFIX", default_value = "/registry")]
    pub etcd_prefix: String,
    /// The CA of the store's certificates (PEM).
    #[arg(long, value_name = "FILE", requires = "etcd_certfile")]
    pub etcd_cafile: Option<PathBuf>,
    /// Our certificate for the store (PEM).
    #[arg(long, value_name = "FILE", requires = "etcd_keyfile")]
    pub etcd_certfile: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", requires = "etcd_cafile")]
    pub etcd_keyfile: Option<PathBuf>,
    /// Minutes of the store's history that are kept at least; 0: all.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub etcd_compaction_interval: std::time::Duration,
    /// Address to listen on.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub bind_address: IpAddr,
    /// Port to listen on, with TLS.
    #[arg(long, value_name = "PORT", default_value_t = 6443)]
    pub secure_port: u16,
    /// CAs of clients' certificates (PEM).
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Our certificate and those between it and its CA (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Without certificates' files: where they are made, with an admin's kubeconfig.
    #[arg(long, value_name = "DIR", default_value = "/var/run/kubernetes")]
    pub cert_dir: PathBuf,
    /// Who issues service accounts' tokens; the first is ours. Anybody's name for this API.
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        default_value = "https://kubernetes.default.svc.cluster.local"
    )]
    pub service_account_issuer: Vec<String>,
    /// Keys that verify service accounts' tokens (PEM).
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    pub service_account_key_file: Vec<PathBuf>,
    /// The key that signs them (PEM).
    #[arg(long, value_name = "FILE")]
    pub service_account_signing_key_file: Option<PathBuf>,
    /// Addresses of Services: one range of IPv4, one of IPv6, or both.
    #[arg(
        long,
        value_name = "CIDR",
        value_delimiter = ',',
        default_value = "10.0.0.0/24"
    )]
    pub service_cluster_ip_range: Vec<String>,
    /// Ports of Services on nodes.
    #[arg(long, value_name = "FROM-TO", default_value = "30000-32767")]
    pub service_node_port_range: String,
    /// Who decides what users may: RBAC, and Node when it is there; AlwaysAllow for tests.
    #[arg(
        long,
        value_name = "MODES",
        value_delimiter = ',',
        default_value = "RBAC"
    )]
    pub authorization_mode: Vec<String>,
    /// Admission plugins that are to be on: all that there are, are.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub enable_admission_plugins: Vec<String>,
    /// Admission plugins that are off.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub disable_admission_plugins: Vec<String>,
    /// Whether requests of nobody are looked at.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub anonymous_auth: bool,
}

/// A duration as Go writes it: `5m`, `1h30m`, `0`.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    let duration = objects::time::parse_duration(text).map_err(|error| error.to_string())?;
    duration
        .try_into()
        .map_err(|_| format!("{text}: it is below zero"))
}

//! The container runtime: images, sandboxes and containers behind CRI v1.
//!
//! ```text
//!   kubelet ──CRI──> executor::cri ──> executor::images ──> registries, layers on disk
//!                          │
//!                          ├─────────> executor::streams ──> a URL; who comes there is at a process or a port of a pod
//!                          └─────────> executor::pods ──> planner::spec ──> bundle
//!                                            │                                 │
//!                                            └──> executor::keeper::client ──> keeper ──> libcontainer
//! ```
//!
//! It knows nothing of pods' specs, Services, or the API server.

pub mod executor;
pub mod planner;
mod wiring;

use std::{net::IpAddr, path::PathBuf};

/// Name of the service.
pub const NAME: &str = "runtime";

/// Flags of the runtime.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Flags that every service has.
    #[command(flatten)]
    pub service: service::Arguments,
    /// What survives a reboot: images, what containers write, records. A file system that overlayfs takes, with extended attributes.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/orlop/runtime")]
    pub root: PathBuf,
    /// What does not: bundles, mounts, namespaces. A tmpfs.
    #[arg(long, value_name = "DIR", default_value = "/run/orlop/runtime-state")]
    pub state: PathBuf,
    /// Where CRI is served.
    #[arg(
        long,
        value_name = "URL",
        default_value = "unix:///run/orlop/runtime.sock"
    )]
    pub listen: String,
    /// Where the streams of exec, attach and port-forward are served: an address of loopback, since they are plain HTTP.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub streaming_address: IpAddr,
    /// The port there; 0 for any.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub streaming_port: u16,
    /// Nameservers, for registries and for pods that bring none; resolv.conf(5).
    #[arg(long, value_name = "FILE", default_value = "/etc/resolv.conf")]
    pub resolv_conf: PathBuf,
    /// Authorities that registries are verified by, in PEM.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/ssl/certs/ca-certificates.crt"
    )]
    pub ca_bundle: PathBuf,
    /// Mirrors and authorities of registries, as JSON.
    #[arg(long, value_name = "FILE")]
    pub registries: Option<PathBuf>,
    /// An image that is never offered for removal; may be repeated.
    #[arg(long, value_name = "IMAGE")]
    pub pinned: Vec<String>,
    /// Configurations of CNI: the first by name is the pods' network.
    #[arg(long, value_name = "DIR", default_value = "/etc/cni/net.d")]
    pub cni_conf_dir: PathBuf,
    /// Plugins of CNI; may be repeated.
    #[arg(long, value_name = "DIR", default_value = "/opt/cni/bin")]
    pub cni_bin_dir: Vec<PathBuf>,
    /// Seconds that one run of a CNI plugin may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub cni_plugin_timeout: u64,
    /// A range of pods' addresses where there is no CNI configuration: one of IPv4, one of IPv6, or both with a comma between. What a
    /// kubelet tells counts for more.
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub pod_cidr: Vec<String>,
}

/// Runs the service until it is asked to stop. Containers go on.
///
/// # Errors
/// [`service::RunError`], already logged.
pub fn run(args: Args) -> Result<(), service::RunError> {
    service::run_threaded(NAME, args.service.clone(), |context| async move {
        wiring::serve(args, context).await
    })
}

//! From a cluster's secrets to the config of one machine.

use machine_config::values::{
    DiskPath, DomainName, Endpoint, Host, Hostname, Network, ResourceName,
};
use machine_config::{
    Cluster, ClusterNetwork, ComponentOptions, Install, Machine, MachineConfig, Role, parse,
    to_yaml,
};

use crate::{ClusterSecrets, PkiError};

/// What `gen config` may be told besides the secrets. Everything else is edited in its output.
#[derive(Clone, Debug)]
pub struct ConfigOptions {
    /// Name of the cluster.
    pub cluster_name: ResourceName,
    /// Where the Kubernetes API will be reached.
    pub endpoint: Endpoint,
    /// What the machine will be.
    pub role: Role,
    /// Host name; without it the config fits any machine of the role.
    pub hostname: Option<Hostname>,
    /// Disk for the system's partitions; without it the one that the machine booted from.
    pub install_disk: Option<DiskPath>,
    /// Whether a disk with foreign data may be overwritten.
    pub wipe: bool,
    /// More names for the machine API's certificate.
    pub cert_sans: Vec<Host>,
    /// Pod networks; empty for the default.
    pub pod_cidrs: Vec<Network>,
    /// Service networks; empty for the default.
    pub service_cidrs: Vec<Network>,
    /// DNS domain of the cluster; `None` for the default.
    pub dns_domain: Option<DomainName>,
}

impl ConfigOptions {
    /// The options that must be given; the others are off.
    #[must_use]
    pub fn new(cluster_name: ResourceName, endpoint: Endpoint, role: Role) -> Self {
        Self {
            cluster_name,
            endpoint,
            role,
            hostname: None,
            install_disk: None,
            wipe: false,
            cert_sans: Vec::new(),
            pod_cidrs: Vec::new(),
            service_cidrs: Vec::new(),
            dns_domain: None,
        }
    }
}

/// Makes a machine's config. A control-plane machine gets every key, a worker none: certificates of
/// the machine and Kubernetes authorities, the join token and the bootstrap token.
///
/// # Errors
/// [`PkiError::Config`] when the options make no valid config (overlapping networks, say).
pub fn generate_config(
    secrets: &ClusterSecrets,
    options: &ConfigOptions,
) -> Result<MachineConfig, PkiError> {
    let config = MachineConfig {
        machine: machine(secrets, options),
        cluster: Some(cluster(secrets, options)),
        links: Vec::new(),
        resolver: None,
        time: None,
    };
    // The parser's rules are the only ones: what would be refused at the node is refused here.
    parse(to_yaml(&config).as_bytes()).map_err(PkiError::Config)
}

fn machine(secrets: &ClusterSecrets, options: &ConfigOptions) -> Machine {
    let install = Install {
        disk: options.install_disk.clone(),
        disk_selector: None,
        wipe: options.wipe,
    };
    Machine {
        role: options.role,
        hostname: options.hostname.clone(),
        install: (install != Install::default()).then_some(install),
        ca: match options.role {
            Role::ControlPlane => secrets.machine_ca.with_key(),
            Role::Worker => secrets.machine_ca.without_key(),
        },
        token: secrets.join_token.clone(),
        cert_sans: options.cert_sans.clone(),
        sysctls: Default::default(),
        kernel: None,
        node_labels: Default::default(),
        node_taints: Vec::new(),
        registries: None,
    }
}

fn cluster(secrets: &ClusterSecrets, options: &ConfigOptions) -> Cluster {
    let mut network = ClusterNetwork::default();
    if !options.pod_cidrs.is_empty() {
        network.pod_cidrs.clone_from(&options.pod_cidrs);
    }
    if !options.service_cidrs.is_empty() {
        network.service_cidrs.clone_from(&options.service_cidrs);
    }
    if let Some(domain) = &options.dns_domain {
        network.dns_domain = domain.clone();
    }
    let mut own = machine_config::ClusterSecrets {
        id: secrets.cluster_id.clone(),
        bootstrap_token: secrets.bootstrap_token.clone(),
        kubernetes_ca: secrets.kubernetes_ca.without_key(),
        aggregator_ca: None,
        etcd_ca: None,
        service_account_key: None,
        secretbox_encryption_key: None,
    };
    if options.role == Role::ControlPlane {
        own.kubernetes_ca = secrets.kubernetes_ca.with_key();
        own.aggregator_ca = Some(secrets.aggregator_ca.with_key());
        own.etcd_ca = Some(secrets.etcd_ca.with_key());
        own.service_account_key = Some(secrets.service_account_key.clone());
        own.secretbox_encryption_key = Some(secrets.secretbox_encryption_key.clone());
    }
    Cluster {
        name: options.cluster_name.clone(),
        endpoint: options.endpoint.clone(),
        network,
        secrets: own,
        component_options: ComponentOptions::default(),
    }
}

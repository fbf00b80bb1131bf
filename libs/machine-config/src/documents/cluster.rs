//! Kind `Cluster`: what all machines of a cluster agree on. At most one per config.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CertificateAndKey;
use crate::limits::{MAX_CIDRS, MAX_OPTIONS};
use crate::secret::SecretString;
use crate::values::{
    BOOTSTRAP_TOKEN, DomainName, ENCRYPTION_KEY, Endpoint, FlagName, Network, PRIVATE_KEY,
    ResourceName, Text,
};

/// The cluster: name, endpoint, networks, secrets, and options of its components.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// Name of the cluster, for people and for client contexts.
    pub name: ResourceName,
    /// Where the Kubernetes API is reached by nodes and clients: a load balancer, a virtual IP, or
    /// the one control-plane machine.
    pub endpoint: Endpoint,
    /// Networks of pods and services.
    #[serde(default)]
    pub network: ClusterNetwork,
    /// Keys and tokens. A worker holds certificates and the bootstrap token, and no key.
    pub secrets: ClusterSecrets,
    /// Options for components, as the flags of their upstream peers.
    #[serde(default)]
    pub component_options: ComponentOptions,
}

/// Networks of pods and services. One CIDR per address family: one, or two for dual stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClusterNetwork {
    /// Networks that pods get their addresses from; each node takes a part.
    #[serde(rename = "podCIDRs")]
    #[schemars(extend("minItems" = 1, "maxItems" = MAX_CIDRS))]
    pub pod_cidrs: Vec<Network>,
    /// Networks that services get their addresses from; the first one decides the family of a
    /// service that asks for none.
    #[serde(rename = "serviceCIDRs")]
    #[schemars(extend("minItems" = 1, "maxItems" = MAX_CIDRS))]
    pub service_cidrs: Vec<Network>,
    /// DNS domain of the cluster.
    pub dns_domain: DomainName,
}

impl Default for ClusterNetwork {
    /// `10.244.0.0/16`, `10.96.0.0/12`, `cluster.local`: what most Kubernetes documents use.
    fn default() -> Self {
        let network = |text: &str| text.parse::<Network>().expect("a constant network");
        Self {
            pod_cidrs: vec![network("10.244.0.0/16")],
            service_cidrs: vec![network("10.96.0.0/12")],
            dns_domain: "cluster.local".parse().expect("a constant domain"),
        }
    }
}

/// Keys and tokens of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSecrets {
    /// Identity of the cluster: made once, public, keeps machines of different clusters apart.
    pub id: ResourceName,
    /// Kubernetes bootstrap token, by which a node asks for its client certificate.
    #[schemars(extend("format" = BOOTSTRAP_TOKEN))]
    pub bootstrap_token: SecretString,
    /// Authority of the Kubernetes API, its clients and the kubelets.
    #[serde(rename = "kubernetesCA")]
    pub kubernetes_ca: CertificateAndKey,
    /// Authority of the aggregation layer's front proxy; control-plane machines only.
    #[serde(
        default,
        rename = "aggregatorCA",
        skip_serializing_if = "Option::is_none"
    )]
    pub aggregator_ca: Option<CertificateAndKey>,
    /// Authority of the cluster store's peers and clients; control-plane machines only.
    #[serde(default, rename = "etcdCA", skip_serializing_if = "Option::is_none")]
    pub etcd_ca: Option<CertificateAndKey>,
    /// Key that signs service account tokens, in PEM; control-plane machines only.
    #[schemars(extend("format" = PRIVATE_KEY))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_key: Option<SecretString>,
    /// Key that encrypts Secrets in the store, 32 bytes in base64; control-plane machines only.
    #[schemars(extend("format" = ENCRYPTION_KEY))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secretbox_encryption_key: Option<SecretString>,
}

/// Options by component. The keys are flags without dashes; numbers and booleans need no quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ComponentOptions {
    /// Cluster store (etcd's flags).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "flag-name"}, "maxProperties" = MAX_OPTIONS))]
    pub store: BTreeMap<FlagName, Text>,
    /// Kubernetes API server (kube-apiserver's flags).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "flag-name"}, "maxProperties" = MAX_OPTIONS))]
    pub apiserver: BTreeMap<FlagName, Text>,
    /// Scheduler (kube-scheduler's flags).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "flag-name"}, "maxProperties" = MAX_OPTIONS))]
    pub scheduler: BTreeMap<FlagName, Text>,
    /// Controller manager (kube-controller-manager's flags).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "flag-name"}, "maxProperties" = MAX_OPTIONS))]
    pub controller_manager: BTreeMap<FlagName, Text>,
    /// Container runtime.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "flag-name"}, "maxProperties" = MAX_OPTIONS))]
    pub runtime: BTreeMap<FlagName, Text>,
    /// Node agent (kubelet's flags).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "flag-name"}, "maxProperties" = MAX_OPTIONS))]
    pub kubelet: BTreeMap<FlagName, Text>,
    /// Service proxy (kube-proxy's flags).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "flag-name"}, "maxProperties" = MAX_OPTIONS))]
    pub proxy: BTreeMap<FlagName, Text>,
    /// Cluster DNS.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "flag-name"}, "maxProperties" = MAX_OPTIONS))]
    pub dns: BTreeMap<FlagName, Text>,
}

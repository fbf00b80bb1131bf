//! Kind `Machine`: what this machine is and how its own parts are set up. Exactly one per config.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CertificateAndKey;
use crate::limits::{
    MAX_CERT_SANS, MAX_LABELS, MAX_MODULES, MAX_REGISTRIES, MAX_SYSCTLS, MAX_TAINTS,
};
use crate::secret::SecretString;
use crate::values::{
    ByteSize, CertificatePem, DiskPath, Glob, Host, Hostname, HttpUrl, JOIN_TOKEN, LabelKey,
    LabelValue, ModuleName, ModuleParameter, RegistryHost, SysctlName, Text,
};

/// The machine: its role, disk, name, kernel settings, registries, and what it trusts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Machine {
    /// What the machine is in its cluster.
    pub role: Role,
    /// Host name, and the node's name in Kubernetes. Without it the name comes from DHCP, else
    /// from the machine's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Hostname>,
    /// Where the system's partitions go. Without it: the disk that the machine booted from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<Install>,
    /// Authority that signs the certificates of the machine API. Every machine holds the
    /// certificate; only control-plane machines hold the key.
    pub ca: CertificateAndKey,
    /// Token by which a machine proves to the control plane that it belongs to the cluster.
    #[schemars(extend("format" = JOIN_TOKEN))]
    pub token: SecretString,
    /// More names and addresses for the certificate of this machine's API.
    #[serde(default, rename = "certSANs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = MAX_CERT_SANS))]
    pub cert_sans: Vec<Host>,
    /// Kernel parameters by dotted name. Values are text; numbers need no quotes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "sysctl-name"}, "maxProperties" = MAX_SYSCTLS))]
    pub sysctls: BTreeMap<SysctlName, Text>,
    /// The kernel's modules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<Kernel>,
    /// Labels of the node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "label-key"}, "maxProperties" = MAX_LABELS))]
    pub node_labels: BTreeMap<LabelKey, LabelValue>,
    /// Taints that the node registers with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = MAX_TAINTS))]
    pub node_taints: Vec<Taint>,
    /// Where images are pulled from, and with which credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registries: Option<Registries>,
}

/// What a machine is in its cluster.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs the cluster's store and API, and holds its keys.
    ControlPlane,
    /// Runs workloads and holds no keys of the cluster.
    Worker,
}

impl Role {
    /// The role as the config writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Worker => "worker",
        }
    }
}

/// Which disk holds the system's partitions. At most one of `disk` and `diskSelector`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Install {
    /// Device file of the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskPath>,
    /// Properties of the disk; must fit exactly one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_selector: Option<DiskSelector>,
    /// Whether a disk that holds foreign data may be overwritten. Without it such a disk is refused.
    #[serde(default)]
    pub wipe: bool,
}

/// Properties that a disk must have; all that are given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiskSelector {
    /// Model as the device reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Glob>,
    /// Serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<Glob>,
    /// World-wide identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wwid: Option<Glob>,
    /// Place on the bus, such as `pci-0000:00:05.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus_path: Option<Glob>,
    /// Smallest size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_size: Option<ByteSize>,
    /// Largest size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<ByteSize>,
    /// Whether it is a spinning disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotational: Option<bool>,
}

/// What is known of a disk when a [`DiskSelector`] is asked. Unknown texts are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskFacts<'a> {
    /// Model as the device reports it.
    pub model: &'a str,
    /// Serial number.
    pub serial: &'a str,
    /// World-wide identifier.
    pub wwid: &'a str,
    /// Place on the bus.
    pub bus_path: &'a str,
    /// Size in bytes.
    pub size: u64,
    /// Whether it is a spinning disk.
    pub rotational: bool,
}

impl DiskSelector {
    /// Whether every given property fits. An empty selector fits nothing: it is refused at parsing.
    #[must_use]
    pub fn matches(&self, disk: &DiskFacts<'_>) -> bool {
        let fits = |glob: &Option<Glob>, text: &str| glob.as_ref().is_none_or(|g| g.matches(text));
        !self.is_empty()
            && fits(&self.model, disk.model)
            && fits(&self.serial, disk.serial)
            && fits(&self.wwid, disk.wwid)
            && fits(&self.bus_path, disk.bus_path)
            && self.min_size.is_none_or(|min| disk.size >= min.bytes())
            && self.max_size.is_none_or(|max| disk.size <= max.bytes())
            && self.rotational.is_none_or(|want| want == disk.rotational)
    }

    /// Whether no property is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The kernel's modules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kernel {
    /// Modules to load at boot besides those that the hardware asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = MAX_MODULES))]
    pub modules: Vec<KernelModule>,
}

/// A kernel module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KernelModule {
    /// Name of the module.
    pub name: ModuleName,
    /// Parameters, each `name=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = MAX_MODULES))]
    pub parameters: Vec<ModuleParameter>,
}

/// A taint: pods that do not tolerate it stay away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Taint {
    /// Key of the taint.
    pub key: LabelKey,
    /// Value of the taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<LabelValue>,
    /// What happens to pods that do not tolerate it.
    pub effect: TaintEffect,
}

/// What a taint does to pods that do not tolerate it; spelled as in Kubernetes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum TaintEffect {
    /// New pods are not placed here.
    NoSchedule,
    /// New pods are placed elsewhere where that is possible.
    PreferNoSchedule,
    /// Running pods are evicted too.
    NoExecute,
}

impl TaintEffect {
    /// The effect as Kubernetes spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

/// Where images come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registries {
    /// Mirrors by registry; `*` stands for every registry that is not listed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "registry"}, "maxProperties" = MAX_REGISTRIES))]
    pub mirrors: BTreeMap<RegistryHost, RegistryMirror>,
    /// Credentials and trust by registry or mirror host.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = {"format": "registry"}, "maxProperties" = MAX_REGISTRIES))]
    pub credentials: BTreeMap<RegistryHost, RegistryCredentials>,
}

/// Mirrors of one registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegistryMirror {
    /// Mirrors in the order in which they are tried.
    #[schemars(extend("minItems" = 1, "maxItems" = MAX_REGISTRIES))]
    pub endpoints: Vec<HttpUrl>,
    /// Whether the registry itself is left out when no mirror has the image.
    #[serde(default)]
    pub skip_fallback: bool,
}

/// How to talk to one registry. A user name and a password, or one token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegistryCredentials {
    /// User name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<Text>,
    /// Password of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretString>,
    /// Bearer or identity token, instead of user name and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretString>,
    /// Authorities to trust for this host besides the system's, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<CertificatePem>,
    /// Whether the host's certificate is not checked. For tests.
    #[serde(default)]
    pub insecure_skip_verify: bool,
}

//! The kinds of documents, one file each: fields, bounds and defaults, typed once. The JSON Schema,
//! the checker, the reference page and the difference of two configs all come from these types.

mod cluster;
mod link;
mod machine;
mod resolver;
mod time;

pub use cluster::{Cluster, ClusterNetwork, ClusterSecrets, ComponentOptions};
pub use link::{Dhcp4, Link, LinkFacts, LinkSelector, Route};
pub use machine::{
    DiskFacts, DiskSelector, Install, Kernel, KernelModule, Machine, Registries,
    RegistryCredentials, RegistryMirror, Role, Taint, TaintEffect,
};
pub use resolver::Resolver;
pub use time::Time;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::SecretString;
use crate::values::{CertificatePem, PRIVATE_KEY};

/// A certificate and, where this machine may hold it, its private key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateAndKey {
    /// Certificate in PEM.
    pub crt: CertificatePem,
    /// Private key in PEM (PKCS #8); control-plane machines only.
    #[schemars(extend("format" = PRIVATE_KEY))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<SecretString>,
}

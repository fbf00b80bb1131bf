//! Keys and certificates of a cluster: who may say that it is whom.
//!
//! ```text
//!   ClusterSecrets (made once, the owner's file)
//!     ├── machine CA ──> server certificates of the machine API (per node, 1 year)
//!     │                └> client certificates: organizations "orlop:<role>"
//!     ├── Kubernetes CA, aggregator CA, etcd CA, service account key ──> the cluster's components
//!     └── join token, bootstrap token, encryption key, cluster id
//!            │ generate_config
//!            v
//!   MachineConfig of a control-plane machine: everything
//!   MachineConfig of a worker: certificates and tokens, no key
//! ```
//!
//! - [`ClusterSecrets`]: all of it, to and from the secrets file.
//! - [`CertificateAuthority`]: issues and signs; [`SelfSigned`] for maintenance mode.
//! - [`Identity`], [`Roles`]: what a peer's certificate says.
//! - [`generate_config`]: from secrets to a machine config.
//!
//! Keys are P-256 (every TLS client takes it). The clock comes in as `now`; randomness comes from
//! aws-lc-rs. No files, no network. Certificates are valid from [`BACKDATE`] before `now`, since a
//! node's clock may be behind.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use orlop_pki::{CertificateAuthority, Identity, Role, Roles, Validity, der_of};
//!
//! let validity = Validity::new(SystemTime::now(), Duration::from_secs(3600));
//! let authority = CertificateAuthority::generate("example", validity)?;
//! let client = authority.issue_client("alice", Roles::from(Role::Reader), validity)?;
//! let identity = Identity::of(&der_of(&client.certificate)?)?;
//! assert!(identity.roles.contains(Role::Reader));
//! # Ok::<(), orlop_pki::PkiError>(())
//! ```

mod authority;
mod certificate;
mod config;
mod error;
mod identity;
mod names;
mod profile;
mod request;
mod secrets;

pub use authority::CertificateAuthority;
pub use certificate::{der_of, expires_at, fingerprint, names_of, renew_after};
pub use config::{ConfigOptions, generate_config};
pub use error::PkiError;
pub use identity::{Identity, Role, Roles};
pub use names::Names;
pub use profile::{BACKDATE, Issued, Profile, Validity};
pub use request::{Request, SelfSigned};
pub use secrets::{AuthorityPem, CLUSTER_LIFETIME, ClusterSecrets, SECRETS_KIND};

#[cfg(test)]
mod tests;

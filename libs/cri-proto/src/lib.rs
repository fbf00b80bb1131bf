//! The Container Runtime Interface (CRI) v1 of Kubernetes 1.36: messages, clients and servers, generated at build
//! time from `proto/runtime.proto`.
//!
//! Service, message and field names and numbers are Kubernetes' published facts. What a field means is written in the
//! .proto.
//!
//! This crate knows nothing of transport, nor of what a call does.
//!
//! ```
//! use orlop_cri_proto::{prost::Message, runtime::StopContainerRequest};
//! let stop = StopContainerRequest { container_id: "c".into(), timeout: 30 };
//! assert_eq!(stop.encode_to_vec(), b"\x0a\x01c\x10\x1e");
//! ```

pub use prost;

use std::fmt;

/// Messages, and the services `RuntimeService` and `ImageService`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    rustdoc::all,
    reason = "generated code; the documentation is the .proto"
)]
pub mod runtime {
    tonic::include_proto!("runtime.v1");
}

/// Whom the credentials are of, and for whom; of secrets only whether they are there.
impl fmt::Debug for runtime::AuthConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AuthConfig")
            .field("username", &self.username)
            .field("server_address", &self.server_address)
            .field("password", &given(&self.password))
            .field("auth", &given(&self.auth))
            .field("identity_token", &given(&self.identity_token))
            .field("registry_token", &given(&self.registry_token))
            .finish()
    }
}

fn given(secret: &str) -> &'static str {
    if secret.is_empty() { "" } else { "(secret)" }
}

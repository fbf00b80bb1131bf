//! Members among each other: a gRPC service of our own, and the clients of it.
//!
//! ```text
//!   urgent connection:  votes, pre-votes, signs of life, read indices, transfers
//!   bulk connection:    entries, snapshots, proposals on their way to the leader
//! ```
//!
//! Two connections, since on one a sign of life would wait behind megabytes of entries. Every request names the cluster and who
//! is meant; one that came to the wrong place is refused.

pub mod append;
pub mod client;
pub mod network;
pub mod service;
pub mod snapshot;
pub mod transport;

/// Messages and service, generated.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    reason = "generated code; the documentation is the .proto"
)]
pub mod proto {
    tonic::include_proto!("orlop.store.peer.v1");
}

/// Metadata that names the cluster.
pub const CLUSTER: &str = "orlop-store-cluster";
/// Metadata that names the member who asks.
pub const FROM: &str = "orlop-store-from";
/// Metadata that names the member who is meant.
pub const TO: &str = "orlop-store-to";
/// Largest message: the largest entry of the log, with room for its envelope.
pub const MESSAGE_BYTES_MAX: usize = 65 * 1024 * 1024;

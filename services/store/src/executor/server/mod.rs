//! etcd's gRPC services over a member.
//!
//! ```text
//!   request ──> bounds, planner::check ──┬── change ──> propose ─────────────┐
//!                                        └── read ────> linearize ──> read ──┴──> header ──> response
//! ```
//!
//! Every refusal leaves with etcd's code and text, every response with etcd's header.

mod api;
mod auth;
mod backend;
mod cluster;
mod dispatch;
pub(super) mod hashing;
mod kv;
mod lease;
mod maintenance;
#[cfg(test)]
pub(super) mod tests;
mod watch;

pub use api::{Api, CLUSTER_VERSION, Limits, VERSION};
pub use backend::{Backend, WatchStream};
pub use dispatch::{GRPC_PREFIX, RequestBody, Services};

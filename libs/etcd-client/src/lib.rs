//! How members of an etcd cluster are reached: URLs that are checked, and connections to them for gRPC.
//!
//! ```text
//!   URLs ──parse──> Route ──channel──> a tonic Channel: connects when it is used, by the URL that worked last first
//!                     └── Dialer: names without libc, TCP or a Unix socket, mutual TLS with files that may change
//! ```
//!
//! It knows nothing of what is called.

mod address;
mod dial;

pub use address::{Host, MemberUrl};
pub use dial::{DialError, Dialer, Route, URLS_MAX};

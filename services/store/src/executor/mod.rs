//! Acts: files, and what clients see; Raft and peers to come.

pub mod cell;
pub mod commit;
pub mod descriptors;
pub mod disk;
pub mod gateway;
pub mod http;
#[cfg(test)]
mod http_tests;
pub mod listener;
pub mod log;
pub mod member;
pub mod metrics;
pub mod records;
#[cfg(test)]
mod recovery_tests;
pub mod server;
#[cfg(test)]
mod simulated;
pub mod tls;

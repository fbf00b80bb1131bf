//! Acts: files, Raft, peers and clients.

pub mod beside;
pub mod calls;
pub mod cell;
pub mod commit;
pub mod descriptors;
pub mod disk;
pub mod durations;
pub mod gateway;
pub mod http;
#[cfg(test)]
mod http_tests;
pub mod leases;
pub mod log;
pub mod member;
pub mod metrics;
pub mod peer;
pub mod raft;
pub mod random;
pub mod records;
#[cfg(test)]
mod recovery_tests;
pub mod server;
#[cfg(test)]
#[allow(dead_code, reason = "the simulation uses the rest of it")]
mod simulated;
pub mod snapshot_file;
mod space;
pub mod watch;
pub mod watches;

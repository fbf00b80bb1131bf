//! Acts: files now; Raft, peers and clients to come.

pub mod cell;
pub mod commit;
pub mod disk;
pub mod log;
pub mod records;
#[cfg(test)]
mod recovery_tests;
#[cfg(test)]
mod simulated;

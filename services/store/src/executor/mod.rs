//! Acts: files, Raft, peers; clients to come.

pub mod cell;
pub mod commit;
pub mod disk;
pub mod leases;
pub mod log;
pub mod member;
pub mod peer;
pub mod raft;
pub mod records;
#[cfg(test)]
mod recovery_tests;
#[cfg(test)]
mod simulated;
pub mod watches;

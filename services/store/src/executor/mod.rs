//! Acts: files now; Raft, peers and clients to come.

pub mod cell;
pub mod commit;
pub mod disk;
pub mod log;
#[cfg(test)]
mod simulated;

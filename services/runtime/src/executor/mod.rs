//! What is done: files, mounts, registries, processes.

mod copy;
pub mod cri;
pub mod images;
pub mod keeper;
mod limits;
pub mod network;
pub mod pause;
pub mod pods;
pub mod records;
mod stats;
pub mod streams;

//! What is to be done: pure, without input or output.

pub mod devices;
pub mod images;
pub mod keeper;
pub mod limits;
pub mod metrics;
pub mod network;
pub mod records;
pub mod seccomp;
pub mod spec;
pub mod stats;
pub mod streams;

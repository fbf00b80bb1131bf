//! What is to be done: pure, without input or output.

pub mod images;
pub mod keeper;
pub mod records;
pub mod seccomp;
pub mod spec;
pub mod stats;
pub mod streams;

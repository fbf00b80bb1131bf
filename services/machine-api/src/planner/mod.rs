//! What the machine API decides: no I/O, no clock, no randomness.

pub mod access;
pub mod admission;
pub mod apply;
pub mod kernel_log;
pub mod resources;
pub mod tail;

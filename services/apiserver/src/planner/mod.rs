//! Decides, from values: no sockets, no clock, no randomness.

pub mod cache;
pub mod options;
pub mod route;
pub mod served;
pub mod write;

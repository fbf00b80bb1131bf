//! Decides, from values: no sockets, no clock, no randomness.

pub mod options;
pub mod route;

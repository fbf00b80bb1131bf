//! Decides, from values: no sockets, no clock, no randomness.

pub mod route;

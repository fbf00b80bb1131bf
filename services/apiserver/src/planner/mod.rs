//! Decides, from values: no sockets, no clock, no randomness.

pub mod cache;
pub mod negotiate;
pub mod options;
pub mod render;
pub mod route;
pub mod served;
pub mod services;
pub mod version;
pub mod write;
pub mod yaml;

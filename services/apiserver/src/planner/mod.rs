//! Decides, from values: no sockets, no clock, no randomness.

pub mod admission;
pub mod authentication;
pub mod authorization;
pub mod bootstrap;
pub mod cache;
pub mod flow;
pub mod negotiate;
pub mod options;
pub mod render;
pub mod reviews;
pub mod route;
pub mod served;
pub mod services;
pub mod tokens;
pub mod user;
pub mod version;
pub mod write;
pub mod yaml;

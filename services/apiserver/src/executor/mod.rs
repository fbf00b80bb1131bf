//! Acts: connections, the store, time.

pub mod cache;
pub mod random;
pub mod store;

//! Acts: connections, the store, time.

pub mod store;

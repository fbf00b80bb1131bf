//! Acts: connections, the store, time.

pub mod access;
pub mod admission;
pub mod aggregation;
pub mod allocator;
pub mod api;
pub mod authentication;
pub mod authorization;
pub mod body;
pub mod bootstrap;
pub mod cache;
pub mod certificates;
pub mod clock;
pub mod compaction;
pub mod compress;
pub mod documents;
pub mod flow;
pub mod metrics;
pub mod parts;
pub mod random;
pub mod read;
pub mod reviews;
pub mod store;
pub mod tokens;
pub mod watching;
pub mod websocket;
pub mod write;

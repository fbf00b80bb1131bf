//! What `cargo xtask bench store` measures: the store against etcd, one after the other on the same disk with the same
//! client, and the same client's own cost beside it, since all share the machine.
//!
//! ```text
//!   scenarios   what is measured: name, what it does, its figures
//!   bench       runs a scenario on etcd and on ours in turns, each time on empty data
//!   closed      clients that send the next request when the last one is answered
//!   calls       what it sends its requests by
//!   client      connections, the first answer of a member, filling with keys
//!   table       figures as ratios beside what the project has set itself
//! ```

pub mod bench;
pub mod calls;
pub mod client;
pub mod closed;
pub mod scenarios;
pub mod table;

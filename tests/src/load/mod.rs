//! What `cargo xtask bench store` measures: the store against etcd, one after the other on the same disk with the same
//! client, and the same client's own cost beside it, since all share the machine. `api` is what `cargo xtask bench apiserver`
//! measures, with the same client; `runtime` is what `cargo xtask bench runtime` measures of container runtimes.
//!
//! ```text
//!   scenarios   what is measured: name, what it does, its figures
//!   bench       runs a scenario on etcd and on ours in turns, each time on empty data
//!   closed      clients that send the next request when the last one is answered
//!   keys        puts and gets, as such clients send them
//!   calls       what requests are sent by
//!   api         the API server over the store
//!   runtime     the container runtime and its peers
//!   client      connections, the first answer of a member, filling with keys
//!   table       figures as ratios beside what the project has set itself
//! ```

pub mod api;
pub mod bench;
pub mod calls;
pub mod client;
pub mod closed;
pub mod keys;
pub mod runtime;
pub mod scenarios;
pub mod table;

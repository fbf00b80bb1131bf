//! Deterministic simulation: three and five members in one process, under simulated time, network and disks.
//!
//! ```text
//!   seed ──> dice ──> nemesis, network, disks, clients, watchers ──> Member, openraft, log, state, records: as shipped
//!                                                       │
//!                                                       └──> history ──> check
//! ```
//!
//! One thread, one tokio runtime whose clock stands still while anybody has something to do. A failure names its seed;
//! `cargo xtask seeds store --seed SEED` fails the same way, and `ORLOP_SIMULATION_TRACE=1` prints all that happens.

mod bit_rot;
mod calm;
mod check;
mod client;
mod cluster;
mod dice;
mod disk;
mod history;
mod lease_check;
mod leaseholder;
mod linearizability;
mod membership;
mod model;
mod nemesis;
mod network;
mod planted;
mod power_cuts;
mod random;
mod recording;
mod regressions;
mod repeat;
mod rot;
mod run;
#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "../../src/executor/simulated.rs"]
mod simulated;
mod watcher;
mod workload;

//! Decides. Pure: no files, no sockets, no clock, no randomness.
//!
//! ```text
//!   request ──> check ──> Command ──> (log, committed) ──> state::State::apply ──> reply, changes
//!                                                             │                        │
//!                                          index, leases, alarms                       └──> watch, records
//! ```
//!
//! Values do not live here: the state asks [`records::Records`] for the few that a decision needs.

pub mod check;
pub mod command;
pub mod compaction;
pub mod corruption;
pub mod expiry;
pub mod hash;
pub mod health;
pub mod index;
pub mod key_range;
pub mod leases;
pub mod records;
pub mod revision;
pub mod state;
pub mod watch;

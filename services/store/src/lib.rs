//! The cluster store: etcd v3 on Raft. `services/store/README.md` is the design and says what is there.
//!
//! ```text
//!   client ──gRPC──> check ──> propose ──> log ──committed──> State::apply ──> reply
//!                                                                  │
//!                                                                  ├──> records (redb), checkpointed
//!                                                                  └──> Watches ──> events to clients
//! ```

pub mod arguments;
pub mod executor;
pub mod planner;
mod tools;
mod wiring;

pub use wiring::{Args, NAME, WiringError, run};

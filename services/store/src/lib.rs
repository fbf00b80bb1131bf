//! The cluster store: etcd v3 on Raft. Under construction: members run and agree, the surface that clients see is there, and the
//! two are not joined to a service yet; `services/store/README.md` says what is there.
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

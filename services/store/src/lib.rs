//! The cluster store: etcd v3 on Raft. Under construction: members run and agree, and there is no service for clients
//! here yet; `services/store/README.md` says what is there.
//!
//! ```text
//!   client ──gRPC──> check ──> propose ──> log ──committed──> State::apply ──> reply
//!                                                                  │
//!                                                                  ├──> records (redb), checkpointed
//!                                                                  └──> Watches ──> events to clients
//! ```

pub mod executor;
pub mod planner;

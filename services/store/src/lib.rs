//! The cluster store: etcd v3 on Raft. Under construction: there is no service here yet, only its pure core and its log;
//! `services/store/README.md` says what is there.
//!
//! ```text
//!   client ──gRPC──> check ──> propose ──> log ──committed──> State::apply ──> reply
//!                                                                  │
//!                                                                  ├──> records (redb), checkpointed
//!                                                                  └──> Watches ──> events to clients
//! ```

pub mod executor;
pub mod planner;

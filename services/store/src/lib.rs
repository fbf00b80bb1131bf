//! The cluster store: etcd v3 on Raft. Under construction: there is no service here yet, only its pure core, its log and the
//! surface that clients see; `services/store/README.md` says what is there.
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

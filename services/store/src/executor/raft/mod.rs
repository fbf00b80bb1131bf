//! Raft over this store's log and records: openraft decides, this keeps and applies.
//!
//! ```text
//!   proposal ──> openraft ──append──> storage ──> log, group commit ──flushed──> openraft ──committed──┐
//!                   │ vote                                                                           ▼
//!                   └─────> cell "vote", durable before any answer     client <── waiter <── machine: State,
//!                                                                                           records, watches
//! ```
//!
//! Invariants: an entry counts here when its flush is over; the vote is durable before anything depends on it; the log
//! is purged only up to a durable checkpoint of the records; a reply goes out when records and watches have its changes.

mod defragment;
pub mod encoding;
mod fresh;
pub mod machine;
mod recent;
pub mod runtime;
pub mod state_machine;
pub mod storage;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod waiters;

use super::peer::proto;
use bytes::Bytes;
use std::fmt;

openraft::declare_raft_types!(
    /// openraft's types, as this store has them.
    pub TypeConfig:
        D = Proposal,
        R = (),
        NodeId = u64,
        Node = NodeInfo,
        AsyncRuntime = runtime::Runtime,
);

/// A log position.
pub type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
/// A vote.
pub type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
/// An entry of the log.
pub type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
/// Who votes and who learns.
pub type Membership = openraft::Membership<u64, NodeInfo>;
/// Membership, and the entry that it came with.
pub type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
/// What a snapshot covers.
pub type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;

/// A command on its way through the log, with the name of him who waits for it.
///
/// Every member applies it; the one with this origin answers. A reply needs no way back over the wire, and comes
/// from a state that has it: who asks a follower then reads there what he wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// A random number of the process that proposed it, so that a restarted member answers nobody's proposals.
    pub origin: u64,
    /// Which of its proposals.
    pub sequence: u64,
    /// A [`crate::planner::command::Command`], encoded.
    pub command: Bytes,
}

impl fmt::Display for Proposal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "proposal {:016x}/{} of {} bytes",
            self.origin,
            self.sequence,
            self.command.len()
        )
    }
}

/// What the membership says of a member beside its number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its name; empty until its first start.
    pub name: String,
    /// Where peers reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty until its first start.
    pub client_urls: Vec<String>,
    /// It was added as a learner, and has not been promoted.
    pub learner: bool,
}

impl NodeInfo {
    /// As peers and disks have it.
    #[must_use]
    pub fn to_proto(&self, id: u64) -> proto::Node {
        proto::Node {
            id,
            name: self.name.clone(),
            peer_urls: self.peer_urls.clone(),
            client_urls: self.client_urls.clone(),
            learner: self.learner,
        }
    }
}

impl From<proto::Node> for NodeInfo {
    fn from(node: proto::Node) -> Self {
        Self {
            name: node.name,
            peer_urls: node.peer_urls,
            client_urls: node.client_urls,
            learner: node.learner,
        }
    }
}

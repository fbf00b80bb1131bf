//! Raft's values as bytes: in the log, in cells, in the file of records, and between peers.
//!
//! ```text
//!   entry:   kind 1 | term 8 | node 8 | payload           numbers big endian; the index is the log's
//!     0 blank       nothing
//!     1 normal      origin 8 | sequence 8 | command
//!     2 membership  Membership in protobuf
//! ```
//!
//! openraft's own types are not written anywhere: they change with its releases, and this does not.

use super::{Entry, LogId, Membership, NodeInfo, Proposal, StoredMembership, Vote};
use crate::executor::peer::proto;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::{EntryPayload, type_config::alias::LeaderIdOf};
use prost::Message;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

const BLANK: u8 = 0;
const NORMAL: u8 = 1;
const MEMBERSHIP: u8 = 2;
const HEADER: usize = 17;
const PROPOSAL_HEADER: usize = 16;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}: written by a later release?")]
pub struct Malformed {
    what: &'static str,
}

impl From<Malformed> for io::Error {
    fn from(error: Malformed) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// What is wrong with bytes.
#[must_use]
pub const fn malformed(what: &'static str) -> Malformed {
    Malformed { what }
}

/// A log position of its parts.
#[must_use]
pub fn log_id(term: u64, node: u64, index: u64) -> LogId {
    LogId::new(
        LeaderIdOf::<super::TypeConfig> {
            term,
            node_id: node,
        },
        index,
    )
}

/// An entry as the log holds it.
#[must_use]
pub fn encode_entry(entry: &Entry) -> Bytes {
    let proposed = match &entry.payload {
        EntryPayload::Normal(proposal) => PROPOSAL_HEADER + proposal.command.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    };
    let mut bytes = BytesMut::with_capacity(HEADER + proposed);
    let kind = match &entry.payload {
        EntryPayload::Blank => BLANK,
        EntryPayload::Normal(_) => NORMAL,
        EntryPayload::Membership(_) => MEMBERSHIP,
    };
    bytes.put_u8(kind);
    bytes.put_u64(entry.log_id.leader_id.term);
    bytes.put_u64(entry.log_id.leader_id.node_id);
    match &entry.payload {
        EntryPayload::Blank => {}
        EntryPayload::Normal(proposal) => put_proposal(proposal, &mut bytes),
        EntryPayload::Membership(membership) => {
            bytes.extend_from_slice(&encode_membership(membership).encode_to_vec());
        }
    }
    bytes.freeze()
}

/// Reads what [`encode_entry`] wrote.
///
/// # Errors
/// It is no entry.
pub fn decode_entry(index: u64, mut bytes: Bytes) -> Result<Entry, Malformed> {
    let log_id = decode_entry_id(index, &bytes)?;
    let kind = bytes[0];
    bytes.advance(HEADER);
    let payload = match kind {
        BLANK if bytes.is_empty() => EntryPayload::Blank,
        NORMAL => EntryPayload::Normal(decode_proposal(bytes)?),
        MEMBERSHIP => {
            let membership = proto::Membership::decode(bytes)
                .map_err(|_| malformed("a log entry holds no membership"))?;
            EntryPayload::Membership(decode_membership(membership)?)
        }
        _ => return Err(malformed("a log entry is of unknown kind")),
    };
    Ok(Entry { log_id, payload })
}

/// The position of an entry, which is all that Raft asks of many.
///
/// # Errors
/// It is no entry.
pub fn decode_entry_id(index: u64, mut bytes: &[u8]) -> Result<LogId, Malformed> {
    if bytes.len() < HEADER {
        return Err(malformed("a log entry is too short"));
    }
    bytes.advance(1);
    let (term, node) = (bytes.get_u64(), bytes.get_u64());
    Ok(log_id(term, node, index))
}

/// A proposal on its way to the leader.
#[must_use]
pub fn encode_proposal(proposal: &Proposal) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PROPOSAL_HEADER + proposal.command.len());
    put_proposal(proposal, &mut bytes);
    bytes.freeze()
}

fn put_proposal(proposal: &Proposal, bytes: &mut BytesMut) {
    bytes.put_u64(proposal.origin);
    bytes.put_u64(proposal.sequence);
    bytes.extend_from_slice(&proposal.command);
}

/// Reads what [`encode_proposal`] wrote.
///
/// # Errors
/// It is too short.
pub fn decode_proposal(mut bytes: Bytes) -> Result<Proposal, Malformed> {
    if bytes.len() < PROPOSAL_HEADER {
        return Err(malformed("a proposal is too short"));
    }
    Ok(Proposal {
        origin: bytes.get_u64(),
        sequence: bytes.get_u64(),
        command: bytes,
    })
}

/// A position as protobuf.
#[must_use]
pub fn encode_log_id(id: LogId) -> proto::LogId {
    proto::LogId {
        term: id.leader_id.term,
        node: id.leader_id.node_id,
        index: id.index,
    }
}

/// A position from protobuf.
#[must_use]
pub fn decode_log_id(id: proto::LogId) -> LogId {
    log_id(id.term, id.node, id.index)
}

/// A vote as protobuf.
#[must_use]
pub fn encode_vote(vote: &Vote) -> proto::Vote {
    proto::Vote {
        term: vote.leader_id.term,
        node: vote.leader_id.node_id,
        committed: vote.committed,
    }
}

/// A vote from protobuf.
///
/// # Errors
/// There is none.
pub fn decode_vote(vote: Option<proto::Vote>) -> Result<Vote, Malformed> {
    let vote = vote.ok_or(malformed("a vote is missing"))?;
    Ok(if vote.committed {
        Vote::new_committed(vote.term, vote.node)
    } else {
        Vote::new(vote.term, vote.node)
    })
}

/// Membership as protobuf.
#[must_use]
pub fn encode_membership(membership: &Membership) -> proto::Membership {
    proto::Membership {
        configs: membership
            .get_joint_config()
            .iter()
            .map(|voters| proto::Voters {
                ids: voters.iter().copied().collect(),
            })
            .collect(),
        nodes: membership
            .nodes()
            .map(|(id, node)| node.to_proto(*id))
            .collect(),
    }
}

/// Membership from protobuf.
///
/// # Errors
/// It names voters of whom it knows nothing.
pub fn decode_membership(membership: proto::Membership) -> Result<Membership, Malformed> {
    let configs: Vec<BTreeSet<u64>> = membership
        .configs
        .into_iter()
        .map(|voters| voters.ids.into_iter().collect())
        .collect();
    let nodes: BTreeMap<u64, NodeInfo> = membership
        .nodes
        .into_iter()
        .map(|node| (node.id, node.into()))
        .collect();
    if configs.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes).map_err(|_| malformed("a membership contradicts itself"))
}

/// Where a file of records stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// The last entry that was applied.
    pub applied: Option<LogId>,
    /// The last membership that was applied.
    pub membership: StoredMembership,
    /// It came as another member's snapshot: it says nothing of the log beside it.
    pub installed: bool,
}

impl Position {
    /// Index of the entry that is applied next.
    #[must_use]
    pub fn next_index(&self) -> u64 {
        self.applied.map_or(0, |applied| applied.index + 1)
    }

    /// As protobuf.
    #[must_use]
    pub fn to_proto(&self) -> proto::Position {
        proto::Position {
            applied: self.applied.map(encode_log_id),
            membership_at: self.membership.log_id().map(encode_log_id),
            membership: Some(encode_membership(self.membership.membership())),
            installed: self.installed,
        }
    }

    /// From protobuf.
    ///
    /// # Errors
    /// Its membership contradicts itself.
    pub fn from_proto(position: proto::Position) -> Result<Self, Malformed> {
        let membership = decode_membership(position.membership.unwrap_or_default())?;
        Ok(Self {
            applied: position.applied.map(decode_log_id),
            membership: StoredMembership::new(
                position.membership_at.map(decode_log_id),
                membership,
            ),
            installed: position.installed,
        })
    }

    /// As the file of records holds it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.to_proto().encode_to_vec()
    }

    /// Reads what [`Position::encode`] wrote; nothing is the position of a new file.
    ///
    /// # Errors
    /// It is no position.
    pub fn decode(bytes: Option<&[u8]>) -> Result<Self, Malformed> {
        let Some(bytes) = bytes else {
            return Ok(Self::default());
        };
        let position = proto::Position::decode(bytes)
            .map_err(|_| malformed("the applied position is no position"))?;
        Self::from_proto(position)
    }

    /// As openraft describes a snapshot of it.
    #[must_use]
    pub fn meta(&self) -> super::SnapshotMeta {
        super::SnapshotMeta {
            last_log_id: self.applied,
            last_membership: self.membership.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn membership() -> Membership {
        let node = |name: &str| NodeInfo {
            name: name.to_owned(),
            peer_urls: vec![format!("http://{name}:2380")],
            client_urls: Vec::new(),
            learner: false,
        };
        let nodes: BTreeMap<u64, NodeInfo> =
            [(1, node("a")), (2, node("b")), (3, node("c"))].into();
        Membership::new(vec![[1, 2].into(), [1].into()], nodes).expect("consistent")
    }

    #[test]
    fn entries_come_back() {
        let payloads = [
            EntryPayload::Blank,
            EntryPayload::Normal(Proposal {
                origin: 7,
                sequence: u64::MAX,
                command: Bytes::from_static(b"command"),
            }),
            EntryPayload::Membership(membership()),
        ];
        for payload in payloads {
            let entry = Entry {
                log_id: log_id(3, u64::MAX, 9),
                payload,
            };
            let bytes = encode_entry(&entry);
            assert_eq!(decode_entry_id(9, &bytes), Ok(entry.log_id));
            let decoded = decode_entry(9, bytes).expect("an entry");
            assert_eq!(decoded, entry);
        }
    }

    #[test]
    fn positions_come_back() {
        let position = Position {
            applied: Some(log_id(3, 1, 9)),
            membership: StoredMembership::new(Some(log_id(1, 1, 2)), membership()),
            installed: true,
        };
        assert_eq!(Position::decode(Some(&position.encode())), Ok(position));
        assert_eq!(Position::decode(None), Ok(Position::default()));
        assert_eq!(
            Position::decode(Some(&Position::default().encode())),
            Ok(Position::default())
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = decode_entry(1, bytes.clone().into());
            let _ = decode_proposal(bytes.clone().into());
            let _ = Position::decode(Some(&bytes));
        }
    }
}

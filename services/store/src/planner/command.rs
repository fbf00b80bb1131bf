//! What the log holds: the requests that change the state, as etcd's messages.
//!
//! ```text
//!   byte 0       1..
//!   kind         the request, in protobuf
//! ```
//!
//! A kind's number is never used again: logs of earlier releases are read.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use etcd_proto::{
    etcdserverpb::{
        AlarmRequest, CompactionRequest, DeleteRangeRequest, LeaseCheckpointRequest,
        LeaseGrantRequest, LeaseRevokeRequest, PutRequest, TxnRequest,
    },
    prost::{DecodeError, Message},
};

/// A change that all members make, in the order of the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Writes a key.
    Put(PutRequest),
    /// Deletes keys.
    DeleteRange(DeleteRangeRequest),
    /// A transaction.
    Transaction(TxnRequest),
    /// Forgets history.
    Compact(CompactionRequest),
    /// Grants a lease. Number and life are the final ones: who proposes it has chosen them.
    LeaseGrant(LeaseGrantRequest),
    /// Ends a lease: asked for, or because it expired.
    LeaseRevoke(LeaseRevokeRequest),
    /// Notes what is left of leases.
    LeaseCheckpoint(LeaseCheckpointRequest),
    /// Raises or clears an alarm.
    Alarm(AlarmRequest),
}

/// A log entry that is no command.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Nothing at all.
    #[error("a command has at least one byte")]
    Empty,
    /// Written by a later release.
    #[error("command of unknown kind {0}: written by a later release?")]
    UnknownKind(u8),
    /// Not the message that the kind says.
    #[error("decode a command of kind {kind}")]
    Message {
        /// The kind.
        kind: u8,
        /// Why.
        #[source]
        source: DecodeError,
    },
}

const PUT: u8 = 1;
const DELETE_RANGE: u8 = 2;
const TRANSACTION: u8 = 3;
const COMPACT: u8 = 4;
const LEASE_GRANT: u8 = 5;
const LEASE_REVOKE: u8 = 6;
const LEASE_CHECKPOINT: u8 = 7;
const ALARM: u8 = 8;

impl Command {
    /// As the log holds it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Put(message) => encode(PUT, message),
            Self::DeleteRange(message) => encode(DELETE_RANGE, message),
            Self::Transaction(message) => encode(TRANSACTION, message),
            Self::Compact(message) => encode(COMPACT, message),
            Self::LeaseGrant(message) => encode(LEASE_GRANT, message),
            Self::LeaseRevoke(message) => encode(LEASE_REVOKE, message),
            Self::LeaseCheckpoint(message) => encode(LEASE_CHECKPOINT, message),
            Self::Alarm(message) => encode(ALARM, message),
        }
    }

    /// Reads what the log holds; keys and values share the buffer.
    ///
    /// # Errors
    /// It is no command.
    pub fn decode(mut bytes: Bytes) -> Result<Self, CommandError> {
        if bytes.is_empty() {
            return Err(CommandError::Empty);
        }
        let kind = bytes.get_u8();
        let command = match kind {
            PUT => PutRequest::decode(bytes).map(Self::Put),
            DELETE_RANGE => DeleteRangeRequest::decode(bytes).map(Self::DeleteRange),
            TRANSACTION => TxnRequest::decode(bytes).map(Self::Transaction),
            COMPACT => CompactionRequest::decode(bytes).map(Self::Compact),
            LEASE_GRANT => LeaseGrantRequest::decode(bytes).map(Self::LeaseGrant),
            LEASE_REVOKE => LeaseRevokeRequest::decode(bytes).map(Self::LeaseRevoke),
            LEASE_CHECKPOINT => LeaseCheckpointRequest::decode(bytes).map(Self::LeaseCheckpoint),
            ALARM => AlarmRequest::decode(bytes).map(Self::Alarm),
            unknown => return Err(CommandError::UnknownKind(unknown)),
        };
        command.map_err(|source| CommandError::Message { kind, source })
    }
}

fn encode(kind: u8, message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + message.encoded_len());
    bytes.put_u8(kind);
    message
        .encode(&mut bytes)
        .expect("the buffer grows as needed");
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_kind_comes_back() {
        let commands = [
            Command::Put(PutRequest {
                key: "a".into(),
                ..PutRequest::default()
            }),
            Command::DeleteRange(DeleteRangeRequest {
                key: "a".into(),
                ..DeleteRangeRequest::default()
            }),
            Command::Transaction(TxnRequest::default()),
            Command::Compact(CompactionRequest {
                revision: 3,
                physical: true,
            }),
            Command::LeaseGrant(LeaseGrantRequest { ttl: 5, id: 6 }),
            Command::LeaseRevoke(LeaseRevokeRequest { id: 6 }),
            Command::LeaseCheckpoint(LeaseCheckpointRequest::default()),
            Command::Alarm(AlarmRequest::default()),
        ];
        let mut kinds = std::collections::BTreeSet::new();
        for command in commands {
            let bytes = command.encode();
            assert!(kinds.insert(bytes[0]), "two commands share a kind");
            assert_eq!(Command::decode(bytes).expect("valid"), command);
        }
    }

    #[test]
    fn what_is_no_command_says_so() {
        let check = |bytes: &'static [u8], expect: &str| {
            let error = Command::decode(Bytes::from_static(bytes)).expect_err("no command");
            assert_eq!(error.to_string(), expect);
        };
        check(b"", "a command has at least one byte");
        check(
            b"\xc8",
            "command of unknown kind 200: written by a later release?",
        );
        check(b"\x01\x0a", "decode a command of kind 1");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = Command::decode(bytes.into());
        }
    }
}

//! Where values are: the seam between the state and its disk.

use super::revision::Revision;
use bytes::Bytes;
use etcd_proto::{mvccpb::KeyValue, prost::Message};
use std::{collections::BTreeMap, error::Error, ops::ControlFlow};

/// The store cannot go on: its disk does not give back what was written. Never an answer to a client's mistake.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The index names a record that is not there.
    #[error("record {revision} is missing, though the index names it")]
    Missing {
        /// Which.
        revision: Revision,
    },
    /// The disk refused, or what it gave is not a record.
    #[error("read record {revision}")]
    Read {
        /// Which.
        revision: Revision,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Records by revision. A record is the key's pair as of that change; one of version 0 tells of a delete.
///
/// A reader sees every record of every change that was applied before it began.
pub trait Records {
    /// The record of this change.
    ///
    /// # Errors
    /// It is missing, or cannot be read.
    fn get(&self, revision: Revision) -> Result<KeyValue, StorageError>;

    /// The same as the bytes of its protobuf message.
    ///
    /// # Errors
    /// As for [`Records::get`].
    fn get_encoded(&self, revision: Revision) -> Result<Bytes, StorageError> {
        Ok(self.get(revision)?.encode_to_vec().into())
    }

    /// The records from a revision on, in order, until `visit` breaks.
    ///
    /// # Errors
    /// One cannot be read.
    fn scan(
        &self,
        from: Revision,
        visit: &mut dyn FnMut(Revision, KeyValue) -> ControlFlow<()>,
    ) -> Result<(), StorageError>;
}

/// Records in memory: what simulations and tests keep on their disk.
impl Records for BTreeMap<Revision, KeyValue> {
    fn get(&self, revision: Revision) -> Result<KeyValue, StorageError> {
        self.get(&revision)
            .cloned()
            .ok_or(StorageError::Missing { revision })
    }

    fn scan(
        &self,
        from: Revision,
        visit: &mut dyn FnMut(Revision, KeyValue) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        for (revision, record) in self.range(from..) {
            if visit(*revision, record.clone()).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// When.
    pub revision: Revision,
    /// The pair after a put; the key and the revision, with version 0, after a delete.
    pub record: KeyValue,
    /// The record of the key's pair before this revision, if it had one.
    pub previous: Option<Revision>,
}

impl Change {
    /// Whether the key was deleted.
    #[must_use]
    pub fn is_delete(&self) -> bool {
        is_delete(&self.record)
    }
}

/// Whether a record tells of a delete.
#[must_use]
pub fn is_delete(record: &KeyValue) -> bool {
    record.version == 0
}

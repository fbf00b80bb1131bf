//! A hash over keys and values that is equal on members that agree, however far each has come with deleting
//! compacted records.
//!
//! It covers, in the order of revisions, the records up to a revision that compaction leaves. Like etcd's it compares
//! only between members that have compacted the same.

use super::{revision::Revision, state::State};
use etcd_proto::{errors::Refusal, mvccpb::KeyValue, prost::Message};

/// A hash that is being taken. Records come to [`Hash::add`] in the order of their revisions, in as many steps as
/// needed; the state may apply commands between steps.
#[derive(Debug)]
pub struct Hash {
    crc: crc32fast::Hasher,
    revision: i64,
    compacted: i64,
    buffer: Vec<u8>,
}

/// A hash, and what it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed {
    /// The hash.
    pub hash: u32,
    /// Last revision that it covers.
    pub revision: i64,
    /// The compacted revision.
    pub compacted: i64,
}

impl Hash {
    /// Begins a hash up to a revision; 0 for the newest.
    ///
    /// # Errors
    /// [`Refusal::Compacted`], [`Refusal::FutureRevision`].
    pub fn begin(state: &State, revision: i64) -> Result<Self, Refusal> {
        if revision > state.revision() {
            return Err(Refusal::FutureRevision);
        }
        if revision > 0 && revision < state.compacted() {
            return Err(Refusal::Compacted);
        }
        Ok(Self {
            crc: crc32fast::Hasher::new(),
            revision: if revision > 0 {
                revision
            } else {
                state.revision()
            },
            compacted: state.compacted(),
            buffer: Vec::new(),
        })
    }

    /// Takes in the next record, if it belongs. Returns whether later ones still may.
    pub fn add(&mut self, state: &State, revision: Revision, record: &KeyValue) -> bool {
        if revision.main > self.revision {
            return false;
        }
        let recent = revision.main >= self.compacted;
        if recent
            || state
                .index()
                .survives(&record.key, revision, self.compacted)
        {
            self.crc.update(&revision.to_bytes());
            self.buffer.clear();
            record
                .encode(&mut self.buffer)
                .expect("the buffer grows as needed");
            self.crc.update(&self.buffer);
        }
        true
    }

    /// Ends it.
    ///
    /// # Errors
    /// [`Refusal::Compacted`] where the store was compacted meanwhile: begin again.
    pub fn finish(self, state: &State) -> Result<Hashed, Refusal> {
        if state.compacted() != self.compacted {
            return Err(Refusal::Compacted);
        }
        Ok(Hashed {
            hash: self.crc.finalize(),
            revision: self.revision,
            compacted: self.compacted,
        })
    }
}

//! What was committed and is not in the file yet. It is written in groups, because a transaction of redb costs several
//! times what a record in it does; the log has it all until then.

use super::Commit;
use crate::planner::{
    revision::Revision,
    state::{Alarm, Bookkeeping, KeptLease},
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of records, and records, after which they are to be written: one or two milliseconds of work.
const BYTES_MAX: usize = 1024 * 1024;
const RECORDS_MAX: usize = 512;
/// Times as much may wait while a write runs: a durable one takes as long as the disk does, and who applies need not wait for it.
const WAITING: usize = 8;

/// The latest of everything that commits brought since the last write.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Stay until they are in the file, because readers look here before they look there.
    records: BTreeMap<Revision, Bytes>,
    bytes: usize,
    /// Records, and bytes of them, that came since the last [`Pending::take`].
    fresh: (usize, usize),
    rest: Rest,
}

/// What one write takes.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) records: Vec<(Revision, Bytes)>,
    pub(super) rest: Rest,
}

/// What goes with the records.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) dropped: Vec<Revision>,
    pub(super) leases: BTreeMap<i64, Option<KeptLease>>,
    pub(super) alarms: Option<BTreeSet<Alarm>>,
    pub(super) compacted: Option<i64>,
    /// The store's revision, and the log position; None: as in the file.
    pub(super) position: Option<(i64, Vec<u8>)>,
}

impl Pending {
    pub(super) fn add(&mut self, commit: Commit<'_>, records: &[(Revision, Bytes)]) {
        for (revision, record) in records {
            self.bytes += record.len();
            self.fresh.0 += 1;
            self.fresh.1 += record.len();
            self.records.insert(*revision, record.clone());
        }
        let rest = &mut self.rest;
        rest.dropped.extend(commit.dropped);
        rest.position = Some((commit.revision, commit.applied.to_vec()));
        for bookkeeping in commit.bookkeeping {
            match bookkeeping {
                Bookkeeping::Compacted(revision) => rest.compacted = Some(*revision),
                Bookkeeping::Lease(id, lease) => {
                    rest.leases.insert(*id, *lease);
                }
                Bookkeeping::Alarms(raised) => rest.alarms = Some(raised.clone()),
            }
        }
    }

    pub(super) fn get(&self, revision: Revision) -> Option<Bytes> {
        self.records.get(&revision).cloned()
    }

    /// Records from a revision on.
    pub(super) fn from(&self, from: Revision) -> Vec<(Revision, Bytes)> {
        let records = self.records.range(from..);
        records
            .map(|(revision, record)| (*revision, record.clone()))
            .collect()
    }

    /// Whether it is time to write.
    pub(super) fn is_full(&self) -> bool {
        let (records, bytes) = self.fresh;
        bytes >= BYTES_MAX || records >= RECORDS_MAX || self.rest.dropped.len() >= RECORDS_MAX
    }

    /// Whether what comes next has to wait for a write.
    pub(super) fn is_overfull(&self) -> bool {
        let (records, bytes) = self.fresh;
        bytes >= BYTES_MAX * WAITING
            || records >= RECORDS_MAX * WAITING
            || self.rest.dropped.len() >= RECORDS_MAX * WAITING
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.position.is_none()
    }

    /// Bytes of the records that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is to be written now.
    pub(super) fn take(&mut self) -> Taken {
        let first = Revision { main: 0, sub: 0 };
        self.fresh = (0, 0);
        Taken {
            records: self.from(first),
            rest: std::mem::take(&mut self.rest),
        }
    }

    /// These are in the file.
    pub(super) fn written(&mut self, records: &[(Revision, Bytes)]) {
        for (revision, record) in records {
            self.bytes -= record.len();
            self.records.remove(revision);
        }
    }
}

//! One key with its history.

use super::{Found, Live};
use crate::planner::revision::Revision;

/// One change of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    main: i64,
    sub: u32,
    deleted: bool,
}

impl Stamp {
    fn new(revision: Revision, deleted: bool) -> Self {
        Self {
            main: revision.main,
            sub: revision.sub,
            deleted,
        }
    }

    fn revision(self) -> Revision {
        Revision {
            main: self.main,
            sub: self.sub,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    newest: Stamp,
    created: i64,
    version: i64,
    lease: i64,
    /// Behind one pointer, because most keys have none. (A thin pointer to a vector costs an allocation more than a
    /// vector in place, and saves 16 bytes for every key.)
    #[allow(clippy::box_collection, reason = "16 bytes for each key")]
    older: Option<Box<Vec<Stamp>>>,
}

impl Entry {
    /// Of a key that was written for the first time.
    pub(super) fn new(revision: Revision, lease: i64) -> Self {
        Self::restored(
            Live {
                revision,
                created: revision.main,
                version: 1,
                lease,
            },
            false,
        )
    }

    /// Of a key whose only change was this.
    pub(super) fn restored(live: Live, deleted: bool) -> Self {
        Self {
            newest: Stamp::new(live.revision, deleted),
            created: live.created,
            version: live.version,
            lease: live.lease,
            older: None,
        }
    }

    /// This entry with the history of the one before.
    pub(super) fn after(&self, before: &mut Self) -> Self {
        let mut older = before.older.take().unwrap_or_default();
        older.push(before.newest);
        Self {
            older: Some(older),
            ..self.clone()
        }
    }

    pub(super) fn put(&mut self, revision: Revision, lease: i64) {
        if self.newest.deleted {
            self.created = revision.main;
            self.version = 1;
        } else {
            self.version += 1;
        }
        self.lease = lease;
        self.push(Stamp::new(revision, false));
    }

    /// Returns the pair that was there; None: there was none, and nothing was done.
    pub(super) fn delete(&mut self, revision: Revision) -> Option<Live> {
        let live = self.live()?;
        self.push(Stamp::new(revision, true));
        self.created = 0;
        self.version = 0;
        self.lease = 0;
        Some(live)
    }

    pub(super) fn is_live(&self) -> bool {
        !self.newest.deleted
    }

    /// The store's revision of its newest change.
    pub(super) fn newest(&self) -> i64 {
        self.newest.main
    }

    pub(super) fn lease(&self) -> i64 {
        self.lease
    }

    /// Whether compaction at `main` leaves the record of this revision.
    pub(super) fn survives(&self, revision: Revision, main: i64) -> bool {
        let position = self
            .older()
            .partition_point(|stamp| stamp.revision() < revision);
        self.stamp(position).is_some_and(|stamp| {
            stamp.revision() == revision && survives(stamp, self.stamp(position + 1), main)
        })
    }

    pub(super) fn live(&self) -> Option<Live> {
        (!self.newest.deleted).then_some(Live {
            revision: self.newest.revision(),
            created: self.created,
            version: self.version,
            lease: self.lease,
        })
    }

    fn older(&self) -> &[Stamp] {
        self.older.as_deref().map_or(&[], Vec::as_slice)
    }

    /// The pair as of the end of a revision.
    pub(super) fn at(&self, main: i64) -> Option<Found> {
        if self.newest.main <= main {
            return self.live().map(Found::Newest);
        }
        let older = self.older();
        let end = older.partition_point(|stamp| stamp.main <= main);
        let stamp = older[..end].last()?;
        (!stamp.deleted).then(|| Found::Superseded(stamp.revision()))
    }

    /// The record of the pair as of the end of the store's revision before this one.
    pub(super) fn before(&self, revision: Revision) -> Option<Revision> {
        self.at(revision.main - 1).map(Found::revision)
    }

    fn push(&mut self, stamp: Stamp) {
        let superseded = std::mem::replace(&mut self.newest, stamp);
        self.older.get_or_insert_default().push(superseded);
    }

    /// The stamp at this position of the history, where the newest comes after the last of `older`.
    fn stamp(&self, position: usize) -> Option<Stamp> {
        let older = self.older();
        let newest = (position == older.len()).then_some(self.newest);
        older.get(position).copied().or(newest)
    }

    /// Drops what compaction at `main` drops. Returns whether anything is left.
    pub(super) fn compact(&mut self, main: i64, dropped: &mut Vec<Revision>) -> bool {
        let mut kept = Vec::new();
        for position in 0..self.older().len() {
            let stamp = self.older()[position];
            if survives(stamp, self.stamp(position + 1), main) {
                kept.push(stamp);
            } else {
                dropped.push(stamp.revision());
            }
        }
        self.older = (!kept.is_empty()).then(|| Box::new(kept));
        let left = survives(self.newest, None, main);
        if !left {
            dropped.push(self.newest.revision());
        }
        left
    }
}

/// Whether compaction at `main` leaves a stamp, given the key's next one.
///
/// Changes of the compacted revision itself stay whole, deletes too, so that a watch can begin there; of those
/// before it, only the pair that a read at that revision needs.
fn survives(stamp: Stamp, next: Option<Stamp>, main: i64) -> bool {
    stamp.main >= main || (!stamp.deleted && next.is_none_or(|next| next.main > main))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_stays_small() {
        assert_eq!(size_of::<Entry>(), 48);
    }
}

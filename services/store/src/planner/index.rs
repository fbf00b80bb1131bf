//! Every key with its history since the last compaction, in memory; values are elsewhere.
//!
//! ```text
//!   key ──> Entry { newest, created, version, lease }      of its newest change
//!                   older: [ stamp, stamp, ... ]           superseded, not yet compacted; oldest first
//!   stamp = revision + "was it a delete"
//! ```
//!
//! An entry is 48 bytes and a key that was written once needs no more: a million keys of 35 bytes take some 120 MB. A deleted key stays, with a delete as its newest stamp, until compaction passes it.

mod entry;
mod keys;

use super::{key_range::KeyRange, revision::Revision};
use entry::Entry;
use keys::Keys;
use std::ops::{Bound, ControlFlow};

/// What the index knows of a live pair without reading its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    /// Its newest change.
    pub revision: Revision,
    /// The store's revision when it came into being.
    pub created: i64,
    /// Puts since then.
    pub version: i64,
    /// Its lease, 0 for none.
    pub lease: i64,
}

/// A pair as it was at some revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It is still the newest, so everything but the value is known.
    Newest(Live),
    /// Superseded since: only its record tells more.
    Superseded(Revision),
}

impl Found {
    /// Where its record is.
    #[must_use]
    pub fn revision(self) -> Revision {
        match self {
            Self::Newest(live) => live.revision,
            Self::Superseded(revision) => revision,
        }
    }
}

/// What a put found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutOutcome {
    /// The pair after it.
    pub live: Live,
    /// The lease that the key had, 0 for none.
    pub previous_lease: i64,
    /// The record of the pair that the key had at the end of the store's revision before, if it had one.
    pub before: Option<Revision>,
}

/// What a delete found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeleteOutcome {
    /// The pair that was there.
    pub live: Live,
    /// As for [`PutOutcome::before`].
    pub before: Option<Revision>,
}

/// The keys, in order.
#[derive(Debug, Default)]
pub struct Index {
    keys: Keys,
}

impl Index {
    /// The live pair of a key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Live> {
        self.keys.get(key)?.live()
    }

    /// The pair of a key as of the end of a revision.
    #[must_use]
    pub fn get_at(&self, key: &[u8], main: i64) -> Option<Found> {
        self.keys.get(key)?.at(main)
    }

    /// Every pair of a range as of the end of a revision, in the order of keys, until `visit` breaks.
    pub fn visit<'a>(
        &'a self,
        range: KeyRange<'a>,
        main: i64,
        mut visit: impl FnMut(&'a [u8], Found) -> ControlFlow<()>,
    ) {
        let Some(bounds) = range.bounds() else { return };
        for (key, entry) in self.keys.range(bounds) {
            if let Some(found) = entry.at(main)
                && visit(key, found).is_break()
            {
                return;
            }
        }
    }

    /// How many pairs a range had as of the end of a revision. Where that is the newest, or few keys changed since, it
    /// takes a fraction of what a walk takes.
    #[must_use]
    pub fn count(&self, range: KeyRange<'_>, main: i64) -> usize {
        let bounds = range.bounds();
        bounds.map_or(0, |bounds| self.keys.count(bounds, main))
    }

    /// Writes a key. `revision` is newer than every one before.
    pub fn put(&mut self, key: &[u8], revision: Revision, lease: i64) -> PutOutcome {
        let changed = self.keys.change(key, |entry| {
            let previous_lease = entry.lease();
            let before = entry.before(revision);
            entry.put(revision, lease);
            PutOutcome {
                live: entry.live().expect("just put"),
                previous_lease,
                before,
            }
        });
        changed.unwrap_or_else(|| {
            let entry = Entry::new(revision, lease);
            let live = entry.live().expect("just put");
            self.keys.add(key, entry);
            PutOutcome {
                live,
                previous_lease: 0,
                before: None,
            }
        })
    }

    /// Deletes a key. None: it had no pair, and nothing was done.
    pub fn delete(&mut self, key: &[u8], revision: Revision) -> Option<DeleteOutcome> {
        self.keys.change(key, |entry| {
            let before = entry.before(revision);
            let live = entry.delete(revision)?;
            Some(DeleteOutcome { live, before })
        })?
    }

    /// Compacts the next `keys_max` keys after `cursor` (None: from the first). Adds the revisions whose records
    /// are to be deleted to `dropped`, and returns the new cursor, or None when the last key is done.
    ///
    /// It may be interrupted and begun again at any key. The records named by one call must go in one transaction of
    /// the disk: were a delete's record gone and the put before it not, a restart would bring the key back.
    pub fn compact(
        &mut self,
        main: i64,
        cursor: Option<&[u8]>,
        keys_max: usize,
        dropped: &mut Vec<Revision>,
    ) -> Option<Box<[u8]>> {
        let keep = |entry: &mut Entry| entry.compact(main, dropped);
        self.keys.retain(cursor, keys_max, keep)
    }

    /// Whether compaction at `main` leaves this record, whether or not it has come so far.
    #[must_use]
    pub fn survives(&self, key: &[u8], revision: Revision, main: i64) -> bool {
        let entry = self.keys.get(key);
        entry.is_some_and(|entry| entry.survives(revision, main))
    }

    /// Every live pair, in the order of keys.
    pub fn live(&self) -> impl Iterator<Item = (&[u8], Live)> {
        let entries = self.keys.range((Bound::Unbounded, Bound::Unbounded));
        entries.filter_map(|(key, entry)| Some((key, entry.live()?)))
    }

    /// Keys, deleted ones that wait for compaction included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An index in the making, from records in the order of their revisions.
///
/// It sorts once and fills the chunks one after the other: a million keys take a fraction of the time that putting them one by
/// one takes, and two thirds of the memory.
#[derive(Debug, Default)]
pub struct Restore {
    records: Vec<(Box<[u8]>, Entry)>,
}

impl Restore {
    /// Takes in the next record; one that tells of a delete says nothing but its revision.
    pub fn add(&mut self, key: &[u8], live: Live, deleted: bool) {
        let entry = Entry::restored(live, deleted);
        self.records.push((key.into(), entry));
    }

    /// The index of all that came.
    #[must_use]
    pub fn finish(mut self) -> Index {
        // Stable, so that the records of a key stay in the order of their revisions.
        self.records
            .sort_by(|(left, _), (right, _)| left.cmp(right));
        self.records.dedup_by(|(key, entry), (kept_key, kept)| {
            let same = key == kept_key;
            if same {
                *kept = entry.after(kept);
            }
            same
        });
        Index {
            keys: Keys::from_sorted(self.records.into_iter()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(main: i64, sub: u32) -> Revision {
        Revision { main, sub }
    }

    fn compact(index: &mut Index, main: i64) -> Vec<(i64, u32)> {
        let mut dropped = Vec::new();
        assert_eq!(index.compact(main, None, usize::MAX, &mut dropped), None);
        dropped
            .into_iter()
            .map(|revision| (revision.main, revision.sub))
            .collect()
    }

    #[test]
    fn the_newest_pair_before_the_compacted_revision_stays() {
        let mut index = Index::default();
        for main in 2..=5 {
            index.put(b"a", at(main, 0), 0);
        }
        assert_eq!(compact(&mut index, 4), [(2, 0), (3, 0)]);
        assert_eq!(index.get_at(b"a", 4), Some(Found::Superseded(at(4, 0))));
        index.put(b"b", at(6, 0), 0);
        assert_eq!(compact(&mut index, 6), [(4, 0)]);
        assert_eq!(index.get(b"a").map(|live| live.version), Some(4));
    }

    #[test]
    fn a_delete_at_the_compacted_revision_can_still_be_watched() {
        let mut index = Index::default();
        index.put(b"a", at(2, 0), 0);
        index.put(b"a", at(3, 0), 0);
        index.delete(b"a", at(3, 1));
        assert_eq!(compact(&mut index, 3), [(2, 0)]);
        assert!(index.survives(b"a", at(3, 1), 3));
        assert_eq!(compact(&mut index, 4), [(3, 0), (3, 1)]);
        assert!(index.is_empty());
    }

    #[test]
    fn compaction_goes_on_where_it_stopped() {
        let mut index = Index::default();
        for (main, key) in (2..).zip([b"a", b"b", b"c"]) {
            index.put(key, at(main, 0), 0);
        }
        for (main, key) in (5..).zip([b"a", b"b", b"c"]) {
            index.delete(key, at(main, 0));
        }
        let mut dropped = Vec::new();
        let cursor = index.compact(9, None, 2, &mut dropped);
        assert_eq!(cursor.as_deref(), Some(&b"b"[..]));
        assert_eq!(index.len(), 1);
        assert_eq!(index.compact(9, cursor.as_deref(), 2, &mut dropped), None);
        assert_eq!(dropped.len(), 6);
    }

    #[test]
    fn a_key_that_comes_back_begins_anew() {
        let mut index = Index::default();
        index.put(b"a", at(2, 0), 7);
        assert_eq!(
            index.delete(b"a", at(3, 0)).map(|was| was.live.lease),
            Some(7)
        );
        assert_eq!(index.delete(b"a", at(4, 0)), None);
        let outcome = index.put(b"a", at(4, 0), 0);
        assert_eq!((outcome.live.created, outcome.live.version), (4, 1));
        assert_eq!(outcome.previous_lease, 0);
        assert_eq!(index.get_at(b"a", 3), None);
        assert_eq!(index.get_at(b"a", 2), Some(Found::Superseded(at(2, 0))));
    }
}

//! Encoded records in memory, by revision: those that were written or read last, up to a number of bytes.
//!
//! A record never changes, so what is here is never stale; a revision that compaction dropped is named by nobody. Which
//! record goes when space is needed is decided by CLOCK: the hand passes over those that were read since it came by last.

use crate::planner::revision::Revision;
use bytes::Bytes;
use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

/// What a record costs beside its bytes: two allocations, its slot and its place in the map.
const OVERHEAD_BYTES: usize = 136;

/// The cache. Readers look things up side by side.
#[derive(Debug)]
pub(super) struct Cache {
    bytes_max: usize,
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    places: HashMap<Revision, usize, BuildHasherDefault<Mix>>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    hand: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Slot {
    revision: Revision,
    record: Bytes,
    read: AtomicBool,
}

impl Cache {
    /// One that takes so many bytes at most.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            inner: RwLock::default(),
        }
    }

    /// A record, if it is here.
    pub(super) fn get(&self, revision: Revision) -> Option<Bytes> {
        let inner = self.inner();
        let slot = &inner.slots[*inner.places.get(&revision)?];
        // Most were read before: a store less, on a line that other readers have as well.
        if !slot.read.load(Ordering::Relaxed) {
            slot.read.store(true, Ordering::Relaxed);
        }
        Some(slot.record.clone())
    }

    /// Takes records in.
    pub(super) fn add(&self, records: impl IntoIterator<Item = (Revision, Bytes)>) {
        let mut inner = self.inner_mut();
        for (revision, record) in records {
            inner.add(revision, record, self.bytes_max);
        }
    }

    /// Forgets records.
    pub(super) fn remove<'a>(&self, revisions: impl IntoIterator<Item = &'a Revision>) {
        let mut inner = self.inner_mut();
        for revision in revisions {
            if let Some(place) = inner.places.remove(revision) {
                inner.empty(place);
            }
        }
    }

    fn inner(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn inner_mut(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, revision: Revision, record: Bytes, bytes_max: usize) {
        let bytes = record.len() + OVERHEAD_BYTES;
        // One that is larger than a part of the cache would push out too much for one reader.
        if bytes > bytes_max / 8 || self.places.contains_key(&revision) {
            return;
        }
        while self.bytes + bytes > bytes_max {
            self.evict();
        }
        self.bytes += bytes;
        let slot = Slot {
            revision,
            record,
            read: AtomicBool::new(false),
        };
        let place = match self.free.pop() {
            Some(place) => {
                self.slots[place] = slot;
                place
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        self.places.insert(revision, place);
    }

    /// Makes room: there is something in it, since a record alone always fits.
    fn evict(&mut self) {
        loop {
            let place = self.hand;
            self.hand = (place + 1) % self.slots.len();
            let slot = &mut self.slots[place];
            if slot.record.is_empty() {
                continue;
            }
            if !std::mem::take(slot.read.get_mut()) {
                let revision = slot.revision;
                self.places.remove(&revision);
                self.empty(place);
                return;
            }
        }
    }

    /// Empties a slot. (No record is empty: each has a key.)
    fn empty(&mut self, place: usize) {
        let record = std::mem::take(&mut self.slots[place].record);
        self.bytes -= record.len() + OVERHEAD_BYTES;
        self.free.push(place);
    }
}

/// Hashes revisions, which nobody chooses: they count up, and need only be spread.
#[derive(Debug, Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_i64(&mut self, number: i64) {
        self.write_u64(number.cast_unsigned());
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing; the upper half folded down, because the map takes its bits from both ends.
        let mixed = (self.0.rotate_left(32) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: usize = 1000;

    fn at(main: i64) -> Revision {
        Revision { main, sub: 0 }
    }

    fn record() -> Bytes {
        Bytes::from(vec![b'x'; BYTES - OVERHEAD_BYTES])
    }

    fn add(cache: &Cache, mains: std::ops::Range<i64>) {
        cache.add(mains.map(|main| (at(main), record())));
    }

    fn held(cache: &Cache, mains: std::ops::Range<i64>) -> Vec<i64> {
        let inner = cache.inner();
        mains
            .filter(|main| inner.places.contains_key(&at(*main)))
            .collect()
    }

    #[test]
    fn it_holds_what_fits_and_no_more() {
        let cache = Cache::new(10 * BYTES);
        add(&cache, 0..100);
        assert_eq!(held(&cache, 0..100).len(), 10);
        assert_eq!(cache.inner().bytes, 10 * BYTES);
        assert_eq!(cache.inner().slots.len(), 10);
    }

    #[test]
    fn what_was_read_stays_longer() {
        let cache = Cache::new(10 * BYTES);
        add(&cache, 0..10);
        assert_eq!(cache.get(at(3)), Some(record()));
        add(&cache, 10..19);
        assert_eq!(held(&cache, 0..10), [3]);
        add(&cache, 19..29);
        assert_eq!(held(&cache, 0..10), [0; 0], "it was not read again");
    }

    #[test]
    fn what_is_removed_makes_room() {
        let cache = Cache::new(10 * BYTES);
        add(&cache, 0..10);
        cache.remove(&[at(2), at(4), at(99)]);
        assert_eq!(cache.get(at(2)), None);
        add(&cache, 10..12);
        assert_eq!(held(&cache, 0..12), [0, 1, 3, 5, 6, 7, 8, 9, 10, 11]);
    }

    #[test]
    fn a_record_that_is_too_large_pushes_nothing_out() {
        let cache = Cache::new(10 * BYTES);
        add(&cache, 0..10);
        cache.add([(at(10), Bytes::from(vec![b'x'; 2 * BYTES]))]);
        assert_eq!(held(&cache, 0..11).len(), 10);
        assert_eq!(cache.get(at(10)), None);
    }
}

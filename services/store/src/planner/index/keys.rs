//! The keys in order, in chunks that know how many of theirs are live: a range is counted by its chunks.
//!
//! ```text
//!   lower bound ──> Chunk { [ (key, entry), ... ] sorted, live, newest }
//!   ""                a chunk holds keys from its bound up to the next one's; the first has the empty bound and stays
//! ```
//!
//! `std`'s ordered map counts a range by walking it, 20 ns a key: a million keys are 20 ms with the store held.

use super::entry::Entry;
use crate::planner::key_range::Bounds;
use std::{
    collections::BTreeMap,
    ops::{Bound, Range},
};

/// Keys of a chunk at most: an insertion moves half of them, 4 KiB. Tests have small ones, so that theirs split as well.
const CHUNK_KEYS_MAX: usize = if cfg!(test) { 4 } else { 128 };
/// A chunk that is made, or is left small, has this many at most.
const CHUNK_KEYS: usize = CHUNK_KEYS_MAX / 4 * 3;
/// A chunk that is full for now gets room for so many more: doubling would waste a third of it.
const ROOM_KEYS: usize = CHUNK_KEYS_MAX / 8 + 1;

#[derive(Debug, Default)]
struct Chunk {
    keys: Vec<(Box<[u8]>, Entry)>,
    /// Of the keys, those that are not deleted.
    live: usize,
    /// No key of it changed after this revision.
    newest: i64,
}

impl Chunk {
    fn of(keys: Vec<(Box<[u8]>, Entry)>) -> Self {
        let mut chunk = Self {
            keys,
            live: 0,
            newest: 0,
        };
        chunk.recount();
        chunk
    }

    fn recount(&mut self) {
        let entries = self.keys.iter().map(|(_, entry)| entry);
        self.live = entries.clone().filter(|entry| entry.is_live()).count();
        self.newest = entries.map(Entry::newest).max().unwrap_or(0);
    }

    fn position(&self, key: &[u8]) -> Result<usize, usize> {
        self.keys.binary_search_by(|(held, _)| (**held).cmp(key))
    }

    /// Where the keys within these bounds are.
    fn within(&self, (start, end): Bounds<'_>) -> Range<usize> {
        let before = |key: &[u8]| match start {
            Bound::Included(start) => key < start,
            Bound::Excluded(start) => key <= start,
            Bound::Unbounded => false,
        };
        let not_after = |key: &[u8]| match end {
            Bound::Included(end) => key <= end,
            Bound::Excluded(end) => key < end,
            Bound::Unbounded => true,
        };
        // Most chunks of a long range are in it as a whole.
        let first = match self.keys.first() {
            Some((key, _)) if before(key) => self.keys.partition_point(|(key, _)| before(key)),
            _ => 0,
        };
        let last = match self.keys.last() {
            Some((key, _)) if !not_after(key) => {
                self.keys.partition_point(|(key, _)| not_after(key))
            }
            _ => self.keys.len(),
        };
        first..last.max(first)
    }
}

/// The keys.
#[derive(Debug)]
pub(super) struct Keys {
    chunks: BTreeMap<Box<[u8]>, Chunk>,
    len: usize,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            chunks: BTreeMap::from([(Box::default(), Chunk::default())]),
            len: 0,
        }
    }
}

impl Keys {
    /// Keys in order, each once.
    pub(super) fn from_sorted(keys: impl ExactSizeIterator<Item = (Box<[u8]>, Entry)>) -> Self {
        let mut sorted = Self {
            len: keys.len(),
            ..Self::default()
        };
        let mut keys = keys.peekable();
        while keys.peek().is_some() {
            let mut chunk = Vec::with_capacity(CHUNK_KEYS.min(keys.len()));
            chunk.extend(keys.by_ref().take(CHUNK_KEYS));
            // The first takes the place of the empty one.
            let bound = match sorted.chunks.len() {
                1 if sorted.is_first_empty() => Box::default(),
                _ => chunk[0].0.clone(),
            };
            sorted.chunks.insert(bound, Chunk::of(chunk));
        }
        sorted
    }

    fn is_first_empty(&self) -> bool {
        self.chunks
            .first_key_value()
            .is_some_and(|(_, chunk)| chunk.keys.is_empty())
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Entry> {
        let (_, chunk) = self.chunks.range::<[u8], _>(upto(key)).next_back()?;
        let position = chunk.position(key).ok()?;
        Some(&chunk.keys[position].1)
    }

    /// Changes the entry of a key that is there.
    pub(super) fn change<T>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&mut Entry) -> T,
    ) -> Option<T> {
        let (_, chunk) = self.chunks.range_mut::<[u8], _>(upto(key)).next_back()?;
        let position = chunk.position(key).ok()?;
        let entry = &mut chunk.keys[position].1;
        let was_live = entry.is_live();
        let changed = change(entry);
        chunk.live += usize::from(entry.is_live());
        chunk.live -= usize::from(was_live);
        chunk.newest = chunk.newest.max(entry.newest());
        Some(changed)
    }

    /// Adds a key that is not there.
    pub(super) fn add(&mut self, key: &[u8], entry: Entry) {
        let mut chunks = self.chunks.range_mut::<[u8], _>(upto(key));
        let (_, chunk) = chunks.next_back().expect("the first has the empty bound");
        let position = chunk.position(key).unwrap_or_else(|position| position);
        self.len += 1;
        let split = if chunk.keys.len() < CHUNK_KEYS_MAX {
            None
        } else if position == chunk.keys.len() {
            // Keys that come in order fill their chunks.
            self.chunks
                .insert(key.into(), Chunk::of(vec![(key.into(), entry)]));
            return;
        } else {
            let upper = Chunk::of(chunk.keys.split_off(CHUNK_KEYS_MAX / 2));
            chunk.keys.shrink_to_fit();
            chunk.recount();
            Some(upper)
        };
        let Some(mut upper) = split else {
            insert(chunk, position, key, entry);
            return;
        };
        match position.checked_sub(chunk.keys.len()) {
            Some(position) if position > 0 => insert(&mut upper, position, key, entry),
            _ => insert(chunk, position, key, entry),
        }
        self.chunks.insert(upper.keys[0].0.clone(), upper);
    }

    /// The keys of a range, in order.
    pub(super) fn range<'a>(
        &'a self,
        bounds: Bounds<'a>,
    ) -> impl Iterator<Item = (&'a [u8], &'a Entry)> {
        self.chunks_within(bounds)
            .flat_map(|(chunk, within)| &chunk.keys[within])
            .map(|(key, entry)| (key.as_ref(), entry))
    }

    /// How many keys of a range had a pair as of the end of a revision.
    pub(super) fn count(&self, bounds: Bounds<'_>, main: i64) -> usize {
        let counts = self.chunks_within(bounds).map(|(chunk, within)| {
            if within.len() == chunk.keys.len() && chunk.newest <= main {
                return chunk.live;
            }
            let keys = chunk.keys[within].iter();
            keys.filter(|(_, entry)| entry.at(main).is_some()).count()
        });
        counts.sum()
    }

    fn chunks_within<'a>(
        &'a self,
        bounds: Bounds<'a>,
    ) -> impl Iterator<Item = (&'a Chunk, Range<usize>)> {
        let (Bound::Included(start) | Bound::Excluded(start)) = bounds.0 else {
            return self.chunks_from(&[], bounds);
        };
        let first = self.chunks.range::<[u8], _>(upto(start)).next_back();
        let (first, _) = first.expect("the first has the empty bound");
        self.chunks_from(first, bounds)
    }

    fn chunks_from<'a>(&'a self, first: &[u8], bounds: Bounds<'a>) -> Chunks<'a> {
        Chunks {
            chunks: self.chunks.range::<[u8], _>(from(first)),
            bounds,
        }
    }

    /// Looks at the next `keys_max` keys after `cursor` (None: from the first), and keeps those that `keep` keeps.
    /// Returns the last key that it looked at; None when there is no further one.
    pub(super) fn retain(
        &mut self,
        cursor: Option<&[u8]>,
        keys_max: usize,
        mut keep: impl FnMut(&mut Entry) -> bool,
    ) -> Option<Box<[u8]>> {
        let first = self
            .chunks
            .range::<[u8], _>(upto(cursor.unwrap_or_default()));
        let first = first.map(|(bound, _)| bound).next_back().cloned();
        let first = first.expect("the first has the empty bound");
        let mut left = keys_max;
        let mut last = None;
        let mut small = Vec::new();
        for (bound, chunk) in self.chunks.range_mut::<[u8], _>(from(&first)) {
            let start = cursor.map_or(0, |cursor| {
                chunk.keys.partition_point(|(key, _)| **key <= *cursor)
            });
            let before = chunk.keys.len();
            let looked_at = left.min(before - start);
            left -= looked_at;
            if left == 0 && looked_at > 0 {
                last = Some(chunk.keys[start + looked_at - 1].0.clone());
            }
            let mut position = 0;
            chunk.keys.retain_mut(|(_, entry)| {
                position += 1;
                !(start..start + looked_at).contains(&(position - 1)) || keep(entry)
            });
            if chunk.keys.len() < before {
                self.len -= before - chunk.keys.len();
                chunk.recount();
                if chunk.keys.len() <= CHUNK_KEYS / 2 {
                    small.push(bound.clone());
                }
            }
            if left == 0 {
                break;
            }
        }
        for bound in small {
            self.merge(&bound);
        }
        last
    }

    /// Puts a small chunk's keys into the one before, if they fit.
    fn merge(&mut self, bound: &[u8]) {
        let small = self.chunks.get(bound).map_or(0, |chunk| chunk.keys.len());
        let previous = self.chunks.range_mut::<[u8], _>(before(bound)).next_back();
        if let Some((_, previous)) = previous
            && (small == 0 || previous.keys.len() + small <= CHUNK_KEYS)
        {
            let mut chunk = self.chunks.remove(bound).expect("it was counted");
            let mut previous = self.chunks.range_mut::<[u8], _>(before(bound));
            let (_, previous) = previous.next_back().expect("it was there");
            previous.keys.append(&mut chunk.keys);
            previous.keys.shrink_to_fit();
            previous.live += chunk.live;
            previous.newest = previous.newest.max(chunk.newest);
        } else if let Some(chunk) = self.chunks.get_mut(bound) {
            chunk.keys.shrink_to_fit();
        }
    }
}

fn upto(key: &[u8]) -> Bounds<'_> {
    (Bound::Unbounded, Bound::Included(key))
}

fn before(key: &[u8]) -> Bounds<'_> {
    (Bound::Unbounded, Bound::Excluded(key))
}

fn from(key: &[u8]) -> Bounds<'_> {
    (Bound::Included(key), Bound::Unbounded)
}

fn insert(chunk: &mut Chunk, position: usize, key: &[u8], entry: Entry) {
    if chunk.keys.len() == chunk.keys.capacity() {
        chunk.keys.reserve_exact(ROOM_KEYS);
    }
    chunk.live += usize::from(entry.is_live());
    chunk.newest = chunk.newest.max(entry.newest());
    chunk.keys.insert(position, (key.into(), entry));
}

/// The chunks of a range, and where in each its keys are.
struct Chunks<'a> {
    chunks: std::collections::btree_map::Range<'a, Box<[u8]>, Chunk>,
    bounds: Bounds<'a>,
}

impl<'a> Iterator for Chunks<'a> {
    type Item = (&'a Chunk, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let (bound, chunk) = self.chunks.next()?;
        let beyond = match self.bounds.1 {
            Bound::Included(end) => **bound > *end,
            Bound::Excluded(end) => **bound >= *end,
            Bound::Unbounded => false,
        };
        (!beyond).then(|| (chunk, chunk.within(self.bounds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::revision::Revision;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Act {
        Put(String),
        Delete(String),
        Drop(String, usize, u8),
        Count(String, String, i64),
    }

    fn act() -> impl Strategy<Value = Act> {
        let key = || "[a-c]{1,3}";
        prop_oneof![
            6 => key().prop_map(Act::Put),
            2 => key().prop_map(Act::Delete),
            2 => (key(), 1..30_usize, any::<u8>()).prop_map(|(key, keys, odd)| Act::Drop(key, keys, odd)),
            2 => (key(), key(), 0..200_i64).prop_map(|(start, end, main)| Act::Count(start, end, main)),
        ]
    }

    proptest! {
        #[test]
        fn it_is_an_ordered_map(acts in proptest::collection::vec(act(), 1..200)) {
            let mut keys = Keys::default();
            let mut model: BTreeMap<Vec<u8>, Entry> = BTreeMap::new();
            for (main, act) in (2..).zip(acts) {
                let revision = Revision { main, sub: 0 };
                match act {
                    Act::Put(key) => {
                        let key = key.into_bytes();
                        if keys.change(&key, |entry| entry.put(revision, 0)).is_none() {
                            keys.add(&key, Entry::new(revision, 0));
                        }
                        model
                            .entry(key)
                            .and_modify(|entry| entry.put(revision, 0))
                            .or_insert_with(|| Entry::new(revision, 0));
                    }
                    Act::Delete(key) => {
                        let there = keys.change(key.as_bytes(), |entry| entry.delete(revision));
                        let entry = model.get_mut(key.as_bytes());
                        prop_assert_eq!(there, entry.map(|entry| entry.delete(revision)));
                    }
                    Act::Drop(cursor, keys_max, odd) => {
                        let cursor = cursor.into_bytes();
                        let keep = |entry: &Entry| entry.newest() % 3 != i64::from(odd % 3);
                        let last = keys.retain(Some(&cursor), keys_max, |entry| keep(entry));
                        let after = (Bound::Excluded(cursor), Bound::Unbounded);
                        let looked_at: Vec<_> =
                            model.range(after).take(keys_max).map(|(key, _)| key.clone()).collect();
                        let expected = looked_at.last().filter(|_| looked_at.len() == keys_max);
                        prop_assert_eq!(last.as_deref(), expected.map(Vec::as_slice));
                        for key in looked_at {
                            if !keep(&model[&key]) {
                                model.remove(&key);
                            }
                        }
                    }
                    Act::Count(start, end, main) => {
                        let bounds = (Bound::Included(start.as_bytes()), Bound::Excluded(end.as_bytes()));
                        let within = |key: &[u8]| start.as_bytes() <= key && key < end.as_bytes();
                        let expected = model
                            .iter()
                            .filter(|(key, entry)| within(key) && entry.at(main).is_some());
                        prop_assert_eq!(keys.count(bounds, main), expected.count());
                    }
                }
                let all = (Bound::Unbounded, Bound::Unbounded);
                let found: Vec<_> = keys.range(all).map(|(key, entry)| (key, entry.newest())).collect();
                let expected: Vec<_> =
                    model.iter().map(|(key, entry)| (key.as_slice(), entry.newest())).collect();
                prop_assert_eq!(found, expected);
                prop_assert_eq!(keys.len(), model.len());
                let live = model.values().filter(|entry| entry.is_live()).count();
                prop_assert_eq!(keys.count(all, i64::MAX), live);
                for key in model.keys() {
                    prop_assert!(keys.get(key).is_some());
                }
                let empty = keys.chunks.iter().filter(|(bound, chunk)| {
                    !bound.is_empty() && chunk.keys.is_empty()
                });
                prop_assert_eq!(empty.count(), 0);
            }
        }

        #[test]
        fn what_is_restored_is_the_same(names in proptest::collection::btree_set("[a-c]{1,3}", 0..40)) {
            let entry = |main| Entry::new(Revision { main, sub: 0 }, 0);
            let sorted = names.iter().map(|name| (name.as_bytes().into(), entry(2)));
            let sorted: Vec<(Box<[u8]>, Entry)> = sorted.collect();
            let mut keys = Keys::from_sorted(sorted.into_iter());
            prop_assert_eq!(keys.len(), names.len());
            let all = (Bound::Unbounded, Bound::Unbounded);
            let found: Vec<_> = keys.range(all).map(|(key, _)| key.to_vec()).collect();
            let expected: Vec<_> = names.iter().map(|name| name.as_bytes().to_vec()).collect();
            prop_assert_eq!(found, expected);
            keys.add(b"", entry(3));
            keys.add(b"bbbb", entry(4));
            prop_assert_eq!(keys.count(all, 3), names.len() + 1);
            prop_assert_eq!(keys.count(all, 4), names.len() + 2);
        }
    }
}

//! Who wants to hear of a key.
//!
//! Single keys are looked up in a map. Ranges are a sorted list read as a balanced tree: the middle of each part
//! is its root, and knows how far the ranges of its part reach, so that a look-up visits only parts that can matter.

use super::WatchKey;
use crate::planner::key_range::KeyRange;
use std::collections::BTreeMap;

/// How far a range reaches: to a key (excluded), or without end, which is greater than every key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Key(Box<[u8]>),
    Unbounded,
}

impl End {
    fn is_after(&self, key: &[u8]) -> bool {
        match self {
            Self::Key(end) => key < end.as_ref(),
            Self::Unbounded => true,
        }
    }
}

/// One range and its watchers.
#[derive(Debug)]
struct Range {
    start: Box<[u8]>,
    end: End,
    watchers: Vec<WatchKey>,
}

/// Watchers by what they watch.
#[derive(Debug, Default)]
pub(super) struct Interest {
    keys: BTreeMap<Box<[u8]>, Vec<WatchKey>>,
    /// Sorted by start and end, without duplicates.
    ranges: Vec<Range>,
    /// For each root, the index of the range of its part that reaches farthest. Made anew when ranges have changed.
    farthest: Vec<usize>,
    stale: bool,
}

impl Interest {
    /// A watcher begins to hear of a range, which is not empty.
    pub(super) fn add(&mut self, range: KeyRange<'_>, watcher: WatchKey) {
        let (start, end) = match range {
            KeyRange::One(key) => {
                self.keys.entry(key.into()).or_default().push(watcher);
                return;
            }
            KeyRange::Between(start, end) => (start, End::Key(end.into())),
            KeyRange::From(start) => (start, End::Unbounded),
        };
        match self.position(start, &end) {
            Ok(position) => self.ranges[position].watchers.push(watcher),
            Err(position) => {
                let range = Range {
                    start: start.into(),
                    end,
                    watchers: vec![watcher],
                };
                self.ranges.insert(position, range);
                self.stale = true;
            }
        }
    }

    /// A watcher hears no more of a range that it was added with.
    pub(super) fn remove(&mut self, range: KeyRange<'_>, watcher: WatchKey) {
        let (start, end) = match range {
            KeyRange::One(key) => {
                if let Some(watchers) = self.keys.get_mut(key) {
                    watchers.retain(|other| *other != watcher);
                    if watchers.is_empty() {
                        self.keys.remove(key);
                    }
                }
                return;
            }
            KeyRange::Between(start, end) => (start, End::Key(end.into())),
            KeyRange::From(start) => (start, End::Unbounded),
        };
        if let Ok(position) = self.position(start, &end) {
            let watchers = &mut self.ranges[position].watchers;
            watchers.retain(|other| *other != watcher);
            if watchers.is_empty() {
                self.ranges.remove(position);
                self.stale = true;
            }
        }
    }

    /// Every watcher of a key, each once.
    pub(super) fn of(&mut self, key: &[u8], mut found: impl FnMut(WatchKey)) {
        if let Some(watchers) = self.keys.get(key) {
            watchers.iter().copied().for_each(&mut found);
        }
        if self.stale {
            self.farthest = vec![0; self.ranges.len()];
            measure(&self.ranges, &mut self.farthest, 0, self.ranges.len());
            self.stale = false;
        }
        self.search(0, self.ranges.len(), key, &mut found);
    }

    fn position(&self, start: &[u8], end: &End) -> Result<usize, usize> {
        self.ranges
            .binary_search_by(|range| (&*range.start, &range.end).cmp(&(start, end)))
    }

    /// Depth is the logarithm of the number of ranges.
    fn search(&self, low: usize, high: usize, key: &[u8], found: &mut impl FnMut(WatchKey)) {
        if low >= high {
            return;
        }
        let root = low + (high - low) / 2;
        if !self.ranges[self.farthest[root]].end.is_after(key) {
            return;
        }
        self.search(low, root, key, found);
        let range = &self.ranges[root];
        if *range.start > *key {
            return;
        }
        if range.end.is_after(key) {
            range.watchers.iter().copied().for_each(&mut *found);
        }
        self.search(root + 1, high, key, found);
    }
}

/// Fills `farthest` for one part; returns its range that reaches farthest.
fn measure(ranges: &[Range], farthest: &mut [usize], low: usize, high: usize) -> Option<usize> {
    if low >= high {
        return None;
    }
    let root = low + (high - low) / 2;
    let parts = [
        measure(ranges, farthest, low, root),
        measure(ranges, farthest, root + 1, high),
    ];
    let mut best = root;
    for part in parts.into_iter().flatten() {
        if ranges[part].end > ranges[best].end {
            best = part;
        }
    }
    farthest[root] = best;
    Some(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::watch::StreamId;
    use proptest::prelude::*;

    fn watcher(watch: usize) -> WatchKey {
        (StreamId(1), i64::try_from(watch).expect("small"))
    }

    proptest! {
        /// The same answer as asking every range, while ranges come and go.
        #[test]
        fn finds_what_a_plain_scan_finds(
            steps in proptest::collection::vec(("[a-d]{1,2}", "[a-e\\x00]{0,2}", any::<bool>()), 0..40),
            keys in proptest::collection::vec("[a-e]{1,3}", 1..10),
        ) {
            let mut interest = Interest::default();
            let mut plain: Vec<(usize, KeyRange<'_>)> = Vec::new();
            for (number, (key, end, add)) in steps.iter().enumerate() {
                let range = KeyRange::new(key.as_bytes(), end.as_bytes());
                if *add && range.bounds().is_some() {
                    interest.add(range, watcher(number));
                    plain.push((number, range));
                } else if let Some((number, range)) = plain.pop() {
                    interest.remove(range, watcher(number));
                }
                for key in &keys {
                    let mut found = Vec::new();
                    interest.of(key.as_bytes(), |watcher| found.push(watcher));
                    found.sort_unstable();
                    let expect: Vec<_> = plain
                        .iter()
                        .filter(|(_, range)| range.contains(key.as_bytes()))
                        .map(|(number, _)| watcher(*number))
                        .collect();
                    prop_assert_eq!(found, expect);
                }
            }
        }
    }
}

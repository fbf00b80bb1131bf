//! The entries that were appended last, in memory: they are about to be applied and sent to peers.
//!
//! What is here is in the log too. Reading it from there would be a system call and a checksum for each entry.

use super::Entry;
use openraft::EntryPayload;
use std::collections::VecDeque;

/// Bytes of entries: at a thousand writes a second of 1 KiB, the last four seconds.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Entries: small ones cost more than their bytes.
const ENTRIES_MAX: usize = 16_384;

/// A window at the end of the log.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Consecutive.
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Recent {
    /// Takes in an entry that was appended to the log.
    pub(super) fn append(&mut self, entry: Entry) {
        if self.next() != Some(entry.log_id.index) {
            self.entries.clear();
            self.bytes = 0;
        }
        self.bytes += weight(&entry);
        self.entries.push_back(entry);
        while self.bytes > BYTES_MAX || self.entries.len() > ENTRIES_MAX {
            let Some(oldest) = self.entries.pop_front() else {
                return;
            };
            self.bytes -= weight(&oldest);
        }
    }

    /// The log ends before this entry now.
    pub(super) fn truncate(&mut self, end: u64) {
        while self.next().is_some_and(|next| next > end) {
            let Some(last) = self.entries.pop_back() else {
                return;
            };
            self.bytes -= weight(&last);
        }
    }

    /// Entries from `start` until `end` or until there are so many bytes; None where the first is not here.
    pub(super) fn read(&self, start: u64, end: u64, bytes_max: usize) -> Option<Vec<Entry>> {
        let first = self.entries.front()?.log_id.index;
        let skip = usize::try_from(start.checked_sub(first)?).ok()?;
        let count = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        self.entries.get(skip)?;
        let mut bytes = 0;
        let entries = self.entries.iter().skip(skip).take(count);
        let fitting = entries.take_while(|entry| {
            let fits = bytes < bytes_max;
            bytes += weight(entry);
            fits
        });
        Some(fitting.cloned().collect())
    }

    fn next(&self) -> Option<u64> {
        self.entries.back().map(|last| last.log_id.index + 1)
    }
}

/// Bytes of an entry, roughly: membership is rare and small.
fn weight(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.command.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::raft::{Proposal, encoding::log_id};

    fn entry(term: u64, index: u64, bytes: usize) -> Entry {
        Entry {
            log_id: log_id(term, 1, index),
            payload: EntryPayload::Normal(Proposal {
                origin: 1,
                sequence: index,
                command: vec![0; bytes].into(),
            }),
        }
    }

    fn indices(recent: &Recent, start: u64, end: u64, bytes_max: usize) -> Option<Vec<u64>> {
        let entries = recent.read(start, end, bytes_max)?;
        Some(entries.iter().map(|entry| entry.log_id.index).collect())
    }

    #[test]
    fn what_was_appended_is_read_until_enough() {
        let mut recent = Recent::default();
        assert_eq!(indices(&recent, 0, 9, 100), None);
        (5..10).for_each(|index| recent.append(entry(1, index, 100)));
        assert_eq!(indices(&recent, 4, 9, 1000), None);
        assert_eq!(indices(&recent, 6, 9, 1000), Some(vec![6, 7, 8]));
        assert_eq!(indices(&recent, 6, 99, 101), Some(vec![6, 7]));
        assert_eq!(indices(&recent, 10, 99, 1000), None);
    }

    #[test]
    fn what_was_cut_is_gone_and_replaced() {
        let mut recent = Recent::default();
        (5..10).for_each(|index| recent.append(entry(1, index, 100)));
        recent.truncate(7);
        recent.append(entry(2, 7, 10));
        let read = recent.read(6, 99, 1000).expect("here");
        assert_eq!(
            read.iter().map(|entry| entry.log_id).collect::<Vec<_>>(),
            [log_id(1, 1, 6), log_id(2, 1, 7)]
        );
        assert_eq!(recent.bytes, 210);
        // What does not follow begins anew: the log was purged to somewhere else.
        recent.append(entry(2, 50, 10));
        assert_eq!(indices(&recent, 7, 99, 1000), None);
        assert_eq!(recent.bytes, 10);
    }

    #[test]
    fn the_oldest_go_at_the_bound() {
        let mut recent = Recent::default();
        (0..5).for_each(|index| recent.append(entry(1, index, BYTES_MAX / 3)));
        assert_eq!(indices(&recent, 2, 99, usize::MAX), Some(vec![2, 3, 4]));
        assert_eq!(indices(&recent, 1, 99, usize::MAX), None);
        recent.append(entry(1, 5, BYTES_MAX + 1));
        assert_eq!(indices(&recent, 5, 99, usize::MAX), None);
        assert_eq!(recent.bytes, 0);
    }
}

//! Which members hold other data than the rest: from the hashes of all at one revision.
//!
//! Hashes can be compared where they cover the same history: the same revision, after the same compaction. What cannot be compared
//! now is compared the next time.

use super::hash::Hashed;
use std::collections::BTreeMap;

/// Members whose data differ from what most have. Where no majority of those compared agrees, all of them are named: nobody
/// knows who is right.
#[must_use]
pub fn suspects(hashes: &[(u64, Hashed)]) -> Vec<u64> {
    let mut histories: BTreeMap<(i64, i64), BTreeMap<u32, Vec<u64>>> = BTreeMap::new();
    for (member, hashed) in hashes {
        let history = histories
            .entry((hashed.revision, hashed.compacted))
            .or_default();
        history.entry(hashed.hash).or_default().push(*member);
    }
    let mut suspects = Vec::new();
    for groups in histories.into_values().filter(|groups| groups.len() > 1) {
        let compared: usize = groups.values().map(Vec::len).sum();
        for members in groups.into_values() {
            if members.len() * 2 <= compared {
                suspects.extend(members);
            }
        }
    }
    suspects.sort_unstable();
    suspects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(hashes: &[(u64, u32, i64)], expect: &[u64]) {
        let hashes: Vec<_> = hashes
            .iter()
            .map(|&(member, hash, compacted)| {
                let hashed = Hashed {
                    hash,
                    compacted,
                    revision: 10,
                };
                (member, hashed)
            })
            .collect();
        assert_eq!(suspects(&hashes), expect);
    }

    #[test]
    fn the_minority_is_named() {
        check(&[(1, 7, 3), (2, 7, 3), (3, 7, 3)], &[]);
        check(&[(1, 7, 3), (2, 8, 3), (3, 7, 3)], &[2]);
        check(
            &[(1, 7, 3), (2, 8, 3), (3, 8, 3), (4, 8, 3), (5, 9, 3)],
            &[1, 5],
        );
    }

    #[test]
    fn without_a_majority_all_are_named() {
        check(&[(1, 7, 3), (2, 8, 3)], &[1, 2]);
        check(&[(1, 7, 3), (2, 8, 3), (3, 9, 3)], &[1, 2, 3]);
    }

    #[test]
    fn other_histories_are_not_compared() {
        check(&[(1, 7, 3), (2, 8, 4), (3, 7, 3)], &[]);
        check(&[(1, 7, 3)], &[]);
        check(&[], &[]);
    }
}

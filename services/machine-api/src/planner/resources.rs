//! Resources as a pure function: what was observed, which version it has, what changed since.
//!
//! ```text
//!   observation ──Known::observe──> Known (version per resource) ──changes(old, new)──> events
//! ```
//!
//! A version grows with each change of its kind. A watcher keeps the last [`Known`] it was sent and
//! is sent the difference to the newest: a slow one misses states in between, never the last one.

use serde_json::{Map, Value};
use std::{collections::BTreeMap, sync::Arc};

/// Typed fields of one resource.
pub type Spec = Map<String, Value>;
/// All resources of one kind, by id.
pub type Snapshot = BTreeMap<String, Spec>;

/// A resource with its version.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned {
    /// Of the change that made it as it is.
    pub version: u64,
    /// Its fields.
    pub spec: Arc<Spec>,
}

/// All resources of one kind with their versions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    last: u64,
    /// By id.
    pub resources: BTreeMap<String, Versioned>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It was not there.
    Added(String, Versioned),
    /// It was otherwise.
    Modified(String, Versioned),
    /// It is gone; as it was last.
    Removed(String, Versioned),
}

impl Known {
    /// What is known after `snapshot` was observed. Unchanged resources keep their versions.
    #[must_use]
    pub fn observe(&self, snapshot: Snapshot) -> Self {
        let mut next = Self {
            last: self.last,
            resources: BTreeMap::new(),
        };
        for (id, spec) in snapshot {
            let versioned = match self.resources.get(&id) {
                Some(known) if *known.spec == spec => known.clone(),
                _ => {
                    next.last += 1;
                    Versioned {
                        version: next.last,
                        spec: Arc::new(spec),
                    }
                }
            };
            next.resources.insert(id, versioned);
        }
        next
    }
}

/// What a watcher that knows `old` must be told to know `new`, removals first.
#[must_use]
pub fn changes(old: &Known, new: &Known) -> Vec<Change> {
    let removed = old
        .resources
        .iter()
        .filter(|(id, _)| !new.resources.contains_key(*id))
        .map(|(id, was)| Change::Removed(id.clone(), was.clone()));
    let others = new
        .resources
        .iter()
        .filter_map(|(id, now)| match old.resources.get(id) {
            None => Some(Change::Added(id.clone(), now.clone())),
            Some(was) if was.version != now.version => {
                Some(Change::Modified(id.clone(), now.clone()))
            }
            Some(_) => None,
        });
    removed.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn snapshot(entries: &BTreeMap<u8, u8>) -> Snapshot {
        entries
            .iter()
            .map(|(id, value)| {
                let mut spec = Spec::new();
                spec.insert("value".into(), Value::from(*value));
                (id.to_string(), spec)
            })
            .collect()
    }

    fn apply(state: &mut BTreeMap<String, Arc<Spec>>, change: Change) {
        match change {
            Change::Added(id, now) => assert!(state.insert(id, now.spec).is_none()),
            Change::Modified(id, now) => assert!(state.insert(id, now.spec).is_some()),
            Change::Removed(id, _) => assert!(state.remove(&id).is_some()),
        }
    }

    proptest! {
        #[test]
        fn a_watcher_that_skips_states_still_ends_with_the_last(
            observed in proptest::collection::vec((proptest::collection::btree_map(0_u8..8, 0_u8..3, 0..8), any::<bool>()), 1..30),
        ) {
            let mut known = Known::default();
            let (mut sent, mut state) = (Known::default(), BTreeMap::new());
            for (entries, looks) in &observed {
                let next = known.observe(snapshot(entries));
                prop_assert!(next.last >= known.last);
                known = next;
                if *looks {
                    changes(&sent, &known).into_iter().for_each(|change| apply(&mut state, change));
                    sent = known.clone();
                }
            }
            changes(&sent, &known).into_iter().for_each(|change| apply(&mut state, change));
            let last: BTreeMap<_, _> = known.resources.iter().map(|(id, now)| (id.clone(), now.spec.clone())).collect();
            prop_assert_eq!(state, last);
        }
    }

    #[test]
    fn what_does_not_change_keeps_its_version() {
        let first = Known::default().observe(snapshot(&BTreeMap::from([(1, 1), (2, 1)])));
        let second = first.observe(snapshot(&BTreeMap::from([(1, 1), (2, 2)])));
        assert_eq!(first.resources["1"].version, second.resources["1"].version);
        assert_eq!(second.resources["2"].version, 3);
        assert_eq!(
            changes(&first, &second),
            [Change::Modified("2".into(), second.resources["2"].clone())]
        );
    }
}

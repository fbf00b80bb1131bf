//! Whether a history can be: every answer and every event against the one order of revisions.
//!
//! ```text
//!   events of watchers of all keys ──joined──> truth: what each revision did ──> what each key was at each revision
//!                                                │
//!   answers: does that revision say the same? ───┤
//!   watchers: all of it, in order, once? ────────┤
//!   time: nothing older than what was known ─────┘
//! ```
//!
//! Every answer carries its revision, so that the order need not be searched for; [`crate::linearizability`] searches for it
//! all the same, from values alone.

use crate::{
    history::{Answer, Call, Events, Operation, Told, Watcher, key, number, value},
    lease_check, linearizability,
};
use etcd_proto::mvccpb::{Event, KeyValue, event::EventType};
use std::{collections::BTreeMap, fmt};

/// A promise that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promise {
    /// What was acknowledged is there, and is what was asked.
    Durable,
    /// Nothing happens that nobody asked for, and nothing twice.
    Asked,
    /// A read says what was there.
    Read,
    /// Nobody is told less than was known when he asked.
    Fresh,
    /// From values alone: there is an order that explains all answers.
    Linearizable,
    /// A watch is told in the order of revisions.
    Ordered,
    /// All of a revision comes in one response.
    Atomic,
    /// A watch misses nothing.
    Complete,
    /// A watch is told nothing twice.
    Once,
    /// Progress comes after everything that it speaks of.
    Progress,
    /// A lease and its keys live as long as they should, and end.
    Leased,
    /// All members come to the same.
    Agreed,
    /// When all is well again, there are answers again.
    Alive,
}

/// A broken promise, and how it was.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) promise: Promise,
    pub(crate) text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.promise, self.text)
    }
}

pub(crate) fn fault(promise: Promise, text: impl Into<String>) -> Fault {
    Fault {
        promise,
        text: text.into(),
    }
}

/// What one member has at the end.
#[derive(Debug, Clone)]
pub(crate) struct Final {
    pub(crate) machine: usize,
    pub(crate) revision: i64,
    pub(crate) pairs: Vec<KeyValue>,
}

/// Checks all of it.
pub(crate) fn check(events: &Events, finals: &[Final]) -> Result<(), Fault> {
    for (number, watcher) in events.watchers.iter().enumerate() {
        orderly(number, watcher)?;
    }
    let truth = Truth::join(events, finals)?;
    truth.asked(&events.calls)?;
    for call in &events.calls {
        if let Some((_, answer)) = &call.answered {
            truth.answered(&call.operation, answer)?;
        }
    }
    for (number, watcher) in events.watchers.iter().enumerate() {
        truth.told(number, watcher, events.compacted)?;
    }
    for last in finals {
        let expected = truth.all(last.revision);
        if last.pairs != expected {
            let text = format!(
                "machine {} has at revision {} {:?}, and not {expected:?}",
                last.machine, last.revision, last.pairs
            );
            return Err(fault(Promise::Agreed, text));
        }
    }
    fresh(events)?;
    lease_check::check(events, &truth)?;
    linearizability::check(&events.calls).map_err(|text| fault(Promise::Linearizable, text))
}

fn kv(event: &Event) -> &KeyValue {
    event.kv.as_ref().expect("every event has a pair")
}

fn revision_of(event: &Event) -> i64 {
    kv(event).mod_revision
}

/// What a watcher can see by himself.
fn orderly(watcher: usize, seen: &Watcher) -> Result<(), Fault> {
    let (mut last, mut promised, mut begins) = (0, 0, 0);
    for told in &seen.told {
        match told {
            Told::Begins { revision } => begins = begins.max(*revision),
            Told::Overtaken { .. } => {}
            Told::Progress { revision } => promised = promised.max(*revision),
            Told::Events {
                revision, events, ..
            } => {
                let first = revision_of(events.first().expect("at least one"));
                let (promise, what) = if first == last {
                    (Promise::Atomic, "in two responses")
                } else if first < last {
                    (Promise::Once, "after a later one")
                } else if first <= promised {
                    (Promise::Progress, "after progress beyond it")
                } else if first < begins {
                    (Promise::Once, "though the watch begins later")
                } else if !events.is_sorted_by_key(revision_of) {
                    (Promise::Ordered, "beside others out of order")
                } else {
                    last = events.last().map_or(first, revision_of);
                    if last > *revision {
                        (Promise::Progress, "beyond its response's revision")
                    } else {
                        continue;
                    }
                };
                let text = format!("watcher {watcher} was told of revision {first} {what}");
                return Err(fault(promise, text));
            }
        }
    }
    Ok(())
}

/// What each revision did.
pub(crate) struct Truth {
    revisions: BTreeMap<i64, Vec<Event>>,
    /// What each key came to be at which revision.
    keys: BTreeMap<Vec<u8>, BTreeMap<i64, Option<KeyValue>>>,
}

impl Truth {
    fn join(events: &Events, finals: &[Final]) -> Result<Self, Fault> {
        let mut revisions: BTreeMap<i64, Vec<Event>> = BTreeMap::new();
        for (number, watcher) in events.watchers.iter().enumerate() {
            if watcher.key.is_some() {
                continue;
            }
            for (revision, told) in by_revision(watcher) {
                let told: Vec<_> = told
                    .into_iter()
                    .map(|event| Event {
                        prev_kv: None,
                        ..event
                    })
                    .collect();
                let known = revisions.entry(revision).or_insert_with(|| told.clone());
                if *known != told {
                    let text = format!(
                        "watcher {number} was told of revision {revision} {told:?}, others {known:?}"
                    );
                    // One of them has less, or they disagree altogether.
                    let promise = if known.len() == told.len() {
                        Promise::Agreed
                    } else {
                        Promise::Complete
                    };
                    return Err(fault(promise, text));
                }
            }
        }
        let newest = finals.iter().map(|last| last.revision).max().unwrap_or(1);
        let known = revisions.keys().next_back().copied().unwrap_or(1);
        for revision in 2..=newest.max(known) {
            if !revisions.contains_key(&revision) {
                let text = format!("no watcher was told of revision {revision}");
                return Err(fault(Promise::Complete, text));
            }
        }
        if known > newest {
            let text = format!("revision {known} was told, and the store is at {newest}");
            return Err(fault(Promise::Durable, text));
        }
        let mut truth = Self {
            revisions,
            keys: BTreeMap::new(),
        };
        truth.replay()?;
        Ok(truth)
    }

    /// What the events come to; their numbers must follow from each other.
    fn replay(&mut self) -> Result<(), Fault> {
        for (revision, events) in &self.revisions {
            for event in events {
                let pair = kv(event);
                let history = self.keys.entry(pair.key.to_vec()).or_default();
                let before = history.values().next_back().cloned().flatten();
                let deleted = event.r#type() == EventType::Delete;
                let follows = match (&before, deleted) {
                    (None, true) => false,
                    (Some(_), true) => true,
                    (None, false) => pair.version == 1 && pair.create_revision == *revision,
                    (Some(before), false) => {
                        pair.version == before.version + 1
                            && pair.create_revision == before.create_revision
                    }
                };
                if !follows {
                    let text = format!("{event:?} does not follow from {before:?}");
                    return Err(fault(Promise::Agreed, text));
                }
                history.insert(*revision, (!deleted).then(|| pair.clone()));
            }
        }
        Ok(())
    }

    fn at(&self, key: &[u8], revision: i64) -> Option<&KeyValue> {
        let history = self.keys.get(key)?;
        history.range(..=revision).next_back()?.1.as_ref()
    }

    /// All keys as of a revision.
    pub(crate) fn all(&self, revision: i64) -> Vec<KeyValue> {
        let keys = self.keys.keys();
        keys.filter_map(|key| self.at(key, revision).cloned())
            .collect()
    }

    /// What was deleted, as it was before, by revision.
    pub(crate) fn deletions(&self) -> impl Iterator<Item = (i64, Vec<&KeyValue>)> {
        self.revisions.iter().map(|(revision, events)| {
            let deletes = events
                .iter()
                .filter(|event| event.r#type() == EventType::Delete);
            let before = deletes.filter_map(|event| self.at(&kv(event).key, revision - 1));
            (*revision, before.collect())
        })
    }

    /// What was written after a revision.
    pub(crate) fn puts_after(&self, revision: i64) -> impl Iterator<Item = &KeyValue> {
        let later = self.revisions.range(revision + 1..);
        let events = later.flat_map(|(_, events)| events);
        events
            .filter(|event| event.r#type() == EventType::Put)
            .map(kv)
    }

    /// Every event was asked for, and once.
    fn asked(&self, calls: &[Call]) -> Result<(), Fault> {
        let mut written: BTreeMap<(Vec<u8>, Vec<u8>), bool> = BTreeMap::new();
        let mut deletes: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for call in calls {
            match &call.operation {
                Operation::Put {
                    key: number,
                    value: content,
                }
                | Operation::Swap {
                    key: number,
                    value: content,
                    ..
                }
                | Operation::Attach {
                    key: number,
                    value: content,
                    ..
                } => {
                    written.insert((key(*number), value(*content)), false);
                }
                Operation::PutTwo { puts } => {
                    for (number, content) in puts {
                        written.insert((key(*number), value(*content)), false);
                    }
                }
                Operation::Delete { key: number } => *deletes.entry(key(*number)).or_default() += 1,
                Operation::Read { .. } => {}
            }
        }
        for (revision, event) in self.changes() {
            let pair = kv(event);
            let before = self.at(&pair.key, revision - 1);
            let asked = if event.r#type() == EventType::Delete {
                if before.is_some_and(|before| before.lease != 0) {
                    // Its lease ended, which is looked at by itself.
                    continue;
                }
                let left = deletes.entry(pair.key.to_vec()).or_default();
                let asked = *left > 0;
                *left = left.saturating_sub(1);
                asked
            } else {
                let written = written.get_mut(&(pair.key.to_vec(), pair.value.to_vec()));
                written.is_some_and(|done| !std::mem::replace(done, true))
            };
            if !asked {
                let text = format!("nobody asked for this, or not so often: {event:?}");
                return Err(fault(Promise::Asked, text));
            }
        }
        Ok(())
    }

    fn changes(&self) -> impl Iterator<Item = (i64, &Event)> {
        let revisions = self.revisions.iter();
        revisions.flat_map(|(revision, events)| events.iter().map(|event| (*revision, event)))
    }

    /// Whether a revision wrote exactly this.
    fn wrote(&self, revision: i64, puts: &[(usize, u64)]) -> bool {
        let Some(events) = self.revisions.get(&revision) else {
            return false;
        };
        events.len() == puts.len()
            && puts.iter().all(|(number, content)| {
                events.iter().any(|event| {
                    let pair = kv(event);
                    event.r#type() == EventType::Put
                        && pair.key == key(*number)
                        && pair.value == value(*content)
                })
            })
    }

    fn deleted(&self, revision: i64, number: usize) -> bool {
        self.revisions.get(&revision).is_some_and(|events| {
            let only = events.len() == 1;
            only && events[0].r#type() == EventType::Delete && kv(&events[0]).key == key(number)
        })
    }

    /// An answer against its revision.
    fn answered(&self, operation: &Operation, answer: &Answer) -> Result<(), Fault> {
        let before = |number: usize| self.at(&key(number), answer.revision() - 1);
        let now = |number: usize| self.at(&key(number), answer.revision());
        let is = |found: Option<&KeyValue>, expected: Option<u64>| {
            found.map(|pair| self::number(&pair.value)) == expected.map(Some)
        };
        let (promise, holds) = match (operation, answer) {
            (
                Operation::Put { key: number, value }
                | Operation::Attach {
                    key: number, value, ..
                },
                Answer::Wrote { revision, previous },
            ) => (
                Promise::Durable,
                self.wrote(*revision, &[(*number, *value)]) && previous.first() == before(*number),
            ),
            (Operation::PutTwo { puts }, Answer::Swapped { revision, .. }) => {
                (Promise::Durable, self.wrote(*revision, puts))
            }
            (Operation::Delete { key: number }, Answer::Wrote { revision, previous }) => (
                Promise::Durable,
                if previous.is_empty() {
                    now(*number).is_none()
                } else {
                    self.deleted(*revision, *number) && previous.first() == before(*number)
                },
            ),
            (
                Operation::Swap {
                    key: number,
                    expected,
                    value,
                },
                Answer::Swapped {
                    revision,
                    succeeded,
                    seen,
                },
            ) => (
                Promise::Durable,
                if *succeeded {
                    self.wrote(*revision, &[(*number, *value)]) && is(before(*number), *expected)
                } else {
                    !is(now(*number), *expected) && seen.first() == now(*number)
                },
            ),
            (
                Operation::Read {
                    key: number,
                    revision: asked,
                    ..
                },
                Answer::Read { revision, pairs },
            ) => {
                let at = if *asked == 0 { *revision } else { *asked };
                let expected = match number {
                    Some(number) => self.at(&key(*number), at).cloned().into_iter().collect(),
                    None => self.all(at),
                };
                (Promise::Read, *pairs == expected && at <= *revision)
            }
            _ => (Promise::Asked, false),
        };
        if holds {
            return Ok(());
        }
        let revision = answer.revision();
        let text = format!(
            "{operation:?} was answered {answer:?}, but revision {revision} did {:?}, and the keys then were {:?}",
            self.revisions.get(&revision),
            self.all(revision),
        );
        Err(fault(promise, text))
    }

    /// A watcher was told everything since it began, but for what compaction took.
    fn told(&self, watcher: usize, seen: &Watcher, compacted: i64) -> Result<(), Fault> {
        let mut next = 0;
        let mut missed = Vec::new();
        let mut begins = None;
        for told in &seen.told {
            match told {
                Told::Begins { revision } => {
                    begins.get_or_insert(*revision);
                    next = next.max(*revision);
                }
                Told::Events { events, .. } => {
                    next = events.last().map_or(next, |event| revision_of(event) + 1);
                }
                Told::Progress { revision } => next = next.max(revision + 1),
                Told::Overtaken { revision } => missed.push(next..*revision),
            }
        }
        let Some(begins) = begins else { return Ok(()) };
        let mut told = by_revision(seen);
        for (revision, events) in self.revisions.range(begins..seen.next) {
            if missed.iter().any(|missed| missed.contains(revision)) {
                continue;
            }
            let wanted =
                |event: &&Event| seen.key.is_none_or(|number| kv(event).key == key(number));
            let expected: Vec<_> = events.iter().filter(wanted).collect();
            let found = told.remove(revision).unwrap_or_default();
            let same = expected.len() == found.len()
                && expected.iter().zip(&found).all(|(expected, found)| {
                    expected.r#type == found.r#type && expected.kv == found.kv
                });
            if !same {
                let text = format!(
                    "watcher {watcher} was told of revision {revision} {found:?}, and not {expected:?}"
                );
                return Err(fault(Promise::Complete, text));
            }
            for event in &found {
                let before = self.at(&kv(event).key, revision - 1);
                let told = event.prev_kv.as_ref();
                // What compaction took may be missing.
                if told != before && !(told.is_none() && *revision <= compacted) {
                    let text = format!(
                        "watcher {watcher} was told that before revision {revision} there was {told:?}, and not {before:?}"
                    );
                    return Err(fault(Promise::Complete, text));
                }
            }
        }
        match told.first_key_value() {
            None => Ok(()),
            Some((revision, events)) => {
                let text = format!("watcher {watcher} was told of revision {revision} {events:?}");
                Err(fault(Promise::Once, text))
            }
        }
    }
}

fn by_revision(watcher: &Watcher) -> BTreeMap<i64, Vec<Event>> {
    let mut revisions: BTreeMap<i64, Vec<Event>> = BTreeMap::new();
    for told in &watcher.told {
        if let Told::Events { events, .. } = told {
            for event in events {
                let revision = revisions.entry(revision_of(event)).or_default();
                revision.push(event.clone());
            }
        }
    }
    revisions
}

/// Nobody is told less than anybody knew when he asked.
fn fresh(events: &Events) -> Result<(), Fault> {
    let mut known: BTreeMap<u64, i64> = BTreeMap::new();
    for call in &events.calls {
        if let Some((place, answer)) = &call.answered {
            let revision = match (&call.operation, answer) {
                // Its header says what the member had; what it read is older.
                (
                    Operation::Read {
                        serializable: true, ..
                    },
                    _,
                ) => continue,
                (_, answer) => answer.revision(),
            };
            known.insert(*place, revision);
        }
    }
    for watcher in &events.watchers {
        for told in &watcher.told {
            if let Told::Events { place, events, .. } = told {
                known.insert(*place, events.last().map_or(0, revision_of));
            }
        }
    }
    let mut newest = 0;
    for revision in known.values_mut() {
        newest = newest.max(*revision);
        *revision = newest;
    }
    for call in &events.calls {
        let Some((_, answer)) = &call.answered else {
            continue;
        };
        let writes = match (&call.operation, answer) {
            (Operation::Read { serializable, .. }, _) => {
                if *serializable {
                    continue;
                }
                false
            }
            (Operation::Delete { .. }, Answer::Wrote { previous, .. }) => !previous.is_empty(),
            (_, Answer::Swapped { succeeded, .. }) => *succeeded,
            _ => true,
        };
        let before = known
            .range(..call.invoked)
            .next_back()
            .map_or(0, |known| *known.1);
        let revision = answer.revision();
        if revision < before || (writes && revision == before) {
            let text = format!(
                "{:?} was answered {answer:?} when revision {before} had been known",
                call.operation
            );
            return Err(fault(Promise::Fresh, text));
        }
    }
    Ok(())
}

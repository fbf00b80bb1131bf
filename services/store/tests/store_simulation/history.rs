//! What clients asked and were answered, and what watchers were told, in the order in which it happened.

use etcd_proto::mvccpb::{Event, KeyValue};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;

/// What a client asks. Keys are numbers; every value that is ever written is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    Put {
        key: usize,
        value: u64,
    },
    /// Both in one transaction.
    PutTwo {
        puts: [(usize, u64); 2],
    },
    Delete {
        key: usize,
    },
    /// Writes a key that ends with a lease.
    Attach {
        key: usize,
        value: u64,
        lease: i64,
    },
    /// Writes where the key has the expected value; None: where there is no key.
    Swap {
        key: usize,
        expected: Option<u64>,
        value: u64,
    },
    /// Reads one key or all, as of now or an earlier revision.
    Read {
        key: Option<usize>,
        serializable: bool,
        revision: i64,
    },
}

/// What it was answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// Of a write, with what was there before.
    Wrote {
        revision: i64,
        previous: Vec<KeyValue>,
    },
    /// Of a swap: whether it was carried out; where not, what was there.
    Swapped {
        revision: i64,
        succeeded: bool,
        seen: Vec<KeyValue>,
    },
    /// Of a read.
    Read { revision: i64, pairs: Vec<KeyValue> },
}

impl Answer {
    pub(crate) fn revision(&self) -> i64 {
        match self {
            Self::Wrote { revision, .. }
            | Self::Swapped { revision, .. }
            | Self::Read { revision, .. } => *revision,
        }
    }
}

/// One request. Without an answer, nobody knows whether and when it was carried out.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    /// Its place among all events of the history.
    pub(crate) invoked: u64,
    pub(crate) answered: Option<(u64, Answer)>,
}

/// What a holder asks of his lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaseOperation {
    Grant { seconds: i64 },
    Attach,
    Renew,
    Revoke,
}

/// One such request.
#[derive(Debug, Clone)]
pub(crate) struct LeaseCall {
    pub(crate) lease: i64,
    pub(crate) operation: LeaseOperation,
    pub(crate) asked: Instant,
    /// When, and whether there was such a lease. None: nobody knows.
    pub(crate) answered: Option<(Instant, bool)>,
}

/// What a watcher was told.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// Its watch begins at this revision.
    Begins { revision: i64 },
    /// One response.
    Events {
        place: u64,
        revision: i64,
        events: Vec<Event>,
    },
    /// Everything up to this revision has been told.
    Progress { revision: i64 },
    /// Compaction overtook it, and it goes on at this revision.
    Overtaken { revision: i64 },
}

/// One watcher, through all its streams.
#[derive(Debug, Clone)]
pub(crate) struct Watcher {
    /// None: all keys.
    pub(crate) key: Option<usize>,
    pub(crate) told: Vec<Told>,
    /// First revision that it has not been told of.
    pub(crate) next: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) calls: Vec<Call>,
    pub(crate) watchers: Vec<Watcher>,
    pub(crate) leases: Vec<LeaseCall>,
    /// Revisions that compactions were asked to.
    pub(crate) compacted: i64,
    /// When each place was taken.
    places: Vec<Instant>,
    values: u64,
    granted: i64,
}

impl Events {
    fn place(&mut self) -> u64 {
        self.places.push(Instant::now());
        u64::try_from(self.places.len()).expect("64 bits")
    }

    fn time(&self, place: u64) -> Instant {
        self.places[usize::try_from(place).expect("as many as there are") - 1]
    }

    /// By when somebody knew of each revision, or of a later one.
    pub(crate) fn known(&self) -> BTreeMap<i64, Instant> {
        let answers = self.calls.iter().filter_map(|call| {
            let (place, answer) = call.answered.as_ref()?;
            Some((answer.revision(), self.time(*place)))
        });
        let told = self.watchers.iter().flat_map(|watcher| &watcher.told);
        let told = told.filter_map(|told| match told {
            Told::Events { place, events, .. } => {
                let newest = events.last()?.kv.as_ref()?.mod_revision;
                Some((newest, self.time(*place)))
            }
            _ => None,
        });
        let mut known: BTreeMap<i64, Instant> = BTreeMap::new();
        for (revision, time) in answers.chain(told) {
            let first = known.entry(revision).or_insert(time);
            *first = time.min(*first);
        }
        let mut first: Option<Instant> = None;
        for time in known.values_mut().rev() {
            *time = first.map_or(*time, |first| first.min(*time));
            first = Some(*time);
        }
        known
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Events>);

impl History {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Events> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A value that was never written.
    pub(crate) fn value(&self) -> u64 {
        let mut events = self.lock();
        events.values += 1;
        events.values
    }

    /// The number of a lease that was never granted.
    pub(crate) fn lease(&self) -> i64 {
        let mut events = self.lock();
        events.granted += 1;
        events.granted
    }

    pub(crate) fn ask_lease(&self, lease: i64, operation: LeaseOperation) -> usize {
        let mut events = self.lock();
        events.leases.push(LeaseCall {
            lease,
            operation,
            asked: Instant::now(),
            answered: None,
        });
        events.leases.len() - 1
    }

    pub(crate) fn answer_lease(&self, call: usize, was_there: bool) {
        self.lock().leases[call].answered = Some((Instant::now(), was_there));
    }

    pub(crate) fn invoke(&self, operation: Operation) -> usize {
        let mut events = self.lock();
        let invoked = events.place();
        events.calls.push(Call {
            operation,
            invoked,
            answered: None,
        });
        events.calls.len() - 1
    }

    pub(crate) fn answer(&self, call: usize, answer: Answer) {
        let mut events = self.lock();
        let place = events.place();
        events.calls[call].answered = Some((place, answer));
    }

    pub(crate) fn watcher(&self, key: Option<usize>, next: i64) -> usize {
        let mut events = self.lock();
        events.watchers.push(Watcher {
            key,
            told: Vec::new(),
            next,
        });
        events.watchers.len() - 1
    }

    pub(crate) fn tell(&self, watcher: usize, told: impl FnOnce(u64) -> Told, next: i64) {
        let mut events = self.lock();
        let place = events.place();
        let watcher = &mut events.watchers[watcher];
        watcher.told.push(told(place));
        watcher.next = next;
    }

    pub(crate) fn next(&self, watcher: usize) -> i64 {
        self.lock().watchers[watcher].next
    }
}

pub(crate) fn key(number: usize) -> Vec<u8> {
    format!("key-{number}").into_bytes()
}

pub(crate) fn value(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// The number of a value that was written by [`value`].
pub(crate) fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

//! The objects of one resource, and what became of them lately.

use super::Entry;
use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::{Arc, OnceLock},
};

/// Events that are kept in any case.
pub const HISTORY_MIN: usize = 1_024;
/// Events that are kept at most.
pub const HISTORY_MAX: usize = 16_384;
/// Events that are younger are kept, up to the most.
pub const HISTORY_SECONDS: u64 = 75;
/// Bytes of the objects in the history, whatever the number of its events: a client that writes the largest object again and again
/// must not fill the memory.
pub(super) const HISTORY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A change of one object.
#[derive(Debug)]
pub struct Event {
    /// Of the store.
    pub revision: u64,
    /// As it was; None: it was not there.
    pub old: Option<Arc<Entry>>,
    /// As it is; None: it is not there any more.
    pub new: Option<Arc<Entry>>,
    /// When, in seconds of a clock that does not jump.
    at: u64,
    gone: OnceLock<Option<Arc<Entry>>>,
}

impl Event {
    /// What it keeps in memory at most, for as long as it is in the history: the object as it was is mostly nobody else's any more,
    /// and of one that has gone there are two forms.
    fn size(&self) -> usize {
        let length =
            |entry: &Option<Arc<Entry>>| entry.as_ref().map_or(0, |entry| entry.bytes().len());
        match &self.new {
            Some(_) => length(&self.old) + length(&self.new),
            None => 2 * length(&self.old),
        }
    }

    /// The object as it was, at the revision of the change: what is shown to those for whom it is gone.
    #[must_use]
    pub fn gone(&self) -> Option<Arc<Entry>> {
        let gone = || {
            let gone = self.old.as_ref()?.deleted(self.revision);
            // The old bytes were found to be good when they came.
            gone.ok().map(Arc::new)
        };
        self.gone.get_or_init(gone).clone()
    }
}

/// Events since a revision are not all there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOld {
    /// The least revision since which all are.
    pub oldest: u64,
}

/// The objects of one resource.
#[derive(Debug, Default)]
pub struct Objects {
    items: BTreeMap<Box<str>, Arc<Entry>>,
    history: VecDeque<Arc<Event>>,
    /// Of the history's events.
    history_bytes: usize,
    /// All events after this revision are in the history.
    complete: u64,
}

impl Objects {
    /// Those that are there at a revision, in any order.
    #[must_use]
    pub fn at(revision: u64, entries: impl IntoIterator<Item = Entry>) -> Self {
        let keyed = |entry: Entry| (entry.key().into(), Arc::new(entry));
        Self {
            items: entries.into_iter().map(keyed).collect(),
            history: VecDeque::new(),
            history_bytes: 0,
            complete: revision,
        }
    }

    /// Takes a change in: a new value of a key, or none. None: nothing has changed. `now` is for the history.
    pub fn apply(
        &mut self,
        key: &str,
        new: Option<Entry>,
        revision: u64,
        now: u64,
    ) -> Option<Arc<Event>> {
        let new = new.map(Arc::new);
        let old = match &new {
            Some(entry) => self.items.insert(key.into(), entry.clone()),
            None => Some(self.items.remove(key)?),
        };
        let event = Arc::new(Event {
            revision,
            old,
            new,
            at: now,
            gone: OnceLock::new(),
        });
        self.history_bytes += event.size();
        self.history.push_back(event.clone());
        while let Some(oldest) = self.history.front() {
            let old = oldest.at + HISTORY_SECONDS < now;
            let large = self.history_bytes > HISTORY_BYTES_MAX;
            let many = self.history.len() > if old { HISTORY_MIN } else { HISTORY_MAX };
            if !large && !many {
                break;
            }
            self.history_bytes -= oldest.size();
            self.complete = oldest.revision;
            self.history.pop_front();
        }
        Some(event)
    }

    /// One object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        self.items.get(key)
    }

    /// Objects in the order of their keys: all, or those of a namespace.
    pub fn iter(&self, namespace: Option<&str>) -> impl Iterator<Item = &Arc<Entry>> {
        let prefix = namespace.map(|namespace| format!("{namespace}/"));
        let from = match &prefix {
            Some(prefix) => Bound::Included(prefix.as_str()),
            None => Bound::Unbounded,
        };
        let range = self.items.range::<str, _>((from, Bound::Unbounded));
        let range = range.map(|(_, entry)| entry);
        range.take_while(move |entry| {
            let prefix = prefix.as_deref();
            prefix.is_none_or(|prefix| entry.key().starts_with(prefix))
        })
    }

    /// The revision of the last change, or at which they were loaded.
    #[must_use]
    pub fn latest(&self) -> u64 {
        let last = self.history.back();
        last.map_or(self.complete, |event| event.revision)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// All events after a revision, in order.
    ///
    /// # Errors
    /// Some have been forgotten.
    pub fn since(&self, revision: u64) -> Result<impl Iterator<Item = &Arc<Event>>, TooOld> {
        if revision < self.complete {
            return Err(TooOld {
                oldest: self.complete,
            });
        }
        let first = self
            .history
            .partition_point(|event| event.revision <= revision);
        Ok(self.history.range(first..))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{EventType, Filter, Picker},
        *,
    };
    use objects::selector::{FieldSelector, LabelSelector};

    fn entry(key: &str, labels: &str, revision: u64) -> Entry {
        let picker = Picker::new(&[]);
        let stored = format!(r#"{{"metadata":{{"labels":{labels}}}}}"#);
        Entry::new(key, stored.as_bytes(), revision, &picker).expect("an object")
    }

    fn keys(objects: &Objects, namespace: Option<&str>) -> Vec<String> {
        objects
            .iter(namespace)
            .map(|entry| entry.key().to_owned())
            .collect()
    }

    #[test]
    fn namespaces_do_not_run_into_each_other() {
        let made = ["a/x", "a-b/x", "a/y", "ab/x"].map(|key| entry(key, "{}", 1));
        let objects = Objects::at(1, made);
        assert_eq!(keys(&objects, None), ["a-b/x", "a/x", "a/y", "ab/x"]);
        assert_eq!(keys(&objects, Some("a")), ["a/x", "a/y"]);
        assert_eq!(keys(&objects, Some("c")), Vec::<String>::new());
    }

    #[test]
    fn a_change_is_what_the_filter_makes_of_it() {
        let mut objects = Objects::at(1, []);
        let labels = LabelSelector::parse("a=1").expect("a selector");
        let filter = Filter::new(Some("n"), labels, FieldSelector::parse("").expect("empty"));
        let mut check = |key: &str, labels: Option<&str>, revision, expect: Option<EventType>| {
            let new = labels.map(|labels| entry(key, labels, revision));
            let event = objects.apply(key, new, revision, 0);
            let seen = event.and_then(|event| filter.sees(&event));
            if let Some((_, shown)) = &seen {
                let version = format!("\"resourceVersion\":\"{revision}\"");
                assert!(String::from_utf8_lossy(shown.bytes()).contains(&version));
            }
            assert_eq!(seen.map(|(kind, _)| kind), expect, "{revision}");
        };
        check("n/x", Some(r#"{"a":"1"}"#), 2, Some(EventType::Added));
        check(
            "n/x",
            Some(r#"{"a":"1","b":"2"}"#),
            3,
            Some(EventType::Modified),
        );
        check("n/x", Some("{}"), 4, Some(EventType::Deleted));
        check("n/x", Some(r#"{"b":"1"}"#), 5, None);
        check("n/x", Some(r#"{"a":"1"}"#), 6, Some(EventType::Added));
        check("m/x", Some(r#"{"a":"1"}"#), 7, None);
        check("n/x", None, 8, Some(EventType::Deleted));
        check("n/x", None, 9, None);
        assert_eq!(objects.since(7).expect("all").count(), 1);
        assert_eq!(objects.since(1).expect("all").count(), 7);
        assert_eq!(objects.since(0).err(), Some(TooOld { oldest: 1 }));
    }

    #[test]
    fn large_objects_shorten_the_history() {
        let mut objects = Objects::at(0, []);
        let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(1024 * 1024));
        for revision in 1..=100 {
            objects.apply("a", Some(entry("a", &text, revision)), revision, 0);
        }
        let kept = objects.since(objects.complete).expect("all").count();
        assert!((12..=16).contains(&kept), "{kept}");
        // Small ones that were large.
        for revision in 101..=200 {
            let (large, small) = (entry("b", &text, revision), entry("b", "{}", revision));
            objects.apply("b", Some(large), revision, 0);
            objects.apply("b", Some(small), revision, 0);
        }
        objects.apply("a", None, 201, 0);
        let held: usize = objects.history.iter().map(|event| event.size()).sum();
        assert_eq!(held, objects.history_bytes);
        assert!(held <= HISTORY_BYTES_MAX);
    }

    #[test]
    fn history_is_bounded() {
        let mut objects = Objects::at(0, []);
        let mut change = |revision, now| {
            objects.apply("a", Some(entry("a", "{}", revision)), revision, now);
            objects.history.len()
        };
        let many = u64::try_from(HISTORY_MAX).expect("64 bits");
        for revision in 1..=many + 10 {
            change(revision, 0);
        }
        assert_eq!(change(many + 11, 0), HISTORY_MAX);
        // Time goes by: what is older goes, but for the least number.
        assert_eq!(change(many + 12, HISTORY_SECONDS + 1), HISTORY_MIN);
        assert!(objects.since(many - 100).is_ok());
        let kept = u64::try_from(HISTORY_MIN).expect("64 bits");
        let oldest = many + 12 - kept;
        assert_eq!(objects.since(1).err(), Some(TooOld { oldest }));
        assert_eq!(objects.since(oldest).expect("all").count(), HISTORY_MIN);
    }
}

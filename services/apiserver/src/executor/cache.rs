//! The cache, kept at the store's revision: loads everything, follows the store, tells watchers.
//!
//! ```text
//!   loading ──all keys at one revision──> following ──watch lost──> following again, from the next revision
//!      ^                                      │
//!      └── compacted meanwhile; another store, or one that has gone back: all watchers are ended
//! ```
//!
//! Order: a change is in the objects, and with all watchers that see it, before the revision counts as reached. So whoever has
//! read the revision and then emptied his queue has seen everything up to it.

use super::random;
use super::store::{Asks, Change, Follow, Said, Standing, Store, StoreError, Stored};
use crate::planner::cache::{Entry, Event, EventType, Filter, Objects, Picker, TooOld};
use bytes::Bytes;
use kinds::resources::{RESOURCES, Resource};
use service::backoff::Backoff;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};

/// Events that wait for one watcher. Who lags further is ended, and resumes from the history.
pub const QUEUE_MAX: usize = 1_024;
/// Longest wait for a revision that the cache has not reached.
pub const WAIT_MAX: Duration = Duration::from_secs(3);
/// An event is mostly on its way; the store is asked how far it is when this is over.
const ASK_AFTER: Duration = Duration::from_millis(5);
/// Pauses between attempts to follow the store. It is often started together with us, and is there in some tens of milliseconds.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Everything that is stored. Clones are the same.
#[derive(Debug, Clone)]
pub struct Cache(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    /// Before all keys: `/registry/`.
    prefix: String,
    kinds: Vec<Kind>,
    state: watch::Sender<State>,
    asks: Mutex<Option<Asks>>,
    started: Instant,
    next_watcher: AtomicU64,
}

/// How far the cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// All changes up to and with this one are in.
    pub revision: u64,
    /// There is something to serve.
    pub loaded: bool,
    /// The store is followed; else what there is may be old.
    pub following: bool,
}

/// The objects of one key of the table of resources.
#[derive(Debug)]
struct Kind {
    /// What its keys begin with, after the prefix for all: `services/specs/`.
    prefix: String,
    picker: Picker,
    objects: RwLock<Objects>,
    watchers: Mutex<BTreeMap<u64, Watcher>>,
}

#[derive(Debug)]
struct Watcher {
    filter: Filter,
    queue: mpsc::Sender<Seen>,
}

/// Which objects of the cache: of a resource, whatever its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(usize);

/// An event as a watcher sees it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What it is to him.
    pub kind: EventType,
    /// The object that he is shown.
    pub entry: Arc<Entry>,
    /// The revision.
    pub revision: u64,
    frames: Option<Arc<Frames>>,
}

/// An event as it is sent, made once for all who watch.
#[derive(Debug, Default)]
struct Frames([OnceLock<Bytes>; 3]);

impl Seen {
    /// `{"type":...,"object":...}` and a line's end.
    #[must_use]
    pub fn frame(&self) -> Bytes {
        let make = || frame(self.kind.as_str(), self.entry.bytes());
        let Some(frames) = &self.frames else {
            return make();
        };
        let frame = match self.kind {
            EventType::Added => &frames.0[0],
            EventType::Modified => &frames.0[1],
            EventType::Deleted => &frames.0[2],
        };
        frame.get_or_init(make).clone()
    }
}

/// A line of a watch.
#[must_use]
pub fn frame(kind: &str, object: &[u8]) -> Bytes {
    let parts: [&[u8]; 5] = [
        b"{\"type\":\"",
        kind.as_bytes(),
        b"\",\"object\":",
        object,
        b"}\n",
    ];
    parts.concat().into()
}

/// A watch of the cache.
#[derive(Debug)]
pub struct Watch {
    /// What is there, or has happened since the revision that was asked for.
    pub first: VecDeque<Seen>,
    /// The revision up to which `first` goes.
    pub revision: u64,
    queue: mpsc::Receiver<Seen>,
    cache: Cache,
    place: Place,
    number: u64,
}

impl Watch {
    /// The next event. None: the watch is ended, since events would be lost.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Seen>> {
        self.queue.poll_recv(context)
    }

    /// How far the cache is.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.cache.state().revision
    }

    /// An event that waits.
    pub fn waiting(&mut self) -> Option<Seen> {
        self.queue.try_recv().ok()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let kind = self.cache.kind(self.place);
        lock(&kind.watchers).remove(&self.number);
    }
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// With everything that is there.
    All,
    /// With what happens from now on.
    Now,
    /// With what happened after this revision.
    After(u64),
}

impl Cache {
    /// Of this store, below a prefix such as `/registry`. Nothing is loaded until [`Cache::run`].
    #[must_use]
    pub fn new(store: Store, prefix: &str) -> Self {
        let mut kinds: Vec<Kind> = Vec::new();
        for resource in RESOURCES.iter().filter(|resource| !resource.key.is_empty()) {
            let prefix = format!("{}/", resource.key);
            // A resource of two versions is there once, with the fields of the version that is stored.
            let known = kinds.iter().any(|kind| kind.prefix == prefix);
            if !known && resource.conversion.is_none() {
                kinds.push(Kind {
                    prefix,
                    picker: Picker::new(resource.rules.selectable),
                    objects: RwLock::default(),
                    watchers: Mutex::default(),
                });
            }
        }
        let prefix = format!("{}/", prefix.trim_end_matches('/'));
        Self(Arc::new(Shared {
            store,
            prefix,
            kinds,
            state: watch::Sender::default(),
            asks: Mutex::default(),
            started: Instant::now(),
            next_watcher: AtomicU64::new(0),
        }))
    }

    /// Where a resource's objects are; None where it keeps none.
    #[must_use]
    pub fn place(&self, resource: &Resource) -> Option<Place> {
        let mut kinds = self.0.kinds.iter();
        let found = kinds.position(|kind| kind.prefix.strip_suffix('/') == Some(resource.key));
        found.map(Place)
    }

    /// The store's key of an object.
    #[must_use]
    pub fn store_key(&self, place: Place, key: &str) -> Bytes {
        format!("{}{}{key}", self.0.prefix, self.kind(place).prefix).into()
    }

    /// What all keys begin with, such as `/registry/`.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// The store behind it.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// How far it is.
    #[must_use]
    pub fn state(&self) -> State {
        *self.0.state.borrow()
    }

    /// Waits until something can be served.
    pub async fn loaded(&self) {
        let mut state = self.0.state.subscribe();
        // The sender lives as long as we do.
        let _ = state.wait_for(|state| state.loaded).await;
    }

    /// Reads objects; none can change meanwhile, so be quick. Also the revision at which they are.
    pub fn read(&self, place: Place) -> (RwLockReadGuard<'_, Objects>, u64) {
        let objects = self.kind(place).objects.read();
        let objects = objects.unwrap_or_else(PoisonError::into_inner);
        let revision = self.state().revision.max(objects.latest());
        (objects, revision)
    }

    /// Waits until everything is in that was written before this was called. What there is while the store is not followed
    /// does not count: the store may have gone back meanwhile.
    ///
    /// # Errors
    /// The store is away or has gone back, or the cache does not get there.
    pub async fn fresh(&self) -> Result<u64, StoreError> {
        let before = self.state().revision;
        let standing = self.0.store.standing().await?;
        if standing.revision < before {
            return Err(StoreError::Unavailable("it has gone back".to_owned()));
        }
        let reached = move |state: &State| {
            state.loaded && state.following && state.revision >= standing.revision
        };
        if self.wait(reached).await {
            return Ok(standing.revision);
        }
        Err(StoreError::Unavailable(
            "the cache lags behind the store".to_owned(),
        ))
    }

    /// Waits until a revision is reached; whether it was.
    pub async fn reach(&self, revision: u64) -> bool {
        self.wait(move |state| state.loaded && state.revision >= revision)
            .await
    }

    async fn wait(&self, reached: impl Fn(&State) -> bool + Copy) -> bool {
        let mut state = self.0.state.subscribe();
        if reached(&state.borrow()) {
            return true;
        }
        if timeout(ASK_AFTER, state.wait_for(reached)).await.is_ok() {
            return true;
        }
        if let Some(asks) = &*lock(&self.0.asks) {
            asks.how_far();
        }
        timeout(WAIT_MAX, state.wait_for(reached)).await.is_ok()
    }

    /// Watches objects.
    ///
    /// # Errors
    /// What happened since the revision is not known any more.
    pub fn watch(&self, place: Place, filter: Filter, begin: Begin) -> Result<Watch, TooOld> {
        let kind = self.kind(place);
        let number = self.0.next_watcher.fetch_add(1, Ordering::Relaxed);
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        // While it is held, nothing changes: what comes after is told to the watcher.
        let (objects, revision) = self.read(place);
        let first = match begin {
            Begin::Now => VecDeque::new(),
            Begin::All => {
                let there = objects.iter(filter.namespace.as_deref());
                let there = there.filter(|entry| filter.matches(entry));
                let added = there.map(|entry| Seen {
                    kind: EventType::Added,
                    entry: entry.clone(),
                    revision: entry.revision(),
                    frames: None,
                });
                added.collect()
            }
            Begin::After(revision) => {
                let since = objects.since(revision)?;
                since
                    .filter_map(|event| seen(&filter, event, None))
                    .collect()
            }
        };
        let watcher = Watcher {
            filter,
            queue: sender,
        };
        lock(&kind.watchers).insert(number, watcher);
        drop(objects);
        Ok(Watch {
            first,
            revision,
            queue,
            cache: self.clone(),
            place,
            number,
        })
    }

    /// How many watch, and how many objects there are, by the resource's key.
    #[must_use]
    pub fn counts(&self) -> Vec<(String, usize, usize)> {
        let count = |kind: &Kind| {
            let objects = kind.objects.read().unwrap_or_else(PoisonError::into_inner);
            let key = kind.prefix.trim_end_matches('/').to_owned();
            (key, objects.len(), lock(&kind.watchers).len())
        };
        self.0.kinds.iter().map(count).collect()
    }

    /// Loads and follows the store, for ever.
    pub async fn run(self) {
        let mut backoff = Backoff::new(PAUSE_FIRST, PAUSE_MAX);
        let mut known: Option<Standing> = None;
        loop {
            let again = match known {
                None => self.load().await,
                Some(standing) => self.resume(standing).await,
            };
            let error = match again {
                Ok((mut follow, standing)) => {
                    backoff.reset();
                    known = Some(standing);
                    self.0.state.send_modify(|state| state.following = true);
                    *lock(&self.0.asks) = Some(follow.asks());
                    let error = self.follow(&mut follow).await;
                    *lock(&self.0.asks) = None;
                    self.0.state.send_modify(|state| state.following = false);
                    let revision = self.state().revision;
                    known = known.map(|known| Standing { revision, ..known });
                    error
                }
                Err(error) => error,
            };
            match error {
                StoreError::Compacted => {
                    tracing::warn!("the store has forgotten changes: loading anew");
                    known = None;
                }
                StoreError::Future => {
                    tracing::warn!("the store is another one, or has gone back: loading anew");
                    self.0.state.send_replace(State::default());
                    self.end_watches();
                    known = None;
                }
                error => {
                    tracing::warn!(%error, "the store is not followed");
                    sleep(backoff.next(random::number32())).await;
                }
            }
        }
    }

    async fn load(&self) -> Result<(Follow, Standing), StoreError> {
        let cluster = self.0.store.standing().await?.cluster;
        let mut entries: Vec<Vec<Entry>> = self.0.kinds.iter().map(|_| Vec::new()).collect();
        let (from, to) = self.range();
        let each = |key: Bytes, stored: Stored| {
            let Some((place, key)) = self.locate(&key) else {
                return;
            };
            if let Some(entry) = self.entry(place, &key, &stored.value, stored.revision) {
                entries[place.0].push(entry);
            }
        };
        let revision = self.0.store.all(from, to, each).await?;
        let standing = Standing { cluster, revision };
        let follow = self.follow_from(revision + 1).await?;
        for (kind, entries) in self.0.kinds.iter().zip(entries) {
            let mut objects = kind.objects.write().unwrap_or_else(PoisonError::into_inner);
            *objects = Objects::at(revision, entries);
        }
        self.end_watches();
        self.0.state.send_modify(|state| {
            state.revision = revision;
            state.loaded = true;
        });
        Ok((follow, standing))
    }

    async fn resume(&self, known: Standing) -> Result<(Follow, Standing), StoreError> {
        let standing = self.0.store.standing().await?;
        if standing.cluster != known.cluster || standing.revision < known.revision {
            return Err(StoreError::Future);
        }
        let follow = self.follow_from(known.revision + 1).await?;
        Ok((follow, known))
    }

    async fn follow_from(&self, revision: u64) -> Result<Follow, StoreError> {
        let (from, to) = self.range();
        self.0.store.follow(from, to, revision).await
    }

    async fn follow(&self, follow: &mut Follow) -> StoreError {
        loop {
            let revision = match follow.next().await {
                Ok(Said::Nothing(revision)) => revision,
                Ok(Said::Changes(changes, revision)) => {
                    let now = self.0.started.elapsed().as_secs();
                    for change in changes {
                        self.take_in(change, now);
                    }
                    revision
                }
                Err(error) => return error,
            };
            self.0.state.send_if_modified(|state| {
                let further = revision > state.revision;
                state.revision = state.revision.max(revision);
                further
            });
        }
    }

    fn take_in(&self, change: Change, now: u64) {
        let Some((place, key)) = self.locate(&change.key) else {
            return;
        };
        let kind = self.kind(place);
        let new = match &change.value {
            Some(value) => match self.entry(place, &key, value, change.revision) {
                Some(entry) => Some(entry),
                None => return,
            },
            None => None,
        };
        let mut objects = kind.objects.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(event) = objects.apply(&key, new, change.revision, now) {
            tell(&kind.watchers, &event);
        }
    }

    /// What is no object is told once, and is not there for anybody.
    fn entry(&self, place: Place, key: &str, value: &[u8], revision: u64) -> Option<Entry> {
        match Entry::new(key, value, revision, &self.kind(place).picker) {
            Ok(entry) => Some(entry),
            Err(error) => {
                tracing::error!(error = %service::chain(&error), "an object in the store is left out");
                None
            }
        }
    }

    /// Which resource's, and the key within it.
    fn locate(&self, key: &[u8]) -> Option<(Place, String)> {
        let key = std::str::from_utf8(key).ok()?;
        let key = key.strip_prefix(self.0.prefix.as_str())?;
        let mut kinds = self.0.kinds.iter().enumerate();
        let (place, kind) = kinds.find(|(_, kind)| key.starts_with(&kind.prefix))?;
        Some((Place(place), key[kind.prefix.len()..].to_owned()))
    }

    fn range(&self) -> (Bytes, Bytes) {
        let from = Bytes::from(self.0.prefix.clone());
        let to = super::store::end_of(&from);
        (from, to)
    }

    fn end_watches(&self) {
        for kind in &self.0.kinds {
            lock(&kind.watchers).clear();
        }
    }

    fn kind(&self, place: Place) -> &Kind {
        &self.0.kinds[place.0]
    }
}

fn tell(watchers: &Mutex<BTreeMap<u64, Watcher>>, event: &Event) {
    let frames = Arc::new(Frames::default());
    lock(watchers).retain(
        |_, watcher| match seen(&watcher.filter, event, Some(&frames)) {
            // Who does not keep up is ended: he resumes from the history, and holds no memory meanwhile.
            Some(seen) => watcher.queue.try_send(seen).is_ok(),
            None => true,
        },
    );
}

fn seen(filter: &Filter, event: &Event, frames: Option<&Arc<Frames>>) -> Option<Seen> {
    let (kind, entry) = filter.sees(event)?;
    Some(Seen {
        kind,
        entry,
        revision: event.revision,
        frames: frames.cloned(),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The admission chain over the cache, and over the store for what the cache may not have yet.
//!
//! ```text
//!   plan over the cache ──admitted──> go on
//!     └─refused, and something was not there─> look for it in the store ──there──> plan again
//!                                                └─still not there─> that was the answer
//! ```

use super::{
    cache::{Cache, Place},
    random,
    read::unavailable,
};
use crate::planner::admission::{Attributes, Chain, Cluster, Kind, Lookup, Review};
use kinds::resources::RESOURCES;
use objects::status::Status;
use serde_json::Value;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::{sync::Semaphore, time::sleep};

/// Pauses before the store is asked again for what will be there soon; upstream's. Random, so that pods of one workload do not come
/// all at once.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_SPREAD: Duration = Duration::from_millis(100);

/// Requests that wait so at once: each holds the slot of a write. Beyond it, what is not there is not there.
const WAITING_MAX: usize = 16;

/// Who may change or refuse what is written.
#[derive(Debug)]
pub struct Admission {
    chain: Chain,
    cache: Cache,
    waiting: Semaphore,
}

/// Admission, and what it is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Who is asked.
    pub admission: &'a Admission,
    /// About which request.
    pub attributes: Attributes<'a>,
}

impl Admission {
    /// This chain over this cache.
    #[must_use]
    pub fn new(chain: Chain, cache: Cache) -> Self {
        Self {
            chain,
            cache,
            waiting: Semaphore::new(WAITING_MAX),
        }
    }

    fn place(&self, kind: Kind) -> Result<Place, Status> {
        let wanted = kind.resource();
        let mut resources = RESOURCES.iter();
        let found = resources.find(|known| {
            (known.group, known.version, known.name) == (wanted.group, "v1", wanted.name)
        });
        found
            .and_then(|resource| self.cache.place(resource))
            .ok_or_else(|| Status::internal(format!("{wanted} are not served")))
    }

    /// What is there now; what is said to come soon is waited for.
    async fn look(&self, lookup: &Lookup) -> Result<Option<Value>, Status> {
        let key = key(&lookup.namespace, &lookup.name);
        let key = self.cache.store_key(self.place(lookup.kind)?, &key);
        let pause =
            PAUSE_MIN + PAUSE_SPREAD.mul_f64(f64::from(random::number32()) / f64::from(u32::MAX));
        let mut waiting = None;
        for attempt in 0..lookup.attempts() {
            if attempt > 0 {
                if waiting.is_none() {
                    waiting = self.waiting.try_acquire().ok();
                }
                if waiting.is_none() {
                    break;
                }
                sleep(pause).await;
            }
            let found = self.cache.store().get(key.clone()).await;
            if let (Some(stored), _) = found.map_err(|error| unavailable(&error))? {
                return parsed(&stored.value).map(Some);
            }
        }
        Ok(None)
    }
}

impl Asking<'_> {
    /// Plans something, with admission by what is surely there.
    ///
    /// # Errors
    /// The answer to the client.
    pub async fn plan<T>(
        &self,
        plan: impl Fn(&Review<'_>) -> Result<T, Status>,
    ) -> Result<T, Status> {
        let mut found = BTreeMap::new();
        let mut looked = BTreeSet::new();
        loop {
            let (planned, missing) = self.once(&found, &plan);
            let Err(status) = planned else {
                return planned;
            };
            // Each is looked for once, and a plan misses but few.
            let before = found.len();
            for lookup in missing {
                if looked.insert(lookup.clone())
                    && let Some(object) = self.admission.look(&lookup).await?
                {
                    found.insert(lookup, object);
                }
            }
            if found.len() == before {
                return Err(status);
            }
        }
    }

    /// Asks about an object for which nothing is planned: what somebody wants done, or to know.
    ///
    /// # Errors
    /// The answer to the client.
    pub async fn admit(&self, object: Value) -> Result<Value, Status> {
        let plan = |review: &Review<'_>| {
            let mut object = object.clone();
            review.mutate(&mut object, None)?;
            review.validate(&object, None)?;
            Ok(object)
        };
        self.plan(plan).await
    }

    /// Plans with what the cache has and what was found besides; also what was not there.
    fn once<T>(
        &self,
        found: &BTreeMap<Lookup, Value>,
        plan: impl Fn(&Review<'_>) -> Result<T, Status>,
    ) -> (Result<T, Status>, BTreeSet<Lookup>) {
        let view = View {
            admission: self.admission,
            found,
            missing: RefCell::default(),
        };
        let planned = plan(&Review {
            chain: &self.admission.chain,
            attributes: self.attributes,
            cluster: &view,
        });
        (planned, view.missing.into_inner())
    }
}

/// What the cache has and what was found besides.
struct View<'a> {
    admission: &'a Admission,
    found: &'a BTreeMap<Lookup, Value>,
    missing: RefCell<BTreeSet<Lookup>>,
}

impl Cluster for View<'_> {
    fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Option<Value>, Status> {
        let bytes = {
            let (objects, _) = self.admission.cache.read(self.admission.place(kind)?);
            let found = objects.get(&key(namespace, name));
            found.map(|entry| entry.bytes().clone())
        };
        if let Some(bytes) = bytes {
            return parsed(&bytes).map(Some);
        }
        let lookup = Lookup {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let found = self.found.get(&lookup).cloned();
        if found.is_none() {
            self.missing.borrow_mut().insert(lookup);
        }
        Ok(found)
    }

    fn list(&self, kind: Kind) -> Result<Vec<Value>, Status> {
        let all: Vec<_> = {
            let (objects, _) = self.admission.cache.read(self.admission.place(kind)?);
            let all = objects.iter(None);
            all.map(|entry| entry.bytes().clone()).collect()
        };
        all.iter().map(|bytes| parsed(bytes)).collect()
    }
}

fn key(namespace: &str, name: &str) -> String {
    match namespace {
        "" => name.to_owned(),
        namespace => format!("{namespace}/{name}"),
    }
}

fn parsed(bytes: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(bytes).map_err(|error| {
        Status::internal(format!("an object in the store cannot be read: {error}"))
    })
}

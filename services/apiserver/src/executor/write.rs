//! Writes: planned from what is there, committed, and planned anew when something else is there.

use super::{
    admission::Asking,
    allocator::Allocator,
    cache::{Cache, Place},
    clock, random,
    read::unavailable,
    store::{Outcome, Stored, Transaction, Write},
};
use crate::planner::{
    admission::Review,
    served::Served,
    services::{Claim, Claims},
    write::{Context, Hooks, Planned, stored_bytes},
};
use bytes::Bytes;
use objects::{decode::FieldValidation, encode::splice, metadata::Metadata, status::Status};
use serde_json::Value;
use std::{cell::RefCell, collections::BTreeSet};

/// Plans of one write: each lost race means that another write was done.
const TRIES_MAX: usize = 16;

/// An object that is written.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// The cache, and the store behind it.
    pub cache: &'a Cache,
    /// What is written.
    pub served: &'a Served,
    /// Where the cache has it.
    pub place: Place,
    /// `namespace/name`, or `name`.
    pub key: String,
    /// The object's name.
    pub name: String,
    /// Nothing is written: the answer is what it would be.
    pub dry_run: bool,
    /// Gives Services what they need.
    pub allocator: &'a Allocator,
    /// Who may change or refuse it; None for what the server writes of its own accord.
    pub admission: Option<Asking<'a>>,
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// The object's bytes with its resourceVersion; as it was last, where it was removed.
    pub object: Bytes,
    /// It is gone.
    pub removed: bool,
    /// What clients are told besides.
    pub warnings: Vec<String>,
    /// Which wrote it; the object's own where nothing was written.
    pub revision: u64,
}

/// What is there.
#[derive(Debug, Clone)]
struct There {
    value: Value,
    bytes: Bytes,
    revision: u64,
}

/// A context for planning.
#[must_use]
pub fn context(validation: FieldValidation) -> Context {
    Context {
        now: clock::now(),
        random: random::number(),
        uid: random::uuid(),
        validation,
    }
}

impl Target<'_> {
    /// Writes a new object, as `plan` says; its name is the one that was planned.
    ///
    /// # Errors
    /// The answer to the client.
    pub async fn create(
        &self,
        plan: impl Fn(Hooks<'_>) -> Result<Planned, Status>,
    ) -> Result<Written, Status> {
        let mut lost = BTreeSet::new();
        for _ in 0..TRIES_MAX {
            let (planned, claims) = self.planned(&lost, &plan).await?;
            let Planned::Write { object, warnings } = planned else {
                return Err(Status::internal("a create that writes nothing"));
            };
            let target = self.of(&object);
            let bytes = stored_bytes(&object);
            let key = target.store_key();
            if self.dry_run {
                let found = self
                    .cache
                    .store()
                    .get(key)
                    .await
                    .map_err(|error| unavailable(&error))?;
                return match found.0 {
                    Some(_) => Err(target.exists()),
                    None => Ok(Written {
                        object: bytes,
                        removed: false,
                        warnings,
                        revision: 0,
                    }),
                };
            }
            let mut transaction = Transaction {
                expect: vec![(key.clone(), 0)],
                writes: vec![Write::Put(key, bytes.clone())],
            };
            self.add(&mut transaction, &claims, &object);
            match self.commit(&transaction).await? {
                Outcome::Done(revision) => {
                    return Ok(Written {
                        object: versioned(&bytes, revision)?,
                        removed: false,
                        warnings,
                        revision,
                    });
                }
                Outcome::Lost(found, _) => {
                    let mut found = found.into_iter();
                    if found.next().flatten().is_some() {
                        return Err(target.exists());
                    }
                    lost.extend(taken(&claims, found));
                }
            }
        }
        Err(Status::modified(self.served.qualified(), &self.name))
    }

    /// Changes what is there, as `plan` says.
    ///
    /// # Errors
    /// The answer to the client: that of `plan` for what is surely there, or that there is nothing.
    pub async fn change(
        &self,
        plan: impl Fn(&Value, Hooks<'_>) -> Result<Planned, Status>,
    ) -> Result<Written, Status> {
        // Mostly right, and no call of the store.
        let (mut there, mut sure) = match self.cached()? {
            Some(there) => (there, false),
            None => (self.read().await?, true),
        };
        let mut lost = BTreeSet::new();
        for _ in 0..TRIES_MAX {
            let planned = self.planned(&lost, |hooks| plan(&there.value, hooks)).await;
            // What an object from the cache leads to may be wrong: it may be an old one.
            let clear = matches!(
                planned,
                Ok((Planned::Write { .. } | Planned::Remove { .. }, _))
            );
            if !clear && !sure {
                let current = self.read().await?;
                sure = true;
                if current.revision != there.revision {
                    there = current;
                    continue;
                }
            }
            let (planned, mut claims) = planned?;
            if let Planned::Remove { object } = &planned
                && self.allocator.concerns(self.place)
            {
                claims = self.allocator.all_of(object);
            }
            match self.act(planned, &claims, &there).await? {
                Acted::Done(written) => return Ok(written),
                // The object is as it was: it is what it claims that others have.
                Acted::Lost(Some(found), others) if found.revision == there.revision => {
                    lost.extend(others);
                    sure = true;
                }
                Acted::Lost(found, _) => {
                    there =
                        found.map_or_else(|| Err(self.missing()), |found| self.there(&found))?;
                    sure = true;
                }
            }
        }
        Err(Status::modified(self.served.qualified(), &self.name))
    }

    /// What somebody wants done, if admission lets it.
    ///
    /// # Errors
    /// The answer to the client.
    pub async fn admitted(&self, wanted: Value) -> Result<Value, Status> {
        match &self.admission {
            None => Ok(wanted),
            Some(asking) => asking.admit(wanted).await,
        }
    }

    /// Plans, with admission if anybody is asked; also what the object claims.
    async fn planned(
        &self,
        lost: &BTreeSet<Claim>,
        plan: impl Fn(Hooks<'_>) -> Result<Planned, Status>,
    ) -> Result<(Planned, Claims), Status> {
        let plan = |admission: Option<&Review<'_>>| {
            let claims = RefCell::default();
            let planned = plan(Hooks {
                admission,
                complete: &|object, old| self.claim(object, old, lost, &claims),
            })?;
            Ok((planned, claims.into_inner()))
        };
        match &self.admission {
            None => plan(None),
            Some(asking) => asking.plan(|review| plan(Some(review))).await,
        }
    }

    async fn act(&self, planned: Planned, claims: &Claims, there: &There) -> Result<Acted, Status> {
        let key = self.store_key();
        let (write, object, removed, warnings, whole) = match planned {
            Planned::Unchanged { warnings } => {
                return Ok(Acted::Done(Written {
                    object: there.bytes.clone(),
                    removed: false,
                    warnings,
                    revision: there.revision,
                }));
            }
            Planned::Write { object, warnings } => {
                let bytes = stored_bytes(&object);
                let write = Write::Put(key.clone(), bytes.clone());
                (write, bytes, false, warnings, object)
            }
            Planned::Remove { object } => {
                let bytes = stored_bytes(&object);
                (Write::Delete(key.clone()), bytes, true, Vec::new(), object)
            }
        };
        if self.dry_run {
            return Ok(Acted::Done(Written {
                object: versioned(&object, there.revision)?,
                removed,
                warnings,
                revision: there.revision,
            }));
        }
        let mut transaction = Transaction {
            expect: vec![(key, there.revision)],
            writes: vec![write],
        };
        self.add(&mut transaction, claims, &whole);
        Ok(match self.commit(&transaction).await? {
            Outcome::Done(revision) => Acted::Done(Written {
                object: versioned(&object, revision)?,
                removed,
                warnings,
                revision,
            }),
            Outcome::Lost(found, _) => {
                let mut found = found.into_iter();
                let object = found.next().flatten();
                Acted::Lost(object, taken(claims, found).collect())
            }
        })
    }

    /// What a Service needs, it is given.
    fn claim(
        &self,
        object: &mut Value,
        old: Option<&Value>,
        lost: &BTreeSet<Claim>,
        claims: &RefCell<Claims>,
    ) -> Result<(), Status> {
        if self.allocator.concerns(self.place) {
            *claims.borrow_mut() = self.allocator.complete(object, old, lost, self.dry_run)?;
        }
        Ok(())
    }

    fn add(&self, transaction: &mut Transaction, claims: &Claims, object: &Value) {
        if *claims != Claims::default() {
            let now = crate::planner::write::time(clock::now());
            self.allocator.add(transaction, claims, object, &now);
        }
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Outcome, Status> {
        let outcome = self.cache.store().commit(transaction).await;
        outcome.map_err(|error| unavailable(&error))
    }

    fn cached(&self) -> Result<Option<There>, Status> {
        let entry = {
            let (objects, _) = self.cache.read(self.place);
            objects.get(&self.key).cloned()
        };
        entry
            .map(|entry| parsed(entry.bytes().clone(), entry.revision()))
            .transpose()
    }

    async fn read(&self) -> Result<There, Status> {
        let found = self.cache.store().get(self.store_key()).await;
        let (found, _) = found.map_err(|error| unavailable(&error))?;
        found.map_or_else(|| Err(self.missing()), |found| self.there(&found))
    }

    fn there(&self, found: &Stored) -> Result<There, Status> {
        parsed(versioned(&found.value, found.revision)?, found.revision)
    }

    /// The same place, for an object that has its name.
    fn of(&self, object: &Value) -> Self {
        let metadata = Metadata::of(object);
        let name = metadata.name().to_owned();
        let key = match metadata.namespace() {
            "" => name.clone(),
            namespace => format!("{namespace}/{name}"),
        };
        Self {
            key,
            name,
            ..self.clone()
        }
    }

    fn store_key(&self) -> Bytes {
        self.cache.store_key(self.place, &self.key)
    }

    fn missing(&self) -> Status {
        Status::not_found(self.served.qualified(), &self.name)
    }

    fn exists(&self) -> Status {
        Status::already_exists(self.served.qualified(), &self.name)
    }
}

enum Acted {
    Done(Written),
    /// The object, as it is; what it claims that others have.
    Lost(Option<Stored>, Vec<Claim>),
}

/// Claims that others have, by what was found in their places.
fn taken(
    claims: &Claims,
    found: impl Iterator<Item = Option<Stored>>,
) -> impl Iterator<Item = Claim> {
    let pairs = claims.take.iter().cloned().zip(found);
    pairs.filter_map(|(claim, found)| found.map(|_| claim))
}

fn parsed(bytes: Bytes, revision: u64) -> Result<There, Status> {
    let value = serde_json::from_slice(&bytes).map_err(|error| {
        Status::internal(format!("an object in the store cannot be read: {error}"))
    })?;
    Ok(There {
        value,
        bytes,
        revision,
    })
}

fn versioned(bytes: &[u8], revision: u64) -> Result<Bytes, Status> {
    splice(bytes, revision).map_err(|error| {
        Status::internal(format!("an object in the store cannot be read: {error}"))
    })
}

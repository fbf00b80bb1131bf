//! Writes: planned from what is there, committed, and planned anew when something else is there.

use super::{
    cache::{Cache, Place},
    clock, random,
    read::unavailable,
    store::{Outcome, Stored, Transaction, Write},
};
use crate::planner::{
    served::Served,
    write::{Context, Planned, stored_bytes},
};
use bytes::Bytes;
use objects::{decode::FieldValidation, encode::splice, status::Status};
use serde_json::Value;

/// Plans of one write: each lost race means that another write was done.
const TRIES_MAX: usize = 16;

/// An object that is written.
#[derive(Debug)]
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
    /// Writes a new object.
    ///
    /// # Errors
    /// The answer to the client.
    pub async fn create(&self, object: &Value, warnings: Vec<String>) -> Result<Written, Status> {
        let bytes = stored_bytes(object);
        let store_key = self.store_key();
        if self.dry_run {
            let (found, _) = self
                .cache
                .store()
                .get(store_key)
                .await
                .map_err(|error| unavailable(&error))?;
            return match found {
                Some(_) => Err(self.exists()),
                None => Ok(Written {
                    object: bytes,
                    removed: false,
                    warnings,
                }),
            };
        }
        let transaction = Transaction {
            expect: vec![(store_key.clone(), 0)],
            writes: vec![Write::Put(store_key, bytes.clone())],
        };
        match self.commit(&transaction).await? {
            Outcome::Done(revision) => Ok(Written {
                object: versioned(&bytes, revision)?,
                removed: false,
                warnings,
            }),
            Outcome::Lost(..) => Err(self.exists()),
        }
    }

    /// Changes what is there, as `plan` says.
    ///
    /// # Errors
    /// The answer to the client: that of `plan` for what is surely there, or that there is nothing.
    pub async fn change(
        &self,
        plan: impl Fn(&Value) -> Result<Planned, Status>,
    ) -> Result<Written, Status> {
        // Mostly right, and no call of the store.
        let (mut there, mut sure) = match self.cached()? {
            Some(there) => (there, false),
            None => (self.read().await?, true),
        };
        for _ in 0..TRIES_MAX {
            let planned = plan(&there.value);
            // What an object from the cache leads to may be wrong: it may be an old one.
            let doubtful = !matches!(planned, Ok(Planned::Write { .. } | Planned::Remove { .. }));
            if doubtful && !sure {
                let current = self.read().await?;
                sure = true;
                if current.revision != there.revision {
                    there = current;
                    continue;
                }
            }
            match self.act(planned?, &there).await? {
                Acted::Done(written) => return Ok(written),
                Acted::Lost(found) => {
                    there =
                        found.map_or_else(|| Err(self.missing()), |found| self.there(&found))?;
                    sure = true;
                }
            }
        }
        Err(Status::modified(self.served.qualified(), &self.name))
    }

    async fn act(&self, planned: Planned, there: &There) -> Result<Acted, Status> {
        let key = self.store_key();
        let (write, object, removed, warnings) = match planned {
            Planned::Unchanged { warnings } => {
                return Ok(Acted::Done(Written {
                    object: there.bytes.clone(),
                    removed: false,
                    warnings,
                }));
            }
            Planned::Write { object, warnings } => {
                let bytes = stored_bytes(&object);
                (
                    Write::Put(key.clone(), bytes.clone()),
                    bytes,
                    false,
                    warnings,
                )
            }
            Planned::Remove { object } => (
                Write::Delete(key.clone()),
                stored_bytes(&object),
                true,
                Vec::new(),
            ),
        };
        if self.dry_run {
            return Ok(Acted::Done(Written {
                object: versioned(&object, there.revision)?,
                removed,
                warnings,
            }));
        }
        let transaction = Transaction {
            expect: vec![(key, there.revision)],
            writes: vec![write],
        };
        Ok(match self.commit(&transaction).await? {
            Outcome::Done(revision) => Acted::Done(Written {
                object: versioned(&object, revision)?,
                removed,
                warnings,
            }),
            Outcome::Lost(found, _) => Acted::Lost(found.into_iter().next().flatten()),
        })
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
    Lost(Option<Stored>),
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

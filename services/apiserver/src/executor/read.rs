//! Reads: one object, lists, watches.

use super::{
    body::{Body, List},
    cache::{Begin, Cache, Place},
    flow::Slot,
    store::{StoreError, after, end_of},
    watching::{Manner, Watching, refused},
};
use crate::planner::{
    cache::{Entry, Filter, Picker},
    options::{Continue, ListOptions, Query, Version},
    render::Renderer,
    served::Served,
};
use bytes::Bytes;
use objects::{
    encode::splice,
    selector::Unsupported,
    status::{self, Status},
    table::ListMeta,
};
use std::{sync::Arc, time::Duration};

/// Keys of a page of the store, when a selector may leave out most of them.
const PAGE: usize = 500;
/// How long a watch without a timeout goes on, at least; a random part as long again is added, so that not all end together.
const WATCH_SECONDS: u64 = 1_800;
/// The longest watch that a client may ask for.
const WATCH_SECONDS_MAX: u64 = 24 * 3_600;

/// Where objects are looked for.
#[derive(Debug, Clone, Copy)]
pub struct Where<'a> {
    /// The cache.
    pub cache: &'a Cache,
    /// What is asked for.
    pub served: &'a Served,
    /// Where the cache has it.
    pub place: Place,
    /// Of one namespace.
    pub namespace: Option<&'a str>,
}

/// What the store's faults are to clients.
#[must_use]
pub fn unavailable(error: &StoreError) -> Status {
    match error {
        StoreError::Compacted => Status::expired(status::LIST_TOO_OLD),
        StoreError::TooLarge(why) => Status::too_large(why),
        error => Status::unavailable(error.to_string()),
    }
}

impl Where<'_> {
    /// The key of an object, within its resource.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        match self.namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        }
    }

    /// One object's bytes, with its resourceVersion.
    ///
    /// # Errors
    /// The answer to the client.
    pub async fn get(&self, name: &str, version: Option<u64>) -> Result<Bytes, Status> {
        let missing = || Status::not_found(self.served.qualified(), name);
        let key = self.key(name);
        if let Some(version) = version {
            self.reach(version).await?;
            let (objects, _) = self.cache.read(self.place);
            let entry = objects.get(&key).ok_or_else(missing)?;
            return Ok(entry.bytes().clone());
        }
        let key = self.cache.store_key(self.place, &key);
        let (found, _) = self
            .cache
            .store()
            .get(key)
            .await
            .map_err(|error| unavailable(&error))?;
        let found = found.ok_or_else(missing)?;
        let spliced = splice(&found.value, found.revision);
        spliced.map_err(|error| Status::internal(error.to_string()))
    }

    /// Some objects.
    ///
    /// # Errors
    /// The answer to the client.
    pub async fn list(
        &self,
        options: &ListOptions,
        renderer: &Renderer<'_>,
    ) -> Result<Body, Status> {
        let filter = self.filter(options)?;
        if let Some(next) = &options.next {
            return self.page(&filter, options.limit, next, renderer).await;
        }
        match options.version {
            Version::Latest => {
                self.cache
                    .fresh()
                    .await
                    .map_err(|error| unavailable(&error))?;
            }
            Version::Any => self.cache.loaded().await,
            Version::NotOlderThan(version) => self.reach(version).await?,
            Version::Exact(version) => {
                let next = Continue {
                    revision: Some(version),
                    start: String::new(),
                };
                return self.page(&filter, options.limit, &next, renderer).await;
            }
        }
        let (entries, revision, more) = self.cached(&filter, options.limit);
        let mut meta = ListMeta {
            resource_version: revision.to_string(),
            ..ListMeta::default()
        };
        if let Some(last) = entries.last().filter(|_| more > 0) {
            meta.continue_token = token(Some(revision), last.key());
            meta.remaining_item_count = unselective(&filter).then_some(more);
        }
        if renderer.is_plain() {
            return Ok(Body::List(List::new(renderer.head(&meta), entries)));
        }
        let stored = entries.iter().map(|entry| entry.bytes().clone());
        Ok(renderer.list(stored, &meta)?.into())
    }

    /// The first of those that match, the revision, and how many more match (or whether any does, with a selector).
    fn cached(&self, filter: &Filter, limit: usize) -> (Vec<Arc<Entry>>, u64, u64) {
        let (objects, revision) = self.cache.read(self.place);
        let mut matching = objects
            .iter(filter.namespace.as_deref())
            .filter(|entry| filter.matches(entry));
        let limit = if limit == 0 { usize::MAX } else { limit };
        let entries: Vec<_> = matching.by_ref().take(limit).cloned().collect();
        let more = if unselective(filter) {
            matching.count()
        } else {
            usize::from(matching.next().is_some())
        };
        (entries, revision, u64::try_from(more).unwrap_or(u64::MAX))
    }

    /// A page from the store: of an older revision, or of what is left.
    async fn page(
        &self,
        filter: &Filter,
        limit: usize,
        next: &Continue,
        renderer: &Renderer<'_>,
    ) -> Result<Body, Status> {
        let prefix = match &filter.namespace {
            Some(namespace) => format!("{namespace}/"),
            None => String::new(),
        };
        if !next.start.starts_with(&prefix) && !next.start.is_empty() {
            return Err(Status::bad_request(
                "continue key is not valid: it is of another list",
            ));
        }
        let all = self.cache.store_key(self.place, "");
        let begin = self.cache.store_key(self.place, &prefix);
        let end = end_of(&begin);
        let mut from = if next.start.is_empty() {
            begin
        } else {
            self.cache.store_key(self.place, &next.start)
        };
        let picker = Picker::new(self.served.stored.rules.selectable);
        let mut at = next.revision.unwrap_or_default();
        let mut entries: Vec<Entry> = Vec::new();
        let wanted = if limit == 0 { usize::MAX } else { limit };
        let mut left = None;
        loop {
            let size = if unselective(filter) {
                wanted.saturating_sub(entries.len())
            } else {
                PAGE
            };
            let page = self
                .cache
                .store()
                .page(from.clone(), end.clone(), size.min(PAGE * 20), at);
            let page = page.await.map_err(|error| self.page_fault(&error, next))?;
            at = page.revision;
            let count = page.count;
            let mut read = 0;
            for (key, stored) in page.items {
                from = after(&key);
                read += 1;
                let Some(key) = key.strip_prefix(&*all) else {
                    continue;
                };
                let key = String::from_utf8_lossy(key);
                match Entry::new(&key, &stored.value, stored.revision, &picker) {
                    Ok(entry) if filter.matches(&entry) => entries.push(entry),
                    Ok(_) => {}
                    Err(error) => tracing::error!(%error, "an object in the store is left out"),
                }
                if entries.len() == wanted {
                    break;
                }
            }
            if entries.len() == wanted {
                left = (count > read).then_some(count - read);
                break;
            }
            if !page.more {
                break;
            }
        }
        let mut meta = ListMeta {
            resource_version: at.to_string(),
            ..ListMeta::default()
        };
        if let (Some(left), Some(last)) = (left, entries.last()) {
            meta.continue_token = token(Some(at), last.key());
            meta.remaining_item_count = unselective(filter).then_some(left);
        }
        let entries: Vec<_> = entries.into_iter().map(Arc::new).collect();
        if renderer.is_plain() {
            return Ok(Body::List(List::new(renderer.head(&meta), entries)));
        }
        let stored = entries.iter().map(|entry| entry.bytes().clone());
        Ok(renderer.list(stored, &meta)?.into())
    }

    fn page_fault(&self, error: &StoreError, next: &Continue) -> Status {
        match error {
            StoreError::Compacted if next.start.is_empty() => Status::expired(status::LIST_TOO_OLD),
            // The rest, as it is now: the client decides whether that will do.
            StoreError::Compacted => {
                let rest = Continue {
                    revision: None,
                    start: next.start.clone(),
                };
                Status::continue_inconsistent(rest.token())
            }
            StoreError::Future => {
                let current = self.cache.state().revision;
                Status::too_new(next.revision.unwrap_or_default(), current, 1)
            }
            error => unavailable(error),
        }
    }

    /// Watches, in a slot.
    ///
    /// # Errors
    /// The answer to the client.
    pub async fn watch(
        &self,
        options: &ListOptions,
        query: &Query,
        renderer: &Renderer<'_>,
        slot: Slot,
    ) -> Result<Body, Status> {
        let filter = self.filter(options)?;
        let listed = options.initial_events || !query.has("sendInitialEvents");
        let begin = match options.version {
            Version::Latest => {
                self.cache
                    .fresh()
                    .await
                    .map_err(|error| unavailable(&error))?;
                if listed { Begin::All } else { Begin::Now }
            }
            Version::Any => {
                self.cache.loaded().await;
                if listed { Begin::All } else { Begin::Now }
            }
            Version::NotOlderThan(version) | Version::Exact(version) => {
                self.cache.loaded().await;
                if options.initial_events {
                    self.reach(version).await?;
                    Begin::All
                } else if self.cache.reach(version).await {
                    Begin::After(version)
                } else {
                    // The store has gone back since: what happens until it is there again would be left out as known.
                    let current = self.cache.state().revision;
                    let told = format!(
                        "resource version {version} is ahead of the current one, {current}: list again"
                    );
                    return Ok(refused(&Status::expired(told)).into());
                }
            }
        };
        let after = match begin {
            Begin::After(version) => version,
            _ => 0,
        };
        let watch = match self.cache.watch(self.place, filter, begin) {
            Ok(watch) => watch,
            Err(too_old) => return Ok(refused(&Status::too_old(after, too_old.oldest)).into()),
        };
        let random = u64::from(super::random::number32()) % WATCH_SECONDS;
        let seconds = match options.timeout_seconds {
            None | Some(0) => WATCH_SECONDS + random,
            Some(seconds) => seconds.min(WATCH_SECONDS_MAX),
        };
        let manner = Manner {
            served: *self.served,
            form: renderer.form,
            include: renderer.include,
            bookmarks: options.bookmarks,
            initial_end: options.initial_events,
            after,
            time: Duration::from_secs(seconds),
        };
        Ok(Body::Watch(Box::new(Watching::new(watch, manner, slot))))
    }

    /// Which objects; the fields must be the type's.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn filter(&self, options: &ListOptions) -> Result<Filter, Status> {
        let selectable = self.served.resource.rules.selectable;
        let mut known = vec!["metadata.name", "metadata.namespace"];
        known.extend(selectable.iter().map(|selectable| selectable.field));
        let words = if selectable.is_empty() {
            Unsupported::MetadataOnly
        } else {
            Unsupported::OwnFields
        };
        let checked = options.fields.check(&known, words);
        checked.map_err(|error| Status::bad_request(error.to_string()))?;
        Ok(Filter::new(
            self.namespace,
            options.labels.clone(),
            options.fields.clone(),
        ))
    }

    async fn reach(&self, version: u64) -> Result<(), Status> {
        if self.cache.reach(version).await {
            return Ok(());
        }
        Err(Status::too_new(version, self.cache.state().revision, 1))
    }
}

/// Whether all objects of the range are meant: then they can be counted without a look.
fn unselective(filter: &Filter) -> bool {
    filter.labels.is_everything() && filter.fields.is_everything()
}

fn token(revision: Option<u64>, last: &str) -> String {
    let start = format!("{last}\0");
    Continue { revision, start }.token()
}

//! Watches: who is told what, in which order, and what happens to those who do not keep up.
//!
//! ```text
//!                      created ──┬── from now on ───────────────> Current ──> told of each batch as it is applied
//!                                │                                 ▲    │
//!                                └── from an earlier revision ──┐  │    │ its stream has no room
//!                                                               ▼  │    ▼
//!        history compacted beyond it: cancelled <────────────── Behind ──> told from the records, in steps,
//!                                                                          when its stream has room
//! ```
//!
//! Guarantees, whichever way events come: in the order of revisions; all of a revision in one response (or
//! in fragments of one); none lost; none twice; and a progress notice of revision R comes after every event up to R
//! of the watches that it speaks for.
//!
//! Bounds: a stream has at most [`QUEUE_BYTES_MAX`] and one response under way, where its reader takes no requests
//! while [`Watches::has_room`] says no. Whoever is slower loses nothing: his watches fall behind and read the records
//! later. Only compaction ends a watch that is behind.
//!
//! The caller passes every applied change before it answers the command, so that a watch created "now" after a put was
//! acknowledged is not told of that put.

pub mod behind;
mod interest;
mod responses;

use super::{
    key_range::KeyRange,
    records::{Change, Records, StorageError},
};
use etcd_proto::{
    errors::{Refusal, watch as reasons},
    etcdserverpb::{
        WatchCancelRequest, WatchCreateRequest, WatchRequest, WatchResponse,
        watch_create_request::FilterType, watch_request::RequestUnion,
    },
};
use interest::Interest;
use responses::{Batch, event, fragments, header};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of responses that wait for one stream before its watches fall behind: a few of the largest requests.
pub const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of one fragment: the largest request that a client may send, with what gRPC adds (etcd's figures).
pub const FRAGMENT_BYTES_MAX: usize = (1536 + 512) * 1024;
/// Watches in all. At some 300 bytes each they are 300 MB.
pub const WATCHES_MAX: usize = 1_000_000;
/// The watch of a response that is about the whole stream or about no watch.
pub const NO_WATCH: i64 = -1;

/// One client's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// One watch: its stream, and its number there.
pub type WatchKey = (StreamId, i64);

/// A response on its way out. Its order among those of its stream is the order of actions.
#[derive(Debug, Clone, PartialEq)]
pub struct Send {
    /// To whom.
    pub stream: StreamId,
    /// What. Cluster, member and term are for the sender to fill in.
    pub response: WatchResponse,
    /// Bytes that count against the stream's bound until [`Watches::sent`] gives them back.
    pub bytes: usize,
}

#[derive(Debug)]
struct Watch {
    key: Box<[u8]>,
    range_end: Box<[u8]>,
    /// First revision that it has not been told of.
    next: i64,
    behind: bool,
    no_put: bool,
    no_delete: bool,
    previous: bool,
    fragment: bool,
    progress_notify: bool,
    /// It was told of an event since the last tick, so that a notice would say nothing new.
    told: bool,
}

impl Watch {
    fn range(&self) -> KeyRange<'_> {
        KeyRange::new(&self.key, &self.range_end)
    }

    /// Whether it wants to hear of this change at all.
    fn wants(&self, revision: i64, is_delete: bool) -> bool {
        revision >= self.next
            && !(if is_delete {
                self.no_delete
            } else {
                self.no_put
            })
    }
}

#[derive(Debug, Default)]
struct Stream {
    watches: BTreeMap<i64, Watch>,
    /// Where the search for the next free number begins.
    next_number: i64,
    queued: usize,
    /// A progress notice was asked for while a watch was behind.
    progress_wanted: bool,
}

impl Stream {
    fn has_room(&self) -> bool {
        self.queued < QUEUE_BYTES_MAX
    }
}

/// All streams and their watches.
#[derive(Debug)]
pub struct Watches {
    streams: BTreeMap<StreamId, Stream>,
    interest: Interest,
    behind: BTreeSet<WatchKey>,
    count: usize,
    /// Every change up to this revision has been passed in.
    revision: i64,
    compacted: i64,
}

impl Watches {
    /// No watches, in a store of this revision.
    #[must_use]
    pub fn new(revision: i64, compacted: i64) -> Self {
        Self {
            streams: BTreeMap::new(),
            interest: Interest::default(),
            behind: BTreeSet::new(),
            count: 0,
            revision,
            compacted,
        }
    }

    /// Watches in all, and how many of them are behind.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.count, self.behind.len())
    }

    /// A client opened a stream.
    pub fn open(&mut self, stream: StreamId) {
        self.streams.entry(stream).or_default();
    }

    /// A client's stream is gone, and its watches with it.
    pub fn close(&mut self, stream: StreamId) {
        let Some(closed) = self.streams.remove(&stream) else {
            return;
        };
        self.count -= closed.watches.len();
        for (number, watch) in closed.watches {
            self.behind.remove(&(stream, number));
            self.interest.remove(watch.range(), (stream, number));
        }
    }

    /// Whether a stream takes more before its watches fall behind. Its requests wait while it does not, since each is
    /// answered.
    #[must_use]
    pub fn has_room(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_some_and(Stream::has_room)
    }

    /// A stream has taken these bytes.
    pub fn sent(&mut self, stream: StreamId, bytes: usize) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.queued = stream.queued.saturating_sub(bytes);
        }
    }

    /// A client's request.
    pub fn request(&mut self, stream: StreamId, request: WatchRequest, out: &mut Vec<Send>) {
        if !self.streams.contains_key(&stream) {
            return;
        }
        match request.request_union {
            Some(RequestUnion::CreateRequest(request)) => self.create(stream, &request, out),
            Some(RequestUnion::CancelRequest(request)) => self.cancel(stream, &request, out),
            Some(RequestUnion::ProgressRequest(_)) => {
                if let Some(asking) = self.streams.get_mut(&stream) {
                    asking.progress_wanted = true;
                }
                self.answer_progress(stream, out);
            }
            // etcd ignores what it does not know.
            None => {}
        }
    }

    /// Changes were applied: of one revision or several, in order.
    ///
    /// # Errors
    /// A previous pair cannot be read.
    pub fn applied(
        &mut self,
        changes: &[Change],
        records: &impl Records,
        out: &mut Vec<Send>,
    ) -> Result<(), StorageError> {
        let mut batches: BTreeMap<WatchKey, Batch> = BTreeMap::new();
        for change in changes {
            let main = change.revision.main;
            let mut watchers = Vec::new();
            self.interest
                .of(&change.record.key, |watcher| watchers.push(watcher));
            let mut previous = None;
            for watcher in watchers {
                let Some((watch, has_room)) = self.watch(watcher) else {
                    continue;
                };
                if !watch.wants(main, change.is_delete()) {
                    continue;
                }
                if !has_room {
                    self.fall_behind(watcher, main);
                    continue;
                }
                let previous = match change.previous {
                    Some(before) if watch.previous && main > self.compacted => {
                        if previous.is_none() {
                            previous = Some(records.get(before)?);
                        }
                        previous.clone()
                    }
                    _ => None,
                };
                let batch = batches.entry(watcher).or_default();
                batch.push(event(change.record.clone(), previous));
            }
        }
        if let Some(last) = changes.last() {
            self.revision = self.revision.max(last.revision.main);
        }
        for (watcher, batch) in batches {
            let first = batch.first_revision();
            if !self.tell(watcher, batch, self.revision, out) {
                self.fall_behind(watcher, first);
            }
        }
        Ok(())
    }

    /// The whole state was replaced by another member's, which is further: every watch reads what it missed.
    pub fn replaced(&mut self, revision: i64, compacted: i64, out: &mut Vec<Send>) {
        let told = self.revision;
        let mut current = Vec::new();
        for (stream, state) in &self.streams {
            for (number, watch) in &state.watches {
                // A watch of the future is not behind until the store has come there.
                if !watch.behind && watch.next <= revision {
                    current.push(((*stream, *number), watch.next.max(told + 1)));
                }
            }
        }
        for (watcher, next) in current {
            self.fall_behind(watcher, next);
        }
        self.revision = revision;
        self.compacted(compacted, out);
    }

    /// The store was compacted: watches that are behind and wanted what is gone are cancelled.
    pub fn compacted(&mut self, revision: i64, out: &mut Vec<Send>) {
        self.compacted = self.compacted.max(revision);
        let lost: Vec<_> = self
            .behind
            .iter()
            .copied()
            .filter(|watcher| {
                self.watch(*watcher)
                    .is_some_and(|(watch, _)| watch.next < self.compacted)
            })
            .collect();
        for watcher in lost {
            self.cancel_compacted(watcher, out);
        }
    }

    /// Time for a sign of life: watches that asked for it, are not behind, and were told nothing since the last
    /// tick, get a notice.
    pub fn tick(&mut self, out: &mut Vec<Send>) {
        let mut notices = Vec::new();
        for (stream, state) in &mut self.streams {
            for (number, watch) in &mut state.watches {
                let told = std::mem::replace(&mut watch.told, false);
                if watch.progress_notify && !watch.behind && !told {
                    notices.push((*stream, *number));
                }
            }
        }
        for (stream, watch_id) in notices {
            let response = WatchResponse {
                header: header(self.revision),
                watch_id,
                ..WatchResponse::default()
            };
            self.send(stream, response, out);
        }
    }

    fn create(&mut self, stream: StreamId, request: &WatchCreateRequest, out: &mut Vec<Send>) {
        let created = self.admit(stream, request);
        let (watch_id, cancel_reason) = match created {
            Ok(number) => (number, String::new()),
            Err(reason) => (NO_WATCH, reason.to_owned()),
        };
        let response = WatchResponse {
            header: header(self.revision),
            watch_id,
            created: true,
            canceled: created.is_err(),
            cancel_reason,
            ..WatchResponse::default()
        };
        self.send(stream, response, out);
        let Ok(number) = created else { return };
        let next = if request.start_revision == 0 {
            self.revision + 1
        } else {
            request.start_revision
        };
        let filtered = |kind: FilterType| request.filters.contains(&i32::from(kind));
        let watch = Watch {
            key: key(request).into(),
            range_end: request.range_end.as_ref().into(),
            next,
            behind: next <= self.revision,
            no_put: filtered(FilterType::Noput),
            no_delete: filtered(FilterType::Nodelete),
            previous: request.prev_kv,
            fragment: request.fragment,
            progress_notify: request.progress_notify,
            told: false,
        };
        self.count += 1;
        let behind = watch.behind;
        if behind {
            self.behind.insert((stream, number));
        } else {
            self.interest.add(watch.range(), (stream, number));
        }
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.watches.insert(number, watch);
        }
        if behind && next < self.compacted {
            self.cancel_compacted((stream, number), out);
        }
    }

    /// The number of the new watch, or why it cannot be.
    fn admit(
        &mut self,
        stream: StreamId,
        request: &WatchCreateRequest,
    ) -> Result<i64, &'static str> {
        if request.start_revision < 0 {
            return Err(Refusal::Compacted.text());
        }
        if KeyRange::new(key(request), &request.range_end)
            .bounds()
            .is_none()
        {
            return Err(reasons::RANGE_EMPTY);
        }
        if self.count >= WATCHES_MAX {
            return Err(Refusal::TooManyRequests.text());
        }
        let state = self.streams.entry(stream).or_default();
        if request.watch_id != 0 {
            let taken = state.watches.contains_key(&request.watch_id);
            return (!taken)
                .then_some(request.watch_id)
                .ok_or(reasons::DUPLICATE_ID);
        }
        while state.watches.contains_key(&state.next_number) {
            state.next_number += 1;
        }
        let number = state.next_number;
        state.next_number += 1;
        Ok(number)
    }

    fn cancel(&mut self, stream: StreamId, request: &WatchCancelRequest, out: &mut Vec<Send>) {
        if self.remove((stream, request.watch_id)) {
            let response = WatchResponse {
                header: header(self.revision),
                watch_id: request.watch_id,
                canceled: true,
                ..WatchResponse::default()
            };
            self.send(stream, response, out);
            self.answer_progress(stream, out);
        }
    }

    fn cancel_compacted(&mut self, watcher: WatchKey, out: &mut Vec<Send>) {
        self.remove(watcher);
        let (stream, watch_id) = watcher;
        let response = WatchResponse {
            header: header(self.revision),
            watch_id,
            canceled: true,
            compact_revision: self.compacted,
            cancel_reason: Refusal::Compacted.text().to_owned(),
            ..WatchResponse::default()
        };
        self.send(stream, response, out);
        self.answer_progress(stream, out);
    }

    fn remove(&mut self, watcher: WatchKey) -> bool {
        let (stream, number) = watcher;
        let Some(watch) = self
            .streams
            .get_mut(&stream)
            .and_then(|stream| stream.watches.remove(&number))
        else {
            return false;
        };
        self.count -= 1;
        self.behind.remove(&watcher);
        self.interest.remove(watch.range(), watcher);
        true
    }

    fn watch(&self, watcher: WatchKey) -> Option<(&Watch, bool)> {
        let stream = self.streams.get(&watcher.0)?;
        Some((stream.watches.get(&watcher.1)?, stream.has_room()))
    }

    fn watch_mut(&mut self, watcher: WatchKey) -> Option<&mut Watch> {
        let stream = self.streams.get_mut(&watcher.0)?;
        stream.watches.get_mut(&watcher.1)
    }

    fn fall_behind(&mut self, watcher: WatchKey, next: i64) {
        let (stream, number) = watcher;
        if let Some(watch) = self
            .streams
            .get_mut(&stream)
            .and_then(|stream| stream.watches.get_mut(&number))
        {
            watch.behind = true;
            watch.next = next;
            self.interest.remove(watch.range(), watcher);
            self.behind.insert(watcher);
        }
    }

    /// Tells a watch of a batch, which ends with this revision; false where its stream has no room, and nothing was
    /// told.
    fn tell(
        &mut self,
        watcher: WatchKey,
        batch: Batch,
        revision: i64,
        out: &mut Vec<Send>,
    ) -> bool {
        if !self.has_room(watcher.0) {
            return false;
        }
        let Some(watch) = self.watch_mut(watcher) else {
            return true;
        };
        watch.told = true;
        let responses = if watch.fragment {
            fragments(watcher.1, revision, batch, FRAGMENT_BYTES_MAX)
        } else {
            vec![batch.into_response(watcher.1, revision)]
        };
        for response in responses {
            self.send(watcher.0, response, out);
        }
        true
    }

    /// Tells a stream how far it has come, if it asked and none of its watches is behind.
    fn answer_progress(&mut self, stream: StreamId, out: &mut Vec<Send>) {
        let Some(asking) = self.streams.get_mut(&stream) else {
            return;
        };
        if !asking.progress_wanted || asking.watches.values().any(|watch| watch.behind) {
            return;
        }
        asking.progress_wanted = false;
        let response = WatchResponse {
            header: header(self.revision),
            watch_id: NO_WATCH,
            ..WatchResponse::default()
        };
        self.send(stream, response, out);
    }

    fn send(&mut self, stream: StreamId, response: WatchResponse, out: &mut Vec<Send>) {
        use etcd_proto::prost::Message;
        let bytes = response.encoded_len();
        if let Some(state) = self.streams.get_mut(&stream) {
            state.queued += bytes;
            out.push(Send {
                stream,
                response,
                bytes,
            });
        }
    }
}

/// The first key of a watch; none means from the first key there can be.
fn key(request: &WatchCreateRequest) -> &[u8] {
    if request.key.is_empty() {
        b"\0"
    } else {
        &request.key
    }
}

#[cfg(test)]
mod tests;

//! Watch streams: the queues between [`Watches`] and those who take its responses.
//!
//! Whoever locks the state and this locks the state first.

use crate::planner::{
    index::Index,
    records::{Change, Records, StorageError},
    watch::{Send, StreamId, Watches},
};
use etcd_proto::etcdserverpb::{WatchRequest, WatchResponse};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, mpsc};

/// All streams.
#[derive(Debug)]
pub struct WatchHub {
    streams: Mutex<Streams>,
    /// A watch has fallen behind, or its stream has room again.
    behind: Notify,
}

#[derive(Debug)]
struct Streams {
    watches: Watches,
    queues: BTreeMap<StreamId, Queue>,
    next: u64,
    stopped: bool,
}

/// Bounded by what [`Watches`] counts for the stream.
#[derive(Debug)]
struct Queue {
    sender: mpsc::UnboundedSender<Send>,
    room: Arc<Notify>,
}

impl Streams {
    fn deliver(&self, responses: Vec<Send>) {
        for send in responses {
            if let Some(queue) = self.queues.get(&send.stream) {
                // The stream is being closed: nobody misses it.
                let _ = queue.sender.send(send);
            }
        }
    }
}

impl WatchHub {
    /// No streams, in a store of this revision.
    #[must_use]
    pub fn new(revision: i64, compacted: i64) -> Arc<Self> {
        Arc::new(Self {
            streams: Mutex::new(Streams {
                watches: Watches::new(revision, compacted),
                queues: BTreeMap::new(),
                next: 0,
                stopped: false,
            }),
            behind: Notify::new(),
        })
    }

    /// Opens a stream.
    pub fn open(self: &Arc<Self>) -> WatchStream {
        let (sender, responses) = mpsc::unbounded_channel();
        let room = Arc::new(Notify::new());
        let mut streams = self.lock();
        let stream = StreamId(streams.next);
        streams.next += 1;
        if !streams.stopped {
            streams.watches.open(stream);
            let room = room.clone();
            streams.queues.insert(stream, Queue { sender, room });
        }
        drop(streams);
        WatchStream {
            hub: self.clone(),
            stream,
            responses: tokio::sync::Mutex::new(responses),
            room,
        }
    }

    /// Streams, watches in all, and how many of them are behind.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let streams = self.lock();
        let (watches, behind) = streams.watches.counts();
        (streams.queues.len(), watches, behind)
    }

    /// Changes were applied, and perhaps a compaction.
    ///
    /// # Errors
    /// A previous pair cannot be read.
    pub fn applied(
        &self,
        changes: &[Change],
        compacted: Option<i64>,
        records: &impl Records,
    ) -> Result<(), StorageError> {
        let mut out = Vec::new();
        let mut streams = self.lock();
        streams.watches.applied(changes, records, &mut out)?;
        if let Some(revision) = compacted {
            streams.watches.compacted(revision, &mut out);
        }
        streams.deliver(out);
        let behind = streams.watches.can_catch_up();
        drop(streams);
        if behind {
            self.behind.notify_one();
        }
        Ok(())
    }

    /// Another member's state took the place of ours.
    pub fn replaced(&self, revision: i64, compacted: i64) {
        let mut out = Vec::new();
        let mut streams = self.lock();
        streams.watches.replaced(revision, compacted, &mut out);
        streams.deliver(out);
        drop(streams);
        self.behind.notify_one();
    }

    /// Time for a sign of life to those who asked for it.
    pub fn tick(&self) {
        let mut out = Vec::new();
        let mut streams = self.lock();
        streams.watches.tick(&mut out);
        streams.deliver(out);
    }

    /// Waits until a watch is behind.
    pub async fn wait_behind(&self) {
        self.behind.notified().await;
    }

    /// Brings those who are behind a step further. Returns whether there is more to do.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn catch_up(&self, index: &Index, records: &impl Records) -> Result<bool, StorageError> {
        let mut out = Vec::new();
        let mut streams = self.lock();
        streams.watches.catch_up(index, records, &mut out)?;
        streams.deliver(out);
        Ok(streams.watches.can_catch_up())
    }

    /// Ends all streams.
    pub fn stop(&self) {
        let mut streams = self.lock();
        streams.stopped = true;
        for queue in std::mem::take(&mut streams.queues).into_values() {
            queue.room.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client's watch stream; its watches end when it is dropped.
#[derive(Debug)]
pub struct WatchStream {
    hub: Arc<WatchHub>,
    stream: StreamId,
    responses: tokio::sync::Mutex<mpsc::UnboundedReceiver<Send>>,
    room: Arc<Notify>,
}

impl WatchStream {
    /// Takes a request. Waits while the stream's responses are not taken: each request is answered.
    pub async fn request(&self, request: WatchRequest) {
        let mut waiting = Some(request);
        loop {
            let has_room = self.room.notified();
            self.try_request(&mut waiting);
            if waiting.is_none() {
                return;
            }
            has_room.await;
        }
    }

    /// Takes the request where the stream has room.
    fn try_request(&self, waiting: &mut Option<WatchRequest>) {
        let mut streams = self.hub.lock();
        if !streams.stopped && !streams.watches.has_room(self.stream) {
            return;
        }
        let Some(request) = waiting.take() else {
            return;
        };
        let mut out = Vec::new();
        streams.watches.request(self.stream, request, &mut out);
        streams.deliver(out);
        let behind = streams.watches.can_catch_up();
        drop(streams);
        if behind {
            self.hub.behind.notify_one();
        }
    }

    /// The next response; its header is without cluster, member and term. None: the member is stopping.
    pub async fn next(&self) -> Option<WatchResponse> {
        let sent = self.responses.lock().await.recv().await?;
        let mut streams = self.hub.lock();
        let had_room = streams.watches.has_room(self.stream);
        streams.watches.sent(self.stream, sent.bytes);
        let has_room = streams.watches.has_room(self.stream);
        let behind = !had_room && has_room && streams.watches.can_catch_up();
        drop(streams);
        if has_room {
            self.room.notify_one();
        }
        if behind {
            self.hub.behind.notify_one();
        }
        Some(sent.response)
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        let mut streams = self.hub.lock();
        streams.watches.close(self.stream);
        streams.queues.remove(&self.stream);
    }
}

//! A watch as a body: events as lines, bookmarks now and then, an end in time.

use super::{
    cache::{Seen, Watch, frame},
    flow::Slot,
};
use crate::planner::{
    negotiate::{Form, View},
    render::Renderer,
    served::Served,
};
use bytes::{Bytes, BytesMut};
use objects::{status::Status, table::Include};
use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// How often a watch tells how far it is; upstream's, without its random part.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Before its end, a watch tells once more.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// Events that wait are sent together, up to so many bytes.
const TOGETHER_MAX: usize = 32 * 1024;

/// A watch that is sent.
#[derive(Debug)]
pub struct Watching {
    watch: Watch,
    first: VecDeque<Seen>,
    served: Served,
    form: Form,
    include: Include,
    bookmarks: bool,
    /// Told once, when the objects that were there have been sent.
    initial_end: bool,
    /// Nothing has been sent yet.
    fresh: bool,
    /// Events up to this revision are known to the client.
    after: u64,
    end: Pin<Box<Sleep>>,
    bookmark: Pin<Box<Sleep>>,
    ended: bool,
    _slot: Slot,
}

/// How a watch is sent.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// What is watched.
    pub served: Served,
    /// In which form.
    pub form: Form,
    /// How much of its object a row of a table has.
    pub include: Include,
    /// Whether it tells how far it is.
    pub bookmarks: bool,
    /// Whether it tells when all that was there has been sent.
    pub initial_end: bool,
    /// Events up to this revision are known to the client.
    pub after: u64,
    /// For how long.
    pub time: Duration,
}

impl Watching {
    /// Sends a watch, which has its slot until it ends.
    #[must_use]
    pub fn new(mut watch: Watch, manner: Manner, slot: Slot) -> Self {
        let now = Instant::now();
        let first = std::mem::take(&mut watch.first);
        Self {
            watch,
            first,
            served: manner.served,
            form: manner.form,
            include: manner.include,
            bookmarks: manner.bookmarks,
            initial_end: manner.initial_end,
            fresh: true,
            after: manner.after,
            end: Box::pin(sleep_until(now + manner.time)),
            bookmark: Box::pin(sleep_until(
                now + bookmark_in(manner.time).min(BOOKMARK_EVERY),
            )),
            ended: false,
            _slot: slot,
        }
    }

    /// The next lines; None: it is over.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(bytes) = self.initial() {
            return Poll::Ready(Some(bytes));
        }
        loop {
            match self.watch.poll_next(context) {
                Poll::Ready(Some(seen)) if seen.revision <= self.after => {}
                Poll::Ready(Some(seen)) => return Poll::Ready(Some(self.together(&seen))),
                Poll::Ready(None) => {
                    self.ended = true;
                    return Poll::Ready(None);
                }
                Poll::Pending => break,
            }
        }
        if self.end.as_mut().poll(context).is_ready() {
            self.ended = true;
            return Poll::Ready(None);
        }
        if self.bookmarks && self.bookmark.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(self.regular_bookmark(context)));
        }
        Poll::Pending
    }

    /// What was there when the watch began, and that this was all.
    fn initial(&mut self) -> Option<Bytes> {
        let mut lines = BytesMut::new();
        while lines.len() < TOGETHER_MAX
            && let Some(seen) = self.first.pop_front()
        {
            let line = self.line(&seen);
            lines.extend_from_slice(&line);
        }
        if self.first.is_empty() && std::mem::take(&mut self.initial_end) {
            let bookmark = self.bookmark_at(self.watch.revision, true);
            lines.extend_from_slice(&bookmark);
        }
        (!lines.is_empty()).then(|| lines.freeze())
    }

    /// An event, and those that wait behind it.
    fn together(&mut self, seen: &Seen) -> Bytes {
        let line = self.line(seen);
        let Some(next) = self.watch.waiting() else {
            // The same buffer for all who watch.
            return line;
        };
        let mut lines = BytesMut::from(&*line);
        lines.extend_from_slice(&self.line(&next));
        while lines.len() < TOGETHER_MAX
            && let Some(next) = self.watch.waiting()
        {
            let line = self.line(&next);
            lines.extend_from_slice(&line);
        }
        lines.freeze()
    }

    fn line(&mut self, seen: &Seen) -> Bytes {
        let first = std::mem::take(&mut self.fresh);
        let renderer = self.renderer();
        if renderer.is_plain() {
            return seen.frame();
        }
        match renderer.event(seen.entry.bytes(), first) {
            Ok(object) => frame(seen.kind.as_str(), &object),
            Err(status) => frame("ERROR", status.to_value().to_string().as_bytes()),
        }
    }

    fn renderer(&self) -> Renderer<'_> {
        Renderer {
            served: &self.served,
            form: self.form,
            include: self.include,
            now: super::clock::now(),
        }
    }

    /// All that came before the revision was read is sent before the bookmark.
    fn regular_bookmark(&mut self, context: &mut Context<'_>) -> Bytes {
        let revision = self.watch.reached();
        let mut lines = BytesMut::new();
        while let Some(seen) = self.watch.waiting() {
            if seen.revision > self.after {
                let line = self.line(&seen);
                lines.extend_from_slice(&line);
            }
        }
        lines.extend_from_slice(&self.bookmark_at(revision.max(self.after), false));
        let now = Instant::now();
        let left = self.end.deadline().saturating_duration_since(now);
        let next = match bookmark_in(left) {
            // One is told just before the end.
            soon if soon < BOOKMARK_EVERY && !soon.is_zero() => soon,
            _ => BOOKMARK_EVERY,
        };
        self.bookmark.as_mut().reset(now + next);
        // So that we are woken by it.
        let _ = self.bookmark.as_mut().poll(context);
        lines.freeze()
    }

    fn bookmark_at(&mut self, revision: u64, initial: bool) -> Bytes {
        let mut metadata = serde_json::json!({"resourceVersion": revision.to_string()});
        if initial {
            metadata["annotations"] = serde_json::json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.form.view {
            View::Whole => serde_json::json!({
                "kind": &*self.served.schema.kind.kind,
                "apiVersion": self.served.api_version(),
                "metadata": metadata,
            }),
            View::Metadata => serde_json::json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
            }),
            View::Table => serde_json::json!({
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
                "columnDefinitions": [],
                "rows": [],
            }),
        };
        frame("BOOKMARK", object.to_string().as_bytes())
    }
}

fn bookmark_in(left: Duration) -> Duration {
    left.saturating_sub(BOOKMARK_BEFORE_END)
}

/// A watch that cannot begin: one line, and its end.
#[must_use]
pub fn refused(status: &Status) -> Bytes {
    frame("ERROR", status.to_value().to_string().as_bytes())
}

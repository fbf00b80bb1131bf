//! The store, as the API server uses it: an etcd v3 cluster's keys below one prefix.
//!
//! ```text
//!   get, page            what is there, and at which revision of the store
//!   commit               some expectations, some writes, all or nothing
//!   follow               every change from a revision on, in order
//! ```
//!
//! Sources: etcd's API reference; "What a Kubernetes API server asks of its store" in the published client code.

use bytes::Bytes;
use etcd_client::{Dialer, Route};
use etcd_proto::{
    errors::Refusal,
    etcdserverpb::{
        CompactionRequest, Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp,
        ResponseHeader, TxnRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest,
        WatchResponse,
        compare::{CompareResult, CompareTarget, TargetUnion},
        kv_client::KvClient,
        request_op::Request,
        response_op::Response,
        watch_client::WatchClient,
        watch_request::RequestUnion,
    },
    mvccpb::{self, event::EventType},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{error::Elapsed, timeout},
};
use tonic::{Code, Status, transport::Channel};

/// Longest wait for one call. Elections of a store take less.
pub const CALL_MAX: Duration = Duration::from_secs(10);
/// Largest answer that is taken: a page of the largest objects.
const ANSWER_MAX: usize = 256 * 1024 * 1024;
/// A page is about so large. More holds up the store's other answers.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Keys of a first page, when nothing is known of their size, and of any at most.
const PAGE_KEYS: usize = 500;
const PAGE_KEYS_MAX: usize = 10_000;
/// Requests on a watch's stream that wait: one that makes it, and those that ask how far it is.
const WATCH_REQUESTS: usize = 4;

/// Why the store did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It is away, slow, or without a leader. Whether a write was done is not known.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// The revision's history is gone.
    #[error("the store has compacted the revision")]
    Compacted,
    /// The store has not come so far: it is another, or was restored.
    #[error("the store has not reached the revision")]
    Future,
    /// The request is larger than it takes.
    #[error("the store refuses it as too large: {0}")]
    TooLarge(String),
    /// Its space is used up.
    #[error("the store has no space left")]
    NoSpace,
    /// Something else.
    #[error("the store refuses it: {0}")]
    Refused(String),
}

/// Which store, and how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// A store that was restored is another one.
    pub cluster: u64,
    /// Its revision.
    pub revision: u64,
}

/// A value, and when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Without resourceVersion.
    pub value: Bytes,
    /// The revision that wrote it.
    pub revision: u64,
}

/// Some of the keys of a range.
#[derive(Debug)]
pub struct Page {
    /// In the order of their keys.
    pub items: Vec<(Bytes, Stored)>,
    /// The store's, when it was read; that of the snapshot, if one was asked for.
    pub revision: u64,
    /// More keys follow.
    pub more: bool,
    /// Keys of the range, from this page's first on.
    pub count: u64,
}

/// One write of a transaction.
#[derive(Debug, Clone)]
pub enum Write {
    /// A value for a key; the lease: seconds after which the store may forget it, 0 for none.
    Put(Bytes, Bytes),
    /// No value.
    Delete(Bytes),
}

/// What is written if all is as expected.
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    /// Keys, and the revision that wrote them last: 0 where there must be none.
    pub expect: Vec<(Bytes, u64)>,
    /// All of them or none.
    pub writes: Vec<Write>,
}

/// What became of a transaction.
#[derive(Debug)]
pub enum Outcome {
    /// Written, at this revision.
    Done(u64),
    /// Not as expected: what is there, in the order of the expectations, and the store's revision.
    Lost(Vec<Option<Stored>>, u64),
}

/// A change of one key.
#[derive(Debug)]
pub struct Change {
    /// Which.
    pub key: Bytes,
    /// The new value; None: deleted.
    pub value: Option<Bytes>,
    /// When.
    pub revision: u64,
}

/// What a followed store says.
#[derive(Debug)]
pub enum Said {
    /// All changes of one or more revisions, in order; there are none up to and with this revision that have not been told.
    Changes(Vec<Change>, u64),
    /// Nothing below the prefix has changed up to and with this revision.
    Nothing(u64),
}

/// The keys of a cluster. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    kv: KvClient<Channel>,
    watch: WatchClient<Channel>,
    /// Asked for to learn the store's revision, and nothing else.
    nothing: Bytes,
}

impl Store {
    /// The cluster with members at these URLs. Connections are made when they are used.
    ///
    /// # Errors
    /// No URL can be called.
    pub fn new(dialer: Dialer, urls: &[String]) -> Result<Self, String> {
        let dialer = Arc::new(dialer);
        let route = || {
            Route::new(
                Arc::clone(&dialer),
                urls,
                etcd_client::MemberUrl::parse_for_clients,
            )
        };
        // The watch carries everything that changes: what is read and written must not wait behind it.
        Ok(Self {
            kv: KvClient::new(route()?.channel()).max_decoding_message_size(ANSWER_MAX),
            watch: WatchClient::new(route()?.channel()).max_decoding_message_size(ANSWER_MAX),
            nothing: Bytes::from_static(b"/registry"),
        })
    }

    /// Which store it is, and its revision: no earlier than that of any write that was done before this was called.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn standing(&self) -> Result<Standing, StoreError> {
        let request = RangeRequest {
            key: self.nothing.clone(),
            count_only: true,
            ..RangeRequest::default()
        };
        let answer = self.range(request).await?;
        let header = answer.header.unwrap_or_default();
        Ok(Standing {
            cluster: header.cluster_id,
            revision: unsigned(header.revision),
        })
    }

    /// A key's value, and the store's revision.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, key: Bytes) -> Result<(Option<Stored>, u64), StoreError> {
        let request = RangeRequest {
            key,
            limit: 1,
            ..RangeRequest::default()
        };
        let answer = self.range(request).await?;
        let found = answer.kvs.into_iter().next().map(stored);
        Ok((found, revision_of(answer.header.as_ref())))
    }

    /// Keys from `from` (with) to `to` (without), at most `limit`, as they were at `at`; 0 for now.
    ///
    /// # Errors
    /// [`StoreError`]; Compacted and Future where `at` cannot be had.
    pub async fn page(
        &self,
        from: Bytes,
        to: Bytes,
        limit: usize,
        at: u64,
    ) -> Result<Page, StoreError> {
        let request = RangeRequest {
            key: from,
            range_end: to,
            limit: signed(u64::try_from(limit).unwrap_or(u64::MAX)),
            revision: signed(at),
            ..RangeRequest::default()
        };
        let answer = self.range(request).await?;
        let items = answer
            .kvs
            .into_iter()
            .map(|pair| (pair.key.clone(), stored(pair)))
            .collect();
        let revision = match at {
            0 => revision_of(answer.header.as_ref()),
            at => at,
        };
        Ok(Page {
            items,
            revision,
            more: answer.more,
            count: u64::try_from(answer.count).unwrap_or_default(),
        })
    }

    /// All keys from `from` to `to` at one revision, page by page; `each` is given them in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn all(
        &self,
        from: Bytes,
        to: Bytes,
        mut each: impl FnMut(Bytes, Stored),
    ) -> Result<u64, StoreError> {
        let (mut from, mut at, mut limit) = (from, 0, PAGE_KEYS);
        loop {
            let page = self.page(from, to.clone(), limit, at).await?;
            at = page.revision;
            let bytes: usize = page.items.iter().map(|(_, item)| item.value.len()).sum();
            let last = page.items.last().map(|(key, _)| key.clone());
            let keys = page.items.len();
            for (key, item) in page.items {
                each(key, item);
            }
            match last {
                Some(last) if page.more => from = after(&last),
                _ => return Ok(at),
            }
            let average = (bytes / keys.max(1)).max(1);
            limit = (PAGE_BYTES / average).clamp(1, PAGE_KEYS_MAX);
        }
    }

    /// Writes, if all is as expected.
    ///
    /// # Errors
    /// [`StoreError`]. After Unavailable it may have been written, or may be yet.
    pub async fn commit(&self, transaction: &Transaction) -> Result<Outcome, StoreError> {
        let expected = |(key, revision): &(Bytes, u64)| Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Mod.into(),
            key: key.clone(),
            target_union: Some(TargetUnion::ModRevision(signed(*revision))),
            ..Compare::default()
        };
        let write = |write: &Write| match write {
            Write::Put(key, value) => Request::RequestPut(PutRequest {
                key: key.clone(),
                value: value.clone(),
                ..PutRequest::default()
            }),
            Write::Delete(key) => Request::RequestDeleteRange(DeleteRangeRequest {
                key: key.clone(),
                ..DeleteRangeRequest::default()
            }),
        };
        let read = |(key, _): &(Bytes, u64)| {
            Request::RequestRange(RangeRequest {
                key: key.clone(),
                ..RangeRequest::default()
            })
        };
        let operation = |request| RequestOp {
            request: Some(request),
        };
        let request = TxnRequest {
            compare: transaction.expect.iter().map(expected).collect(),
            success: transaction
                .writes
                .iter()
                .map(write)
                .map(operation)
                .collect(),
            failure: transaction.expect.iter().map(read).map(operation).collect(),
        };
        let mut kv = self.kv.clone();
        let answer = done(timeout(CALL_MAX, kv.txn(request)).await)?.into_inner();
        let revision = revision_of(answer.header.as_ref());
        if answer.succeeded {
            return Ok(Outcome::Done(revision));
        }
        let found = answer
            .responses
            .into_iter()
            .map(|answer| match answer.response {
                Some(Response::ResponseRange(range)) => range.kvs.into_iter().next().map(stored),
                _ => None,
            });
        Ok(Outcome::Lost(found.collect(), revision))
    }

    /// Forgets history before this revision.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn compact(&self, revision: u64) -> Result<(), StoreError> {
        let request = CompactionRequest {
            revision: signed(revision),
            physical: false,
        };
        let mut kv = self.kv.clone();
        done(timeout(CALL_MAX, kv.compact(request)).await)?;
        Ok(())
    }

    /// Follows the keys from `from` to `to`, from a revision on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn follow(&self, from: Bytes, to: Bytes, start: u64) -> Result<Follow, StoreError> {
        let (ask, requests) = mpsc::channel(WATCH_REQUESTS);
        let create = WatchCreateRequest {
            key: from,
            range_end: to,
            start_revision: signed(start),
            progress_notify: true,
            ..WatchCreateRequest::default()
        };
        let first = ask.send(WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        });
        first.await.map_err(|_| away("the watch ended"))?;
        let mut watch = self.watch.clone();
        let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
        let said = done(timeout(CALL_MAX, watch.watch(requests)).await)?.into_inner();
        Ok(Follow {
            asks: Asks(ask),
            said,
        })
    }

    async fn range(
        &self,
        request: RangeRequest,
    ) -> Result<etcd_proto::etcdserverpb::RangeResponse, StoreError> {
        let mut kv = self.kv.clone();
        Ok(done(timeout(CALL_MAX, kv.range(request)).await)?.into_inner())
    }
}

/// Asks a followed store how far it is.
#[derive(Debug, Clone)]
pub struct Asks(mpsc::Sender<WatchRequest>);

impl Asks {
    /// It then says at least [`Said::Nothing`]. Whoever asks while others do is answered with them.
    pub fn how_far(&self) {
        // A full queue holds the same question.
        let _ = self.0.try_send(WatchRequest {
            request_union: Some(RequestUnion::ProgressRequest(WatchProgressRequest {})),
        });
    }
}

/// A followed store.
#[derive(Debug)]
pub struct Follow {
    asks: Asks,
    said: tonic::Streaming<WatchResponse>,
}

impl Follow {
    /// To ask how far it is.
    #[must_use]
    pub fn asks(&self) -> Asks {
        self.asks.clone()
    }

    /// What it says next.
    ///
    /// # Errors
    /// [`StoreError`]: it is followed no longer.
    pub async fn next(&mut self) -> Result<Said, StoreError> {
        loop {
            let said = self.said.message().await.map_err(|status| fault(&status))?;
            let said = said.ok_or_else(|| away("the watch ended"))?;
            if said.canceled {
                return Err(match said.compact_revision {
                    0 => away(&said.cancel_reason),
                    _ => StoreError::Compacted,
                });
            }
            if said.created {
                continue;
            }
            let revision = revision_of(said.header.as_ref());
            if said.events.is_empty() {
                return Ok(Said::Nothing(revision));
            }
            let last = said.events.last().and_then(|event| event.kv.as_ref());
            // The header may be ahead of what this watch was sent.
            let told = last.map_or(0, |pair| unsigned(pair.mod_revision));
            let changes = said.events.into_iter().filter_map(change).collect();
            return Ok(Said::Changes(changes, told));
        }
    }
}

fn change(event: mvccpb::Event) -> Option<Change> {
    let deleted = event.r#type() == EventType::Delete;
    let pair = event.kv?;
    Some(Change {
        revision: unsigned(pair.mod_revision),
        key: pair.key,
        value: (!deleted).then_some(pair.value),
    })
}

fn stored(pair: mvccpb::KeyValue) -> Stored {
    Stored {
        revision: unsigned(pair.mod_revision),
        value: pair.value,
    }
}

/// The least key after this one.
#[must_use]
pub fn after(key: &[u8]) -> Bytes {
    [key, b"\0"].concat().into()
}

/// The least key after all that begin with this: where their range ends.
#[must_use]
pub fn end_of(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end.into();
        }
    }
    // All keys that there are.
    Bytes::from_static(b"\0")
}

fn revision_of(header: Option<&ResponseHeader>) -> u64 {
    header.map_or(0, |header| unsigned(header.revision))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn done<T>(result: Result<Result<T, Status>, Elapsed>) -> Result<T, StoreError> {
    match result {
        Ok(answer) => answer.map_err(|status| fault(&status)),
        Err(_) => Err(away("it took too long to answer")),
    }
}

fn away(why: &str) -> StoreError {
    StoreError::Unavailable(why.to_owned())
}

fn fault(status: &Status) -> StoreError {
    let is =
        |refusal: Refusal| status.code() == refusal.code() && status.message() == refusal.text();
    if is(Refusal::Compacted) {
        return StoreError::Compacted;
    }
    if is(Refusal::FutureRevision) {
        return StoreError::Future;
    }
    if is(Refusal::NoSpace) {
        return StoreError::NoSpace;
    }
    let text = status.message().to_owned();
    match status.code() {
        Code::InvalidArgument if text.contains("too large") => StoreError::TooLarge(text),
        Code::OutOfRange if text.contains("larger than max") => StoreError::TooLarge(text),
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Unknown
        | Code::Internal
        | Code::Aborted => StoreError::Unavailable(text),
        _ => StoreError::Refused(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_where_the_prefix_does() {
        let check = |prefix: &[u8], expect: &[u8]| assert_eq!(&end_of(prefix)[..], expect);
        check(b"/registry/", b"/registry0");
        check(b"a\xff", b"b");
        check(b"\xff", b"\0");
        check(b"", b"\0");
        assert_eq!(&after(b"a")[..], b"a\0");
    }

    #[test]
    fn the_stores_answers_are_told_apart() {
        let check = |status: &Status, expect: &str| {
            let told = format!("{:?}", fault(status));
            assert!(told.starts_with(expect), "{told}");
        };
        check(&Refusal::Compacted.into(), "Compacted");
        check(&Refusal::FutureRevision.into(), "Future");
        check(&Refusal::NoSpace.into(), "NoSpace");
        check(
            &Status::invalid_argument("etcdserver: request is too large"),
            "TooLarge",
        );
        check(&Status::unavailable("etcdserver: no leader"), "Unavailable");
        check(&Status::permission_denied("no"), "Refused");
    }
}

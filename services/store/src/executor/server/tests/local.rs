//! A member without log, disk or peers: the state machine itself, told of every command at once.

use crate::{
    executor::{
        member::{MemberError, MemberInfo, MemberStatus, Standing},
        server::{Backend, WatchStream},
        snapshot_file::Blobs,
    },
    planner::{
        command::Command,
        records::Change,
        revision::Revision,
        state::{Reply, State},
        watch::{self, StreamId, Watches},
    },
};
use etcd_proto::{
    errors::Refusal,
    etcdserverpb::{WatchRequest, WatchResponse},
    mvccpb::KeyValue,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

pub(crate) const CLUSTER: u64 = 0xcafe;
pub(crate) const MEMBER: u64 = 0xbeef;

/// The store in memory.
#[derive(Clone, Default)]
pub(crate) struct Local(Arc<Shared>);

#[derive(Default)]
struct Shared {
    inner: Mutex<Inner>,
    /// Responses were queued, or taken.
    moved: Notify,
}

struct Inner {
    state: State,
    records: BTreeMap<Revision, KeyValue>,
    watches: Watches,
    queues: BTreeMap<StreamId, VecDeque<watch::Send>>,
    streams: u64,
    leaderless: bool,
    learner: bool,
}

impl Default for Inner {
    fn default() -> Self {
        let state = State::default();
        Self {
            watches: Watches::new(state.revision(), state.compacted()),
            state,
            records: BTreeMap::new(),
            queues: BTreeMap::new(),
            streams: 0,
            leaderless: false,
            learner: false,
        }
    }
}

impl Inner {
    fn queue(&mut self, out: &mut Vec<watch::Send>) {
        loop {
            for send in out.drain(..) {
                if let Some(queue) = self.queues.get_mut(&send.stream) {
                    queue.push_back(send);
                }
            }
            if !self.watches.can_catch_up() {
                return;
            }
            self.watches
                .catch_up(self.state.index(), &self.records, out)
                .expect("memory is readable");
        }
    }
}

impl Local {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody leads from now on, or somebody does again.
    pub(crate) fn lose_leader(&self, lost: bool) {
        self.inner().leaderless = lost;
    }

    /// The member has no vote.
    pub(crate) fn become_learner(&self) {
        self.inner().learner = true;
    }

    fn apply(&self, command: &Command) -> Result<Reply, MemberError> {
        let mut inner = self.inner();
        let inner = &mut *inner;
        if inner.leaderless {
            return Err(MemberError::NoLeader);
        }
        let applied = inner.state.apply(command, &inner.records)?;
        for Change {
            revision, record, ..
        } in &applied.changes
        {
            inner.records.insert(*revision, record.clone());
        }
        let mut out = Vec::new();
        inner
            .watches
            .applied(&applied.changes, &inner.records, &mut out)?;
        inner.watches.compacted(inner.state.compacted(), &mut out);
        inner.queue(&mut out);
        self.0.moved.notify_waiters();
        Ok(applied.reply?)
    }
}

impl Backend for Local {
    type Records = BTreeMap<Revision, KeyValue>;
    type WatchStream = LocalWatch;

    async fn propose(&self, command: Command) -> Result<Reply, MemberError> {
        self.apply(&command)
    }

    async fn linearize(&self) -> Result<(), MemberError> {
        let led = !self.inner().leaderless;
        led.then_some(()).ok_or(MemberError::NoLeader)
    }

    fn read<T>(&self, look: impl FnOnce(&State, &Self::Records) -> T) -> Result<T, MemberError> {
        let inner = self.inner();
        Ok(look(&inner.state, &inner.records))
    }

    fn watch(&self) -> LocalWatch {
        let mut inner = self.inner();
        inner.streams += 1;
        let stream = StreamId(inner.streams);
        inner.watches.open(stream);
        inner.queues.insert(stream, VecDeque::new());
        LocalWatch {
            store: self.clone(),
            stream,
        }
    }

    async fn renew_lease(&self, id: i64) -> Result<i64, MemberError> {
        Ok(self.lease_remaining(id).await?.0)
    }

    async fn lease_remaining(&self, id: i64) -> Result<(i64, Duration), MemberError> {
        let inner = self.inner();
        let lease = inner.state.leases().get(id).ok_or(Refusal::LeaseNotFound)?;
        let seconds = u64::try_from(lease.time_to_live).expect("granted above zero");
        Ok((lease.time_to_live, Duration::from_secs(seconds)))
    }

    fn standing(&self) -> Standing {
        let inner = self.inner();
        Standing {
            cluster_id: CLUSTER,
            member_id: MEMBER,
            leader_id: if inner.leaderless { 0 } else { MEMBER },
            term: 2,
            is_learner: inner.learner,
            revision: inner.state.revision(),
        }
    }

    fn status(&self) -> Result<MemberStatus, MemberError> {
        Ok(MemberStatus {
            standing: self.standing(),
            log_index: 1,
            purged_index: 0,
            applied_index: 1,
            database_bytes: 0,
            database_bytes_in_use: 0,
            alarms: self.inner().state.alarms().clone(),
        })
    }

    // Memory has no file.
    async fn defragment(&self) -> Result<(), MemberError> {
        Ok(())
    }

    async fn snapshot(&self) -> Result<Blobs, MemberError> {
        Err(MemberError::Storage(
            "a store in memory has no disk".to_owned(),
        ))
    }

    fn members(&self) -> Vec<MemberInfo> {
        vec![MemberInfo {
            id: MEMBER,
            name: "alone".to_owned(),
            peer_urls: Vec::new(),
            client_urls: vec!["http://127.0.0.1:2379".to_owned()],
            is_learner: false,
        }]
    }

    // It is alone, and stays so.

    async fn add_member(
        &self,
        _peer_urls: Vec<String>,
        _learner: bool,
    ) -> Result<(MemberInfo, Vec<MemberInfo>), MemberError> {
        Err(Refusal::Unhealthy.into())
    }

    async fn promote_member(&self, _id: u64) -> Result<Vec<MemberInfo>, MemberError> {
        Err(Refusal::MemberNotFound.into())
    }

    async fn update_member(
        &self,
        _id: u64,
        _peer_urls: Vec<String>,
    ) -> Result<Vec<MemberInfo>, MemberError> {
        Err(Refusal::MemberNotFound.into())
    }

    async fn remove_member(&self, _id: u64) -> Result<Vec<MemberInfo>, MemberError> {
        Err(Refusal::MemberNotEnoughStarted.into())
    }

    async fn move_leader(&self, _to: u64) -> Result<(), MemberError> {
        Ok(())
    }
}

/// One stream.
pub(crate) struct LocalWatch {
    store: Local,
    stream: StreamId,
}

impl LocalWatch {
    async fn until<T>(&self, mut ready: impl FnMut(&mut Inner) -> Option<T>) -> T {
        loop {
            let moved = self.store.0.moved.notified();
            let mut moved = std::pin::pin!(moved);
            moved.as_mut().enable();
            if let Some(ready) = ready(&mut self.store.inner()) {
                return ready;
            }
            moved.await;
        }
    }
}

impl WatchStream for LocalWatch {
    async fn request(&self, request: WatchRequest) {
        let room = |inner: &mut Inner| inner.watches.has_room(self.stream).then_some(());
        self.until(room).await;
        let mut inner = self.store.inner();
        let mut out = Vec::new();
        inner.watches.request(self.stream, request, &mut out);
        inner.queue(&mut out);
        self.store.0.moved.notify_waiters();
    }

    async fn next(&self) -> Option<WatchResponse> {
        let next = |inner: &mut Inner| {
            let send = inner.queues.get_mut(&self.stream)?.pop_front()?;
            inner.watches.sent(self.stream, send.bytes);
            let mut out = Vec::new();
            inner.queue(&mut out);
            Some(send.response)
        };
        let response = self.until(next).await;
        self.store.0.moved.notify_waiters();
        Some(response)
    }
}

impl Drop for LocalWatch {
    fn drop(&mut self) {
        let mut inner = self.store.inner();
        inner.watches.close(self.stream);
        inner.queues.remove(&self.stream);
    }
}

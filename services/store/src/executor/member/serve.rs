//! A member as etcd's services need it.

use super::{Member, MemberError, MemberInfo, MemberStatus, Standing, WatchStream};
use crate::{
    executor::{
        records::Reader,
        server::{self, Backend},
        snapshot_file::Blobs,
    },
    planner::{
        command::Command,
        state::{Reply, State},
    },
};
use etcd_proto::etcdserverpb::{WatchRequest, WatchResponse};
use std::time::Duration;

impl Backend for Member {
    type Records = Reader;
    type WatchStream = WatchStream;

    async fn propose(&self, command: Command) -> Result<Reply, MemberError> {
        Self::propose(self, command).await
    }

    async fn linearize(&self) -> Result<(), MemberError> {
        Self::linearize(self).await
    }

    fn read<T>(&self, look: impl FnOnce(&State, &Reader) -> T) -> Result<T, MemberError> {
        Self::read(self, look)
    }

    fn watch(&self) -> WatchStream {
        Self::watch(self)
    }

    async fn renew_lease(&self, id: i64) -> Result<i64, MemberError> {
        Self::renew_lease(self, id).await
    }

    async fn lease_remaining(&self, id: i64) -> Result<(i64, Duration), MemberError> {
        Self::lease_remaining(self, id).await
    }

    fn standing(&self) -> Standing {
        Self::standing(self)
    }

    fn status(&self) -> Result<MemberStatus, MemberError> {
        Self::status(self)
    }

    async fn defragment(&self) -> Result<(), MemberError> {
        Self::defragment(self).await
    }

    async fn snapshot(&self) -> Result<Blobs, MemberError> {
        Self::snapshot(self).await
    }

    fn members(&self) -> Vec<MemberInfo> {
        Self::members(self)
    }

    async fn add_member(
        &self,
        peer_urls: Vec<String>,
        learner: bool,
    ) -> Result<(MemberInfo, Vec<MemberInfo>), MemberError> {
        Self::add_member(self, peer_urls, learner).await
    }

    async fn promote_member(&self, id: u64) -> Result<Vec<MemberInfo>, MemberError> {
        Self::promote_member(self, id).await
    }

    async fn update_member(
        &self,
        id: u64,
        peer_urls: Vec<String>,
    ) -> Result<Vec<MemberInfo>, MemberError> {
        Self::update_member(self, id, peer_urls).await
    }

    async fn remove_member(&self, id: u64) -> Result<Vec<MemberInfo>, MemberError> {
        Self::remove_member(self, id).await
    }

    async fn move_leader(&self, to: u64) -> Result<(), MemberError> {
        Self::move_leader(self, to).await
    }
}

impl server::WatchStream for WatchStream {
    async fn request(&self, request: WatchRequest) {
        Self::request(self, request).await;
    }

    async fn next(&self) -> Option<WatchResponse> {
        Self::next(self).await
    }
}

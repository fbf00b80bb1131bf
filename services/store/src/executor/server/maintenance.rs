//! The Maintenance service.

use super::{
    Api, Backend, VERSION,
    api::{refused, reply},
    hashing,
};
use crate::planner::{
    command::Command,
    state::{Alarm, Reply},
};
use bytes::Bytes;
use etcd_proto::{
    errors::Refusal,
    etcdserverpb::{
        AlarmRequest, AlarmResponse, AlarmType, DefragmentRequest, DefragmentResponse,
        DowngradeRequest, DowngradeResponse, HashKvRequest, HashKvResponse, HashRequest,
        HashResponse, MoveLeaderRequest, MoveLeaderResponse, SnapshotRequest, SnapshotResponse,
        StatusRequest, StatusResponse, downgrade_request::DowngradeAction,
        maintenance_server::Maintenance,
    },
};
use std::pin::Pin;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, async_trait};

#[async_trait]
impl<B: Backend> Maintenance for Api<B> {
    async fn alarm(
        &self,
        request: Request<AlarmRequest>,
    ) -> Result<Response<AlarmResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let request = request.into_inner();
        let reply = self.change(&request, || Command::Alarm(request)).await?;
        reply!(self, Alarm, reply)
    }

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        self.admit(request.metadata(), true)?;
        let status = self.backend.status().map_err(refused)?;
        let standing = status.standing;
        let mut errors = Vec::new();
        if standing.leader_id == 0 {
            errors.push(Refusal::NoLeader.text().to_owned());
        }
        errors.extend(status.alarms.iter().map(alarm_text));
        Ok(Response::new(StatusResponse {
            header: self.header(),
            version: VERSION.to_owned(),
            db_size: signed(status.database_bytes),
            leader: standing.leader_id,
            raft_index: status.log_index,
            raft_term: standing.term,
            raft_applied_index: status.applied_index,
            errors,
            db_size_in_use: signed(status.database_bytes_in_use),
            is_learner: standing.is_learner,
            storage_version: String::new(),
            db_size_quota: signed(self.limits.quota_bytes),
        }))
    }

    async fn defragment(
        &self,
        request: Request<DefragmentRequest>,
    ) -> Result<Response<DefragmentResponse>, Status> {
        self.admit(request.metadata(), true)?;
        self.backend.defragment().await.map_err(refused)?;
        Ok(Response::new(DefragmentResponse {
            header: self.header(),
        }))
    }

    /// etcd's is over its file's bytes, which are of no use to anybody else; ours is that of keys and values.
    async fn hash(&self, request: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let hashed = hashing::hash(&self.backend, 0).await.map_err(refused)?;
        Ok(Response::new(HashResponse {
            header: self.header(),
            hash: hashed.hash,
        }))
    }

    async fn hash_kv(
        &self,
        request: Request<HashKvRequest>,
    ) -> Result<Response<HashKvResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let revision = request.into_inner().revision;
        let hashed = hashing::hash(&self.backend, revision)
            .await
            .map_err(refused)?;
        Ok(Response::new(HashKvResponse {
            header: self.header(),
            hash: hashed.hash,
            compact_revision: hashed.compacted,
            hash_revision: hashed.revision,
        }))
    }

    type SnapshotStream = Pin<Box<dyn Stream<Item = Result<SnapshotResponse, Status>> + Send>>;

    /// The bytes are this store's own, see [`crate::executor::snapshot_file`]. What remains is an estimate by the size of the file
    /// of records, until nothing does.
    async fn snapshot(
        &self,
        request: Request<SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        self.admit(request.metadata(), false)?;
        let status = self.backend.status().map_err(refused)?;
        let mut remaining = status.database_bytes;
        let header = self.header();
        let response = move |remaining_bytes, blob| SnapshotResponse {
            header,
            remaining_bytes,
            blob,
            version: VERSION.to_owned(),
        };
        let last = response(0, Bytes::new());
        let blobs = self
            .backend
            .snapshot()
            .await
            .map_err(refused)?
            .map(move |blob| {
                let blob = blob.map_err(|error| Status::unavailable(error.to_string()))?;
                remaining = remaining.saturating_sub(u64::try_from(blob.len()).unwrap_or(u64::MAX));
                Ok(response(remaining.max(1), blob))
            });
        Ok(Response::new(Box::pin(
            blobs.chain(tokio_stream::once(Ok(last))),
        )))
    }

    async fn move_leader(
        &self,
        request: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let target = request.into_inner().target_id;
        let standing = self.backend.standing();
        if standing.leader_id != standing.member_id {
            return Err(Refusal::NotLeader.into());
        }
        let members = self.backend.members();
        let votes = |id| {
            members
                .iter()
                .any(|member| member.id == id && !member.is_learner)
        };
        if !votes(target) {
            return Err(Refusal::BadLeaderTransferee.into());
        }
        self.backend.move_leader(target).await.map_err(refused)?;
        Ok(Response::new(MoveLeaderResponse {
            header: self.header(),
        }))
    }

    /// The store's format is not etcd's, and no release before this one could read it.
    async fn downgrade(
        &self,
        request: Request<DowngradeRequest>,
    ) -> Result<Response<DowngradeResponse>, Status> {
        let request = request.into_inner();
        let refusal = if request.action() == DowngradeAction::Cancel {
            Refusal::NoInflightDowngrade
        } else if is_version(&request.version) {
            Refusal::InvalidDowngradeTargetVersion
        } else {
            Refusal::WrongDowngradeVersionFormat
        };
        Err(refusal.into())
    }
}

/// As etcd prints an alarm: protobuf's text form, with its trailing space.
fn alarm_text(alarm: &Alarm) -> String {
    let kind = AlarmType::try_from(alarm.kind).map_or("UNKNOWN", |kind| kind.as_str_name());
    format!("memberID:{} alarm:{kind} ", alarm.member)
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Whether a text is a version such as 3.4 or 3.4.0.
fn is_version(text: &str) -> bool {
    let parts: Vec<_> = text.split('.').collect();
    (2..=3).contains(&parts.len()) && parts.iter().all(|part| part.parse::<u32>().is_ok())
}

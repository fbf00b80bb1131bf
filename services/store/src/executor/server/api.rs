//! What all services share: bounds, headers, and errors in etcd's words.

use super::Backend;
use crate::{
    executor::member::MemberError,
    planner::{
        check::TRANSACTION_OPERATIONS_MAX,
        command::Command,
        state::{ReadError, Reply},
    },
};
use etcd_proto::{errors::Refusal, etcdserverpb::ResponseHeader, prost::Message};
use std::time::Duration;
use tonic::{Status, metadata::MetadataMap};

/// The version of etcd whose interface this is. Clients look at it to know what they may ask for: from 3.5.13 on,
/// a Kubernetes API server trusts progress notices on request.
pub const VERSION: &str = "3.5.16";
/// The cluster's version, as etcd writes it: without the patch.
pub const CLUSTER_VERSION: &str = "3.5.0";
/// Metadata of a client that wants no answer from a member without a leader (etcd's `WithRequireLeader`).
const REQUIRE_LEADER: &str = "hasleader";

/// Bounds that the command line may change.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a request (`--max-request-bytes`).
    pub request_bytes: usize,
    /// Operations of a transaction (`--max-txn-ops`).
    pub transaction_operations: usize,
    /// Seconds of the shortest lease: one that ended within an election could not be renewed.
    pub lease_seconds_min: i64,
    /// Bytes of records beyond which puts are refused, as status tells it.
    pub quota_bytes: u64,
    /// How long a stream that insists on a leader goes on without one (etcd: three elections).
    pub leaderless_max: Duration,
}

impl Limits {
    /// What gRPC adds to the largest request that is let through to be refused by etcd's own text.
    pub const ENVELOPE_BYTES: usize = 512 * 1024;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes: 1536 * 1024,
            transaction_operations: TRANSACTION_OPERATIONS_MAX,
            lease_seconds_min: 2,
            quota_bytes: 2 * 1024 * 1024 * 1024,
            leaderless_max: Duration::from_secs(3),
        }
    }
}

/// The services' common half: one value implements them all.
#[derive(Debug, Clone)]
pub struct Api<B> {
    pub(super) backend: B,
    pub(super) limits: Limits,
}

impl<B: Backend> Api<B> {
    /// Services of this member.
    pub fn new(backend: B, limits: Limits) -> Self {
        Self { backend, limits }
    }

    /// The member behind.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// The bounds in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Fills in who answered; the revision stays where the answer has one.
    pub(super) fn complete(&self, header: &mut Option<ResponseHeader>) {
        let standing = self.backend.standing();
        let revision = header.as_ref().map_or(0, |header| header.revision);
        *header = Some(ResponseHeader {
            cluster_id: standing.cluster_id,
            member_id: standing.member_id,
            revision: if revision == 0 {
                standing.revision
            } else {
                revision
            },
            raft_term: standing.term,
        });
    }

    /// A header with the store's revision of now.
    pub(super) fn header(&self) -> Option<ResponseHeader> {
        let mut header = None;
        self.complete(&mut header);
        header
    }

    /// A header of the Cluster service, whose answers are about no revision of the store: etcd leaves it out.
    pub(super) fn header_of_members(&self) -> Option<ResponseHeader> {
        let header = self.header();
        header.map(|header| ResponseHeader {
            revision: 0,
            ..header
        })
    }

    /// Proposes a change whose request has these bytes.
    pub(super) async fn change(
        &self,
        request: &impl Message,
        command: impl FnOnce() -> Command + Send,
    ) -> Result<Reply, Status> {
        if request.encoded_len() > self.limits.request_bytes {
            return Err(Refusal::RequestTooLarge.into());
        }
        self.backend.propose(command()).await.map_err(refused)
    }

    /// Waits until this member is as far as the cluster was at the call.
    pub(super) async fn linearize(&self) -> Result<(), Status> {
        self.backend.linearize().await.map_err(refused)
    }

    /// What every call passes first: a learner answers only some, and a client may insist on a leader.
    pub(super) fn admit(&self, metadata: &MetadataMap, learner_too: bool) -> Result<(), Status> {
        let standing = self.backend.standing();
        if standing.is_learner && !learner_too {
            return Err(Refusal::NotSupportedForLearner.into());
        }
        if requires_leader(metadata) && standing.leader_id == 0 {
            return Err(Refusal::NoLeader.into());
        }
        Ok(())
    }
}

/// Whether the client wants no answer from a member without a leader.
pub(super) fn requires_leader(metadata: &MetadataMap) -> bool {
    metadata
        .get(REQUIRE_LEADER)
        .is_some_and(|value| value.as_bytes() == b"true")
}

/// A member's error as clients are told it. What etcd has no text for is a fault of this member.
pub(super) fn refused(error: MemberError) -> Status {
    match error.refusal() {
        Some(refusal) => refusal.into(),
        None if matches!(error, MemberError::Busy(_) | MemberError::DiskFull { .. }) => {
            Status::unavailable(format!("etcdserver: {error}"))
        }
        None => Status::unknown(error.to_string()),
    }
}

/// A read's error as clients are told it.
pub(super) fn unread(error: ReadError) -> Status {
    match error {
        ReadError::Refused(refusal) => refusal.into(),
        ReadError::Storage(error) => refused(error.into()),
    }
}

/// The reply to one kind of command, its header completed.
macro_rules! reply {
    ($api:expr, $kind:ident, $reply:expr) => {
        match $reply {
            Reply::$kind(mut response) => {
                $api.complete(&mut response.header);
                Ok(tonic::Response::new(response))
            }
            other => unreachable!("a reply of another kind: {other:?}"),
        }
    };
}
pub(super) use reply;

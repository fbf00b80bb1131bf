//! What a member answers to its peers.

use super::{
    CLUSTER, FROM, MESSAGE_BYTES_MAX, TO, append,
    client::status,
    proto::{
        AppendRequest, AppendResponse, ChangeMembersRequest, HashRequest, HashResponse,
        InstallResponse, LeaseRequest, LeaseResponse, ListMembersRequest, Members, ProposeRequest,
        ProposeResponse, ReadIndexRequest, ReadIndexResponse, SnapshotChunk, TransferRequest,
        TransferResponse, VoteRequest, VoteResponse,
        append_response::Outcome,
        peer_server::{self, PeerServer},
    },
    snapshot,
};
use crate::executor::server::hashing::hash;
use crate::executor::{
    member::Member,
    raft::{
        TypeConfig,
        encoding::{
            Malformed, decode_log_id, decode_proposal, decode_vote, encode_log_id, encode_vote,
        },
    },
};
use crate::planner::command::Command;
use http_server::Answer;
use hyper::body::Incoming;
use openraft::raft::{
    AppendEntriesResponse, TransferLeaderRequest, VoteRequest as RaftVote,
    VoteResponse as RaftVoteResponse,
};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codegen::{BoxFuture, Service as _},
    metadata::MetadataMap,
};

/// One member's service to its peers.
pub struct PeerService {
    member: Member,
    /// There is one file for a snapshot that comes.
    installing: tokio::sync::Mutex<()>,
    misled: Sparingly,
}

impl PeerService {
    /// The service of this member, as gRPC serves it, with bounds on its messages.
    fn server(member: Member) -> PeerServer<Self> {
        let service = Self {
            member,
            installing: tokio::sync::Mutex::new(()),
            misled: Sparingly::default(),
        };
        PeerServer::new(service)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Refuses what is meant for somebody else.
    fn admit<T>(&self, request: Request<T>) -> Result<T, Status> {
        let (cluster, id) = (self.member.cluster_id(), self.member.id());
        let named = |name| number(request.metadata(), name);
        let refusal = if named(CLUSTER) != Some(cluster) {
            format!("this is a member of cluster {cluster:x}")
        } else if named(TO) != Some(id) {
            format!("this is member {id:x} of cluster {cluster:x}")
        } else {
            return Ok(request.into_inner());
        };
        if self.misled.may_say() {
            let hex = |name| named(name).map_or("none".to_owned(), |number| format!("{number:x}"));
            tracing::warn!(
                from = hex(FROM),
                cluster = hex(CLUSTER),
                to = hex(TO),
                "a request that was meant for another member came here and is refused: {refusal}; look at peer URLs and \
                 cluster tokens"
            );
        }
        Err(Status::failed_precondition(refusal))
    }
}

/// Says something again only after a while: who is misled asks ten times a second.
#[derive(Default)]
struct Sparingly(Mutex<Option<Instant>>);

impl Sparingly {
    const PAUSE: Duration = Duration::from_secs(10);

    fn may_say(&self) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_some_and(|said| said.elapsed() < Self::PAUSE) {
            return false;
        }
        *said = Some(Instant::now());
        true
    }
}

/// The service as listeners serve it, and networks that are simulated. It takes one type of body: gRPC would be compiled for each.
#[derive(Clone)]
pub struct Peering(PeerServer<PeerService>);

impl Peering {
    /// This member's.
    pub fn new(member: Member) -> Self {
        Self(PeerService::server(member))
    }

    /// Answers one call.
    pub fn call(
        &self,
        request: hyper::Request<Body>,
    ) -> BoxFuture<hyper::Response<Body>, Infallible> {
        self.0.clone().call(request)
    }
}

impl Answer for Peering {
    type Body = Body;

    async fn answer(&self, request: hyper::Request<Incoming>) -> hyper::Response<Body> {
        let Ok(response) = self.call(request.map(Body::new)).await;
        response
    }
}

fn number(metadata: &MetadataMap, name: &str) -> Option<u64> {
    metadata.get(name)?.to_str().ok()?.parse().ok()
}

fn malformed(error: Malformed) -> Status {
    Status::invalid_argument(error.to_string())
}

fn fatal(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

fn vote_request(request: VoteRequest) -> Result<RaftVote<TypeConfig>, Status> {
    let vote = decode_vote(request.vote).map_err(malformed)?;
    let mut vote = RaftVote::new(vote, request.last.map(decode_log_id));
    vote.leadership_transfer = request.leadership_transfer;
    Ok(vote)
}

fn vote_response(response: &RaftVoteResponse<TypeConfig>) -> Response<VoteResponse> {
    Response::new(VoteResponse {
        vote: Some(encode_vote(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.map(encode_log_id),
    })
}

#[tonic::async_trait]
impl peer_server::Peer for PeerService {
    async fn vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteResponse>, Status> {
        let request = vote_request(self.admit(request)?)?;
        let response = self.member.raft().vote(request).await.map_err(fatal)?;
        Ok(vote_response(&response))
    }

    async fn pre_vote(
        &self,
        request: Request<VoteRequest>,
    ) -> Result<Response<VoteResponse>, Status> {
        let request = vote_request(self.admit(request)?)?;
        let response = self.member.raft().pre_vote(request).await.map_err(fatal)?;
        Ok(vote_response(&response))
    }

    async fn append(
        &self,
        request: Request<AppendRequest>,
    ) -> Result<Response<AppendResponse>, Status> {
        let append = append::decode_request(self.admit(request)?).map_err(malformed)?;
        let appended = self.member.raft().append_entries(append).await;
        let (outcome, upto, vote) = match appended.map_err(fatal)? {
            AppendEntriesResponse::Success => (Outcome::Success, None, None),
            AppendEntriesResponse::PartialSuccess(upto) => (Outcome::Partial, upto, None),
            AppendEntriesResponse::Conflict => (Outcome::Conflict, None, None),
            AppendEntriesResponse::HigherVote(vote) => (Outcome::HigherVote, None, Some(vote)),
        };
        let response = AppendResponse {
            outcome: outcome.into(),
            upto: upto.map(encode_log_id),
            vote: vote.as_ref().map(encode_vote),
        };
        Ok(Response::new(response))
    }

    type FollowStream = Pin<Box<dyn Stream<Item = Result<AppendResponse, Status>> + Send>>;

    async fn follow(
        &self,
        request: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let (requests, fault) = append::incoming(self.admit(request)?);
        let answers = self.member.raft().stream_append(requests).map(
            |answer| -> Result<AppendResponse, Status> {
                let answer = answer.map_err(fatal)?;
                Ok(append::encode_answer(&answer))
            },
        );
        Ok(Response::new(Box::pin(answers.chain(fault))))
    }

    async fn install(
        &self,
        request: Request<Streaming<SnapshotChunk>>,
    ) -> Result<Response<InstallResponse>, Status> {
        let chunks = self.admit(request)?;
        let Ok(_alone) = self.installing.try_lock() else {
            return Err(Status::unavailable("another snapshot is on its way in"));
        };
        let (vote, snapshot) = snapshot::receive(self.member.machine(), chunks).await?;
        let vote = decode_vote(Some(vote)).map_err(malformed)?;
        let raft = self.member.raft();
        let response = raft
            .install_full_snapshot(vote, snapshot)
            .await
            .map_err(fatal)?;
        Ok(Response::new(InstallResponse {
            vote: Some(encode_vote(&response.vote)),
        }))
    }

    async fn transfer(
        &self,
        request: Request<TransferRequest>,
    ) -> Result<Response<TransferResponse>, Status> {
        let request = self.admit(request)?;
        let from = decode_vote(request.from).map_err(malformed)?;
        let request = TransferLeaderRequest::new(from, request.to, request.last.map(decode_log_id));
        let raft = self.member.raft();
        let taken = raft.handle_transfer_leader(request).await.map_err(fatal)?;
        Ok(Response::new(TransferResponse {
            refused: taken.err().map(|error| error.to_string()),
        }))
    }

    async fn propose(
        &self,
        request: Request<ProposeRequest>,
    ) -> Result<Response<ProposeResponse>, Status> {
        let request = self.admit(request)?;
        let proposal = decode_proposal(request.proposal).map_err(malformed)?;
        // Once it is in the log, every member must be able to apply it, for ever.
        Command::decode(proposal.command.clone())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let committed = self.member.lead_proposal(proposal).await;
        committed.map_err(|error| status(&error))?;
        Ok(Response::new(ProposeResponse {}))
    }

    async fn read_index(
        &self,
        request: Request<ReadIndexRequest>,
    ) -> Result<Response<ReadIndexResponse>, Status> {
        self.admit(request)?;
        let index = self.member.lead_read_index().await;
        let index = index.map_err(|error| status(&error))?;
        Ok(Response::new(ReadIndexResponse { index }))
    }

    async fn hash(&self, request: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        let request = self.admit(request)?;
        let hashed = hash(&self.member, request.revision).await;
        let hashed = hashed.map_err(|error| status(&error))?;
        Ok(Response::new(HashResponse {
            hash: hashed.hash,
            revision: hashed.revision,
            compacted: hashed.compacted,
        }))
    }

    async fn renew_lease(
        &self,
        request: Request<LeaseRequest>,
    ) -> Result<Response<LeaseResponse>, Status> {
        let request = self.admit(request)?;
        let renewed = self.member.lead_lease_renewal(request.id).await;
        let time_to_live = renewed.map_err(|error| status(&error))?;
        Ok(Response::new(LeaseResponse {
            time_to_live,
            remaining_millis: 0,
        }))
    }

    async fn lease_remaining(
        &self,
        request: Request<LeaseRequest>,
    ) -> Result<Response<LeaseResponse>, Status> {
        let request = self.admit(request)?;
        let lease = self.member.lead_lease_remaining(request.id).await;
        Ok(Response::new(lease.map_err(|error| status(&error))?))
    }

    async fn change_members(
        &self,
        request: Request<ChangeMembersRequest>,
    ) -> Result<Response<Members>, Status> {
        let request = self.admit(request)?;
        let changed = self.member.lead_member_change(request).await;
        Ok(Response::new(changed.map_err(|error| status(&error))?))
    }

    async fn list_members(
        &self,
        _request: Request<ListMembersRequest>,
    ) -> Result<Response<Members>, Status> {
        // As of now: who joins with the URLs of a member that was removed would else be told that one's number.
        let linearized = self.member.linearize().await;
        linearized.map_err(|error| status(&error))?;
        Ok(Response::new(self.member.membership()))
    }
}

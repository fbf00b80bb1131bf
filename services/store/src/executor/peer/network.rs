//! openraft's network over [`Peer`]s.

use super::{
    append,
    client::{Peer, Peers},
    proto::{self, append_response::Outcome, peer_client::PeerClient},
    snapshot,
    transport::Transport,
};
use crate::executor::disk::Disk;
use crate::executor::raft::{
    NodeInfo, TypeConfig, Vote,
    encoding::{Malformed, decode_log_id, decode_vote, encode_log_id, encode_vote},
    state_machine::SnapshotData,
};
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    base::{BoxFuture, BoxStream},
    error::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError,
        TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
    },
    type_config::alias::SnapshotOf,
};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Code, Status};

/// Longest wait until a stream of entries is open: it may need a new connection.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// A snapshot that takes longer is begun again later.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(600);

/// Makes connections for openraft.
pub struct Network {
    /// All connections.
    pub peers: Arc<Peers>,
    /// Where snapshots are read.
    pub disk: Arc<dyn Disk>,
}

/// One connection of openraft's.
pub struct Connection {
    peer: Peer,
    disk: Arc<dyn Disk>,
    /// It is for signs of life.
    urgent: bool,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, node: &NodeInfo) -> Connection {
        Connection {
            peer: self.peers.peer(target, node),
            disk: self.disk.clone(),
            urgent: false,
        }
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &NodeInfo) -> Connection {
        Connection {
            peer: self.peers.peer(target, node),
            disk: self.disk.clone(),
            urgent: true,
        }
    }
}

pub(super) fn failed(status: Status) -> RPCError<TypeConfig> {
    match status.code() {
        // Nobody is there: openraft waits a while before it tries again.
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => {
            RPCError::Unreachable(Unreachable::from_string(status))
        }
        _ => RPCError::Network(NetworkError::from_string(status)),
    }
}

pub(super) fn not_understood(error: Malformed) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(&error))
}

fn vote_request(request: &VoteRequest<TypeConfig>) -> proto::VoteRequest {
    proto::VoteRequest {
        vote: Some(encode_vote(&request.vote)),
        last: request.last_log_id.map(encode_log_id),
        leadership_transfer: request.leadership_transfer,
    }
}

fn vote_response(
    response: proto::VoteResponse,
) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
    let vote = decode_vote(response.vote).map_err(not_understood)?;
    let last = response.last.map(decode_log_id);
    Ok(VoteResponse::new(vote, last, response.granted))
}

impl Connection {
    /// Signs of life have a connection where nothing large is in their way.
    fn client(&self) -> Result<PeerClient<Transport>, Status> {
        if self.urgent {
            self.peer.urgent()
        } else {
            self.peer.bulk()
        }
    }
}

impl RaftNetworkV2<TypeConfig> for Connection {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let message = append::encode_request(&request);
        let client = self.client();
        let request = self.peer.request(message, option.hard_ttl());
        let response = client.map_err(failed)?.append(request).await;
        let response = response.map_err(failed)?.into_inner();
        Ok(match response.outcome() {
            Outcome::Success => AppendEntriesResponse::Success,
            Outcome::Partial => {
                AppendEntriesResponse::PartialSuccess(response.upto.map(decode_log_id))
            }
            Outcome::Conflict => AppendEntriesResponse::Conflict,
            Outcome::HigherVote => AppendEntriesResponse::HigherVote(
                decode_vote(response.vote).map_err(not_understood)?,
            ),
            Outcome::Unspecified => {
                return Err(failed(Status::internal("an append without outcome")));
            }
        })
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, append::Appended>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            let mut input = input;
            // Openraft's pause after a failure lies in this stream, before its first message. Whoever opens a stream to a peer
            // that is gone before he asks for it does so some thousand times a second.
            let Some(first) = input.next().await else {
                let nothing: BoxStream<'s, append::Appended> = Box::pin(tokio_stream::empty());
                return Ok(nothing);
            };
            let input = tokio_stream::once(first).chain(input);
            let mut client = self.client().map_err(failed)?;
            let (requests, waiting) = mpsc::channel(1);
            let stream = self.peer.addressed(ReceiverStream::new(waiting));
            let answers = timeout(OPEN_TIMEOUT, client.follow(stream)).await;
            let late = |_| {
                failed(Status::deadline_exceeded(
                    "a stream of entries was not opened",
                ))
            };
            let answers = answers.map_err(late)?.map_err(failed)?.into_inner();
            let bound = usize::try_from(append::UNANSWERED_MAX).expect("a small number");
            let (sender, results) = mpsc::channel(bound);
            let round_trips = self.peer.round_trips();
            tokio::spawn(append::pump(input, requests, answers, sender, round_trips));
            let results: BoxStream<'s, append::Appended> = Box::pin(ReceiverStream::new(results));
            Ok(results)
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut client = self.peer.urgent().map_err(failed)?;
        let request = self.peer.request(vote_request(&request), option.hard_ttl());
        let response = client.vote(request).await.map_err(failed)?;
        vote_response(response.into_inner())
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut client = self.peer.urgent().map_err(failed)?;
        let request = self.peer.request(vote_request(&request), option.hard_ttl());
        let response = client.pre_vote(request).await.map_err(failed)?;
        vote_response(response.into_inner())
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let unreachable = |status: Status| Unreachable::from_string(status);
        let SnapshotData::Ours(view, position) = snapshot.snapshot else {
            // openraft sends what get_current_snapshot gave.
            let fault = Status::internal("only our own snapshots are sent");
            return Err(unreachable(fault).into());
        };
        let mut client = self.peer.bulk().map_err(unreachable)?;
        let chunks = snapshot::send(self.disk.clone(), *view, position, encode_vote(&vote));
        let request = self.peer.request(chunks, SNAPSHOT_TIMEOUT);
        tokio::select! {
            biased;
            closed = cancel => Err(closed.into()),
            response = client.install(request) => {
                let response = response.map_err(unreachable)?.into_inner();
                let vote = decode_vote(response.vote).map_err(|error| NetworkError::new(&error))?;
                Ok(SnapshotResponse::new(vote))
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut client = self.peer.urgent().map_err(failed)?;
        let message = proto::TransferRequest {
            from: Some(encode_vote(request.from_leader())),
            to: *request.to_node_id(),
            last: request.last_log_id().copied().map(encode_log_id),
        };
        let message = self.peer.request(message, option.hard_ttl());
        let response = client.transfer(message).await.map_err(failed)?.into_inner();
        Ok(match response.refused {
            None => Ok(()),
            Some(reason) => {
                tracing::info!(reason, "a transfer of leadership was refused");
                Err(TransferLeaderError::LogNotFlushed {
                    expected: request.last_log_id().copied(),
                    actual: None,
                })
            }
        })
    }
}

//! Connections to the other members, and calls that are not Raft's own.

use super::{
    CLUSTER, FROM, MESSAGE_BYTES_MAX, TO,
    proto::{
        ChangeMembersRequest, HashRequest, LeaseRequest, LeaseResponse, ListMembersRequest,
        Members, ProposeRequest, ReadIndexRequest, peer_client::PeerClient,
    },
    transport::{Connector, Transport, Way},
};
use crate::executor::{
    durations::Durations,
    member::MemberError,
    raft::{Membership, NodeInfo},
};
use crate::planner::hash::Hashed;
use bytes::Bytes;
use etcd_proto::errors::Refusal;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tonic::{Request, Status};

/// Both connections to one member.
#[derive(Debug, Clone)]
pub struct Channels {
    /// For what must not wait.
    pub urgent: Transport,
    /// For what is large.
    pub bulk: Transport,
}

/// Connections to all members, made when they are first needed.
pub struct Peers {
    cluster: u64,
    own: u64,
    connector: Connector,
    known: Mutex<BTreeMap<u64, Known>>,
}

/// A member that was called before.
#[derive(Debug)]
struct Known {
    urls: Vec<String>,
    way: Arc<dyn Way>,
    channels: Channels,
    round_trips: Durations,
}

impl Known {
    fn change(&mut self, urls: &[String]) -> Result<(), String> {
        if self.urls != urls {
            self.way.change(urls)?;
            self.urls = urls.to_vec();
        }
        Ok(())
    }
}

/// One member, who can be called.
#[derive(Debug, Clone)]
pub struct Peer {
    cluster: u64,
    own: u64,
    id: u64,
    channels: Result<Channels, String>,
    round_trips: Durations,
}

impl Peers {
    /// Nobody yet; `own` is our own number, which others are told.
    #[must_use]
    pub fn new(cluster: u64, own: u64, connector: Connector) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            own,
            connector,
            known: Mutex::default(),
        })
    }

    /// A member, by its URLs.
    #[must_use]
    pub fn peer(&self, id: u64, node: &NodeInfo) -> Peer {
        let (channels, round_trips) = match self.known(id, &node.peer_urls) {
            Ok((channels, round_trips)) => (Ok(channels), round_trips),
            Err(fault) => (
                Err(format!("member {id:x}: {fault}")),
                Durations::of_round_trips(),
            ),
        };
        Peer {
            cluster: self.cluster,
            own: self.own,
            id,
            channels,
            round_trips,
        }
    }

    /// What the cluster says now: who has moved is called there from the next connection on, and connections to those who
    /// are gone are closed.
    pub fn told(&self, membership: &Membership) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|id, known| {
            let Some(node) = membership.get_node(id) else {
                return false;
            };
            if let Err(fault) = known.change(&node.peer_urls) {
                let member = format!("{id:x}");
                tracing::warn!(member, fault, "a member cannot be called where it is now");
            }
            true
        });
    }

    /// How long members took to answer signs of life, by their numbers.
    #[must_use]
    pub fn round_trips(&self) -> Vec<(u64, Durations)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .iter()
            .map(|(id, known)| (*id, known.round_trips.clone()))
            .collect()
    }

    fn known(&self, id: u64, urls: &[String]) -> Result<(Channels, Durations), String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get_mut(&id) {
            known.change(urls)?;
            return Ok((known.channels.clone(), known.round_trips.clone()));
        }
        let way = self.connector.clone().way(urls)?;
        let channels = Channels {
            urgent: way.clone().transport(),
            bulk: way.clone().transport(),
        };
        let urls = urls.to_vec();
        let new = Known {
            urls,
            way,
            channels: channels.clone(),
            round_trips: Durations::of_round_trips(),
        };
        let round_trips = new.round_trips.clone();
        known.insert(id, new);
        Ok((channels, round_trips))
    }
}

/// Asks a member of any cluster who is in it.
///
/// # Errors
/// It is out of reach.
pub async fn list_members(
    connector: &Connector,
    url: &str,
    timeout: Duration,
) -> Result<Members, Status> {
    let way = connector.clone().way(&[url.to_owned()]);
    let way = way.map_err(Status::invalid_argument)?;
    let mut client = PeerClient::new(way.transport());
    let mut request = Request::new(ListMembersRequest {});
    request.set_timeout(timeout);
    Ok(client.list_members(request).await?.into_inner())
}

impl Peer {
    /// A client for what must not wait.
    ///
    /// # Errors
    /// The member has no URL that can be called.
    pub fn urgent(&self) -> Result<PeerClient<Transport>, Status> {
        self.client(|channels| &channels.urgent)
    }

    /// A client for what is large.
    ///
    /// # Errors
    /// As for [`Peer::urgent`].
    pub fn bulk(&self) -> Result<PeerClient<Transport>, Status> {
        self.client(|channels| &channels.bulk)
    }

    fn client(
        &self,
        choose: impl FnOnce(&Channels) -> &Transport,
    ) -> Result<PeerClient<Transport>, Status> {
        let channels = self.channels.as_ref().map_err(Status::unavailable)?;
        Ok(PeerClient::new(choose(channels).clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// How long it takes to answer signs of life, which wait for nothing there.
    #[must_use]
    pub fn round_trips(&self) -> Durations {
        self.round_trips.clone()
    }

    /// A request that says for whom it is, and how long it may take.
    pub fn request<T>(&self, message: T, timeout: Duration) -> Request<T> {
        let mut request = self.addressed(message);
        request.set_timeout(timeout);
        request
    }

    /// A request that says for whom it is, and takes as long as it takes.
    pub fn addressed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(CLUSTER, self.cluster.into());
        request.metadata_mut().insert(FROM, self.own.into());
        request.metadata_mut().insert(TO, self.id.into());
        request
    }

    /// Asks the leader to commit a proposal.
    ///
    /// # Errors
    /// See [`failure`].
    pub async fn propose(&self, proposal: Bytes, timeout: Duration) -> Result<(), MemberError> {
        let request = self.request(ProposeRequest { proposal }, timeout);
        let mut client = self.bulk().map_err(failure)?;
        client.propose(request).await.map_err(failure)?;
        Ok(())
    }

    /// Asks the leader which entry a read must see.
    ///
    /// # Errors
    /// See [`failure`].
    pub async fn read_index(&self, timeout: Duration) -> Result<u64, MemberError> {
        let request = self.request(ReadIndexRequest {}, timeout);
        let mut client = self.urgent().map_err(failure)?;
        let response = client.read_index(request).await.map_err(failure)?;
        Ok(response.into_inner().index)
    }

    /// Asks the leader to renew a lease.
    ///
    /// # Errors
    /// See [`failure`].
    pub async fn renew_lease(&self, id: i64, timeout: Duration) -> Result<i64, MemberError> {
        let request = self.request(LeaseRequest { id }, timeout);
        let mut client = self.urgent().map_err(failure)?;
        let response = client.renew_lease(request).await.map_err(failure)?;
        Ok(response.into_inner().time_to_live)
    }

    /// Asks the leader how long a lease still lives.
    ///
    /// # Errors
    /// See [`failure`].
    pub async fn lease_remaining(
        &self,
        id: i64,
        timeout: Duration,
    ) -> Result<LeaseResponse, MemberError> {
        let request = self.request(LeaseRequest { id }, timeout);
        let mut client = self.urgent().map_err(failure)?;
        let response = client.lease_remaining(request).await.map_err(failure)?;
        Ok(response.into_inner())
    }

    /// Asks for the hash of all keys and values up to a revision.
    ///
    /// # Errors
    /// See [`failure`].
    pub async fn hash(&self, revision: i64, timeout: Duration) -> Result<Hashed, MemberError> {
        let request = self.request(HashRequest { revision }, timeout);
        let mut client = self.bulk().map_err(failure)?;
        let response = client.hash(request).await.map_err(failure)?.into_inner();
        Ok(Hashed {
            hash: response.hash,
            revision: response.revision,
            compacted: response.compacted,
        })
    }

    /// Asks the leader to change the membership.
    ///
    /// # Errors
    /// See [`failure`].
    pub async fn change_members(
        &self,
        change: ChangeMembersRequest,
        timeout: Duration,
    ) -> Result<Members, MemberError> {
        let request = self.request(change, timeout);
        let mut client = self.bulk().map_err(failure)?;
        let response = client.change_members(request).await.map_err(failure)?;
        Ok(response.into_inner())
    }
}

/// What a peer's status says: refusals come back as they were sent; whatever else went wrong between members is
/// a lost connection.
#[must_use]
pub fn failure(status: Status) -> MemberError {
    let refusal = Refusal::ALL
        .iter()
        .find(|refusal| refusal.text() == status.message());
    match refusal {
        Some(Refusal::Timeout) => MemberError::Timeout,
        Some(Refusal::NoLeader) => MemberError::NoLeader,
        Some(Refusal::LeaderChanged) => MemberError::LeaderChanged,
        Some(refusal) => MemberError::Refused(*refusal),
        None => {
            tracing::debug!(%status, "a call to the leader failed");
            MemberError::Refused(Refusal::TimeoutConnectionLost)
        }
    }
}

/// What a peer is told of a failure here.
#[must_use]
pub fn status(error: &MemberError) -> Status {
    match error.refusal() {
        Some(refusal) => refusal.into(),
        None => Status::internal(error.to_string()),
    }
}

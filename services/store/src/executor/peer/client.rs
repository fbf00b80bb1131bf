//! Connections to the other members, and calls that are not Raft's own.

use super::{
    CLUSTER, MESSAGE_BYTES_MAX, TO,
    proto::{
        ChangeMembersRequest, LeaseRequest, LeaseResponse, ListMembersRequest, Members,
        ProposeRequest, ReadIndexRequest, peer_client::PeerClient,
    },
    transport::{Broken, Connect, Connector, Transport},
};
use crate::executor::{member::MemberError, raft::NodeInfo};
use bytes::Bytes;
use etcd_proto::errors::Refusal;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tonic::{Request, Status, transport::Endpoint};
use tower::{ServiceExt, util::BoxCloneSyncService};

/// A connection that cannot be made in this time counts as none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

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
    connector: Connector,
    known: Mutex<BTreeMap<String, Channels>>,
}

/// One member, who can be called.
#[derive(Debug, Clone)]
pub struct Peer {
    cluster: u64,
    id: u64,
    channels: Result<Channels, String>,
}

/// Why a URL cannot be called; None: it can.
#[must_use]
pub fn url_fault(url: &str) -> Option<String> {
    if url.starts_with("https://") {
        return Some(format!("{url}: TLS between members is not there yet"));
    }
    if !url.starts_with("http://") {
        return Some(format!("{url} is no http URL"));
    }
    Endpoint::from_shared(url.to_owned())
        .err()
        .map(|error| format!("{url}: {error}"))
}

/// Connections over TCP.
#[derive(Debug, Clone, Copy)]
pub struct Tcp;

impl Connect for Tcp {
    fn connect(&self, url: &str) -> Result<Transport, String> {
        if let Some(fault) = url_fault(url) {
            return Err(fault);
        }
        let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| error.to_string())?;
        let channel = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .connect_lazy();
        Ok(BoxCloneSyncService::new(
            channel.map_err(|error| Broken(error.into())),
        ))
    }
}

impl Peers {
    /// Nobody yet.
    #[must_use]
    pub fn new(cluster: u64, connector: Connector) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            connector,
            known: Mutex::default(),
        })
    }

    /// A member, by the first of its URLs.
    #[must_use]
    pub fn peer(&self, id: u64, node: &NodeInfo) -> Peer {
        let channels = node
            .peer_urls
            .first()
            .ok_or_else(|| format!("member {id:x} has no peer URL"))
            .and_then(|url| self.channels(url));
        Peer {
            cluster: self.cluster,
            id,
            channels,
        }
    }

    fn channels(&self, url: &str) -> Result<Channels, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channels) = known.get(url) {
            return Ok(channels.clone());
        }
        let channels = Channels {
            urgent: self.connector.connect(url)?,
            bulk: self.connector.connect(url)?,
        };
        known.insert(url.to_owned(), channels.clone());
        Ok(channels)
    }
}

/// Asks a member of any cluster who is in it.
///
/// # Errors
/// It is out of reach.
pub async fn list_members(
    connector: &dyn Connect,
    url: &str,
    timeout: Duration,
) -> Result<Members, Status> {
    let channel = connector.connect(url).map_err(Status::invalid_argument)?;
    let mut client = PeerClient::new(channel);
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

    /// A request that says for whom it is, and how long it may take.
    pub fn request<T>(&self, message: T, timeout: Duration) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(CLUSTER, self.cluster.into());
        request.metadata_mut().insert(TO, self.id.into());
        request.set_timeout(timeout);
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

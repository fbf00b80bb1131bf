//! The Lease service.

use super::{
    Api, Backend,
    api::{refused, reply},
};
use crate::{
    executor::member::MemberError,
    planner::{command::Command, leases::TIME_TO_LIVE_MAX, state::Reply},
};
use bytes::Bytes;
use etcd_proto::{
    errors::Refusal,
    etcdserverpb::{
        LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
        LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse,
        LeaseStatus, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, lease_server::Lease,
    },
};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

/// Numbers that are tried for a lease whose client left the choice to us: two equal ones of 63 bits mean that the
/// source of randomness is broken.
const NUMBER_ATTEMPTS_MAX: usize = 3;
/// Answers that wait for a client; further requests of its stream wait with them.
const ANSWERS_WAITING_MAX: usize = 16;

#[async_trait]
impl<B: Backend> Lease for Api<B> {
    async fn lease_grant(
        &self,
        request: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let asked = request.into_inner();
        if asked.ttl > TIME_TO_LIVE_MAX {
            return Err(Refusal::LeaseTimeToLiveTooLarge.into());
        }
        let ttl = asked.ttl.max(self.limits.lease_seconds_min);
        for attempt in 1.. {
            let id = if asked.id == 0 { random()? } else { asked.id };
            let grant = LeaseGrantRequest { ttl, id };
            let granted = self.backend.propose(Command::LeaseGrant(grant)).await;
            match granted {
                Err(MemberError::Refused(Refusal::LeaseExists))
                    if asked.id == 0 && attempt < NUMBER_ATTEMPTS_MAX => {}
                Err(error) => return Err(refused(error)),
                Ok(granted) => return reply!(self, LeaseGrant, granted),
            }
        }
        unreachable!("the last attempt returns")
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let request = request.into_inner();
        let reply = self
            .change(&request, || Command::LeaseRevoke(request))
            .await?;
        reply!(self, LeaseRevoke, reply)
    }

    type LeaseKeepAliveStream = ReceiverStream<Result<LeaseKeepAliveResponse, Status>>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        self.admit(request.metadata(), false)?;
        let mut requests = request.into_inner();
        let (answers, stream) = mpsc::channel(ANSWERS_WAITING_MAX);
        let api = self.clone();
        tokio::spawn(async move {
            loop {
                let request = tokio::select! {
                    request = requests.message() => request,
                    () = answers.closed() => return,
                };
                let answer = match request {
                    Ok(Some(request)) => api.keep_alive(request.id).await,
                    Ok(None) => return,
                    Err(status) => Err(status),
                };
                let failed = answer.is_err();
                if answers.send(answer).await.is_err() || failed {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let request = request.into_inner();
        let (granted_ttl, ttl) = match self.backend.lease_remaining(request.id).await {
            Ok((granted, remaining)) => (granted, seconds(remaining)),
            // An answer like any other in etcd.
            Err(MemberError::Refused(Refusal::LeaseNotFound)) => (0, -1),
            Err(error) => return Err(refused(error)),
        };
        let keys = if request.keys {
            self.linearize().await?;
            let keys = self.backend.read(|state, _| {
                let lease = state.leases().get(request.id);
                lease.map_or_else(Vec::new, |lease| {
                    lease.keys().map(Bytes::copy_from_slice).collect()
                })
            });
            keys.map_err(refused)?
        } else {
            Vec::new()
        };
        Ok(Response::new(LeaseTimeToLiveResponse {
            header: self.header(),
            id: request.id,
            ttl,
            granted_ttl,
            keys,
        }))
    }

    async fn lease_leases(
        &self,
        request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        self.admit(request.metadata(), false)?;
        self.linearize().await?;
        let leases = self.backend.read(|state, _| {
            let all = state.leases().iter();
            all.map(|(id, _)| LeaseStatus { id }).collect()
        });
        Ok(Response::new(LeaseLeasesResponse {
            header: self.header(),
            leases: leases.map_err(refused)?,
        }))
    }
}

impl<B: Backend> Api<B> {
    async fn keep_alive(&self, id: i64) -> Result<LeaseKeepAliveResponse, Status> {
        let ttl = match self.backend.renew_lease(id).await {
            Ok(granted) => granted,
            // The stream goes on: it carries many leases.
            Err(MemberError::Refused(Refusal::LeaseNotFound)) => 0,
            Err(error) => return Err(refused(error)),
        };
        let header = self.header();
        Ok(LeaseKeepAliveResponse { header, id, ttl })
    }
}

/// Whole seconds, as etcd rounds them: down.
fn seconds(remaining: Duration) -> i64 {
    i64::try_from(remaining.as_secs()).unwrap_or(i64::MAX)
}

/// A number above zero that nobody can guess: whoever knows a lease's number may revoke it.
fn random() -> Result<i64, Status> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Status::unknown("no random number for the lease"))?;
    Ok((i64::from_be_bytes(bytes) & i64::MAX).max(1))
}

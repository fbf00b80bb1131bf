//! What only the leader does, for clients here and for other members.

use super::{Member, MemberError};
use crate::{
    executor::{
        peer::proto::LeaseResponse,
        raft::{Proposal, TypeConfig},
    },
    planner::command::Command,
};
use etcd_proto::{
    errors::Refusal,
    etcdserverpb::{LeaseCheckpoint, LeaseCheckpointRequest},
};
use openraft::{
    ReadPolicy,
    error::{ClientWriteError, Fatal, LinearizableReadError, RaftError},
};
use std::pin::pin;

pub(super) fn fatal(error: &Fatal<TypeConfig>) -> MemberError {
    match error {
        Fatal::Stopped => MemberError::Stopped,
        other => MemberError::Storage(other.to_string()),
    }
}

impl Member {
    /// Commits a proposal. `NoLeader`: this member does not lead, and appended nothing.
    pub(crate) async fn lead_proposal(&self, proposal: Proposal) -> Result<(), MemberError> {
        match self.raft().client_write(proposal).await {
            Ok(_) => Ok(()),
            Err(RaftError::Fatal(error)) => Err(fatal(&error)),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                Err(MemberError::NoLeader)
            }
            // What else it can be concerns entries whose fate is not known.
            Err(RaftError::APIError(_)) => Err(MemberError::LeaderChanged),
        }
    }

    /// Commits what this member decided as the leader. One who leads no longer does not have it carried out by another, who may
    /// have decided otherwise.
    pub(super) async fn lead_command(&self, command: &Command) -> Result<(), MemberError> {
        let (proposal, _waiter) = self.machine().waiters.add(command.encode())?;
        let proposed = pin!(self.lead_proposal(proposal));
        self.until(self.deadline(), proposed).await
    }

    /// Index of the last entry that a read must see, once a quorum has confirmed that this member leads.
    pub(crate) async fn lead_read_index(&self) -> Result<u64, MemberError> {
        match self.raft().get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(linearizer) => Ok(linearizer.read_log_id().index()),
            Err(RaftError::Fatal(error)) => Err(fatal(&error)),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_))) => {
                Err(MemberError::NoLeader)
            }
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
                Err(MemberError::Timeout)
            }
        }
    }

    /// Renews a lease, once leadership is confirmed. What a checkpoint noted of it is cleared before: else the next leader would give
    /// it the little that was left.
    pub(crate) async fn lead_lease_renewal(&self, id: i64) -> Result<i64, MemberError> {
        let lease = self.confirmed_lease(id).await?;
        if lease.noted {
            let request = LeaseCheckpointRequest {
                checkpoints: vec![LeaseCheckpoint {
                    id,
                    remaining_ttl: 0,
                }],
            };
            let command = Command::LeaseCheckpoint(request);
            self.commit(&command, self.deadline()).await?;
        }
        if self.machine().leases.renew(id, lease.time_to_live) {
            return Ok(lease.time_to_live);
        }
        if self.machine().leases.is_running() {
            // It has ended, and its revocation is on its way.
            return Err(Refusal::LeaseNotFound.into());
        }
        Err(MemberError::NoLeader)
    }

    /// How long a lease still lives, once leadership is confirmed.
    pub(crate) async fn lead_lease_remaining(&self, id: i64) -> Result<LeaseResponse, MemberError> {
        let lease = self.confirmed_lease(id).await?;
        let remaining = self.machine().leases.remaining(id);
        let Some(remaining) = remaining else {
            return Err(MemberError::NoLeader);
        };
        Ok(LeaseResponse {
            time_to_live: lease.time_to_live,
            remaining_millis: u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX),
        })
    }

    async fn confirmed_lease(&self, id: i64) -> Result<ConfirmedLease, MemberError> {
        let index = self.lead_read_index().await?;
        self.machine().wait_applied(index).await;
        let lease = self.read(|state, _| {
            let lease = state.leases().get(id)?;
            Some(ConfirmedLease {
                time_to_live: lease.time_to_live,
                noted: lease.remaining.is_some(),
            })
        })?;
        lease.ok_or(MemberError::Refused(Refusal::LeaseNotFound))
    }
}

struct ConfirmedLease {
    time_to_live: i64,
    /// A checkpoint noted what was left of it.
    noted: bool,
}

//! One member of the cluster: what servers and gateways call.
//!
//! ```text
//!   propose ──> leader? ──yes──> openraft ──> log, peers ──> applied here ──> reply
//!                 └──no──> leader, over the bulk connection ──────┘
//!   linearize ──> leader: read index, confirmed by a quorum ──> applied here
//! ```
//!
//! Whoever is asked answers from his own state, once that has come far enough: replies need no way back over the wire.

mod corruption;
mod identity;
mod lead;
mod membership;
mod metrics;
mod reads;
mod restore;
mod serve;
mod start;
mod tasks;
mod types;

pub use super::watches::WatchStream;
use super::{
    peer::{self, client::Peers, proto},
    raft::{NodeInfo, TypeConfig, machine::Machine, state_machine::StateMachine},
    records::Reader,
    snapshot_file::{self, Blobs},
    watch,
    watches::WatchHub,
};
use crate::planner::{
    check,
    command::Command,
    state::{Alarm, Reply, State},
};
use etcd_proto::{
    errors::Refusal,
    etcdserverpb::{AlarmRequest, AlarmType, alarm_request::AlarmAction},
};
use http_server::Count;
pub use metrics::MemberMetrics;
use openraft::{
    Raft, RaftMetrics, async_runtime::WatchReceiver, type_config::alias::WatchReceiverOf,
};
use reads::Reads;
pub use restore::{BUMP_DEFAULT, RestoreError, Restored, restore};
pub use start::Surroundings;
use std::{
    fs, io,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout_at},
};
pub(crate) use types::chain;
pub use types::{ClusterState, MemberError, MemberInfo, MemberStatus, Settings, Standing};

/// Between two attempts to find a leader, or to have one confirm that it leads.
const AGAIN: Duration = Duration::from_millis(50);

/// What is waited for. An `async fn` is compiled anew, with all that it awaits, in each program that awaits it: what leads to Raft and
/// gRPC is behind one of these instead.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, MemberError>> + Send + 'a>>;

/// A member. Cheap to clone; all clones are the same member.
#[derive(Clone)]
pub struct Member {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    cluster: u64,
    id: u64,
    machine: Arc<Machine>,
    raft: Raft<TypeConfig, StateMachine>,
    /// What openraft says of itself.
    metrics: WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>>,
    peers: Arc<Peers>,
    /// Linearizable reads that wait for their index.
    reads: Reads,
    leaders_seen: Count,
    proposals_failed: Count,
    reads_failed: Count,
    /// The cluster knows this member's name and client URLs.
    published: watch::Sender<bool>,
    stopping: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Membership changes that this member leads, one at a time.
    changing: tokio::sync::Mutex<()>,
    /// Held as long as the directory is ours.
    _lock: Option<fs::File>,
}

/// Who leads, as far as this member knows.
enum Leader {
    Me,
    Other(u64, NodeInfo),
    Nobody,
}

impl Member {
    /// Of the cluster.
    #[must_use]
    pub fn cluster_id(&self) -> u64 {
        self.inner.cluster
    }

    /// Of this member.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.inner.id
    }

    /// Proposes a change: committed, and applied here, when this returns. The proposer has checked it ([`check`]),
    /// and chosen what must be chosen before (a lease's number and life).
    ///
    /// # Errors
    /// [`MemberError::Refused`]: nothing was changed. After any other, it may still be carried out.
    pub async fn propose(&self, command: Command) -> Result<Reply, MemberError> {
        self.keep_space(&command)?;
        self.keep_quota(&command).await?;
        let deadline = self.deadline();
        let physical = match &command {
            Command::Compact(request) if request.physical => Some(request.revision),
            _ => None,
        };
        let reply = self.commit(&command, deadline).await?;
        if let Some(revision) = physical {
            timeout_at(deadline, self.machine().wait_compacted(revision))
                .await
                .map_err(|_| MemberError::Timeout)?;
        }
        Ok(reply)
    }

    /// Waits until everything that was acknowledged before the call is applied here. A quorum confirms it: a leader that
    /// was stopped, or cut off, fails.
    ///
    /// # Errors
    /// [`MemberError::Timeout`], [`MemberError::NoLeader`], [`MemberError::Stopped`].
    pub async fn linearize(&self) -> Result<(), MemberError> {
        if self.leads_alone() {
            return Ok(());
        }
        let read = pin!(async {
            loop {
                // To ask again has no consequences, whatever went wrong.
                match self.inner.reads.index().await {
                    Ok(index) => {
                        self.machine().wait_applied(index).await;
                        return Ok(());
                    }
                    Err(MemberError::Stopped) => return Err(MemberError::Stopped),
                    Err(_) => sleep(AGAIN).await,
                }
            }
        });
        self.until(self.deadline(), read).await
    }

    /// Looks at the state and its records of one moment. Nothing is applied while it looks.
    ///
    /// # Errors
    /// The disk's.
    pub fn read<T>(&self, look: impl FnOnce(&State, &Reader) -> T) -> Result<T, MemberError> {
        Ok(self.machine().read(look)?)
    }

    /// Everything as of a moment after the call as the bytes of a file, whatever is applied while they are taken.
    ///
    /// # Errors
    /// The disk's.
    pub async fn snapshot(&self) -> Result<Blobs, MemberError> {
        let (view, position) = self.machine().view().await?;
        let disk = self.machine().disk().clone();
        let chunks = peer::snapshot::send(disk, view, position, proto::Vote::default());
        Ok(snapshot_file::encode(chunks))
    }

    /// Gives back the space in this member's file that deleted records took. Reads and writes go on.
    ///
    /// # Errors
    /// [`MemberError::Busy`]: it runs already. Else the disk's; everything is then as before.
    pub async fn defragment(&self) -> Result<(), MemberError> {
        let machine = self.inner.machine.clone();
        // Whoever asked may stop waiting; but a copy that has the file's name must be what the member goes on with.
        let defragmented = tokio::spawn(async move { machine.defragment().await }).await?;
        defragmented.map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => MemberError::Busy(error.to_string()),
            _ => error.into(),
        })
    }

    /// Opens a watch stream.
    #[must_use]
    pub fn watch(&self) -> WatchStream {
        self.watches().open()
    }

    /// All watch streams.
    #[must_use]
    pub fn watches(&self) -> &Arc<WatchHub> {
        &self.machine().watches
    }

    /// Renews a lease; returns its granted life in seconds. The leader's leadership is confirmed before.
    ///
    /// # Errors
    /// [`Refusal::LeaseNotFound`], or as for [`Member::linearize`].
    pub fn renew_lease(&self, id: i64) -> Answer<'_, i64> {
        let timeout = self.inner.settings.request_timeout;
        Box::pin(self.ask_leader(
            move || self.lead_lease_renewal(id),
            move |peer| async move { peer.renew_lease(id, timeout).await },
        ))
    }

    /// Granted life of a lease in seconds, and how long it still lives.
    ///
    /// # Errors
    /// As for [`Member::renew_lease`].
    pub fn lease_remaining(&self, id: i64) -> Answer<'_, (i64, Duration)> {
        let timeout = self.inner.settings.request_timeout;
        Box::pin(async move {
            let lease = self
                .ask_leader(
                    || self.lead_lease_remaining(id),
                    |peer| async move { peer.lease_remaining(id, timeout).await },
                )
                .await?;
            let remaining = Duration::from_millis(lease.remaining_millis);
            Ok((lease.time_to_live, remaining))
        })
    }

    /// Where this member stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let revision = self.machine().revision();
        let metrics = self.inner.metrics.borrow_watched();
        Standing {
            cluster_id: self.inner.cluster,
            member_id: self.inner.id,
            leader_id: metrics.current_leader.unwrap_or(0),
            term: metrics.current_term,
            is_learner: !self.votes(&metrics),
            revision,
        }
    }

    /// What this member knows of itself.
    ///
    /// # Errors
    /// The disk's.
    pub fn status(&self) -> Result<MemberStatus, MemberError> {
        let standing = self.standing();
        let (log_index, purged_index) = {
            let metrics = self.inner.metrics.borrow_watched();
            let purged = metrics.purged.map_or(0, |purged| purged.index);
            (metrics.last_log_index.unwrap_or(0), purged)
        };
        let position = self.machine().position();
        Ok(MemberStatus {
            standing,
            log_index,
            purged_index,
            applied_index: position.applied.map_or(0, |applied| applied.index),
            database_bytes: self.machine().bytes()?,
            database_bytes_in_use: self.machine().bytes_in_use(),
            alarms: self.read(|state, _| state.alarms().clone())?,
        })
    }

    /// Waits until this member knows a leader, and has applied everything that was committed when it asked.
    ///
    /// # Errors
    /// [`MemberError::Stopped`].
    pub async fn wait_ready(&self) -> Result<(), MemberError> {
        loop {
            match self.linearize().await {
                Ok(()) => return Ok(()),
                Err(MemberError::Stopped) => return Err(MemberError::Stopped),
                Err(_) => {}
            }
        }
    }

    /// Waits until the cluster knows this member's name and client URLs: from then on, lists of members tell them.
    pub async fn published(&self) {
        let mut published = self.inner.published.subscribe();
        // The sender lives as long as this.
        let _ = published.wait_for(|published| *published).await;
    }

    /// Waits until the member has stopped by itself or was stopped; says why.
    pub async fn ended(&self) -> MemberError {
        let mut metrics = self.inner.metrics.clone();
        loop {
            let state = metrics.borrow_watched().running_state.clone();
            if let Err(fatal) = state {
                return lead::fatal(&fatal);
            }
            if metrics.changed().await.is_err() {
                return MemberError::Stopped;
            }
        }
    }

    pub(crate) fn raft(&self) -> &Raft<TypeConfig, StateMachine> {
        &self.inner.raft
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.inner.machine
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.inner.settings.request_timeout
    }

    /// Runs a request until it is done, its time is over, or the member stops. By reference: what an `async fn` is given by value has
    /// its place in the future twice, and these are moved with each call.
    async fn until<T>(
        &self,
        deadline: Instant,
        request: Pin<&mut impl Future<Output = Result<T, MemberError>>>,
    ) -> Result<T, MemberError> {
        let mut stopping = self.inner.stopping.subscribe();
        tokio::select! {
            biased;
            done = request => done,
            () = sleep_until(deadline) => Err(match self.leader() {
                Leader::Nobody => MemberError::NoLeader,
                Leader::Me | Leader::Other(..) => MemberError::Timeout,
            }),
            _ = stopping.wait_for(|stopping| *stopping) => Err(MemberError::Stopped),
        }
    }

    fn leader(&self) -> Leader {
        let metrics = self.inner.metrics.borrow_watched();
        match metrics.current_leader {
            Some(id) if id == self.inner.id => Leader::Me,
            Some(id) => match metrics.membership_config.get_node(&id) {
                Some(node) => Leader::Other(id, node.clone()),
                None => Leader::Nobody,
            },
            None => Leader::Nobody,
        }
    }

    /// Asks the leader, here or elsewhere; again only when nobody led.
    async fn ask_leader<T, M, O, N, P>(&self, me: M, other: O) -> Result<T, MemberError>
    where
        M: Fn() -> N,
        N: Future<Output = Result<T, MemberError>>,
        O: Fn(super::peer::client::Peer) -> P,
        P: Future<Output = Result<T, MemberError>>,
    {
        let asked = pin!(async {
            loop {
                let answer = match self.leader() {
                    Leader::Me => me().await,
                    Leader::Other(id, node) => other(self.inner.peers.peer(id, &node)).await,
                    Leader::Nobody => Err(MemberError::NoLeader),
                };
                match answer {
                    Err(MemberError::NoLeader) => sleep(AGAIN).await,
                    answer => return answer,
                }
            }
        });
        self.until(self.deadline(), asked).await
    }

    /// Has a command committed, and waits for what it came to here.
    async fn commit(&self, command: &Command, deadline: Instant) -> Result<Reply, MemberError> {
        let waiters = &self.machine().waiters;
        let (proposal, mut waiter) = waiters.add(command.encode())?;
        let committed = pin!(async {
            let mut submit = self.submit(proposal);
            tokio::select! {
                biased;
                outcome = waiter.outcome() => return outcome_of(outcome),
                submitted = &mut submit => match submitted {
                    // The connection was lost, and nobody knows what came of it: it may yet be applied here.
                    Ok(()) | Err(MemberError::Refused(Refusal::TimeoutConnectionLost)) => {}
                    Err(error) => return Err(error),
                },
            }
            outcome_of(waiter.outcome().await)
        });
        let committed = self.until(deadline, committed).await;
        if committed
            .as_ref()
            .is_err_and(|error| !matches!(error, MemberError::Refused(_)))
        {
            self.inner.proposals_failed.one();
        }
        committed
    }

    fn submit(&self, proposal: super::raft::Proposal) -> Answer<'_, ()> {
        Box::pin(async move {
            loop {
                let submitted = match self.leader() {
                    Leader::Me => self.lead_proposal(proposal.clone()).await,
                    Leader::Other(id, node) => {
                        let bytes = super::raft::encoding::encode_proposal(&proposal);
                        let peer = self.inner.peers.peer(id, &node);
                        let timeout = self.inner.settings.request_timeout;
                        // Beside: who has its outcome waits no longer, and a call that is given up is a stream that is reset, of which
                        // HTTP/2 lets the leader bear only so many before it ends the connection with all that is on it.
                        let call = tokio::spawn(async move { peer.propose(bytes, timeout).await });
                        call.await?
                    }
                    Leader::Nobody => Err(MemberError::NoLeader),
                };
                match submitted {
                    // He who was asked does not lead: nothing was appended.
                    Err(MemberError::NoLeader) => sleep(AGAIN).await,
                    submitted => return submitted,
                }
            }
        })
    }

    /// Refuses what would fill the disk. Whatever makes space passes as long as there is any.
    fn keep_space(&self, command: &Command) -> Result<(), MemberError> {
        let min = self.inner.settings.free_bytes_min;
        let needed_bytes = match command {
            Command::Compact(_) | Command::Alarm(_) => return Ok(()),
            command if takes_space(command) => min,
            _ => min / 4,
        };
        let free_bytes = self.machine().free_bytes()?;
        if free_bytes < needed_bytes {
            return Err(MemberError::DiskFull {
                free_bytes,
                needed_bytes,
            });
        }
        Ok(())
    }

    /// Raises the alarm before a put that would go beyond the quota: from its place in the log on, all refuse puts.
    async fn keep_quota(&self, command: &Command) -> Result<(), MemberError> {
        if !takes_space(command) || self.machine().bytes_in_use() < self.inner.settings.quota_bytes
        {
            return Ok(());
        }
        let alarm = Alarm {
            member: self.inner.id,
            kind: i32::from(AlarmType::Nospace),
        };
        if self.read(|state, _| state.alarms().contains(&alarm))? {
            return Ok(());
        }
        let mut request = AlarmRequest {
            member_id: alarm.member,
            ..AlarmRequest::default()
        };
        request.set_action(AlarmAction::Activate);
        request.set_alarm(AlarmType::Nospace);
        tracing::warn!(
            quota_bytes = self.inner.settings.quota_bytes,
            "the quota is used up: puts are refused until space is made and the alarm is cleared"
        );
        let raise = Command::Alarm(request);
        self.commit(&raise, self.deadline()).await?;
        Ok(())
    }
}

fn takes_space(command: &Command) -> bool {
    match command {
        Command::Put(_) | Command::LeaseGrant(_) => true,
        Command::Transaction(request) => check::takes_space(request),
        _ => false,
    }
}

fn outcome_of(outcome: Option<super::raft::waiters::Outcome>) -> Result<Reply, MemberError> {
    let outcome = outcome.ok_or(MemberError::Stopped)?;
    Ok(outcome?)
}

impl Member {
    fn votes(&self, metrics: &RaftMetrics<TypeConfig>) -> bool {
        let membership = metrics.membership_config.membership();
        let mut configs = membership.get_joint_config().iter();
        configs.any(|voters| voters.contains(&self.inner.id))
    }

    /// Whether this member leads, is the only voter, and has applied an entry of its own term: it is then the quorum, nobody
    /// can lead without its vote, and what was ever acknowledged is applied here. That another votes, too, is seen here before
    /// there can be two others, who would not need this one.
    fn leads_alone(&self) -> bool {
        let metrics = self.inner.metrics.borrow_watched();
        let term = metrics.last_applied.map(|applied| applied.leader_id.term);
        let membership = metrics.membership_config.membership();
        metrics.current_leader == Some(self.inner.id)
            && term == Some(metrics.current_term)
            && matches!(&**membership.get_joint_config(), [voters] if voters.len() == 1 && voters.contains(&self.inner.id))
    }

    /// The membership as peers have it.
    pub(crate) fn membership(&self) -> proto::Members {
        let metrics = self.inner.metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        proto::Members {
            cluster_id: self.inner.cluster,
            membership: Some(super::raft::encoding::encode_membership(membership)),
            added: 0,
        }
    }
}

//! What a member does by itself: leases that end, checkpoints, compaction, watches that are behind, new voters.

use super::{Leader, Member, MemberError};
use crate::planner::{command::Command, compaction::Compactor};
use etcd_proto::etcdserverpb::{
    CompactionRequest, LeaseCheckpoint, LeaseCheckpointRequest, LeaseRevokeRequest,
};
use openraft::async_runtime::WatchReceiver;
use std::{future::Future, io, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

/// A member with little to do makes a durable checkpoint this often, so that a restart has little to apply again.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(30);
/// A log beyond this is purged to the last checkpoint, whatever peers that are behind would like.
const LOG_BYTES_MAX: u64 = 512 * 1024 * 1024;

impl Member {
    /// Starts all of it.
    pub(super) fn start_tasks(&self) {
        let member = self.clone();
        self.run(
            "leadership",
            async move { member.follow_leadership().await },
        );
        let member = self.clone();
        self.run("reads", async move { member.serve_reads().await });
        let member = self.clone();
        self.run("leases", async move { member.end_leases().await });
        let member = self.clone();
        self.run("compaction", async move {
            Ok(member.machine().compact().await?)
        });
        let member = self.clone();
        self.run(
            "watches",
            async move { Ok(member.machine().catch_up().await?) },
        );
        let member = self.clone();
        self.run(
            "checkpoints",
            async move { member.keep_checkpoints().await },
        );
        let member = self.clone();
        self.run("history", async move { member.compact_history().await });
        let member = self.clone();
        self.run("corruption", async move { member.check_corruption().await });
        let member = self.clone();
        self.run("progress", async move { member.tell_progress().await });
        let member = self.clone();
        self.run("voters", async move { member.keep_voters().await });
        let member = self.clone();
        self.run("routes", async move { member.follow_members().await });
        let member = self.clone();
        self.run("publish", async move {
            member.publish().await?;
            member.inner.published.send_replace(true);
            Ok(())
        });
    }

    /// Runs a task until it ends or the member stops. One that fails stops Raft: the member must start again.
    fn run(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), MemberError>> + Send + 'static,
    ) {
        let raft = self.raft().clone();
        let handle = tokio::spawn(async move {
            if let Err(error) = task.await
                && !matches!(error, MemberError::Stopped)
            {
                tracing::error!(task = name, %error, "the member stops");
                if let Err(error) = raft.shutdown().await {
                    tracing::error!(%error, "stop Raft");
                }
            }
        });
        self.keep(handle);
    }

    /// The clock of leases runs where this member leads, and nowhere else.
    async fn follow_leadership(&self) -> Result<(), MemberError> {
        let mut metrics = self.raft().server_metrics();
        let mut last = None;
        loop {
            let leader = metrics.borrow_watched().current_leader;
            if leader.is_some() && leader != last {
                self.inner.leaders_seen.one();
                last = leader;
            }
            let leads = leader == Some(self.id());
            let running = self.machine().leases.is_running();
            if leads && !running {
                // All that earlier leaders committed must be applied: it may grant and revoke.
                if let Ok(index) = self.lead_read_index().await {
                    self.machine().wait_applied(index).await;
                    let grace = self.inner.settings.election;
                    let leases = &self.machine().leases;
                    self.read(|state, _| leases.begin(state.leases(), grace))?;
                } else {
                    sleep(super::AGAIN).await;
                    continue;
                }
            }
            if !leads && running {
                self.machine().leases.end();
            }
            if metrics.changed().await.is_err() {
                return Err(MemberError::Stopped);
            }
        }
    }

    /// Has read indices confirmed. A leader that does not answer within an election is perhaps none any more.
    async fn serve_reads(&self) -> Result<(), MemberError> {
        let patience = self.inner.settings.election;
        loop {
            let round = self.inner.reads.round().await;
            let answer = tokio::time::timeout(patience, self.read_index(patience)).await;
            let answer = answer.unwrap_or(Err(MemberError::Timeout));
            if answer.is_err() {
                self.inner.reads_failed.one();
            }
            round.end(&answer);
        }
    }

    async fn read_index(&self, patience: Duration) -> Result<u64, MemberError> {
        match self.leader() {
            Leader::Me => self.lead_read_index().await,
            Leader::Other(id, node) => {
                let peer = self.inner.peers.peer(id, &node);
                peer.read_index(patience).await
            }
            Leader::Nobody => Err(MemberError::NoLeader),
        }
    }

    /// Peers are called where the membership says that they are.
    async fn follow_members(&self) -> Result<(), MemberError> {
        let mut metrics = self.raft().server_metrics();
        let mut told = None;
        loop {
            let now = metrics.borrow_watched().membership_config.clone();
            if told != *now.log_id() {
                told = *now.log_id();
                self.inner.peers.told(now.membership());
            }
            if metrics.changed().await.is_err() {
                return Err(MemberError::Stopped);
            }
        }
    }

    /// Proposes the end of leases. One that is lost is proposed again after a while.
    async fn end_leases(&self) -> Result<(), MemberError> {
        loop {
            let due = self.machine().leases.due().await;
            let mut proposals = JoinSet::new();
            for id in due.ended {
                let member = self.clone();
                let command = Command::LeaseRevoke(LeaseRevokeRequest { id });
                proposals.spawn(async move { member.lead_command(&command).await.err() });
            }
            if !due.noted.is_empty() {
                let checkpoints = due.noted.into_iter();
                let request = LeaseCheckpointRequest {
                    checkpoints: checkpoints
                        .map(|(id, remaining_ttl)| LeaseCheckpoint { id, remaining_ttl })
                        .collect(),
                };
                let command = Command::LeaseCheckpoint(request);
                let member = self.clone();
                proposals.spawn(async move { member.lead_command(&command).await.err() });
            }
            while let Some(ended) = proposals.join_next().await {
                if let Ok(Some(error)) = ended {
                    tracing::debug!(%error, "a lease's end was not committed");
                }
            }
        }
    }

    async fn keep_checkpoints(&self) -> Result<(), MemberError> {
        let mut ticks = interval(CHECKPOINT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.machine().checkpoint().await?;
            if self.machine().log().bytes() > LOG_BYTES_MAX {
                self.purge().await?;
            }
        }
    }

    async fn purge(&self) -> Result<(), MemberError> {
        let Some(applied) = self.machine().position().applied else {
            return Ok(());
        };
        let trigger = self.raft().trigger();
        let stopped = |error| super::lead::fatal(&error);
        trigger.snapshot().await.map_err(stopped)?;
        trigger.purge_log(applied.index).await.map_err(stopped)
    }

    /// Compacts by the policy, where this member leads.
    async fn compact_history(&self) -> Result<(), MemberError> {
        let policy = self.inner.settings.auto_compaction;
        let Some(every) = Compactor::new(policy).interval() else {
            return Ok(());
        };
        let begun = Instant::now();
        let mut compactor = None;
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !matches!(self.leader(), Leader::Me) {
                compactor = None;
                continue;
            }
            let revision = self.machine().revision();
            let target = compactor
                .get_or_insert_with(|| Compactor::new(policy))
                .observe(begun.elapsed(), revision);
            let Some(revision) = target else { continue };
            let request = CompactionRequest {
                revision,
                physical: false,
            };
            let compact = Command::Compact(request);
            match self.commit(&compact, self.deadline()).await {
                Ok(_) => tracing::info!(revision, "history is compacted by the policy"),
                // Somebody compacted further, or the next time will do.
                Err(error) => tracing::info!(revision, %error, "history was not compacted"),
            }
        }
    }

    async fn tell_progress(&self) -> Result<(), MemberError> {
        let mut ticks = interval(self.inner.settings.watch_progress);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.watches().tick();
        }
    }
}

impl From<tokio::task::JoinError> for MemberError {
    fn from(error: tokio::task::JoinError) -> Self {
        io::Error::other(error).into()
    }
}

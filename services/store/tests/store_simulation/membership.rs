//! Machines that leave the cluster and join it anew, with nothing on their disks: taken out on purpose, or because they are damaged.
//!
//! ```text
//!   Leaving ──removed, as a quorum knows──> Gone: wiped ──added──> Added ──started──> Joining ──promoted, caught up──> a voter
//! ```
//!
//! Whatever gets no answer is tried again later, so that a step of it may be carried out twice.

use crate::{
    cluster::{Cluster, Running},
    dice::Dice,
    network::{Machine, Network},
    simulated::Crash,
};
use orlop_store::executor::member::{MemberError, MemberInfo};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// A request that takes longer is given up.
const REQUEST: Duration = Duration::from_secs(10);

/// A machine on its way out and back in.
#[derive(Debug)]
pub(crate) struct Absence {
    machine: Machine,
    stage: Stage,
    /// It comes back as a learner that somebody promotes.
    as_learner: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Leaving,
    Gone,
    Added,
    Joining,
}

impl Absence {
    pub(crate) fn begin(machine: Machine, as_learner: bool) -> Self {
        Self {
            machine,
            stage: Stage::Leaving,
            as_learner,
        }
    }

    /// Goes on as far as others answer. Returns whether the machine is back, and votes.
    pub(crate) async fn go_on(&mut self, cluster: &Arc<Cluster>, dice: &Dice) -> bool {
        while let Some(stage) = self.next(cluster, dice).await {
            cluster
                .trace
                .note(format_args!("{self:?} comes to {stage:?}"));
            self.stage = stage;
        }
        self.stage == Stage::Joining
            && cluster
                .running(self.machine)
                .is_some_and(|running| !running.member.standing().is_learner)
    }

    /// The stage that follows; None: not yet.
    async fn next(&self, cluster: &Arc<Cluster>, dice: &Dice) -> Option<Stage> {
        match self.stage {
            Stage::Leaving => {
                let (other, known) = self.known(cluster, dice).await?;
                if let Some(known) = known {
                    ask(&other, other.member.remove_member(known.id)).await?;
                }
                cluster.crash(self.machine, Crash::Kill);
                cluster.wipe(self.machine);
                Some(Stage::Gone)
            }
            Stage::Gone => {
                let (other, known) = self.known(cluster, dice).await?;
                if known.is_none() {
                    let urls = vec![Network::url(self.machine)];
                    ask(&other, other.member.add_member(urls, self.as_learner)).await?;
                }
                Some(Stage::Added)
            }
            Stage::Added => match cluster.start(self.machine).await {
                Ok(()) => Some(Stage::Joining),
                Err(_) => {
                    cluster.crash(self.machine, Crash::Kill);
                    None
                }
            },
            Stage::Joining => {
                let (other, known) = self.known(cluster, dice).await?;
                let known = known.filter(|known| known.is_learner)?;
                // Refused while it is behind.
                ask(&other, other.member.promote_member(known.id)).await?;
                None
            }
        }
    }

    /// Another member, and what it knows of this machine, as of now.
    async fn known(&self, cluster: &Cluster, dice: &Dice) -> Option<(Running, Option<MemberInfo>)> {
        let mut others = cluster.all();
        others.retain(|running| running.machine != self.machine);
        let other = dice.choose(&others)?.clone();
        ask(&other, other.member.linearize()).await?;
        let url = Network::url(self.machine);
        let mut members = other.member.members().into_iter();
        let known = members.find(|member| member.peer_urls.contains(&url));
        Some((other, known))
    }
}

async fn ask<T>(
    running: &Running,
    request: impl Future<Output = Result<T, MemberError>>,
) -> Option<T> {
    let answer = running.ask(timeout(REQUEST, request)).await?;
    answer.ok()?.ok()
}

//! Clients with leases: they attach keys, renew in time or too late, revoke, or leave a lease to its end.

use crate::{
    client::{self, Manners},
    cluster::{Cluster, Running},
    dice::Dice,
    history::{Answer, History, LeaseOperation, Operation},
};
use etcd_proto::{
    errors::Refusal,
    etcdserverpb::{LeaseGrantRequest, LeaseRevokeRequest},
};
use orlop_store::{executor::member::MemberError, planner::command::Command};
use std::sync::Arc;
use tokio::time::sleep;

/// First of the keys that have a lease: nobody else writes them.
pub(crate) const FIRST_KEY: usize = 1000;
/// Keys that one lease has at most.
const KEYS_MAX: usize = 4;
/// Lives of leases in seconds: elections, and members that are stopped for a while, are both shorter and longer.
const SECONDS: (i64, usize) = (2, 5);

/// Holds one lease after the other, for ever.
pub(crate) async fn run(
    cluster: Arc<Cluster>,
    history: Arc<History>,
    dice: Dice,
    manners: Manners,
) {
    loop {
        let lease = history.lease();
        let seconds = SECONDS.0 + i64::try_from(dice.below(SECONDS.1)).expect("small");
        let holder = Holder {
            cluster: &cluster,
            history: &history,
            dice: &dice,
            manners,
            lease,
        };
        // Gone before its time, or it never was: the checker knows which.
        let _ = holder.hold(seconds).await;
        sleep(dice.millis(0, 500)).await;
    }
}

struct Holder<'a> {
    cluster: &'a Arc<Cluster>,
    history: &'a History,
    dice: &'a Dice,
    manners: Manners,
    lease: i64,
}

/// There is no such lease, or nobody knows.
struct Lost;

impl Holder<'_> {
    async fn hold(&self, seconds: i64) -> Result<(), Lost> {
        self.ask(LeaseOperation::Grant { seconds }, async |running| {
            let grant = Command::LeaseGrant(LeaseGrantRequest {
                ttl: seconds,
                id: self.lease,
            });
            running.member.propose(grant).await.map(|_| ())
        })
        .await?;
        let mut keys = 0..KEYS_MAX;
        self.attach(keys.next()).await?;
        let millis = u64::try_from(seconds).expect("positive") * 1000;
        for _ in 0..self.dice.below(6) {
            // Mostly in time.
            sleep(self.dice.millis(0, millis * 9 / 10)).await;
            self.renew().await?;
            if self.dice.chance(500) {
                self.attach(keys.next()).await?;
            }
        }
        if self.dice.chance(400) {
            let id = self.lease;
            let revoke = Command::LeaseRevoke(LeaseRevokeRequest { id });
            self.ask(LeaseOperation::Revoke, async |running| {
                running.member.propose(revoke).await.map(|_| ())
            })
            .await?;
        }
        Ok(())
    }

    async fn renew(&self) -> Result<(), Lost> {
        self.ask(LeaseOperation::Renew, async |running| {
            if self.manners == Manners::Forgetful {
                return Ok(());
            }
            running.member.renew_lease(self.lease).await.map(|_| ())
        })
        .await
    }

    async fn attach(&self, number: Option<usize>) -> Result<(), Lost> {
        let Some(number) = number else { return Ok(()) };
        let lease = usize::try_from(self.lease).expect("positive");
        let operation = Operation::Attach {
            key: FIRST_KEY + lease * KEYS_MAX + number,
            value: self.history.value(),
            lease: self.lease,
        };
        let call = self.history.invoke(operation.clone());
        self.ask(LeaseOperation::Attach, async |running| {
            let answer: Answer = client::ask(running, &operation, Manners::Good).await?;
            self.history.answer(call, answer);
            Ok(())
        })
        .await
    }

    /// Asks any member, and notes what came of it.
    async fn ask(
        &self,
        operation: LeaseOperation,
        request: impl AsyncFnOnce(&Running) -> Result<(), MemberError>,
    ) -> Result<(), Lost> {
        let running = self.cluster.any(self.dice).await;
        let call = self.history.ask_lease(self.lease, operation);
        let answer = running.ask(request(&running)).await;
        self.cluster.trace.note(format_args!(
            "lease {} at {}: {operation:?}: {answer:?}",
            self.lease, running.machine
        ));
        match answer {
            Some(Ok(())) => {
                self.history.answer_lease(call, true);
                Ok(())
            }
            Some(Err(MemberError::Refused(Refusal::LeaseNotFound))) => {
                self.history.answer_lease(call, false);
                Err(Lost)
            }
            // A renewal of which nobody knows is tried again; what else there is goes on without.
            Some(Err(_)) | None => match operation {
                LeaseOperation::Grant { .. } => Err(Lost),
                _ => Ok(()),
            },
        }
    }
}

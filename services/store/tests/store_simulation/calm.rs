//! What is done with a cluster that nothing is wrong with: every step is waited for, with a bound.

use crate::{
    check::{Fault, Promise, fault},
    client::{self, Manners},
    cluster::{Cluster, Running},
    dice::{Dice, Trace},
    history::{Answer, Operation},
};
use etcd_proto::etcdserverpb::CompactionRequest;
use orlop_store::planner::command::Command;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// What a cluster without faults may take. In simulated time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster that has begun.
pub(crate) async fn cluster(machines: usize, dice: &Dice) -> Result<Arc<Cluster>, Fault> {
    let cluster = Cluster::new(machines, dice.fork(), Trace::begin());
    for machine in 0..machines {
        start(&cluster, machine).await?;
    }
    for running in cluster.all() {
        ready(&running).await?;
    }
    Ok(cluster)
}

/// Starts a member.
pub(crate) async fn start(cluster: &Cluster, machine: usize) -> Result<Running, Fault> {
    let started = cluster.start(machine).await;
    started.map_err(|error| fault(Promise::Alive, error.to_string()))?;
    Ok(cluster.running(machine).expect("just started"))
}

/// Waits until a member has a leader and knows all that it had.
pub(crate) async fn ready(running: &Running) -> Result<(), Fault> {
    let ready = timeout(PATIENCE, running.member.wait_ready()).await;
    let ready = ready.map_err(|_| fault(Promise::Alive, "not ready"))?;
    ready.map_err(|error| fault(Promise::Alive, error.to_string()))
}

/// Has a request answered.
pub(crate) async fn ask(running: &Running, operation: &Operation) -> Result<Answer, Fault> {
    let answer = client::ask(running, operation, Manners::Good).await;
    answer.map_err(|error| fault(Promise::Alive, error.to_string()))
}

/// Writes a key; returns the revision of that.
pub(crate) async fn put(running: &Running, key: usize, value: u64) -> Result<i64, Fault> {
    Ok(ask(running, &Operation::Put { key, value })
        .await?
        .revision())
}

/// Compacts, and waits until the records are gone.
pub(crate) async fn compact(running: &Running, revision: i64) -> Result<(), Fault> {
    let request = CompactionRequest {
        revision,
        physical: true,
    };
    let compacted = running.member.propose(Command::Compact(request)).await;
    compacted.map_err(|error| fault(Promise::Alive, error.to_string()))?;
    Ok(())
}

/// Fails with the seed where a promise was broken.
#[track_caller]
pub(crate) fn holds(seed: u64, outcome: Result<(), Fault>) {
    if let Err(fault) = outcome {
        panic!("seed {seed}: {fault}");
    }
}

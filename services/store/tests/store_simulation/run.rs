//! One simulation: a seed, what is planted, and what came of it.

use crate::{
    check::{Fault, Final, Promise, check, fault},
    client::{self, Manners},
    cluster::{Cluster, Running},
    dice::{Dice, Trace},
    history::{Answer, Events, History, Operation},
    leaseholder,
    membership::Absence,
    nemesis,
    rot::Outcomes,
    simulated::Crash,
    watcher::{self, Meddle},
};
use etcd_proto::etcdserverpb::CompactionRequest;
use orlop_store::{executor::random, planner::command::Command};
use std::{
    cell::RefCell,
    panic,
    sync::{Arc, Once},
    time::Duration,
};
use tokio::{
    runtime::Builder,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// Clients of a cluster.
const CLIENTS: usize = 5;
/// Clients with leases.
const LEASEHOLDERS: usize = 2;
/// How long a cluster without faults may take to answer: elections, snapshots, watches that catch up. In simulated time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longer than any message is on its way.
const STRAGGLERS: Duration = Duration::from_secs(2);

/// A bug that is planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Flushes of the log do nothing.
    SkippedFlush,
    /// Followers acknowledge entries that they do not have.
    EarlyReply,
    /// Reads that should be linearizable are not.
    StaleRead,
    /// Renewals of leases do nothing.
    ForgottenRenewal,
    /// One event in thirty is lost on its way to a watcher.
    DroppedEvent,
    /// A response comes twice.
    RepeatedEvent,
    /// The events of a transaction come in two responses.
    SplitRevision,
    /// Progress of a revision that has not been told yet.
    EarlyProgress,
}

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) machines: usize,
    /// Simulated time in which things go wrong.
    pub(crate) trouble: Duration,
    pub(crate) harm: Harm,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    /// Everything.
    Any,
    /// Bits flip while machines are off.
    Rot,
    /// What a bug does not survive; and whether it is there.
    Of { bug: Bug, planted: bool },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// Of everything that happened.
    pub(crate) hash: u64,
    /// How much that was.
    pub(crate) notes: u64,
    pub(crate) revisions: i64,
    pub(crate) answers: usize,
    /// What came of flipped bits.
    pub(crate) rot: Outcomes,
}

thread_local! {
    /// Where this thread panicked: a task of a simulation.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Notes panics of tasks, which would otherwise only end the task.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.with_borrow_mut(|panics| panics.push(info.to_string()));
            before(info);
        }));
    });
    PANICS.take();
}

/// Runs it.
pub(crate) fn simulate(seed: u64, plan: Plan) -> Result<Report, Fault> {
    within(seed, async |dice| scenario(dice, plan).await)
}

/// Runs anything in simulated time, on this thread, with everything random from a seed.
pub(crate) fn within<T>(
    seed: u64,
    scenario: impl AsyncFnOnce(Dice) -> Result<T, Fault>,
) -> Result<T, Fault> {
    note_panics();
    let dice = Dice::new(seed);
    random::seed_thread(dice.number());
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads");
    let outcome = runtime.block_on(scenario(dice));
    drop(runtime);
    match (outcome, PANICS.take().into_iter().next()) {
        (Err(fault), _) if fault.promise != Promise::Alive => Err(fault),
        (_, Some(text)) => Err(fault(Promise::Alive, text)),
        (outcome, None) => outcome,
    }
}

async fn scenario(dice: Dice, plan: Plan) -> Result<Report, Fault> {
    let trace = Trace::begin();
    let planted = match plan.harm {
        Harm::Of { bug, planted: true } => Some(bug),
        _ => None,
    };
    let cluster = Cluster::new(plan.machines, dice.fork(), trace.clone());
    let history = Arc::new(History::default());
    if planted == Some(Bug::EarlyReply) {
        cluster.network.acknowledge_early();
    }
    for machine in 0..plan.machines {
        let started = cluster.start(machine).await;
        started.map_err(|error| fault(Promise::Alive, error.to_string()))?;
    }
    let mut tasks = JoinSet::new();
    let mut watchers = JoinSet::new();
    for number in 0..6 {
        // Some of all keys from the beginning, which is later than anything there is; others of one key, from now on.
        let (key, next) = if number < 3 {
            (None, 2)
        } else {
            (Some(number % client::KEYS), 0)
        };
        let watcher = history.watcher(key, next);
        let meddle = (number < 3).then(|| meddle(planted, dice.fork())).flatten();
        let (cluster, history) = (cluster.clone(), history.clone());
        watchers.spawn(watcher::run(cluster, history, dice.fork(), watcher, meddle));
    }
    let manners = match planted {
        Some(Bug::StaleRead) => Manners::Stale,
        Some(Bug::ForgottenRenewal) => Manners::Forgetful,
        _ => Manners::Good,
    };
    for _ in 0..CLIENTS {
        let (cluster, history) = (cluster.clone(), history.clone());
        tasks.spawn(client::run(cluster, history, dice.fork(), manners));
    }
    for _ in 0..LEASEHOLDERS {
        let (cluster, history) = (cluster.clone(), history.clone());
        tasks.spawn(leaseholder::run(cluster, history, dice.fork(), manners));
    }
    tasks.spawn(compact(cluster.clone(), history.clone(), dice.fork()));
    let absence = match plan.harm {
        Harm::Any => nemesis::run(&cluster, &dice, plan.trouble).await?,
        Harm::Rot => rot(&cluster, &dice, plan.trouble).await?,
        Harm::Of { bug, planted } => {
            provoke(&cluster, &dice, plan.trouble, bug, planted).await;
            None
        }
    };
    tasks.shutdown().await;
    nemesis::heal(&cluster);
    let finals = end(&cluster, &history, &dice, absence).await;
    watchers.shutdown().await;
    let events = history.lock();
    let finals = finals.map_err(|stand| disagreement(&events).unwrap_or(stand))?;
    check(&events, &finals)?;
    let (hash, notes) = trace.hash();
    Ok(Report {
        hash,
        notes,
        revisions: finals.first().map_or(0, |last| last.revision),
        answers: events
            .calls
            .iter()
            .filter(|call| call.answered.is_some())
            .count(),
        rot: cluster.rot().clone(),
    })
}

/// What is sure of a history without an end: watchers were told different things. It says more than that members came to a
/// stand.
fn disagreement(events: &Events) -> Option<Fault> {
    let fault = check(events, &[]).err();
    fault.filter(|fault| fault.promise == Promise::Agreed)
}

/// What a planted bug does to the responses of watches.
fn meddle(bug: Option<Bug>, dice: Dice) -> Option<Meddle> {
    let meddle: Meddle = match bug? {
        Bug::DroppedEvent => Arc::new(move |mut response| {
            if dice.chance(30) {
                response.events.pop();
            }
            vec![response]
        }),
        Bug::RepeatedEvent => Arc::new(move |response| {
            if response.events.is_empty() || !dice.chance(30) {
                return vec![response];
            }
            vec![response.clone(), response]
        }),
        Bug::SplitRevision => Arc::new(|mut response| {
            let mut first = response.clone();
            let split = response.events.windows(2).position(|two| {
                let revision = |event: &etcd_proto::mvccpb::Event| {
                    event.kv.as_ref().map(|pair| pair.mod_revision)
                };
                revision(&two[0]) == revision(&two[1])
            });
            let Some(split) = split else {
                return vec![response];
            };
            response.events = first.events.split_off(split + 1);
            vec![first, response]
        }),
        Bug::EarlyProgress => Arc::new(move |mut response| {
            if response.events.is_empty() || !dice.chance(100) {
                return vec![response];
            }
            let mut progress = response.clone();
            progress.events.clear();
            let header = response.header.get_or_insert_default();
            progress.header = Some(*header);
            vec![progress, response]
        }),
        Bug::SkippedFlush | Bug::EarlyReply | Bug::StaleRead | Bug::ForgottenRenewal => {
            return None;
        }
    };
    Some(meddle)
}

/// Machine after machine loses its power and a bit, and is a member again before the next one does.
async fn rot(
    cluster: &Arc<Cluster>,
    dice: &Dice,
    duration: Duration,
) -> Result<Option<Absence>, Fault> {
    let end = Instant::now() + duration;
    while Instant::now() < end {
        sleep(dice.millis(300, 1500)).await;
        let machine = dice.below(cluster.machines());
        let absence = nemesis::rot(cluster, machine, dice).await?;
        come_back(cluster, dice, absence).await?;
    }
    Ok(None)
}

/// Waits until whoever is on his way out is back.
async fn come_back(
    cluster: &Arc<Cluster>,
    dice: &Dice,
    absence: Option<Absence>,
) -> Result<(), Fault> {
    let Some(mut absence) = absence else {
        return Ok(());
    };
    let back = timeout(PATIENCE, async {
        while !absence.go_on(cluster, dice).await {
            sleep(Duration::from_millis(200)).await;
        }
    });
    let back = back.await.is_ok();
    back.then_some(()).ok_or_else(|| {
        fault(
            Promise::Alive,
            format!("it does not come back: {absence:?}"),
        )
    })
}

/// Harm that a planted bug does not survive.
async fn provoke(cluster: &Arc<Cluster>, dice: &Dice, duration: Duration, bug: Bug, planted: bool) {
    let end = Instant::now() + duration;
    while Instant::now() < end {
        sleep(dice.millis(500, 2000)).await;
        match bug {
            Bug::SkippedFlush => {
                // So short that few checkpoints fall into it: those would tell a start what is missing.
                lie(cluster, planted);
                sleep(dice.millis(50, 300)).await;
                for machine in 0..cluster.machines() {
                    cluster.crash(machine, Crash::Clean);
                }
                lie(cluster, false);
                nemesis::start_all(cluster).await;
            }
            Bug::EarlyReply => {
                if let Some(leader) = cluster.leader() {
                    cluster.crash(leader.machine, Crash::Kill);
                    sleep(dice.millis(2000, 3000)).await;
                    nemesis::start_all(cluster).await;
                }
            }
            _ => {
                nemesis::hold(
                    cluster,
                    dice.below(cluster.machines()),
                    dice.millis(100, 900),
                )
                .await
            }
        }
    }
}

fn lie(cluster: &Cluster, lies: bool) {
    for machine in 0..cluster.machines() {
        cluster.storage(machine).lie(lies);
    }
}

/// Starts every member again that does not run, or has stopped by itself.
async fn restart(cluster: &Arc<Cluster>) -> Result<(), Fault> {
    for machine in 0..cluster.machines() {
        if cluster.is_out(machine) {
            continue;
        }
        // What its disk refused it may have stopped on.
        cluster.crash(machine, Crash::Kill);
        let started = cluster.start(machine).await;
        started.map_err(|error| {
            let text = format!("machine {machine} does not start: {error}");
            fault(Promise::Alive, text)
        })?;
    }
    Ok(())
}

/// Compacts now and then, never beyond what the watchers of all keys have been told.
async fn compact(cluster: Arc<Cluster>, history: Arc<History>, dice: Dice) {
    loop {
        sleep(dice.millis(500, 4000)).await;
        let revision = {
            let mut events = history.lock();
            let all = events
                .watchers
                .iter()
                .filter(|watcher| watcher.key.is_none());
            let told = all.map(|watcher| watcher.next - 1).min().unwrap_or(0);
            let revision = told - i64::try_from(dice.below(15)).expect("small");
            if revision <= events.compacted.max(1) {
                continue;
            }
            events.compacted = revision;
            revision
        };
        let running = cluster.any(&dice).await;
        let request = CompactionRequest {
            revision,
            physical: dice.chance(300),
        };
        let compacted = running.member.propose(Command::Compact(request));
        let compacted = running.ask(compacted).await;
        cluster
            .trace
            .note(format_args!("compact to {revision}: {compacted:?}"));
    }
}

async fn end(
    cluster: &Arc<Cluster>,
    history: &Arc<History>,
    dice: &Dice,
    absence: Option<Absence>,
) -> Result<Vec<Final>, Fault> {
    restart(cluster).await?;
    come_back(cluster, dice, absence).await?;
    settle(cluster, history).await
}

/// Waits until every member answers and every watcher has been told everything; what the members have then.
async fn settle(cluster: &Arc<Cluster>, history: &Arc<History>) -> Result<Vec<Final>, Fault> {
    let silent = |what: &str| fault(Promise::Alive, format!("{what} within {PATIENCE:?}"));
    let members = cluster.all();
    for running in &members {
        let ready = timeout(PATIENCE, running.member.wait_ready()).await;
        let machine = running.machine;
        ready
            .map_err(|_| silent(&format!("machine {machine} was not ready")))?
            .map_err(|error| fault(Promise::Alive, format!("machine {machine}: {error}")))?;
    }
    // What was on its way when the clients ended has come, or never will.
    sleep(STRAGGLERS).await;
    // Nobody holds one any more.
    timeout(PATIENCE, leases_end(&members))
        .await
        .map_err(|_| {
            fault(
                Promise::Leased,
                format!("leases do not end within {PATIENCE:?}"),
            )
        })??;
    let revision = timeout(PATIENCE, last_put(&members[0], history))
        .await
        .map_err(|_| silent("nothing could be written"))?;
    let told = async {
        while history
            .lock()
            .watchers
            .iter()
            .any(|watcher| watcher.next <= revision)
        {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, told)
        .await
        .map_err(|_| silent("not every watcher was told of everything"))?;
    let mut finals = Vec::new();
    for running in &members {
        finals.push(last_read(running).await?);
    }
    Ok(finals)
}

async fn leases_end(members: &[Running]) -> Result<(), Fault> {
    loop {
        let mut left = 0;
        for running in members {
            let leases = running
                .member
                .read(|state, _| state.leases().iter().count());
            left += leases.map_err(|error| fault(Promise::Alive, error.to_string()))?;
        }
        if left == 0 {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn last_put(running: &Running, history: &History) -> i64 {
    loop {
        let operation = Operation::Put {
            key: 0,
            value: history.value(),
        };
        let call = history.invoke(operation.clone());
        if let Ok(answer) = client::ask(running, &operation, Manners::Good).await {
            let revision = answer.revision();
            history.answer(call, answer);
            return revision;
        }
    }
}

async fn last_read(running: &Running) -> Result<Final, Fault> {
    let operation = Operation::Read {
        key: None,
        serializable: false,
        revision: 0,
    };
    match client::ask(running, &operation, Manners::Good).await {
        Ok(Answer::Read { revision, pairs }) => Ok(Final {
            machine: running.machine,
            revision,
            pairs,
        }),
        other => Err(fault(Promise::Alive, format!("the last read: {other:?}"))),
    }
}

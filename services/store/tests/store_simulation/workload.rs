//! One member alone at work, with everything recorded that it does to its disks and that it answers.

use crate::{
    calm::{PATIENCE, ready, start},
    check::{Fault, Promise, fault},
    cluster::{Cluster, Running},
    dice::{Dice, Trace},
    disk::Storage,
    history::key,
    model::Call,
    recording::{Recorded, Recording},
    simulated::{Crash, Simulated},
};
use etcd_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest,
    RequestOp, TxnRequest, request_op::Request,
};
use orlop_store::{
    executor::member::MemberError,
    planner::{command::Command, state::Reply},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

/// Who writes at the same time.
const CLIENTS: usize = 6;
/// What each of them asks for between two starts of the member.
const CALLS: usize = 50;
/// Keys of them all: few, so that they are written, deleted and compacted again and again.
const KEYS: usize = 24;
/// Leases live longer than anything here runs: an end that nobody asked for would be in no client's history.
const LEASE_SECONDS: i64 = 1_000_000;

/// How the member ends before it starts again.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Stopped,
    Killed,
}

/// All of it.
pub(crate) struct Workload {
    pub(crate) changes: Vec<Recorded>,
    pub(crate) calls: Vec<Call>,
}

/// What clients share.
struct Desk {
    recording: Recording,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    calls: Vec<Call>,
    /// Granted, as far as clients know.
    leases: Vec<i64>,
    newest: i64,
}

impl Desk {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, command: Command) -> usize {
        let asked = self.recording.place();
        let mut book = self.book();
        book.calls.push(Call {
            command,
            asked,
            answered: None,
        });
        book.calls.len() - 1
    }

    fn answer(&self, number: usize, reply: Reply) {
        let place = self.recording.place();
        let mut book = self.book();
        let call = &mut book.calls[number];
        call.answered = Some((place, reply));
        let revision = call.answered_by(place).map_or(0, |(_, revision)| revision);
        match &call.command {
            Command::LeaseGrant(request) => {
                let id = request.id;
                book.leases.push(id);
            }
            Command::LeaseRevoke(request) => {
                let id = request.id;
                book.leases.retain(|lease| *lease != id);
            }
            _ => {}
        }
        book.newest = book.newest.max(revision);
    }
}

/// Runs it.
pub(crate) async fn record(dice: Dice) -> Result<Workload, Fault> {
    let recording = Recording::default();
    let storage = Storage::of(
        Simulated::default(),
        Simulated::default(),
        dice.fork(),
        Some(recording.clone()),
    );
    let cluster = Cluster::of(vec![storage], dice.fork(), Trace::begin());
    let desk = Arc::new(Desk {
        recording: recording.clone(),
        book: Mutex::default(),
    });
    for ending in [Ending::Stopped, Ending::Killed, Ending::Stopped] {
        let running = start(&cluster, 0).await?;
        ready(&running).await?;
        timeout(PATIENCE, work(&running, &desk, &dice))
            .await
            .map_err(|_| fault(Promise::Alive, "the work takes too long"))??;
        match ending {
            Ending::Stopped => cluster.stop(0).await,
            Ending::Killed => cluster.crash(0, Crash::Kill),
        }
    }
    let calls = std::mem::take(&mut desk.book().calls);
    Ok(Workload {
        changes: recording.take(),
        calls,
    })
}

/// Clients until each has had all its answers; defragmentation beside them.
async fn work(running: &Running, desk: &Arc<Desk>, dice: &Dice) -> Result<(), Fault> {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (running, desk, dice) = (running.clone(), desk.clone(), dice.fork());
        clients.spawn(async move {
            for _ in 0..CALLS {
                sleep(dice.millis(0, 20)).await;
                call(&running, &desk, &dice).await?;
            }
            Ok::<_, Fault>(())
        });
    }
    let defragment = {
        let (running, dice) = (running.clone(), dice.fork());
        async move {
            loop {
                sleep(dice.millis(50, 400)).await;
                if let Err(error) = running.member.defragment().await {
                    return fault(Promise::Alive, format!("defragment: {error}"));
                }
            }
        }
    };
    let finished = async {
        while let Some(client) = clients.join_next().await {
            client.map_err(|error| fault(Promise::Alive, error.to_string()))??;
        }
        Ok(())
    };
    tokio::select! {
        biased;
        finished = finished => finished,
        failed = defragment => Err(failed),
    }
}

async fn call(running: &Running, desk: &Desk, dice: &Dice) -> Result<(), Fault> {
    let (number, command) = {
        let leases = desk.book().leases.clone();
        let newest = desk.book().newest;
        let number = desk.book().calls.len();
        let command = choose(dice, number, &leases, newest);
        (desk.ask(command.clone()), command)
    };
    match running.member.propose(command.clone()).await {
        Ok(reply) => desk.answer(number, reply),
        // A lease that somebody else revoked, or what is compacted already.
        Err(MemberError::Refused(_)) => {}
        Err(error) => return Err(fault(Promise::Alive, format!("{command:?}: {error}"))),
    }
    Ok(())
}

fn choose(dice: &Dice, number: usize, leases: &[i64], newest: i64) -> Command {
    match dice.below(100) {
        0..50 => Command::Put(put(dice, dice.below(KEYS), number, leases)),
        50..66 => Command::Transaction(transaction(dice, number, leases)),
        66..80 => Command::DeleteRange(delete(dice, dice.below(KEYS))),
        80..88 => Command::LeaseGrant(LeaseGrantRequest {
            ttl: LEASE_SECONDS,
            id: i64::try_from(number + 1).expect("small"),
        }),
        88..93 => Command::LeaseRevoke(LeaseRevokeRequest {
            id: dice.choose(leases).copied().unwrap_or(1),
        }),
        _ => Command::Compact(CompactionRequest {
            revision: newest - i64::try_from(dice.below(60)).expect("small"),
            physical: dice.chance(500),
        }),
    }
}

/// Every value is another, and some are larger than a page of the file of records.
fn put(dice: &Dice, key_number: usize, number: usize, leases: &[i64]) -> PutRequest {
    let length = if dice.chance(30) {
        6000
    } else {
        dice.below(300)
    };
    let lease = dice.chance(400).then(|| dice.choose(leases)).flatten();
    PutRequest {
        key: key(key_number).into(),
        value: format!("{number} {key_number} {}", "x".repeat(length)).into(),
        lease: lease.copied().unwrap_or(0),
        ..PutRequest::default()
    }
}

fn delete(dice: &Dice, first: usize) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: key(first).into(),
        // `key-1` to `key-2` are eleven keys.
        range_end: if dice.chance(200) {
            key(first + 1).into()
        } else {
            Vec::new().into()
        },
        ..DeleteRangeRequest::default()
    }
}

/// Writes up to four keys that follow each other, and deletes the one behind them.
fn transaction(dice: &Dice, number: usize, leases: &[i64]) -> TxnRequest {
    let first = dice.below(KEYS - 5);
    let behind = first + 1 + dice.below(4);
    let puts = (first..behind)
        .map(|key_number| Request::RequestPut(put(dice, key_number, number, leases)));
    let deletes = Request::RequestDeleteRange(DeleteRangeRequest {
        key: key(behind).into(),
        ..DeleteRangeRequest::default()
    });
    TxnRequest {
        success: puts
            .chain([deletes])
            .map(|request| RequestOp {
                request: Some(request),
            })
            .collect(),
        ..TxnRequest::default()
    }
}

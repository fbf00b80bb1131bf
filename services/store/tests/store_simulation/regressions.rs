//! Classes of bugs that etcd has published, each looked for here on purpose.

use crate::{
    calm::{PATIENCE, ask, cluster, compact, holds, put, ready, start},
    check::{Fault, Promise, fault},
    client::interval,
    cluster::Running,
    dice::Dice,
    history::Operation,
    membership::Absence,
    nemesis::hold,
    run::{Bug, Harm, Plan, simulate, within},
    simulated::Crash,
};
use etcd_proto::{
    errors::Refusal,
    etcdserverpb::{
        LeaseGrantRequest, PutRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest,
        WatchResponse, watch_request::RequestUnion,
    },
    mvccpb::event::EventType,
};
use orlop_store::{
    executor::member::{MemberError, WatchStream},
    planner::{command::Command, state::Reply},
};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Watches all keys from a revision.
async fn watch(running: &Running, start_revision: i64) -> WatchStream {
    let stream = running.member.watch();
    let (key, range_end) = interval(None);
    let create = WatchCreateRequest {
        key: key.into(),
        range_end: range_end.into(),
        start_revision,
        ..WatchCreateRequest::default()
    };
    request(&stream, RequestUnion::CreateRequest(create)).await;
    stream
}

async fn request(stream: &WatchStream, union: RequestUnion) {
    let request = WatchRequest {
        request_union: Some(union),
    };
    stream.request(request).await;
}

async fn next(stream: &WatchStream) -> Result<WatchResponse, Fault> {
    let response = timeout(PATIENCE, stream.next()).await;
    let response = response.map_err(|_| fault(Promise::Complete, "a watch is told nothing"))?;
    response.ok_or_else(|| fault(Promise::Alive, "the stream ended"))
}

/// Revisions of a response's events, and whether each is a delete.
fn changes(response: &WatchResponse) -> Vec<(i64, bool)> {
    let events = response.events.iter();
    events
        .map(|event| {
            let pair = event.kv.as_ref().expect("a pair");
            (pair.mod_revision, event.r#type() == EventType::Delete)
        })
        .collect()
}

/// Takes responses until this revision was told; all revisions on the way.
async fn told_until(stream: &WatchStream, revision: i64) -> Result<Vec<i64>, Fault> {
    let mut told = Vec::new();
    while told.last().is_none_or(|last| *last < revision) {
        let changes = changes(&next(stream).await?);
        told.extend(changes.into_iter().map(|(revision, _)| revision));
    }
    Ok(told)
}

/// A member alone acknowledges what it has applied and not yet flushed.
#[test]
fn a_write_lost_on_a_single_node_between_log_and_apply() {
    for seed in 0..10 {
        let plan = Plan {
            machines: 1,
            trouble: Duration::from_secs(15),
            harm: Harm::Any,
        };
        holds(seed, simulate(seed, plan).map(|_| ()));
    }
}

/// Progress is told for a watch that is still behind.
#[test]
fn early_progress_notify() {
    let scenario = async |dice: Dice| {
        let cluster = cluster(1, &dice).await?;
        let running = cluster.running(0).expect("it runs");
        let mut last = 1;
        for value in 0..100 {
            last = put(&running, dice.below(5), value).await?;
        }
        let stream = watch(&running, 2).await;
        // It is behind, and asks at once; and again whenever it was told something.
        let mut told = Vec::new();
        let mut progress = 0;
        while progress < last {
            let ask = RequestUnion::ProgressRequest(WatchProgressRequest {});
            request(&stream, ask).await;
            let response = next(&stream).await?;
            let changes = changes(&response);
            if changes.is_empty() && !response.created {
                progress = response.header.expect("a header").revision;
                if told.last() != Some(&progress) {
                    let text = format!("progress {progress} after {:?}", told.last());
                    return Err(fault(Promise::Progress, text));
                }
            }
            told.extend(changes.into_iter().map(|(revision, _)| revision));
        }
        assert_eq!(told, (2..=last).collect::<Vec<_>>());
        Ok(())
    };
    for seed in 0..5 {
        holds(seed, within(seed, scenario));
    }
}

/// A watcher reads nothing while more is written than waits for it, and then everything.
#[test]
fn events_lost_under_watcher_starvation() {
    let scenario = async |dice: Dice| {
        let cluster = cluster(1, &dice).await?;
        let running = cluster.running(0).expect("it runs");
        let starved = watch(&running, 0).await;
        let mut last = 1;
        // Two and a half times what waits for one stream at most.
        for number in 0..40 {
            let request = PutRequest {
                key: format!("large {number}").into(),
                value: vec![7; 512 * 1024].into(),
                ..PutRequest::default()
            };
            match running.member.propose(Command::Put(request)).await {
                Ok(Reply::Put(response)) => last = response.header.expect("a header").revision,
                other => return Err(fault(Promise::Alive, format!("{other:?}"))),
            }
        }
        let (_, watches, behind) = running.member.watches().counts();
        if (watches, behind) != (1, 1) {
            return Err(fault(Promise::Alive, "the watch is not behind"));
        }
        // It may catch up while more is written.
        let writer = {
            let running = running.clone();
            tokio::spawn(async move {
                for value in 0..20 {
                    put(&running, 1, value).await?;
                }
                Ok::<_, Fault>(())
            })
        };
        let told = told_until(&starved, last + 20).await?;
        writer.await.expect("no panic")?;
        assert_eq!(told, (2..=last + 20).collect::<Vec<_>>());
        Ok(())
    };
    holds(1, within(1, scenario));
}

/// Compaction deletes the newest record, and power is lost while it does.
#[test]
fn a_revision_that_goes_back_after_a_crash_in_compaction() {
    let crash_after = async |dice: Dice, operations: usize| {
        let cluster = cluster(1, &dice).await?;
        let running = cluster.running(0).expect("it runs");
        for value in 0..30 {
            put(&running, dice.below(5), value).await?;
        }
        let mut last = 0;
        for key in 0..5 {
            last = ask(&running, &Operation::Delete { key }).await?.revision();
        }
        let storage = cluster.storage(0);
        storage.records.fail_after(operations);
        let compacted = timeout(PATIENCE, compact(&running, last)).await;
        let torn = Crash::Torn {
            seed: dice.number(),
        };
        cluster.crash(0, torn);
        let running = start(&cluster, 0).await?;
        ready(&running).await?;
        let found = running
            .member
            .read(|state, _| (state.revision(), state.compacted()));
        let (revision, compact_revision) = found.expect("a disk");
        if revision != last || (matches!(compacted, Ok(Ok(()))) && compact_revision != last) {
            let text = format!("revision {last} became {revision}, compacted {compact_revision}");
            return Err(fault(Promise::Durable, text));
        }
        let next = put(&running, 0, 100).await?;
        if next != last + 1 {
            return Err(fault(
                Promise::Durable,
                format!("{last} was followed by {next}"),
            ));
        }
        Ok(())
    };
    for seed in 0..40 {
        let operations = usize::try_from(seed).expect("small");
        holds(
            seed,
            within(seed, async |dice| crash_after(dice, operations).await),
        );
    }
}

/// A watch may begin at the revision of the compaction; what that deleted, it is told.
#[test]
fn events_of_a_delete_dropped_by_compaction() {
    let scenario = async |dice: Dice| {
        let cluster = cluster(1, &dice).await?;
        let mut running = cluster.running(0).expect("it runs");
        put(&running, 1, 1).await?;
        put(&running, 2, 2).await?;
        let deleted = ask(&running, &Operation::Delete { key: 1 })
            .await?
            .revision();
        compact(&running, deleted).await?;
        for _ in 0..2 {
            let stream = watch(&running, deleted).await;
            let mut response = next(&stream).await?;
            if response.created {
                response = next(&stream).await?;
            }
            if changes(&response) != [(deleted, true)] {
                let text = format!("the delete of revision {deleted} came as {response:?}");
                return Err(fault(Promise::Complete, text));
            }
            // And again after a restart.
            cluster.crash(0, Crash::Clean);
            running = start(&cluster, 0).await?;
            ready(&running).await?;
        }
        Ok(())
    };
    holds(1, within(1, scenario));
}

/// A watch that begins later than what there is, on a member that is even behind that.
#[test]
fn a_watch_at_a_future_revision() {
    let scenario = async |dice: Dice| {
        let cluster = cluster(3, &dice).await?;
        let leader = cluster.leader().expect("all are ready");
        let other = cluster
            .all()
            .into_iter()
            .find(|running| running.machine != leader.machine)
            .expect("three");
        let mut last = put(&leader, 0, 0).await?;
        let begins = last + 4;
        let streams = [watch(&leader, begins).await, watch(&other, begins).await];
        for value in 1..10 {
            last = put(&leader, dice.below(5), value).await?;
        }
        for stream in &streams {
            let told = told_until(stream, last).await?;
            if told != (begins..=last).collect::<Vec<_>>() {
                let text = format!("a watch from revision {begins} on was told of {told:?}");
                return Err(fault(Promise::Once, text));
            }
        }
        Ok(())
    };
    for seed in 0..5 {
        holds(seed, within(seed, scenario));
    }
}

/// A leader that did nothing for ten seconds does not know that it leads no longer.
#[test]
fn a_stale_read_after_a_pause() {
    let scenario = async |dice: Dice| {
        let cluster = cluster(3, &dice).await?;
        let paused = cluster.leader().expect("all are ready");
        put(&paused, 0, 1).await?;
        let pause = {
            let (cluster, machine) = (cluster.clone(), paused.machine);
            tokio::spawn(async move { hold(&cluster, machine, Duration::from_secs(10)).await })
        };
        let others: Vec<_> = cluster
            .all()
            .into_iter()
            .filter(|running| running.machine != paused.machine)
            .collect();
        let written = async {
            let mut value = 2;
            loop {
                let other = dice.choose(&others).expect("two");
                if let Ok(revision) = put(other, 0, value).await {
                    return revision;
                }
                value += 1;
            }
        };
        let written = timeout(PATIENCE, written).await;
        let written = written.map_err(|_| fault(Promise::Alive, "two of three do not write"))?;
        // Asked while it is held, as it is let go, and afterwards.
        for _ in 0..20 {
            let read = Operation::Read {
                key: Some(0),
                serializable: false,
                revision: 0,
            };
            if let Ok(answer) = ask(&paused, &read).await
                && answer.revision() < written
            {
                let text = format!("revision {written} was known, and the answer is {answer:?}");
                return Err(fault(Promise::Fresh, text));
            }
            sleep(dice.millis(0, 700)).await;
        }
        pause.await.expect("no panic");
        ready(&paused).await?;
        let read = Operation::Read {
            key: Some(0),
            serializable: false,
            revision: 0,
        };
        let answer = ask(&paused, &read).await?;
        if answer.revision() < written {
            return Err(fault(Promise::Fresh, format!("{answer:?}")));
        }
        Ok(())
    };
    for seed in 0..10 {
        holds(seed, within(seed, scenario));
    }
}

/// All lose their power, and the leader leads again: it must not read as of its last checkpoint.
#[test]
fn a_stale_read_from_a_leader_that_was_restarted() {
    for seed in 0..3 {
        let plan = Plan {
            machines: 3,
            trouble: Duration::from_secs(15),
            harm: Harm::Of {
                bug: Bug::SkippedFlush,
                planted: false,
            },
        };
        holds(seed, simulate(seed, plan).map(|_| ()));
    }
}

/// A client gives up while the records are defragmented, the copy having their name already.
#[test]
fn a_defragmentation_that_nobody_waits_for() {
    let given_up_after = async |dice: Dice, millis: u64| {
        let cluster = cluster(1, &dice).await?;
        let running = cluster.running(0).expect("it runs");
        for value in 0..30 {
            put(&running, dice.below(5), value).await?;
        }
        let defragmented = running.member.defragment();
        // Whether it was done by then makes no difference.
        let _ = timeout(Duration::from_millis(millis), defragmented).await;
        let mut last = 0;
        // Checkpoints are made meanwhile, and the log is purged by them.
        for value in 100..250 {
            last = put(&running, dice.below(5), value).await?;
        }
        cluster.crash(0, Crash::Clean);
        let running = start(&cluster, 0).await?;
        ready(&running).await?;
        let next = put(&running, 0, 1000).await?;
        if next != last + 1 {
            let text = format!("{last} was followed by {next}");
            return Err(fault(Promise::Durable, text));
        }
        Ok(())
    };
    for millis in 0..40 {
        let scenario = async |dice| given_up_after(dice, millis).await;
        holds(millis, within(millis, scenario));
    }
}

/// A leader is stopped, and another one renews a lease meanwhile: the first one must not end it when it goes on. (etcd's issue 15247.)
#[test]
fn a_lease_that_a_deposed_leader_ends() {
    const LEASE: i64 = 7;
    let scenario = async |dice: Dice| {
        let cluster = cluster(3, &dice).await?;
        let held = cluster.leader().expect("all are ready");
        let grant = Command::LeaseGrant(LeaseGrantRequest { ttl: 5, id: LEASE });
        let granted = held.member.propose(grant).await;
        granted.map_err(|error| fault(Promise::Alive, error.to_string()))?;
        let hold = {
            let (cluster, machine) = (cluster.clone(), held.machine);
            tokio::spawn(async move { hold(&cluster, machine, Duration::from_secs(8)).await })
        };
        let others: Vec<_> = cluster
            .all()
            .into_iter()
            .filter(|running| running.machine != held.machine)
            .collect();
        let mut renewals = 0;
        let end = Instant::now() + Duration::from_secs(15);
        while Instant::now() < end {
            let other = dice.choose(&others).expect("two");
            match other.member.renew_lease(LEASE).await {
                Ok(_) => renewals += 1,
                Err(MemberError::Refused(Refusal::LeaseNotFound)) => {
                    let text = format!("the lease is gone after {renewals} renewals");
                    return Err(fault(Promise::Leased, text));
                }
                Err(_) => {}
            }
            sleep(dice.millis(100, 500)).await;
        }
        hold.await.expect("no panic");
        Ok(())
    };
    for seed in 0..20 {
        holds(seed, within(seed, scenario));
    }
}

/// A machine joins again after its member was removed, and asks first who does not know that yet.
#[test]
fn a_number_of_a_removed_member_that_is_given_out_again() {
    let scenario = async |dice: Dice| {
        let cluster = cluster(5, &dice).await?;
        let mut leader = cluster.leader().expect("all are ready");
        if leader.machine == 0 {
            let next = cluster.running(1).expect("it runs");
            let moved = leader.member.move_leader(next.member.id()).await;
            moved.map_err(|error| fault(Promise::Alive, error.to_string()))?;
            leader = next;
        }
        let gone = if leader.machine == 4 { 3 } else { 4 };
        let others = (1..5).filter(|machine| *machine != gone);
        let links = others.flat_map(|other| [(0, other), (other, 0)]);
        cluster.network.cut(links.collect());
        let mut absence = Absence::begin(gone, false);
        let back = async {
            while !absence.go_on(&cluster, &dice).await {
                sleep(Duration::from_millis(100)).await;
            }
        };
        let back = timeout(PATIENCE, back).await;
        back.map_err(|_| {
            fault(
                Promise::Alive,
                format!("it does not come back: {absence:?}"),
            )
        })
    };
    for seed in 0..3 {
        holds(seed, within(seed, scenario));
    }
}

//! A member's work is recorded once, and done again up to hundreds of its operations, where power is lost: what was
//! acknowledged is there, whole, and nothing else is.
//!
//! ```text
//!   workload ──> changes of both disks in one order, calls with the places of their answers ──> model
//!   replay:      ──o────o──o─────o──>      at each: fork, lose what was not flushed (all, or any part) ──> Member::start ──> check
//! ```
//!
//! A start makes changes too, and a power cut may come soon after it: some starts are followed by a second cut.

use crate::{
    calm::{PATIENCE, ask, put, ready, start},
    check::{Fault, Promise, fault},
    cluster::{Cluster, Running},
    dice::{Dice, Trace},
    history::{Answer, Operation},
    model::Model,
    recording::{Kind, Recorded, Replay},
    run::within,
    simulated::Crash,
    workload::{Workload, record},
};
use etcd_proto::mvccpb::KeyValue;
use orlop_store::planner::{command::Command, revision::NEVER_COMPACTED, state::Reply};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};
use tokio::time::timeout;

/// Of the workload, and of which cuts are chosen.
const SEED: u64 = 1;
/// Operations of each kind that are cut before and after; those kinds of which there are fewer, all.
const CUTS_OF_A_KIND: usize = 25;
/// Operations of any kind beside those.
const CUTS_EVENLY: usize = 100;
/// Fewer would not be what this test promises.
const CUTS_MIN: usize = 300;
/// Earlier revisions that are looked at after a start.
const REVISIONS_BACK: usize = 3;
/// The key, and the value, that is written after a start: no client uses them.
const AFTERWARDS: (usize, u64) = (999, 1);

/// How much was tried.
#[derive(Debug, Default)]
struct Tried {
    cuts: usize,
    starts: usize,
}

#[test]
fn what_was_acknowledged_is_there_whichever_operation_power_is_lost_at() {
    let begun = Instant::now();
    let workload = within(SEED, record).unwrap_or_else(|fault| panic!("{fault}"));
    let (recorded, tried) = (begun.elapsed(), Tried::default());
    let tried = within(SEED, async |dice| {
        cut_everywhere(&workload, None, &dice, tried).await
    });
    let tried = tried.unwrap_or_else(|fault| panic!("{fault}"));
    assert!(tried.cuts >= CUTS_MIN, "{tried:?}");
    println!(
        "{} cuts among {} operations and {} calls, {} starts, all hold: {recorded:.1?} to record, {:.1?} in all",
        tried.cuts,
        workload.changes.len(),
        workload.calls.len(),
        tried.starts,
        begun.elapsed(),
    );
}

/// The same with every flush of a kind left out of what is done again: the member did not flush, and somebody must notice.
#[test]
fn a_flush_that_is_left_out_is_noticed() {
    let workload = within(SEED, record).unwrap_or_else(|fault| panic!("{fault}"));
    for is_log in [true, false] {
        for operation in ["flush", "flush names"] {
            let skipped = Kind { is_log, operation };
            let outcome = within(SEED, async |dice| {
                cut_everywhere(&workload, Some(skipped), &dice, Tried::default()).await
            });
            match outcome {
                Err(fault) => println!("without {skipped}: {fault}"),
                Ok(tried) => panic!("nobody misses {skipped}: {tried:?}"),
            }
        }
    }
}

async fn cut_everywhere(
    workload: &Workload,
    skipped: Option<Kind>,
    dice: &Dice,
    mut tried: Tried,
) -> Result<Tried, Fault> {
    let changes = &workload.changes;
    let model = Model::of(&workload.calls)?;
    let mut replay = Replay::new(changes, skipped);
    for (number, cut) in cuts(changes, dice).into_iter().enumerate() {
        let replayed = replay.until(cut);
        replayed.map_err(|error| fault(Promise::Alive, format!("replay: {error}")))?;
        tried.cuts += 1;
        let torn = || Crash::Torn {
            seed: dice.number(),
        };
        let mut crashes = vec![Crash::Clean, torn()];
        if number % 4 == 0 {
            crashes.extend([Crash::Kill, torn()]);
        }
        for (number, crash) in crashes.into_iter().enumerate() {
            let again = matches!(crash, Crash::Kill) || number == 0 && cut % 3 == 0;
            let disks = replay.crashed(crash, dice.fork());
            let cluster = Cluster::of(vec![disks], dice.fork(), Trace::begin());
            let expected = Expected {
                workload,
                model: &model,
                cut,
            };
            let outcome = timeout(PATIENCE, expected.check(&cluster, dice, again)).await;
            let outcome = outcome.unwrap_or_else(|_| Err(fault(Promise::Alive, "no end")));
            outcome.map_err(|found| {
                let before = cut.checked_sub(1).map(|last| changes[last].kind());
                let before = before.map_or_else(|| "nothing".to_owned(), |kind| kind.to_string());
                let text = format!(
                    "{crash:?} after {cut} operations of {}, the last being: {before}: {}",
                    changes.len(),
                    found.text
                );
                fault(found.promise, text)
            })?;
            cluster.crash(0, Crash::Kill);
            tried.starts += 1 + usize::from(again);
        }
    }
    Ok(tried)
}

/// After how many operations power is lost: before and after some of every kind, and evenly over all.
fn cuts(changes: &[Recorded], dice: &Dice) -> BTreeSet<usize> {
    let mut kinds: BTreeMap<Kind, Vec<usize>> = BTreeMap::new();
    for (number, change) in changes.iter().enumerate() {
        kinds.entry(change.kind()).or_default().push(number);
    }
    let mut cuts = BTreeSet::from([0, changes.len()]);
    for operations in kinds.values() {
        for operation in some(operations, CUTS_OF_A_KIND, dice) {
            cuts.extend([operation, operation + 1]);
        }
    }
    let all: Vec<_> = (0..changes.len()).collect();
    cuts.extend(some(&all, CUTS_EVENLY, dice));
    cuts
}

/// At most so many, one of each stretch.
fn some(among: &[usize], most: usize, dice: &Dice) -> Vec<usize> {
    let stretch = among.len().div_ceil(most).max(1);
    among
        .chunks(stretch)
        .filter_map(|stretch| dice.choose(stretch).copied())
        .collect()
}

/// What must be there after so many operations.
struct Expected<'a> {
    workload: &'a Workload,
    model: &'a Model,
    cut: usize,
}

/// What a member has.
struct Found {
    revision: i64,
    compacted: i64,
    leases: BTreeMap<i64, Vec<Vec<u8>>>,
}

fn found(running: &Running) -> Result<Found, Fault> {
    let found = running.member.read(|state, _| Found {
        revision: state.revision(),
        compacted: state.compacted(),
        leases: state
            .leases()
            .iter()
            .map(|(id, lease)| (id, lease.keys().map(<[u8]>::to_vec).collect()))
            .collect(),
    });
    found.map_err(|error| fault(Promise::Alive, error.to_string()))
}

async fn read(running: &Running, revision: i64) -> Result<Vec<KeyValue>, Fault> {
    let operation = Operation::Read {
        key: None,
        serializable: false,
        revision,
    };
    match ask(running, &operation).await? {
        Answer::Read { pairs, .. } => Ok(pairs),
        other => Err(fault(Promise::Read, format!("a read came to {other:?}"))),
    }
}

impl Expected<'_> {
    async fn check(&self, cluster: &Cluster, dice: &Dice, again: bool) -> Result<(), Fault> {
        let running = start(cluster, 0).await?;
        ready(&running).await?;
        let found = found(&running)?;
        self.check_revisions(&found)?;
        let mut revisions = vec![found.revision];
        for _ in 0..REVISIONS_BACK {
            let oldest = found.compacted.max(1);
            let back = usize::try_from(found.revision - oldest).expect("compacted before");
            let back = i64::try_from(dice.below(back + 1)).expect("small");
            revisions.push(found.revision - back);
        }
        for revision in revisions {
            self.check_pairs(&running, revision).await?;
        }
        self.check_leases(&found)?;
        let (key, value) = AFTERWARDS;
        let next = put(&running, key, value).await?;
        if next != found.revision + 1 {
            let text = format!("revision {} was followed by {next}", found.revision);
            return Err(fault(Promise::Durable, text));
        }
        if again {
            cluster.crash(0, Crash::Clean);
            let running = start(cluster, 0).await?;
            ready(&running).await?;
            self.check_pairs(&running, found.revision).await?;
            let revision = self::found(&running)?.revision;
            if revision != next {
                let text = format!("{next} became {revision} in a second power cut");
                return Err(fault(Promise::Durable, text));
            }
        }
        Ok(())
    }

    /// Nothing acknowledged is missing, and nothing is there that was not asked for.
    fn check_revisions(&self, found: &Found) -> Result<(), Fault> {
        let calls = &self.workload.calls;
        let (mut acknowledged, mut compacted) = (1, NEVER_COMPACTED);
        for call in calls {
            let Some((_, revision)) = call.answered_by(self.cut) else {
                continue;
            };
            acknowledged = acknowledged.max(revision);
            if let Command::Compact(request) = &call.command {
                compacted = compacted.max(request.revision);
            }
        }
        if found.revision < acknowledged || found.compacted < compacted {
            let text = format!(
                "revision {acknowledged} was acknowledged, compacted {compacted}; there is {}, compacted {}",
                found.revision, found.compacted
            );
            return Err(fault(Promise::Durable, text));
        }
        for revision in acknowledged + 1..=found.revision {
            if self
                .model
                .asked(revision)
                .is_none_or(|asked| asked > self.cut)
            {
                let text = format!(
                    "revision {revision} of {} was not asked for yet",
                    self.model.newest()
                );
                return Err(fault(Promise::Asked, text));
            }
        }
        let asked = calls.iter().any(|call| {
            let Command::Compact(request) = &call.command else {
                return false;
            };
            call.asked <= self.cut && request.revision == found.compacted
        });
        if found.compacted > compacted && !asked {
            let text = format!("nobody asked for compaction to {}", found.compacted);
            return Err(fault(Promise::Asked, text));
        }
        Ok(())
    }

    async fn check_pairs(&self, running: &Running, revision: i64) -> Result<(), Fault> {
        let (pairs, expected) = (read(running, revision).await?, self.model.at(revision));
        if pairs == expected {
            return Ok(());
        }
        let text = format!("at revision {revision} there is {pairs:?}, and not {expected:?}");
        Err(fault(Promise::Durable, text))
    }

    /// Granted ones are there, revoked ones are not, and each has the keys that say so.
    fn check_leases(&self, found: &Found) -> Result<(), Fault> {
        let (mut must, mut may) = (BTreeSet::new(), BTreeSet::new());
        let asked = |revokes: bool| {
            let calls = self.workload.calls.iter();
            calls.filter(move |call| {
                call.asked <= self.cut && revokes == matches!(call.command, Command::LeaseRevoke(_))
            })
        };
        for call in asked(false) {
            if let Command::LeaseGrant(request) = &call.command {
                may.insert(request.id);
                if call.answered_by(self.cut).is_some() {
                    must.insert(request.id);
                }
            }
        }
        for call in asked(true) {
            if let Command::LeaseRevoke(request) = &call.command {
                must.remove(&request.id);
                if let Some((Reply::LeaseRevoke(_), _)) = call.answered_by(self.cut) {
                    may.remove(&request.id);
                }
            }
        }
        let there: BTreeSet<i64> = found.leases.keys().copied().collect();
        if !must.is_subset(&there) || !there.is_subset(&may) {
            let text =
                format!("there are leases {there:?}; there must be {must:?}, may be {may:?}");
            return Err(fault(Promise::Durable, text));
        }
        let mut attached: BTreeMap<i64, Vec<Vec<u8>>> = BTreeMap::new();
        for pair in self.model.at(found.revision) {
            if pair.lease != 0 {
                let keys = attached.entry(pair.lease).or_default();
                keys.push(pair.key.to_vec());
            }
        }
        let leased = found.leases.iter().filter(|(_, keys)| !keys.is_empty());
        let leased: BTreeMap<_, _> = leased.map(|(id, keys)| (*id, keys.clone())).collect();
        if leased != attached {
            let text = format!("leases have the keys {leased:?}, and not {attached:?}");
            return Err(fault(Promise::Durable, text));
        }
        Ok(())
    }
}

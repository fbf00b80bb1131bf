//! What goes wrong: power, disks, network and leaders, one thing after the other and several at a time.

use crate::{
    check::{Fault, Promise, fault},
    cluster::Cluster,
    dice::Dice,
    membership::Absence,
    network::{Machine, Weather},
    rot::{self, Outcome},
    simulated::Crash,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// A step that waits for others is given up after this.
const STEP: Duration = Duration::from_secs(10);

fn crash(dice: &Dice) -> Crash {
    match dice.below(3) {
        0 => Crash::Clean,
        1 => Crash::Kill,
        _ => Crash::Torn {
            seed: dice.number(),
        },
    }
}

/// Does harm until this time has passed. Returns who is still on his way out and back.
pub(crate) async fn run(
    cluster: &Arc<Cluster>,
    dice: &Dice,
    duration: Duration,
) -> Result<Option<Absence>, Fault> {
    let end = Instant::now() + duration;
    let mut absence: Option<Absence> = None;
    while Instant::now() < end {
        sleep(dice.millis(50, 1500)).await;
        match &mut absence {
            Some(absent) if dice.chance(500) => {
                if absent.go_on(cluster, dice).await {
                    absence = None;
                }
            }
            // One at a time: two of three without their disks are more than any store survives.
            None if cluster.machines() > 1 && dice.chance(100) => {
                let machine = dice.below(cluster.machines());
                absence = if dice.chance(500) {
                    rot(cluster, machine, dice).await?
                } else {
                    Some(Absence::begin(machine, dice.chance(500)))
                };
            }
            _ => step(cluster, dice).await,
        }
    }
    Ok(absence)
}

/// Flips a bit while a machine is off. One that refuses to start has to join anew.
pub(crate) async fn rot(
    cluster: &Arc<Cluster>,
    machine: Machine,
    dice: &Dice,
) -> Result<Option<Absence>, Fault> {
    cluster.crash(machine, crash(dice));
    match rot::flip_and_start(cluster, machine, dice).await {
        Ok(Some(Outcome::Refused)) => {
            cluster.take_out(machine);
            Ok(Some(Absence::begin(machine, dice.chance(500))))
        }
        Ok(Some(Outcome::Started) | None) => Ok(None),
        Err(error) => {
            let text = format!("a bit flipped, and the start says: {error}");
            Err(fault(Promise::Alive, text))
        }
    }
}

async fn step(cluster: &Arc<Cluster>, dice: &Dice) {
    let machine = dice.below(cluster.machines());
    let storage = cluster.storage(machine);
    match dice.below(100) {
        0..15 => cluster.crash(machine, crash(dice)),
        15..20 => {
            if let Some(leader) = cluster.leader() {
                cluster.crash(leader.machine, crash(dice));
            }
        }
        20..25 => {
            for machine in 0..cluster.machines() {
                cluster.crash(machine, crash(dice));
            }
        }
        // In the middle of whatever it writes.
        25..33 => {
            let disk = if dice.chance(500) {
                &storage.records
            } else {
                &storage.segments
            };
            disk.fail_after(dice.below(30));
            sleep(dice.millis(10, 500)).await;
            cluster.crash(machine, crash(dice));
        }
        33..55 => start_all(cluster).await,
        55..70 => {
            let links = links(cluster, dice);
            cluster.trace.note(format_args!("cut: {links:?}"));
            cluster.network.cut(links);
        }
        70..76 => {
            let weather = Weather {
                loss_per_mille: dice.number() % 150,
                repeat_per_mille: dice.number() % 300,
                delay_millis_max: 1 + dice.number() % 200,
            };
            cluster.trace.note(format_args!("{weather:?}"));
            cluster.network.weather(weather);
        }
        76..80 => {
            cluster.network.weather(Weather::FAIR);
            cluster.network.cut(BTreeSet::new());
        }
        80..86 => hold(cluster, machine, dice.millis(200, 5000)).await,
        86..89 => storage.slow(dice.number() % 80),
        89..92 => {
            storage.segments.space(Some(dice.below(5_000)));
            sleep(dice.millis(500, 3000)).await;
            // Started again when there is space: a member does not do so by itself.
            cluster.crash(machine, Crash::Kill);
        }
        92..96 => {
            // It may wait for peers that are out of reach.
            let _ = timeout(STEP, cluster.stop(machine)).await;
        }
        _ => {
            if let Some(leader) = cluster.leader()
                && let Some(other) = cluster.running(machine)
            {
                let moved = leader.ask(leader.member.move_leader(other.member.id()));
                let moved = timeout(STEP, moved).await;
                cluster
                    .trace
                    .note(format_args!("leadership to {machine}: {moved:?}"));
            }
        }
    }
}

/// Stops a machine for a while, as far as anybody can tell from outside: what comes and goes waits.
pub(crate) async fn hold(cluster: &Cluster, machine: Machine, duration: Duration) {
    cluster
        .trace
        .note(format_args!("machine {machine} is held for {duration:?}"));
    cluster.network.hold([machine].into());
    cluster.storage(machine).hold(true);
    sleep(duration).await;
    cluster.storage(machine).hold(false);
    cluster.network.hold(BTreeSet::new());
}

fn links(cluster: &Cluster, dice: &Dice) -> BTreeSet<(Machine, Machine)> {
    let all = 0..cluster.machines();
    let side: BTreeSet<Machine> = match dice.below(3) {
        // The leader alone.
        0 => cluster
            .leader()
            .map(|leader| leader.machine)
            .into_iter()
            .collect(),
        _ => all.clone().filter(|_| dice.chance(400)).collect(),
    };
    let both_ways = dice.chance(700);
    let mut links = BTreeSet::new();
    for one in all.clone().filter(|machine| side.contains(machine)) {
        for other in all.clone().filter(|machine| !side.contains(machine)) {
            links.insert((one, other));
            if both_ways {
                links.insert((other, one));
            }
        }
    }
    links
}

/// Starts whoever is off. One whose disk fails again while it starts stays off.
pub(crate) async fn start_all(cluster: &Arc<Cluster>) {
    for machine in 0..cluster.machines() {
        let is_off = cluster.running(machine).is_none() && !cluster.is_out(machine);
        if is_off && cluster.start(machine).await.is_err() {
            cluster.crash(machine, Crash::Kill);
        }
    }
}

/// Puts everything right.
pub(crate) fn heal(cluster: &Cluster) {
    cluster.network.weather(Weather::FAIR);
    cluster.network.cut(BTreeSet::new());
    cluster.network.hold(BTreeSet::new());
    for machine in 0..cluster.machines() {
        let storage = cluster.storage(machine);
        storage.hold(false);
        storage.slow(3);
    }
}

//! Bugs that are planted, and found.

use crate::{
    check::Promise,
    run::{Bug, Plan, simulate},
};
use std::time::Duration;

/// Seeds in which each of them must show.
const SEEDS: u64 = 10;

/// Plants a bug and looks for it; without it, the same trouble does no harm.
#[track_caller]
fn check(bug: Bug, promises: &[Promise]) {
    let plan = |planted| Plan {
        machines: 3,
        trouble: Duration::from_secs(15),
        bug: Some(bug),
        planted,
    };
    let found = (0..SEEDS).find_map(|seed| Some((seed, simulate(seed, plan(true)).err()?)));
    let (seed, fault) =
        found.unwrap_or_else(|| panic!("{bug:?} was not found within {SEEDS} seeds"));
    println!("{bug:?}, seed {seed}: {fault}");
    assert!(promises.contains(&fault.promise), "{bug:?}: {fault}");
    if let Err(fault) = simulate(seed, plan(false)) {
        panic!("without {bug:?}, seed {seed}: {fault}");
    }
}

/// Members that lost what they voted on may also come to a stand.
#[test]
fn a_skipped_flush() {
    let promises = [Promise::Durable, Promise::Fresh, Promise::Alive];
    check(Bug::SkippedFlush, &promises);
}

#[test]
fn a_reply_before_the_commit() {
    check(
        Bug::EarlyReply,
        &[
            Promise::Durable,
            Promise::Fresh,
            Promise::Agreed,
            Promise::Alive,
        ],
    );
}

#[test]
fn a_stale_read() {
    check(Bug::StaleRead, &[Promise::Fresh]);
}

#[test]
fn a_dropped_event() {
    check(Bug::DroppedEvent, &[Promise::Complete]);
}

#[test]
fn a_repeated_event() {
    check(Bug::RepeatedEvent, &[Promise::Once, Promise::Atomic]);
}

#[test]
fn a_revision_in_two_responses() {
    check(Bug::SplitRevision, &[Promise::Atomic]);
}

#[test]
fn early_progress() {
    check(Bug::EarlyProgress, &[Promise::Progress]);
}

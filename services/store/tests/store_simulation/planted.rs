//! Bugs that are planted, and found.

use crate::{
    check::Promise,
    run::{Bug, Harm, Plan, simulate},
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
        harm: Harm::Of { bug, planted },
    };
    let mut stand = None;
    let by_history = (0..SEEDS).find_map(|seed| {
        let fault = simulate(seed, plan(true)).err()?;
        if fault.promise == Promise::Alive {
            stand.get_or_insert((seed, fault));
            return None;
        }
        Some((seed, fault))
    });
    let (seed, fault) = by_history
        .or(stand)
        .unwrap_or_else(|| panic!("{bug:?} was not found within {SEEDS} seeds"));
    println!("{bug:?}, seed {seed}: {fault}");
    assert!(promises.contains(&fault.promise), "{bug:?}: {fault}");
    if let Err(fault) = simulate(seed, plan(false)) {
        panic!("without {bug:?}, seed {seed}: {fault}");
    }
}

/// In some seeds a member that starts finds that its log ends before its records, and says so; in one at least, clients must see
/// what is lost.
#[test]
fn a_skipped_flush() {
    let promises = [Promise::Durable, Promise::Fresh, Promise::Agreed];
    check(Bug::SkippedFlush, &promises);
}

/// What clients see is looked for first. That the shipped store comes to a stand counts too: a member that has applied what the
/// others never had refuses to go on.
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
fn a_forgotten_renewal() {
    check(Bug::ForgottenRenewal, &[Promise::Leased]);
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

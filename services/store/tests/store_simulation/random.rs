//! Random trouble: as many seeds as there is time for.

use crate::run::{Harm, Plan, Report, simulate};
use std::time::{Duration, Instant};

/// Real time that each of the two tests below searches; `ORLOP_SIMULATION_SECONDS` is another.
const SEARCH: Duration = Duration::from_secs(50);

/// Runs seeds from the first on, or the one that is asked for.
fn search(machines: usize, trouble: Duration) {
    let plan = Plan {
        machines,
        trouble,
        harm: Harm::Any,
    };
    let holds = |seed| match simulate(seed, plan) {
        Ok(report) => report,
        Err(fault) => panic!("seed {seed} with {machines} members: {fault}"),
    };
    if let Some(seed) = asked("PROPTEST_RNG_SEED") {
        println!("seed {seed} with {machines} members: {:?}", holds(seed));
        return;
    }
    let search = asked("ORLOP_SIMULATION_SECONDS").map_or(SEARCH, Duration::from_secs);
    let (begun, mut seed) = (Instant::now(), 0);
    let (mut answers, mut notes) = (0, 0);
    while begun.elapsed() < search {
        let report: Report = holds(seed);
        answers += report.answers;
        notes += report.notes;
        seed += 1;
    }
    println!(
        "{seed} seeds of {trouble:?} with {machines} members hold: {answers} answers, {notes} events"
    );
}

fn asked(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number in the environment"))
}

#[test]
fn three_members() {
    search(3, Duration::from_secs(20));
}

#[test]
fn five_members() {
    search(5, Duration::from_secs(20));
}

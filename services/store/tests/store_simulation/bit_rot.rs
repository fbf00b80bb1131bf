//! Bits flip on the disks of a cluster of three, machine after machine: no client is told anything wrong, and all members are the same
//! in the end.

use crate::{
    rot::{Outcome, Outcomes},
    run::{Harm, Plan, simulate},
};
use std::time::Duration;

const SEEDS: u64 = 12;

#[test]
fn a_flipped_bit_is_refused_or_makes_no_difference() {
    let plan = Plan {
        machines: 3,
        trouble: Duration::from_secs(20),
        harm: Harm::Rot,
    };
    let mut all = Outcomes::new();
    for seed in 0..SEEDS {
        let report = simulate(seed, plan).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        for (outcome, times) in report.rot {
            *all.entry(outcome).or_default() += times;
        }
    }
    let refused = |kind| all.get(&(kind, Outcome::Refused)).copied().unwrap_or(0);
    for kind in ["records", "log", "small value"] {
        assert!(refused(kind) > 0, "{kind}: {all:?}");
    }
    println!("{SEEDS} seeds with flipped bits: {all:?}");
}

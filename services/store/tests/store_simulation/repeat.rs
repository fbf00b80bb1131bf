//! A seed says all: the same one comes to the same, note by note.

use crate::run::{Harm, Plan, simulate};
use std::time::Duration;

#[test]
fn a_seed_repeats_itself() {
    for machines in [3, 5] {
        let plan = Plan {
            machines,
            trouble: Duration::from_secs(10),
            harm: Harm::Any,
        };
        let once = simulate(1, plan).expect("this seed holds");
        let twice = simulate(1, plan).expect("this seed holds");
        assert_eq!(once, twice);
        let other = simulate(2, plan).expect("this seed holds");
        assert_ne!(once.hash, other.hash);
    }
}

//! Every target on all its seeds, and on a fixed number of mutations of them from a fixed seed: a failure
//! is a broken parser, never chance.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

use orlop_fuzz::mutate::{Random, mutated};
use orlop_fuzz::{TARGETS, Target};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Tries the bytes; a failure keeps them as a file and says how to see it again.
fn attempt(target: &Target, bytes: &[u8], what: &str) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(bytes))).is_ok() {
        return;
    }
    let path = std::env::temp_dir().join(format!("orlop-fuzz-{}", target.name));
    std::fs::write(&path, bytes).unwrap();
    panic!(
        "{} does not hold for {what}. See it again: cargo run --release --bin orlop-fuzz -- replay {} {}",
        target.name,
        target.name,
        path.display()
    );
}

#[test]
fn every_target_holds_for_its_seeds() {
    for target in TARGETS {
        let seeds = target.seeds().unwrap();
        assert!(!seeds.is_empty(), "{} has no seed", target.name);
        for (number, seed) in seeds.iter().enumerate() {
            attempt(target, seed, &format!("seed {number}"));
        }
        attempt(target, b"", "no bytes");
    }
}

#[test]
fn every_target_holds_for_mutations_of_its_seeds() {
    for target in TARGETS {
        let seeds = target.seeds().unwrap();
        let begin = std::time::Instant::now();
        for run in 0..target.runs {
            let bytes = mutated(&seeds, &mut Random::new(run.into()));
            attempt(target, &bytes, &format!("mutation {run}"));
        }
        println!("{:<20} {:?}", target.name, begin.elapsed());
    }
}

#[test]
fn every_directory_of_seeds_belongs_to_a_target() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for entry in std::fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(Target::find(&name).is_some(), "{name}");
    }
    let names: BTreeSet<_> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names.len(), TARGETS.len());
}

#[test]
fn mutations_are_the_same_every_time_and_differ_from_their_seeds() {
    let seeds = vec![b"kind: Machine\n".to_vec(), (0..=255).collect()];
    let mut changed = 0;
    for run in 0..1000 {
        let once = mutated(&seeds, &mut Random::new(run));
        assert_eq!(once, mutated(&seeds, &mut Random::new(run)));
        changed += u32::from(!seeds.contains(&once));
    }
    assert!(changed > 900, "{changed} of 1000");
}

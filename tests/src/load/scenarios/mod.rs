//! The table of what is measured.

mod range;
mod requests;
mod start;
mod watch;

use super::bench::Bench;
use super::table::Figure;
use crate::store::Kind;
use anyhow::Result;

/// One scenario: on one program, on empty data, once.
#[derive(Debug)]
pub struct Scenario {
    /// What the user types after `--only`.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Does it.
    pub run: fn(&Bench, Kind) -> Result<Vec<Figure>>,
}

impl Scenario {
    /// The scenario of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }
}

/// All of them, in the order in which they run.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "put-1",
        about: "one member, values of 256 bytes, 1 client",
        run: |bench, kind| requests::put(bench, kind, 1),
    },
    Scenario {
        name: "put-64",
        about: "the same, 64 clients",
        run: |bench, kind| requests::put(bench, kind, 64),
    },
    Scenario {
        name: "put-512",
        about: "the same, 512 clients",
        run: |bench, kind| requests::put(bench, kind, 512),
    },
    Scenario {
        name: "get-1",
        about: "linearizable gets of 10,000 keys, 1 client",
        run: |bench, kind| requests::get(bench, kind, 1),
    },
    Scenario {
        name: "get-64",
        about: "the same, 64 clients",
        run: |bench, kind| requests::get(bench, kind, 64),
    },
    Scenario {
        name: "get-512",
        about: "the same, 512 clients",
        run: |bench, kind| requests::get(bench, kind, 512),
    },
    Scenario {
        name: "range",
        about: "10,000 keys with their values in one answer, 1 client",
        run: range::run,
    },
    Scenario {
        name: "watch",
        about: "10,000 watchers over 1,000 keys, 100 to a stream, 1,000 puts/s",
        run: watch::run,
    },
    Scenario {
        name: "three",
        about: "three members on this machine, 64 clients spread over them",
        run: requests::three,
    },
    Scenario {
        name: "written",
        about: "values of 1 KiB, 64 clients",
        run: requests::written,
    },
    Scenario {
        name: "empty",
        about: "one member without a key",
        run: start::empty,
    },
    Scenario {
        name: "million",
        about: "1,000,000 keys (or --keys) with values of 256 bytes",
        run: start::million,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for scenario in SCENARIOS {
            let same = SCENARIOS.iter().filter(|other| other.name == scenario.name);
            assert_eq!(same.count(), 1, "{}", scenario.name);
        }
    }
}

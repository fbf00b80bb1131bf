//! The one table of test suites and their time budgets, on 2 cores under TCG.
//!
//! A suite that ends within its budget is quiet about it; one that is late is reported; one that takes
//! [`HARD_FACTOR`] times its budget is killed and has failed, so that CI always ends.

use std::time::Duration;

/// A suite is killed after this many times its budget: shared machines have shown double times.
pub const HARD_FACTOR: u32 = 3;

/// What a suite runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// Unit, property and component tests of every crate; of `tests`, those of its harness.
    Workspace,
    /// The examples in the documentation of every library.
    Documentation,
    /// One integration test of the crate `tests`, of this name.
    Integration(&'static str),
    /// One test program of another crate that has a row of its own, of this name.
    Component(&'static str),
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Suite {
    /// What the user types after `cargo xtask test`.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    /// What it runs.
    pub runs: Runs,
    /// Seconds it may take, builds not counted.
    pub budget_seconds: u64,
    /// Needs the release image; else the programs alone.
    pub image: bool,
    /// Tests of an integration test that run at once. One, where they are of nodes or of time: two cores do not make two guests
    /// faster.
    pub at_once: u8,
}

impl Suite {
    /// Its budget.
    #[must_use]
    pub const fn budget(&self) -> Duration {
        Duration::from_secs(self.budget_seconds)
    }
}

/// All suites, in the order in which they run: the fast ones first.
pub const SUITES: &[Suite] = &[
    Suite {
        name: "unit",
        about: "planners, parsers and components of every crate",
        runs: Runs::Workspace,
        budget_seconds: 420,
        image: true,
        at_once: 1,
    },
    Suite {
        name: "documentation",
        about: "the examples in the libraries' documentation",
        runs: Runs::Documentation,
        budget_seconds: 60,
        image: false,
        at_once: 1,
    },
    Suite {
        name: "fuzz",
        about: "every parser of outside input: its seeds, and mutations from a fixed seed",
        runs: Runs::Component("fuzz_seeds"),
        budget_seconds: 30,
        image: false,
        at_once: 1,
    },
    Suite {
        name: "store_simulation",
        about: "the store's members under seeded time, network and disks; planted bugs; etcd's classes of bugs",
        runs: Runs::Component("store_simulation"),
        budget_seconds: 75,
        image: false,
        at_once: 1,
    },
    integration(
        "image",
        "two assemblies are bit-identical; nothing is inside that is not listed",
        240,
    ),
    integration(
        "sandbox_supervisor",
        "crash, back-off, floods, children and descriptors, failed phases",
        90,
    ),
    integration(
        "sandbox_control",
        "events, logs that are waited for, new plans, requests in a row",
        30,
    ),
    integration(
        "sandbox_soak",
        "a node under crashes, floods, new plans and rude clients, from a seed",
        40,
    ),
    integration(
        "sandbox_config",
        "maintenance, apply, identity, roles, hostile clients",
        150,
    ),
    integration(
        "sandbox_sources",
        "a fetched config; configs on STATE that the release cannot use",
        60,
    ),
    integration(
        "sandbox_host_unchanged",
        "a sandboxed node leaves its host as it was",
        90,
    ),
    programs(
        "store_clients",
        "etcdctl, etcdutl, curl and a client library see the store as they see etcd 3.5",
        100,
    ),
    Suite {
        at_once: 2,
        ..programs(
            "api_clients",
            "kubectl, the Python client and the crate kube see the API as they expect it, over our store and over etcd; hostile \
         clients; a store that is away, slow, or has gone back",
            180,
        )
    },
    programs(
        "runtime_peers",
        "the container runtime beside Debian's containerd, whose answers it gives, and with a locked docker-registry",
        60,
    ),
    programs(
        "store_faults",
        "the store is killed 200 times, stopped, its log damaged, its disk full: nothing is lost",
        150,
    ),
    integration(
        "qemu_direct",
        "config by fw_cfg, failed phases, watchdog, full disk, read-only root",
        440,
    ),
    integration(
        "qemu_sources",
        "where a config comes from and what goes first; a grown disk; the clock",
        150,
    ),
    integration(
        "qemu_boot",
        "firmware, disk image, maintenance, apply, reboot, 192 MiB",
        300,
    ),
    integration(
        "qemu_runtime",
        "limits, device rules, resizing and statistics of containers on cgroup v2",
        120,
    ),
    integration(
        "qemu_power_cut",
        "disks and config under recorded power cuts",
        300,
    ),
];

const fn integration(name: &'static str, about: &'static str, budget_seconds: u64) -> Suite {
    Suite {
        name,
        about,
        runs: Runs::Integration(name),
        budget_seconds,
        image: true,
        at_once: 1,
    }
}

/// Of programs on this machine.
const fn programs(name: &'static str, about: &'static str, budget_seconds: u64) -> Suite {
    Suite {
        image: false,
        ..integration(name, about, budget_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_integration_test_is_in_the_table() {
        let directory = crate::workspace::root().join("tests/tests");
        let mut found: Vec<String> = std::fs::read_dir(&directory)
            .expect("tests/tests is there")
            .filter_map(|entry| {
                let path = entry.expect("a directory entry").path();
                let stem = path.file_stem()?.to_str()?.to_owned();
                (path.extension()? == "rs").then_some(stem)
            })
            .collect();
        let mut listed: Vec<String> = SUITES
            .iter()
            .filter_map(|suite| match suite.runs {
                Runs::Integration(name) => Some(name.to_owned()),
                Runs::Workspace | Runs::Documentation | Runs::Component(_) => None,
            })
            .collect();
        found.sort();
        listed.sort();
        assert_eq!(found, listed);
    }

    #[test]
    fn together_they_leave_room_for_a_cold_build() {
        let minutes = SUITES.iter().map(|suite| suite.budget_seconds).sum::<u64>() / 60;
        assert!(
            minutes <= 51,
            "{minutes} minutes of 60, cold builds not counted"
        );
    }
}

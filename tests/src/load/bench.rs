//! Runs scenarios in turns on both programs. Every run begins on empty data and leaves nothing behind.

use super::client;
use super::scenarios::{SCENARIOS, Scenario};
use super::table::{self, Figure};
use crate::store::{Cluster, Kind, Options};
use anyhow::{Context as _, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// `TMPFS_MAGIC` of `statfs(2)`: there, a flush costs nothing and memory is counted twice.
const TMPFS: u64 = 0x0102_1994;
/// Records of a million keys with their history do not meet either's quota.
const QUOTA: &str = "--quota-backend-bytes=8589934592";

/// How long and how large everything is.
#[derive(Debug, Clone)]
pub struct Bench {
    /// Data directories are made here.
    pub directory: PathBuf,
    /// What a closed loop does before it counts.
    pub warm_up: Duration,
    /// How long a load counts.
    pub length: Duration,
    /// Runs of each scenario on each program.
    pub rounds: usize,
    /// Keys of the scenario `million`.
    pub keys: usize,
    /// Which programs.
    pub kinds: Vec<Kind>,
}

impl Bench {
    /// Runs the scenarios of these names, or all, and prints each one's figures when they are there.
    ///
    /// # Errors
    /// A scenario has no such name, or fails.
    pub fn run(&self, names: &[String]) -> Result<()> {
        if let Some(name) = names.iter().find(|name| Scenario::named(name).is_none()) {
            let known: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            bail!(
                "there is no scenario `{name}`; there are {}",
                known.join(", ")
            );
        }
        on_a_disk(&self.directory)?;
        let start = Instant::now();
        print!("{}", table::head("etcd"));
        for scenario in SCENARIOS {
            if names.is_empty() || names.iter().any(|name| name == scenario.name) {
                println!("{}: {}", scenario.name, scenario.about);
                print!("{}", table::lines(&self.turns(scenario)?));
            }
        }
        println!("\n{:.0} s", start.elapsed().as_secs_f64());
        Ok(())
    }

    /// Both programs in turns; who is first changes from round to round.
    fn turns(&self, scenario: &Scenario) -> Result<Vec<(Kind, Vec<Figure>)>> {
        let mut runs = Vec::new();
        for round in 0..self.rounds {
            let mut kinds = self.kinds.clone();
            if round % 2 == 1 {
                kinds.reverse();
            }
            for kind in kinds {
                let figures = (scenario.run)(self, kind)
                    .with_context(|| format!("{} with {}", scenario.name, kind.name()))?;
                runs.push((kind, figures));
            }
        }
        Ok(runs)
    }

    /// Gives `work` a cluster of `members` that has answered, on empty data.
    ///
    /// # Errors
    /// The cluster does not start, or those of `work`, with what the members said last.
    pub fn with_cluster<T>(
        &self,
        kind: Kind,
        members: usize,
        work: impl FnOnce(&mut Cluster) -> Result<T>,
    ) -> Result<T> {
        let directory = tempfile::Builder::new()
            .prefix(kind.name())
            .tempdir_in(&self.directory)
            .context("make a directory for the members")?;
        let options = Options {
            members,
            flags: vec![QUOTA.into()],
            ..Options::default()
        };
        let mut cluster = Cluster::start(kind, directory.path(), &options)?;
        let outcome = answered(&cluster).and_then(|()| work(&mut cluster));
        outcome.map_err(|error| {
            let logs: Vec<String> = cluster
                .members
                .iter()
                .map(|member| format!("{}:\n{}", member.name, member.log()))
                .collect();
            error.context(logs.join(""))
        })
    }
}

/// Waits until all members answer a linearizable read.
fn answered(cluster: &Cluster) -> Result<()> {
    let runtime = client::runtime()?;
    for endpoint in cluster.endpoints() {
        runtime.block_on(client::first_answer(&endpoint, client::key("none", 0)))?;
    }
    Ok(())
}

/// Makes the directory, unless it would be in memory.
pub(super) fn on_a_disk(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    let found = rustix::fs::statfs(directory)
        .with_context(|| format!("ask for the file system of {}", directory.display()))?;
    let is_memory = u64::try_from(found.f_type).is_ok_and(|kind| kind == TMPFS);
    ensure!(
        !is_memory,
        "{} is in memory: name a directory on a disk with --directory",
        directory.display()
    );
    Ok(())
}

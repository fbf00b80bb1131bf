//! `cargo xtask seeds`: the simulations and property tests over many seeds, for as long as it is told.
//!
//! The suite `unit` runs each of them once. A failure names the seed, and the same seed fails again.

use crate::{cargo, command, workspace};
use anyhow::{Context, Result, bail};
use cargo_metadata::Message;
use clap::Parser;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Tests that follow from a seed.
struct Seeded {
    name: &'static str,
    /// The test program, by cargo's name of its target.
    program: &'static str,
    /// What its tests' names begin with.
    tests: &'static str,
}

const fn seeded(name: &'static str, program: &'static str, tests: &'static str) -> Seeded {
    Seeded {
        name,
        program,
        tests,
    }
}

/// All of them.
const SEEDED: &[Seeded] = &[
    seeded(
        "supervisor",
        "orlop-init",
        "planner::supervisor::simulation::",
    ),
    seeded("installer", "orlop_installer", "planner::tests::"),
    seeded("network", "orlop_network", "planner::tests::properties::"),
    seeded("dhcp", "orlop_network", "planner::dhcp::tests::"),
    seeded("clock", "orlop_time", "planner::simulation::"),
    seeded("config", "mutations", ""),
    seeded("store", "store_simulation", "random::"),
];

/// Search for seeds that fail.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask seeds")]
struct Arguments {
    /// Which tests: supervisor, installer, network, dhcp, clock, config, store; without names, all of them.
    names: Vec<String>,
    /// How long to search.
    #[arg(long, default_value_t = 300, value_name = "N")]
    seconds: u64,
    /// Run this one seed, as a failure has named it.
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
}

/// Runs the verb.
///
/// # Errors
/// A seed fails, or the tests cannot be built.
pub fn run(arguments: &[String]) -> Result<()> {
    let name = "cargo xtask seeds".to_owned();
    let arguments = Arguments::parse_from(std::iter::once(&name).chain(arguments));
    let chosen = chosen(&arguments.names)?;
    let programs = command::step("test programs", programs)?;
    let all_hold = |seed| {
        chosen
            .iter()
            .try_for_each(|seeded| attempt(seeded, &programs, seed))
    };
    if let Some(seed) = arguments.seed {
        all_hold(seed)?;
        println!("seed {seed} holds");
        return Ok(());
    }
    // Another stretch of seeds each time.
    let first = std::time::UNIX_EPOCH
        .elapsed()
        .map_or(0, |time| time.as_secs());
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    let mut seed = first;
    while Instant::now() < end {
        all_hold(seed)?;
        seed += 1;
    }
    println!("{} seeds hold, from {first} on", seed - first);
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Seeded>> {
    if names.is_empty() {
        return Ok(SEEDED.iter().collect());
    }
    let known = || {
        let names: Vec<_> = SEEDED.iter().map(|seeded| seeded.name).collect();
        names.join(", ")
    };
    names
        .iter()
        .map(|name| {
            let found = SEEDED.iter().find(|seeded| seeded.name == name);
            found.with_context(|| {
                format!("nothing seeded is called `{name}`; there are {}", known())
            })
        })
        .collect()
}

/// Builds all test programs; their names and paths.
fn programs() -> Result<Vec<(String, PathBuf)>> {
    let mut cargo = cargo::command();
    cargo
        .args(["test", "--release", "--workspace", "--no-run", "--quiet"])
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped());
    let mut child = cargo.spawn().context("start cargo")?;
    let output = child.stdout.take().context("cargo's output is piped")?;
    let mut programs = Vec::new();
    for message in Message::parse_stream(BufReader::new(output)) {
        if let Message::CompilerArtifact(artifact) = message.context("read cargo's messages")?
            && artifact.profile.test
            && let Some(program) = artifact.executable
        {
            programs.push((artifact.target.name, program.into()));
        }
    }
    if !child.wait().context("wait for cargo")?.success() {
        bail!("the test programs could not be built");
    }
    Ok(programs)
}

fn attempt(seeded: &Seeded, programs: &[(String, PathBuf)], seed: u64) -> Result<()> {
    let (_, program) = programs
        .iter()
        .find(|(name, _)| name == seeded.program)
        .with_context(|| format!("there is no test program {}", seeded.program))?;
    let output = Command::new(program)
        .arg(seeded.tests)
        .current_dir(workspace::root())
        .env("PROPTEST_RNG_SEED", seed.to_string())
        // The seed says it all: no file is left in the work tree.
        .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
        .output()
        .with_context(|| format!("start {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        println!("{said}");
        bail!(
            "{} fails with seed {seed}. See it again: cargo xtask seeds {} --seed {seed}",
            seeded.name,
            seeded.name
        );
    }
    if said.contains("running 0 tests") {
        bail!(
            "no test of {} begins with `{}`: the table in xtask/src/verbs/seeds.rs is out of date",
            seeded.program,
            seeded.tests
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let names = |found: Vec<&Seeded>| found.iter().map(|one| one.name).collect::<Vec<_>>();
        assert_eq!(chosen(&[]).map(|all| all.len()).expect("all"), SEEDED.len());
        let one = chosen(&["clock".to_owned()]).expect("it is there");
        assert_eq!(names(one), ["clock"]);
        let Err(error) = chosen(&["weather".to_owned()]) else {
            panic!("there is no weather")
        };
        assert!(error.to_string().contains("supervisor"), "{error}");
    }
}

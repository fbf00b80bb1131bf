//! `cargo xtask soak`: the suite `sandbox_soak`, for longer and with a seed of your own.

use super::test::{chosen, prepare};
use crate::{cargo, command};
use anyhow::{Context, Result};
use clap::Parser;

/// Keep a sandboxed node under crashes, floods, new plans and rude clients.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask soak")]
struct Arguments {
    /// How long.
    #[arg(long, default_value_t = 10, value_name = "N")]
    minutes: u64,
    /// What happens follows from it; when it happens is up to the machine.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    seed: u64,
}

/// Runs the verb.
///
/// # Errors
/// A bound did not hold, or a prerequisite could not be made.
pub fn run(arguments: &[String]) -> Result<()> {
    let name = "cargo xtask soak".to_owned();
    let Arguments { minutes, seed } =
        Arguments::parse_from(std::iter::once(&name).chain(arguments));
    prepare(&chosen(&["sandbox_soak".to_owned()])?)?;
    let mut cargo = cargo::command();
    cargo
        .args(["test", "--release", "--workspace", "--quiet"])
        .args(["--test", "sandbox_soak", "--", "--nocapture"])
        .env("ORLOP_SOAK_SECONDS", minutes.saturating_mul(60).to_string())
        .env("ORLOP_SOAK_SEED", seed.to_string());
    command::show(&mut cargo).with_context(|| {
        format!("see it again: cargo xtask soak --minutes {minutes} --seed {seed}")
    })
}

//! `cargo xtask fuzz`: the parsers of outside input under libFuzzer, guided by coverage.
//!
//! The stable compiler does it: coverage is an LLVM pass that `-C passes` adds, and what it calls is in
//! libFuzzer. Address sanitizing would need an unstable flag; the targets are safe Rust.

use crate::{cargo, command, host, workspace};
use anyhow::{Context, Result, bail};
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Adds counters to every edge and shows libFuzzer what comparisons compare, as cargo-fuzz does. These
/// replace the flags of .cargo/config.toml: libFuzzer looks for the C library's functions at run time, so
/// this one program is not static.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// One input may take this long: ten thousand times what one takes.
const INPUT_SECONDS_MAX: u32 = 10;
const MEMORY_MAX_MIB: u32 = 1024;

/// Fuzz the parsers of outside input.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask fuzz")]
struct Arguments {
    /// Targets; without names, all of them in turn.
    targets: Vec<String>,
    /// Time for each target.
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

/// Runs the verb.
///
/// # Errors
/// A target does not hold for some input, which is then kept, or a prerequisite could not be made.
pub fn run(arguments: &[String]) -> Result<()> {
    let name = "cargo xtask fuzz".to_owned();
    let arguments = Arguments::parse_from(std::iter::once(&name).chain(arguments));
    command::step("programs that make and replay inputs", || {
        cargo::build(&["orlop-fuzz"], None)
    })?;
    let targets = chosen(&arguments.targets, &known()?)?;
    host::ensure_for_fuzzing()?;
    let program = command::step("targets with coverage", build)?;
    for target in &targets {
        fuzz(&program, target, arguments.seconds)?;
    }
    println!(
        "\nAll hold. What was learnt is in {}",
        directory().display()
    );
    println!("Next: cargo xtask test fuzz");
    Ok(())
}

/// Where corpora, findings and the guided program are.
fn directory() -> PathBuf {
    workspace::root().join("target/fuzz")
}

fn helper() -> Command {
    Command::new(workspace::release_directory().join("orlop-fuzz"))
}

fn known() -> Result<Vec<String>> {
    let list = command::output(helper().arg("list")).context("list the targets")?;
    let name = |line: &str| Some(line.split('\t').next()?.to_owned());
    Ok(list.lines().filter_map(name).collect())
}

fn chosen(names: &[String], known: &[String]) -> Result<Vec<String>> {
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        bail!(
            "there is no target `{unknown}`; the targets are: {}",
            known.join(", ")
        );
    }
    Ok(if names.is_empty() { known } else { names }.to_vec())
}

/// Builds the targets into a directory of their own: their flags differ from everybody else's.
fn build() -> Result<PathBuf> {
    let mut cargo = cargo::command();
    cargo
        .args(["build", "--release", "--quiet", "--locked"])
        .args(["--manifest-path", "fuzz/guided/Cargo.toml", "--target-dir"])
        .arg(directory())
        .env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\x1f"));
    command::show(&mut cargo).context("build the targets")?;
    Ok(workspace::release_directory_in(Path::new("target/fuzz")).join("orlop-fuzz-guided"))
}

fn fuzz(program: &Path, target: &str, seconds: u32) -> Result<()> {
    let place = |what: &str| -> Result<PathBuf> {
        let path = directory().join(what).join(target);
        std::fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    };
    let (corpus, seeds, found) = (place("corpus")?, place("seeds")?, place("found")?);
    command::output(helper().arg("seeds").arg(target).arg(&seeds)).context("write the seeds")?;
    println!("\n== {target}: {seconds} s");
    let mut run = Command::new(program);
    run.env("ORLOP_FUZZ_TARGET", target)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MAX_MIB}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        .args(["-print_final_stats=1", "-verbosity=0"])
        .args([&corpus, &seeds]);
    command::show(&mut run).with_context(|| {
        format!(
            "{target} does not hold; the input is in {}. See it again: \
             cargo run --release --bin orlop-fuzz -- replay {target} FILE. Once it is repaired, the input \
             belongs into fuzz/seeds/{target}/",
            found.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_targets_or_the_named_ones_and_no_others() {
        let names =
            |names: &[&str]| -> Vec<String> { names.iter().map(|&name| name.to_owned()).collect() };
        let known = names(&["dhcp", "fat"]);
        assert_eq!(chosen(&[], &known).expect("all"), known);
        assert_eq!(chosen(&names(&["fat"]), &known).expect("one"), ["fat"]);
        let error = chosen(&names(&["xfs"]), &known)
            .expect_err("there is no such target")
            .to_string();
        assert!(error.contains("xfs") && error.contains("dhcp"), "{error}");
    }
}

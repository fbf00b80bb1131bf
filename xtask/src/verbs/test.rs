//! `cargo xtask test`: every suite of the table, with its time against its budget.

use crate::suites::{HARD_FACTOR, Runs, SUITES, Suite};
use crate::{cargo, command, etcd_client, image, kube_client, tools, workspace};
use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const HELP: &str = "cargo xtask test [SUITE ...]

Installs what it needs, builds the release (or its programs, where no suite needs more) and runs the suites; without names,
all of them.
";

/// Passed and failed tests of one suite.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
}

/// Lines that a failed test wrote and that are shown again at the end, so that who sees only the end of a long run sees the
/// reason.
const REASON_LINES_MAX: usize = 40;

/// What a suite's lines tell.
#[derive(Debug, Default)]
struct Seen {
    tally: Tally,
    /// The lines of failed tests under their names, each test cut after [`REASON_LINES_MAX`].
    reasons: Vec<String>,
    /// Lines so far of the failed test whose lines come; None: of no test.
    of_test: Option<usize>,
}

impl Seen {
    fn line(&mut self, line: &str) {
        self.tally = add(self.tally, parse(line));
        if line.starts_with("---- ") && line.ends_with(" stdout ----") {
            self.of_test = Some(0);
        } else if line == "failures:" {
            self.of_test = None;
        }
        if let Some(count) = &mut self.of_test {
            *count += 1;
            if *count <= REASON_LINES_MAX && !line.is_empty() {
                self.reasons.push(line.to_owned());
            }
        }
    }
}

/// One suite's outcome.
struct Outcome {
    suite: &'static Suite,
    tally: Tally,
    reasons: Vec<String>,
    took: Duration,
    ended_well: bool,
}

/// Runs the verb.
///
/// # Errors
/// A test failed, a suite ended badly or ran into its hard limit, or a prerequisite could not be made.
pub fn run(arguments: &[String]) -> Result<()> {
    if arguments
        .iter()
        .any(|argument| matches!(argument.as_str(), "--help" | "-h"))
    {
        print!("{HELP}\nsuites:\n{}", listing());
        return Ok(());
    }
    let suites = chosen(arguments)?;
    prepare(&suites)?;
    if suites.iter().any(|suite| suite.name == "store_clients") {
        command::step("etcd-client, a client library of etcd's", || {
            etcd_client::program().map(drop)
        })?;
    }
    if suites.iter().any(|suite| suite.name == "api_clients") {
        command::step("kube-client, Rust's client of Kubernetes", || {
            kube_client::program().map(drop)
        })?;
    }
    let mut outcomes = Vec::new();
    for suite in suites {
        outcomes.push(run_suite(suite)?);
    }
    report(&outcomes)
}

fn listing() -> String {
    SUITES
        .iter()
        .map(|suite| {
            format!(
                "  {:<24} {:>4} s  {}\n",
                suite.name, suite.budget_seconds, suite.about
            )
        })
        .collect()
}

pub(super) fn chosen(names: &[String]) -> Result<Vec<&'static Suite>> {
    if names.is_empty() {
        return Ok(SUITES.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            SUITES
                .iter()
                .find(|suite| suite.name == name)
                .with_context(|| {
                    format!("there is no suite `{name}`; the suites are:\n{}", listing())
                })
        })
        .collect()
}

/// What suites stand on: tools and the release, or the programs alone, and their test programs.
pub(super) fn prepare(suites: &[&Suite]) -> Result<()> {
    if suites.iter().any(|suite| suite.image) {
        command::step("tools tree", || tools::tree().map(drop))?;
        command::step("release image, flavour vm", || {
            image::build(image::Flavour::Vm).map(drop)
        })?;
    } else {
        command::step("build init and orlop", || {
            cargo::build(&image::programs::PROGRAMS, None)
        })?;
    }
    command::step("build orlopctl and tests", || {
        cargo::build(&["orlopctl"], None)?;
        let mut command = cargo::command();
        command.args(["test", "--release", "--workspace", "--quiet", "--no-run"]);
        // Documentation is compiled as it is run.
        let mut programs = suites
            .iter()
            .filter(|suite| suite.runs != Runs::Documentation)
            .peekable();
        if programs.peek().is_none() {
            return Ok(());
        }
        for suite in programs {
            command.args(selection(suite)?);
        }
        command::show(&mut command)
    })
}

fn run_suite(suite: &'static Suite) -> Result<Outcome> {
    println!(
        "\n== {}: {} (budget {} s)",
        suite.name, suite.about, suite.budget_seconds
    );
    let mut command = suite_command(suite)?;
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("start suite {}", suite.name))?;
    let (seen, in_time) = follow(&mut child, suite.budget() * HARD_FACTOR)?;
    let status = child.wait().context("wait for cargo test")?;
    if !in_time {
        println!(
            "== {} was killed after {HARD_FACTOR} times its budget",
            suite.name
        );
    }
    Ok(Outcome {
        suite,
        tally: seen.tally,
        reasons: seen.reasons,
        took: start.elapsed(),
        ended_well: status.success() && in_time,
    })
}

/// `cargo test` over the whole workspace, narrowed to the suite's test programs.
fn suite_command(suite: &Suite) -> Result<Command> {
    let mut command = cargo::command();
    command.args(["test", "--release", "--workspace"]);
    if matches!(suite.runs, Runs::Workspace | Runs::Documentation) {
        command.arg("--no-fail-fast");
    }
    command.args(selection(suite)?);
    match suite.runs {
        Runs::Workspace | Runs::Documentation => {}
        Runs::Component(_) => {
            command.args(["--", "--nocapture"]);
        }
        Runs::Integration(_) => {
            command.args(["--", &format!("--test-threads={}", suite.at_once)]);
        }
    }
    Ok(command)
}

/// Which test programs are a suite's, as cargo is told.
fn selection(suite: &Suite) -> Result<Vec<String>> {
    let mut selection: Vec<String> = Vec::new();
    match suite.runs {
        Runs::Workspace => {
            selection.extend(["--lib", "--bins"].map(str::to_owned));
            for name in component_tests()? {
                selection.extend(["--test".to_owned(), name]);
            }
        }
        Runs::Documentation => selection.push("--doc".to_owned()),
        Runs::Component(name) | Runs::Integration(name) => {
            selection.extend(["--test", name].map(str::to_owned));
        }
    }
    Ok(selection)
}

/// The test programs beside the crates: all but those of the crate `tests` and others that are suites.
fn component_tests() -> Result<Vec<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace::root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("read the workspace by cargo metadata")?;
    let packages = metadata
        .packages
        .iter()
        .filter(|package| package.name.as_str() != "orlop-tests");
    Ok(packages
        .flat_map(|package| &package.targets)
        .filter(|target| target.is_test())
        .map(|target| target.name.clone())
        .filter(|name| !SUITES.iter().any(|suite| is_component(suite, name)))
        .collect())
}

fn is_component(suite: &Suite, name: &str) -> bool {
    matches!(suite.runs, Runs::Component(component) if component == name)
}

/// Shows the suite's lines as they come, and what they tell. False: it had to be killed.
fn follow(child: &mut Child, limit: Duration) -> Result<(Seen, bool)> {
    let output = child.stdout.take().context("the suite's output is piped")?;
    let (lines, received) = mpsc::sync_channel::<String>(1024);
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    let deadline = Instant::now() + limit;
    let mut seen = Seen::default();
    loop {
        match received.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                seen.line(&line);
                if worth_showing(&line) {
                    println!("{line}");
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let _ = reader.join();
                return Ok((seen, true));
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                // The whole process group: cargo, the test program, and its guests.
                command::show(Command::new("kill").args([
                    "-KILL",
                    "--",
                    &format!("-{}", child.id()),
                ]))?;
                return Ok((seen, false));
            }
        }
    }
}

/// Empty crates print six lines each that say nothing.
fn worth_showing(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty()
        && line != "running 0 tests"
        && !line.starts_with("test result: ok. 0 passed; 0 failed")
}

/// The counts of cargo's closing line, "test result: ok. 3 passed; 0 failed; ...".
fn parse(line: &str) -> Tally {
    let Some(rest) = line.strip_prefix("test result: ") else {
        return Tally::default();
    };
    let count = |what: &str| {
        let before = rest.split(what).next().unwrap_or_default().trim_end();
        before
            .rsplit(' ')
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or(0)
    };
    Tally {
        passed: count(" passed"),
        failed: count(" failed"),
    }
}

const fn add(left: Tally, right: Tally) -> Tally {
    Tally {
        passed: left.passed + right.passed,
        failed: left.failed + right.failed,
    }
}

fn report(outcomes: &[Outcome]) -> Result<()> {
    for outcome in outcomes {
        if !outcome.reasons.is_empty() {
            println!("\nfailed in {}:", outcome.suite.name);
        }
        for line in &outcome.reasons {
            println!("  {line}");
        }
    }
    println!("\nsuite                      tests   seconds  budget");
    for outcome in outcomes {
        let late = if outcome.took > outcome.suite.budget() {
            "  over budget"
        } else {
            ""
        };
        let bad = if outcome.ended_well { "" } else { "  FAILED" };
        println!(
            "{:<24} {:>7} {:>9.1} {:>7}{late}{bad}",
            outcome.suite.name,
            outcome.tally.passed + outcome.tally.failed,
            outcome.took.as_secs_f64(),
            outcome.suite.budget_seconds,
        );
    }
    let total = outcomes
        .iter()
        .fold(Tally::default(), |sum, outcome| add(sum, outcome.tally));
    let bad: Vec<&str> = outcomes
        .iter()
        .filter(|outcome| !outcome.ended_well)
        .map(|outcome| outcome.suite.name)
        .collect();
    println!();
    if !bad.is_empty() {
        println!("{} passed, {} failed", total.passed, total.failed.max(1));
        bail!(
            "suites failed: {}. Run one again: cargo xtask test {}",
            bad.join(", "),
            bad[0]
        );
    }
    println!("Next: cargo xtask up\n");
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_counted_and_nothing_else_is() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(
            parse(line),
            Tally {
                passed: 12,
                failed: 3
            }
        );
        assert_eq!(parse("test frame::tests::split ... ok"), Tally::default());
    }

    #[test]
    fn why_a_test_failed_is_kept_and_bounded() {
        let mut seen = Seen::default();
        for line in [
            "test one ... FAILED",
            "failures:",
            "",
            "---- one stdout ----",
            "thread 'one' panicked at lib.rs:1:1:",
            "left is not right",
            "",
            "failures:",
            "    one",
            "test result: FAILED. 0 passed; 1 failed; 0 ignored;",
        ] {
            seen.line(line);
        }
        assert_eq!(
            seen.reasons,
            [
                "---- one stdout ----",
                "thread 'one' panicked at lib.rs:1:1:",
                "left is not right"
            ]
        );
        assert_eq!(seen.tally.failed, 1);
        seen.line("---- two stdout ----");
        for _ in 0..1000 {
            seen.line("noise");
        }
        assert_eq!(seen.reasons.len(), 3 + REASON_LINES_MAX);
    }

    #[test]
    fn a_suite_that_hangs_is_killed_with_its_children() {
        let mut child = Command::new("sh")
            .args([
                "-c",
                "echo 'test result: ok. 1 passed; 0 failed;'; sleep 1000 & wait",
            ])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("sh starts");
        let (seen, in_time) =
            follow(&mut child, Duration::from_millis(300)).expect("it is followed");
        assert_eq!(
            (seen.tally, in_time),
            (
                Tally {
                    passed: 1,
                    failed: 0
                },
                false
            )
        );
        assert!(!child.wait().expect("it is reaped").success());
    }

    #[test]
    fn an_unknown_suite_is_named_with_the_known_ones() {
        let error = chosen(&["nope".to_owned()])
            .expect_err("there is no such suite")
            .to_string();
        assert!(
            error.contains("nope") && error.contains("qemu_boot"),
            "{error}"
        );
    }
}

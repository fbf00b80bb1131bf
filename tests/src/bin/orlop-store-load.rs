//! `cargo xtask bench store`: the store against etcd 3.5.

use anyhow::Result;
use clap::Parser;
use orlop_tests::load::bench::Bench;
use orlop_tests::store::Kind;
use std::path::PathBuf;
use std::time::Duration;
use xtask::workspace;

/// Measure the store against etcd 3.5, in turns on the same disk with the same client. About 20 minutes; `--quick` takes
/// two, and says less.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench store")]
struct Arguments {
    /// Short runs, one of each.
    #[arg(long)]
    quick: bool,
    /// Only this scenario; may be given more than once.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Seconds that a load counts [default: 10, quick: 2].
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Runs of each scenario on each program, of which the median counts [default: 3, quick: 1].
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Keys of the scenario `million` [default: 1,000,000, quick: 100,000].
    #[arg(long, value_name = "N")]
    keys: Option<usize>,
    /// Leave the other out: there are no ratios then.
    #[arg(long, value_name = "PROGRAM")]
    program: Option<Program>,
    /// Where data directories are made, on a disk [default: .orlop/bench].
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Program {
    Etcd,
    Orlop,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let quick = arguments.quick;
    let choose = |full: u64, short: u64| if quick { short } else { full };
    let kinds = match arguments.program {
        Some(Program::Etcd) => vec![Kind::Etcd],
        Some(Program::Orlop) => vec![Kind::Orlop],
        None => vec![Kind::Etcd, Kind::Orlop],
    };
    let bench = Bench {
        directory: arguments
            .directory
            .unwrap_or_else(|| workspace::private().join("bench")),
        warm_up: Duration::from_millis(choose(2_000, 500)),
        length: Duration::from_secs(arguments.seconds.unwrap_or_else(|| choose(10, 2))),
        rounds: arguments.rounds.unwrap_or(if quick { 1 } else { 3 }),
        keys: arguments
            .keys
            .unwrap_or(if quick { 100_000 } else { 1_000_000 }),
        kinds,
    };
    bench.run(&arguments.only)
}

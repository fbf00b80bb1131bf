//! `cargo xtask bench apiserver`: the API server over the store.

use anyhow::Result;
use clap::Parser;
use orlop_tests::load::api::Bench;
use orlop_tests::store::Kind;
use std::path::PathBuf;
use std::time::Duration;
use xtask::workspace;

/// Measure the API server over the store, beside what the project has set itself and what upstream's took. About 4 minutes;
/// `--small` takes less than one, and says less.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench apiserver")]
struct Arguments {
    /// Short runs of few objects.
    #[arg(long)]
    small: bool,
    /// Only this part; may be given more than once.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Seconds that a load counts [default: 10, small: 2].
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Seconds without a request in the part `idle` [default: 20, small: 5].
    #[arg(long, value_name = "N")]
    rest: Option<u64>,
    /// Starts of which the median counts [default: 7, small: 3].
    #[arg(long, value_name = "N")]
    starts: Option<usize>,
    /// Pods in the part `pods` [default: 10,000, small: 1,000].
    #[arg(long, value_name = "N")]
    pods: Option<usize>,
    /// Watchers in the parts `watch` [default: 1,000, small: 100].
    #[arg(long, value_name = "N")]
    watchers: Option<usize>,
    /// Changes per second that they watch.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    changes: u32,
    /// Over etcd 3.5 in the place of the store.
    #[arg(long)]
    etcd: bool,
    /// Where data directories are made, on a disk [default: .orlop/bench].
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let small = arguments.small;
    let choose = |full: u64, short: u64| if small { short } else { full };
    let count = |full: usize, short: usize| if small { short } else { full };
    let bench = Bench {
        directory: arguments
            .directory
            .unwrap_or_else(|| workspace::private().join("bench")),
        store: if arguments.etcd {
            Kind::Etcd
        } else {
            Kind::Orlop
        },
        warm_up: Duration::from_millis(choose(1_000, 500)),
        length: Duration::from_secs(arguments.seconds.unwrap_or_else(|| choose(10, 2))),
        rest: Duration::from_secs(arguments.rest.unwrap_or_else(|| choose(20, 5))),
        starts: arguments.starts.unwrap_or_else(|| count(7, 3)),
        pods: arguments.pods.unwrap_or_else(|| count(10_000, 1_000)),
        watchers: arguments.watchers.unwrap_or_else(|| count(1_000, 100)),
        changes: arguments.changes,
    };
    bench.run(&arguments.only)
}

//! `cargo xtask bench runtime`: the container runtime against containerd, crun and runc.

use anyhow::Result;
use clap::{Parser, Subcommand};
use orlop_tests::load::runtime::{Bench, call_programs};
use std::path::PathBuf;
use xtask::workspace;

/// Measure the container runtime against Debian's containerd with runc, and against crun and runc by themselves. About 3
/// minutes; `--small` takes less than one, and says less. It needs root.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench runtime")]
struct Arguments {
    /// Few turns, and a small image.
    #[arg(long)]
    small: bool,
    /// Only this part; may be given more than once.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Turns of which the median counts [default: 40, small: 5].
    #[arg(long, value_name = "N")]
    turns: Option<usize>,
    /// Pods in the part `memory` [default: 40, small: 5].
    #[arg(long, value_name = "N")]
    pods: Option<usize>,
    /// MiB of the image in the part `unpack` [default: 500, small: 50].
    #[arg(long, value_name = "N")]
    image_mib: Option<usize>,
    /// Where data directories are made, on a disk [default: .orlop/bench].
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Calls a peer, as the part `life` wants it.
    #[command(hide = true)]
    Call {
        /// Peer, state, bundles.
        arguments: Vec<String>,
    },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(What::Call { arguments }) = arguments.what {
        return call_programs(&arguments);
    }
    let choose = |given: Option<usize>, full: usize, small: usize| {
        given.unwrap_or(if arguments.small { small } else { full })
    };
    let bench = Bench {
        directory: arguments
            .directory
            .unwrap_or_else(|| workspace::private().join("bench")),
        turns: choose(arguments.turns, 40, 5),
        pods: choose(arguments.pods, 40, 5),
        image_mib: choose(arguments.image_mib, 500, 50),
    };
    bench.run(&arguments.only)
}

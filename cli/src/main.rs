//! orlopctl: the machine API, a cluster's secrets and configs, from a command line.
//!
//! ```text
//!   arguments ──> commands/* ──> session.rs ──> node
//!                    │              └ contexts.rs (orlopconfig), names.rs (DNS)
//!                    └──> output.rs (table, JSON, YAML)        failure.rs (advice, exit code)
//! ```
//!
//! Invariants: standard output carries results only, standard error everything else; a file is written
//! whole or not at all, readable by its owner only, and never over another without `--force`; no secret
//! goes to a node whose certificate was not verified.

mod arguments;
mod commands;
mod contexts;
mod failure;
mod files;
mod names;
mod output;
mod session;
mod values;

use arguments::Arguments;
use clap::Parser as _;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(commands::run(arguments));
            // A look-up that hangs must not hold up the end.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::other(format!("start the runtime: {error}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}

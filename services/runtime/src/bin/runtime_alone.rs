//! The runtime and its keeper as a program of their own, for this crate's tests: `orlop` is above it.

use clap::Parser;
use orlop_runtime::executor::keeper;
use std::process::ExitCode;

#[derive(Parser)]
enum CommandLine {
    /// What `orlop runtime-keeper` is.
    RuntimeKeeper(keeper::Args),
}

fn main() -> ExitCode {
    let CommandLine::RuntimeKeeper(args) = CommandLine::parse();
    match keeper::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", service::chain(&error));
            ExitCode::FAILURE
        }
    }
}

//! The runtime and its keeper as a program of their own, for this crate's tests: `orlop` is above it.

use clap::Parser;
use orlop_runtime::executor::{keeper, pause};
use std::process::ExitCode;

#[derive(Parser)]
enum CommandLine {
    /// What `orlop runtime` is.
    Runtime(Box<orlop_runtime::Args>),
    /// What `orlop runtime-keeper` is.
    RuntimeKeeper(keeper::Args),
    /// What `orlop runtime-pause` is.
    RuntimePause(pause::Args),
}

fn main() -> ExitCode {
    let done = match CommandLine::parse() {
        CommandLine::Runtime(args) => {
            orlop_runtime::run(*args).map_err(|error| service::chain(&error))
        }
        CommandLine::RuntimeKeeper(args) => {
            keeper::run(args).map_err(|error| service::chain(&error))
        }
        CommandLine::RuntimePause(args) => pause::run(args).map_err(|error| error.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

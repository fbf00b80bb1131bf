//! The machine API by itself, without the other services: what this room's tests start.
//!
//! Underscores in its name, since tests find it by an environment variable of that name and shells
//! drop variables with hyphens.

use clap::Parser as _;
use orlop_machine_api::{Args, run};
use std::process::ExitCode;

#[derive(clap::Parser)]
struct Alone {
    #[command(flatten)]
    args: Args,
}

fn main() -> ExitCode {
    match run(Alone::parse().args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

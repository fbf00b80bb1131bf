//! `orlop installer`: makes the system's disk what it shall be, before `init` mounts anything of it.
//!
//! ```text
//!   disk   ESP │ META 4 MiB │ STATE 128 MiB │ DATA, the rest
//!
//!   observe ──> planner::next_step ──> Some(step) ──executor──┐
//!      ^                          └──> None: done             │
//!      └──────────────────────────────────────────────────────┘
//! ```
//!
//! The planner sees the disks as they are and gives one step; after it the disks are looked at again. A
//! crash between or within two steps is nothing special: the next boot sees what it left, and META says
//! which file systems are whole.
//!
//! Invariants: a disk with foreign data is written to only with `wipe: true`; a STATE that META calls
//! made is never made again; nothing is reported as done before it was flushed.
//!
//! It must not know what is on STATE and DATA, and releases are not yet its concern.

mod executor;
pub mod formats;
pub mod meta;
mod planner;

use init_proto::paths;
use machine_config::parts::{self, InstallerPart};
use service::{chain, notify::Notifier};
use std::{path::PathBuf, process::ExitCode};

use executor::Places;
pub use planner::Refusal;

/// Arguments of `orlop installer`.
#[derive(Debug, Clone, clap::Parser)]
#[command(
    name = "installer",
    about = "Partitions and file systems of the system's disk; safe to run again at any time"
)]
pub struct Args {
    #[command(flatten)]
    service: service::Arguments,
    /// Where sysfs is mounted.
    #[arg(long, value_name = "DIR", default_value = "/sys")]
    sysfs: PathBuf,
    /// Where device files are.
    #[arg(long, value_name = "DIR", default_value = "/dev")]
    dev: PathBuf,
    /// Directory of mke2fs and e2fsck.
    #[arg(long, value_name = "DIR", default_value = "/usr/sbin")]
    programs: PathBuf,
}

/// Runs the one-shot. Failure leaves the machine in maintenance mode, with the last status line as its
/// reason.
pub fn run(args: Args) -> ExitCode {
    if let Err(error) = service::logs::start(&args.service.log_level) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    let notifier = Notifier::from_env().unwrap_or_else(|error| {
        tracing::warn!(%error, "supervisor cannot be notified");
        Notifier::disconnected()
    });
    let part = match read_part(&args.service) {
        Ok(part) => part,
        Err(reason) => return failed(&notifier, &reason),
    };
    let places = Places {
        sysfs: args.sysfs,
        dev: args.dev,
        programs: args.programs,
        mount_point: args
            .service
            .runtime_dir
            .unwrap_or_else(|| PathBuf::from(paths::RUN_SERVICES).join("installer"))
            .join("data"),
    };
    match executor::converge(&places, &part) {
        Ok(done) => {
            notifier.status(&done);
            tracing::info!("{done}");
            ExitCode::SUCCESS
        }
        Err(error) => failed(&notifier, &chain(&error)),
    }
}

fn read_part(arguments: &service::Arguments) -> Result<InstallerPart, String> {
    let bytes = arguments.read_config().map_err(|error| chain(&error))?;
    parts::decode(&bytes).map_err(|error| chain(&error))
}

fn failed(notifier: &Notifier, reason: &str) -> ExitCode {
    notifier.status(reason);
    tracing::error!("{reason}");
    ExitCode::FAILURE
}

//! `orlop plan`: finds and validates the machine config, and tells `init` what the machine shall be.
//!
//! ```text
//!   read-only descriptors (LISTEN_FDS) ──executor──> bytes of one source after another
//!                                                        │
//!   init <── one frame on stdout ── Plan <── planner ────┘   search ── decide ── plan
//! ```
//!
//! It runs as a user of its own with no capability, no network and no file system: everything that it
//! looks at comes as a descriptor that `init` has opened. All parsing of what comes from outside (YAML,
//! FAT, ISO 9660, SMBIOS, the kernel command line) is here, so that `init` parses none of it.
//!
//! It must not know how anything in the plan is done.

mod executor;
pub mod formats;
mod planner;

use init_proto::plan::Plan;
use std::{io::Write as _, process::ExitCode};

pub use planner::{REASON_MAX, SourceId};

/// Arguments of `orlop plan`.
#[derive(Debug, Clone, clap::Parser)]
#[command(
    name = "plan",
    about = "Finds and validates the machine config, writes a plan to standard output",
    long_about = "Finds and validates the machine config among the descriptors that sd_listen_fds(3) \
                  hands over (LISTEN_FDS, LISTEN_FDNAMES), and writes one frame with the plan to \
                  standard output. Logs go to standard error."
)]
pub struct Args {
    /// The node is a sandbox on a Linux host: leave out what concerns the whole machine.
    #[arg(long)]
    pub sandboxed: bool,
    /// Least severe level that is logged: error, warn, info, debug, trace.
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "ORLOP_LOG")]
    pub log_level: tracing::Level,
}

/// Runs the one-shot. A machine without a usable config is a plan too (maintenance mode), so failure
/// means that the plan could not be handed over.
pub fn run(args: Args) -> ExitCode {
    // Standard output carries the plan, so logs go the other way.
    let _ = tracing_subscriber::fmt()
        .with_max_level(args.log_level)
        .json()
        .flatten_event(true)
        .with_writer(std::io::stderr)
        .try_init();
    let plan = match executor::handed_over() {
        Ok(handed) => planner::plan(&executor::search(handed, args.sandboxed), args.sandboxed),
        Err(error) => {
            tracing::error!(%error, "descriptors");
            init_proto::services::maintenance(
                format!("The planner was not handed its sources: {error}"),
                args.sandboxed,
            )
        }
    };
    tracing::info!(mode = ?plan.mode, source = ?plan.source, services = plan.services.len(), "planned");
    match hand_over(&plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the plan could not be written");
            ExitCode::FAILURE
        }
    }
}

fn hand_over(plan: &Plan) -> Result<(), init_proto::frame::FrameError> {
    let mut out = std::io::stdout().lock();
    init_proto::frame::write(&mut out, plan)?;
    Ok(out.flush()?)
}

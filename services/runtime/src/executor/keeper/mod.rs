//! The keeper: one small process that makes containers, keeps their logs, and sees their ends.
//!
//! ```text
//!   epoll ──> signals     a child has ended: whose is it? its container's log is finished, its end is told
//!         ├─> listener    the runtime, or the next runtime
//!         ├─> connection  a request: done at once, or begun in a child
//!         ├─> report      a child says what came of its act: the request is answered
//!         ├─> stream      a container writes: into its log, and to those who look on
//!         └─> console     a container's terminal arrives
//! ```
//!
//! It has one thread and starts none, since it forks. It trusts the runtime, which is root as it is.

pub mod bundle;
mod cgroup;
pub mod client;
mod connection;
pub mod console;
mod event_loop;
mod namespaces;
mod output;
pub(in crate::executor) mod sys;
mod worker;
mod workload;

use crate::planner::spec::OPEN_FILES_HARD;
use std::path::{Path, PathBuf};

/// Name of the program's argument.
pub const NAME: &str = "runtime-keeper";

/// Flags of the keeper.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The runtime's directory for what does not survive a reboot.
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// Level of the log lines.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log_level: String,
}

/// Why it ends.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// An argument.
    #[error("{0}")]
    Argument(String),
    /// It cannot begin or go on.
    #[error("{doing}")]
    Io {
        /// With what.
        doing: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

/// Where runtime and keeper meet.
#[must_use]
pub fn socket(state: &Path) -> PathBuf {
    state.join("keeper.sock")
}

/// What libcontainer keeps, in a directory for each container.
fn oci(state: &Path) -> PathBuf {
    state.join("oci")
}

/// Runs until it is asked to stop and has no container, or is killed.
///
/// # Errors
/// [`KeeperError`], already logged.
pub fn run(args: Args) -> Result<(), KeeperError> {
    service::logs::start(&args.log_level).map_err(KeeperError::Argument)?;
    raise_open_files();
    event_loop::Keeper::begin(&args.state)
        .and_then(event_loop::Keeper::run)
        .inspect_err(|error| {
            tracing::error!(error = %service::chain(error), "the keeper ends");
        })
}

/// Who has entered a user namespace may raise no limit above what he has: so the keeper has what containers get. Without `CAP_SYS_RESOURCE` it
/// cannot, and they get what it has.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if maximum.is_some_and(|maximum| maximum < OPEN_FILES_HARD) {
        let wider = Rlimit {
            current,
            maximum: Some(OPEN_FILES_HARD),
        };
        let _ = setrlimit(Resource::Nofile, wider);
    }
}

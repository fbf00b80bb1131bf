//! The process that holds a PID namespace for containers that share it: it waits for whoever is left behind in it.

use super::keeper::sys;
use rustix::io::Errno;
use std::io;

/// Name of the program's argument.
pub const NAME: &str = "runtime-pause";

/// Flags of the process: none.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {}

/// Runs until it is asked to stop.
///
/// # Errors
/// The system's.
#[allow(clippy::needless_pass_by_value)] // as every service's
pub fn run(_args: Args) -> io::Result<()> {
    // As PID 1 of its namespace it gets only signals that it waits for.
    let signals = sys::signals()?;
    rustix::io::ioctl_fionbio(&signals, false)?;
    loop {
        match sys::next_signal(&signals) {
            Ok(Some(libc::SIGTERM)) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
        while let Ok(Some((pid, _))) = sys::next_end() {
            sys::reap(pid);
        }
    }
}

//! Looking on at a container that runs, and writing to it.

use super::{Pods, PodsError};
use crate::executor::keeper::client::KeeperCallError;
use rustix::{
    fd::{AsFd as _, OwnedFd},
    pipe::{PipeFlags, fcntl_setpipe_size, pipe_with},
};

/// What a reader may be behind by: the most that the kernel gives without being asked for more. Who is behind by more looks on no longer.
const BEHIND_MAX: usize = 1024 * 1024;

/// Our ends of a container's streams.
#[derive(Debug)]
pub struct Attached {
    /// What it writes from now on; of its terminal, if it has one.
    pub stdout: OwnedFd,
    /// What it complains of from now on; at its end at once, if it has a terminal.
    pub stderr: OwnedFd,
    /// Where a byte comes if the reader was too slow.
    pub lost: OwnedFd,
    /// What it reads, or its terminal; None: it reads nothing, or nothing any longer.
    pub stdin: Option<OwnedFd>,
    /// It has a terminal.
    pub terminal: bool,
    /// Nobody else writes to it when the first who does has ended.
    pub stdin_once: bool,
}

impl Pods {
    /// Begins to look on.
    ///
    /// # Errors
    /// [`PodsError`].
    pub async fn attach(&self, id: &str, stdin: bool) -> Result<Attached, PodsError> {
        let record = self.running(id)?;
        let terminal = record.config.tty;
        let pipe = || {
            pipe_with(PipeFlags::CLOEXEC)
                .map_err(|error| PodsError::at("make a pipe")(error.into()))
        };
        let ((stdout, out), (stderr, error), (lost, told)) = (pipe()?, pipe()?, pipe()?);
        for written in [&out, &error] {
            // A user's share of pipes may be used up: then he may be behind by less.
            let _ = fcntl_setpipe_size(written, BEHIND_MAX);
        }
        // A terminal is asked for its size as well.
        let stdin = match (stdin || terminal).then(|| self.0.keeper.input(&record.id)) {
            None => None,
            Some(input) => match input.await {
                Ok(input) => Some(input),
                Err(KeeperCallError::Unknown) => None,
                Err(error) => return Err(error.into()),
            },
        };
        let attached = self
            .0
            .keeper
            .attach(&record.id, out.as_fd(), error.as_fd(), told.as_fd());
        attached.await?;
        Ok(Attached {
            stdout,
            stderr,
            lost,
            stdin,
            terminal,
            stdin_once: record.config.stdin_once,
        })
    }

    /// Nobody will write to a container any more.
    ///
    /// # Errors
    /// [`PodsError`].
    pub async fn close_input(&self, id: &str) -> Result<(), PodsError> {
        Ok(self.0.keeper.close_input(id).await?)
    }
}

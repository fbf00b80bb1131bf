//! Programs that must not outlive the test that started them.
//!
//! A test that is killed runs no destructor. So every long-lived program is started through `orlop-guard`,
//! which holds the reading end of a pipe: when the test is gone, however it went, the pipe closes, and the
//! guard kills the program.

use crate::programs;
use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A program under guard; killed when dropped.
#[derive(Debug)]
pub struct Guarded {
    guard: Child,
    name: String,
}

impl Guarded {
    /// Starts `command` under guard, with both outputs piped to this process. Its standard input is empty.
    ///
    /// # Errors
    /// The guard is not built or cannot be started.
    pub fn start(command: &Command) -> Result<Self> {
        let mut guarded = Command::new(programs::built("orlop-guard")?);
        guarded.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => guarded.env(key, value),
                None => guarded.env_remove(key),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            guarded.current_dir(directory);
        }
        let name = command.get_program().to_string_lossy().into_owned();
        let guard = guarded
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {name} under guard"))?;
        Ok(Self { guard, name })
    }

    /// The process id of the guard: the program is its only child.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.guard.id()
    }

    /// The program's standard output; once.
    ///
    /// # Errors
    /// It was taken before.
    pub fn stdout(&mut self) -> Result<ChildStdout> {
        self.guard
            .stdout
            .take()
            .with_context(|| format!("the output of {} was taken", self.name))
    }

    /// The program's standard error; once.
    ///
    /// # Errors
    /// It was taken before.
    pub fn stderr(&mut self) -> Result<ChildStderr> {
        self.guard
            .stderr
            .take()
            .with_context(|| format!("the error output of {} was taken", self.name))
    }

    /// Kills the program (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// The system refuses to wait.
    pub fn kill(&mut self) -> Result<()> {
        drop(self.guard.stdin.take());
        self.guard
            .wait()
            .with_context(|| format!("wait for {}", self.name))
            .map(drop)
    }

    /// Waits until the program ends by itself, at most `bound`. None: it still runs.
    ///
    /// # Errors
    /// The system refuses to wait.
    pub fn wait(&mut self, bound: Duration) -> Result<Option<ExitStatus>> {
        let pid = i32::try_from(self.guard.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("a process id fits")?;
        if let Ok(life) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            let bound =
                rustix::event::Timespec::try_from(bound).context("the bound fits a timespec")?;
            let _ = poll(&mut [PollFd::new(&life, PollFlags::IN)], Some(&bound));
        }
        self.guard
            .try_wait()
            .with_context(|| format!("wait for {}", self.name))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

//! One run of a CNI plugin's program: what it is given, what it writes, how it ends. All of it bounded.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::{AsFd as _, OwnedFd},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};
use std::{
    io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Of a plugin's complaints so much is kept.
const STDERR_MAX: usize = 16 * 1024;
/// Where plugins look for programs, when the runtime was told no place.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What became of it.
#[derive(Debug)]
pub(super) struct Ran {
    /// Whether it ended with 0.
    pub success: bool,
    /// In words.
    pub end: String,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// The first of what it complained.
    pub stderr: Vec<u8>,
}

/// Why there is no end of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("it cannot be run")]
    Start(#[source] io::Error),
    #[error("it has written more than {0} bytes")]
    TooMuch(usize),
    #[error("it was not done within {0:?}")]
    Timeout(Duration),
    #[error("it cannot be followed")]
    Follow(#[source] io::Error),
}

/// What is given to it.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub program: &'a Path,
    pub environment: &'a [(&'static str, String)],
    pub input: &'a [u8],
    pub output_max: usize,
    pub timeout: Duration,
}

/// Runs it to its end. Blocks. It has a process group of its own, with the plugins that it delegates to: if it must be ended, all are.
pub(super) fn run(run: &Run<'_>) -> Result<Ran, RunError> {
    let mut child = Command::new(run.program)
        .env_clear()
        .env(
            "PATH",
            std::env::var("PATH").unwrap_or_else(|_| PATH.to_owned()),
        )
        .envs(run.environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(RunError::Start)?;
    let followed = follow(&mut child, run);
    if followed.is_err() {
        end(&mut child);
    }
    let ended = child.wait().map_err(RunError::Follow)?;
    let (stdout, stderr) = followed?;
    Ok(Ran {
        success: ended.success(),
        end: ended.to_string(),
        stdout,
        stderr,
    })
}

fn end(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill();
}

/// Until it has ended. What it has started may hold its pipes for longer, and is not waited for.
fn follow(child: &mut Child, run: &Run<'_>) -> Result<(Vec<u8>, Vec<u8>), RunError> {
    let follow = |error: Errno| RunError::Follow(error.into());
    let begun = Instant::now();
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| RunError::Follow(io::ErrorKind::NotFound.into()))?;
    let ended = pidfd_open(pid, PidfdFlags::empty()).map_err(follow)?;
    let mut stdin = child.stdin.take().map(OwnedFd::from);
    let mut stdout = child.stdout.take().map(OwnedFd::from);
    let mut stderr = child.stderr.take().map(OwnedFd::from);
    for pipe in [&stdin, &stdout, &stderr].into_iter().flatten() {
        rustix::io::ioctl_fionbio(pipe, true).map_err(follow)?;
    }
    let (mut left, mut out, mut complaints) = (run.input, Vec::new(), Vec::new());
    loop {
        let rest = run.timeout.saturating_sub(begun.elapsed());
        if rest.is_zero() {
            return Err(RunError::Timeout(run.timeout));
        }
        let has_ended = {
            let mut pipes = vec![PollFd::new(&ended, PollFlags::IN)];
            pipes.extend(stdin.iter().map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
            let readers = [&stdout, &stderr].into_iter().flatten();
            pipes.extend(readers.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
            let wait = Timespec::try_from(rest).ok();
            match poll(&mut pipes, wait.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(follow(error)),
            }
            pipes.first().is_some_and(|pipe| !pipe.revents().is_empty())
        };
        left = write(&mut stdin, left).map_err(follow)?;
        // One byte more than it may tells that it is too much.
        read(&mut stdout, &mut out, run.output_max + 1).map_err(follow)?;
        if out.len() > run.output_max {
            return Err(RunError::TooMuch(run.output_max));
        }
        read(&mut stderr, &mut complaints, usize::MAX).map_err(follow)?;
        complaints.truncate(STDERR_MAX);
        if has_ended {
            return Ok((out, complaints));
        }
    }
}

/// Writes what the pipe takes, and closes it at the end. One that does not read needs nothing.
fn write<'a>(pipe: &mut Option<OwnedFd>, left: &'a [u8]) -> Result<&'a [u8], Errno> {
    let Some(open) = pipe else { return Ok(left) };
    let rest = match rustix::io::write(open.as_fd(), left) {
        Ok(count) => left.get(count..).unwrap_or_default(),
        Err(Errno::AGAIN | Errno::INTR) => left,
        Err(Errno::PIPE) => &[],
        Err(error) => return Err(error),
    };
    if rest.is_empty() {
        *pipe = None;
    }
    Ok(rest)
}

/// Reads what the pipe has, up to so much in all, and closes it at its end.
fn read(pipe: &mut Option<OwnedFd>, into: &mut Vec<u8>, max: usize) -> Result<(), Errno> {
    // A writer that never stops is looked at again after others.
    for _ in 0..64 {
        let Some(open) = pipe else { return Ok(()) };
        if into.len() >= max {
            return Ok(());
        }
        let mut buffer = [0; 16 * 1024];
        match rustix::io::read(open.as_fd(), &mut buffer) {
            Ok(0) => *pipe = None,
            Ok(count) => into.extend(buffer.get(..count).unwrap_or_default()),
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

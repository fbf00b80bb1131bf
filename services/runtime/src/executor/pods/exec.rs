//! Further processes in containers that run.

use super::{Pods, PodsError, blocking};
use crate::{
    executor::keeper::{bundle, client::Exec, console::Console},
    planner::records::{ContainerRecord, ContainerState},
};
use rustix::{
    fd::{AsFd as _, OwnedFd},
    pipe::{PipeFlags, pipe_with},
};
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::AsyncReadExt as _,
    net::unix::pipe,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

/// Of what one process writes, each of both; containerd's. What is more is read and dropped.
const OUTPUT_MAX: usize = 16 * 1024 * 1024;
/// After its end, or that of its time, for what is still in the pipes: something that it left behind may hold them open.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// Read at once.
const CHUNK: usize = 64 * 1024;
/// Without a bound of the client.
const TAKES_MAX: Duration = Duration::from_secs(24 * 3600);

static NEXT: AtomicU64 = AtomicU64::new(0);

/// What came of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// What it complained of.
    pub stderr: Vec<u8>,
    /// Exit code, or 128 + signal.
    pub code: i32,
}

/// A process that runs, and our ends of its streams.
#[derive(Debug)]
pub struct Process {
    /// It. The keeper ends the process when this is dropped.
    pub exec: Exec,
    /// What we are at: its terminal, or its pipes.
    pub streams: Streams,
}

/// Of a process.
#[derive(Debug)]
pub enum Streams {
    /// The master of its terminal.
    Terminal(OwnedFd),
    /// Its pipes.
    Pipes {
        /// What it reads; None: it reads nothing.
        stdin: Option<OwnedFd>,
        /// What it writes.
        stdout: OwnedFd,
        /// What it complains of.
        stderr: OwnedFd,
    },
}

impl Pods {
    /// A container that runs.
    ///
    /// # Errors
    /// [`PodsError::NotFound`]; [`PodsError::FailedPrecondition`], in containerd's words.
    pub fn running(&self, id: &str) -> Result<ContainerRecord, PodsError> {
        let record = self.container(id)?;
        if let ContainerState::Running { .. } = record.state {
            return Ok(record);
        }
        let state = super::container_state(&record.state);
        Err(PodsError::FailedPrecondition(format!(
            "container is in {} state",
            state.as_str_name()
        )))
    }

    /// Starts a command in a container. With a terminal it always reads.
    ///
    /// # Errors
    /// [`PodsError`].
    pub async fn exec(
        &self,
        id: &str,
        command: Vec<String>,
        terminal: bool,
        stdin: bool,
    ) -> Result<Process, PodsError> {
        let record = self.running(id)?;
        let file = self.write_exec(&record.id, command, terminal).await?;
        if terminal {
            let console = Console::listen(file.0.with_extension("sock"))
                .map_err(PodsError::at("listen for a terminal"))?;
            let path = Some(console.path());
            let exec = self.0.keeper.exec(&record.id, &file.0, path, &[]).await?;
            let master = console.master().await;
            return Ok(Process {
                exec,
                streams: Streams::Terminal(master.map_err(PodsError::at("receive a terminal"))?),
            });
        }
        let pipe = || {
            pipe_with(PipeFlags::CLOEXEC)
                .map_err(|error| PodsError::at("make a pipe")(error.into()))
        };
        let ((read, written), (stdout, out), (stderr, error)) = (pipe()?, pipe()?, pipe()?);
        // Where nobody writes it is empty, and nobody else's: the host's /dev/null would be the process's to change.
        let written = stdin.then_some(written);
        let streams = [read.as_fd(), out.as_fd(), error.as_fd()];
        let exec = self
            .0
            .keeper
            .exec(&record.id, &file.0, None, &streams)
            .await?;
        Ok(Process {
            exec,
            streams: Streams::Pipes {
                stdin: written,
                stdout,
                stderr,
            },
        })
    }

    async fn write_exec(
        &self,
        id: &str,
        command: Vec<String>,
        terminal: bool,
    ) -> Result<Removed, PodsError> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let bundle = self.0.bundle(id);
        let file = Removed(bundle.join(format!("exec-{}-{number}.json", std::process::id())));
        let path = file.0.clone();
        blocking(move || {
            let written = bundle::process(&bundle).and_then(|(mut process, filter)| {
                process.set_args(Some(command));
                process.set_terminal(terminal.then_some(true));
                if terminal {
                    // As containerd has it, also where the container's own is another.
                    let mut env = process.env().clone().unwrap_or_default();
                    env.retain(|variable| !variable.starts_with("TERM="));
                    env.push("TERM=xterm".to_owned());
                    process.set_env(Some(env));
                }
                bundle::write_process(&path, &process, &filter)
            });
            written.map_err(PodsError::at("write a process of exec"))
        })
        .await?;
        Ok(file)
    }

    /// Runs a command in a container, and waits for its end.
    ///
    /// # Errors
    /// [`PodsError`]; DeadlineExceeded: its time was over, and it was ended.
    pub async fn exec_sync(
        &self,
        id: &str,
        command: Vec<String>,
        takes: Option<Duration>,
    ) -> Result<Ran, PodsError> {
        if command.is_empty() {
            return Err(PodsError::InvalidArgument(
                "ExecSyncRequest.cmd is missing".to_owned(),
            ));
        }
        let record = self.container(id)?;
        let ContainerState::Running { .. } = record.state else {
            return Err(PodsError::FailedPrecondition(format!(
                "container {:?} is not running",
                record.id
            )));
        };
        let file = self.write_exec(&record.id, command, false).await?;
        let (stdout, out) = output()?;
        let (stderr, error) = output()?;
        // Empty, and nobody else's: the host's /dev/null would be the process's to change.
        let (null, written) = pipe_with(PipeFlags::CLOEXEC)
            .map_err(|error| PodsError::at("make a pipe")(error.into()))?;
        drop(written);
        let streams = [null.as_fd(), out.as_fd(), error.as_fd()];
        let exec = self
            .0
            .keeper
            .exec(&record.id, &file.0, None, &streams)
            .await?;
        drop((out, error, null));
        let deadline = Instant::now() + takes.map_or(TAKES_MAX, |takes| takes.min(TAKES_MAX));
        let (stdout, stderr) = (Collector::begin(stdout), Collector::begin(stderr));
        let Ok(exit) = timeout_at(deadline, exec.ended()).await else {
            // The keeper ends what nobody waits for any longer.
            return Err(PodsError::DeadlineExceeded(format!(
                "command in container {:?} timed out",
                record.id
            )));
        };
        let drained = Instant::now() + DRAIN_MAX;
        Ok(Ran {
            code: exit?.code,
            stdout: stdout.end(drained).await,
            stderr: stderr.end(drained).await,
        })
    }
}

/// A file of exec that is removed with this.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        bundle::remove_process(&self.0);
    }
}

fn output() -> Result<(pipe::Receiver, OwnedFd), PodsError> {
    let made = pipe_with(PipeFlags::CLOEXEC).and_then(|(read, written)| {
        rustix::io::ioctl_fionbio(&read, true)?;
        Ok((read, written))
    });
    let (read, written) = made.map_err(|error| PodsError::at("make a pipe")(error.into()))?;
    let read = pipe::Receiver::from_owned_fd(read).map_err(PodsError::at("watch a pipe"))?;
    Ok((read, written))
}

/// Reads a pipe to its end, or until it is asked for what has come: a process that was left behind may hold it open for ever.
struct Collector {
    task: JoinHandle<()>,
    all: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    fn begin(mut from: pipe::Receiver) -> Self {
        let all = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&all);
        let task = tokio::spawn(async move {
            let mut chunk = vec![0; CHUNK];
            while let Ok(count @ 1..) = from.read(&mut chunk).await {
                let mut all = to.lock().unwrap_or_else(PoisonError::into_inner);
                let room = OUTPUT_MAX.saturating_sub(all.len());
                all.extend_from_slice(&chunk[..count.min(room)]);
            }
        });
        Self { task, all }
    }

    async fn end(mut self, deadline: Instant) -> Vec<u8> {
        let _ = timeout_at(deadline, &mut self.task).await;
        std::mem::take(&mut *self.all.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

//! Further processes in containers that run.

use super::{Pods, PodsError, blocking};
use crate::{executor::keeper::bundle, planner::records::ContainerState};
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

impl Pods {
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
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let bundle = self.0.bundle(&record.id);
        let file = Removed(bundle.join(format!("exec-{}-{number}.json", std::process::id())));
        let path = file.0.clone();
        blocking(move || {
            let written = bundle::process(&bundle).and_then(|(mut process, filter)| {
                process.set_args(Some(command));
                process.set_terminal(None);
                bundle::write_process(&path, &process, &filter)
            });
            written.map_err(PodsError::at("write a process of exec"))
        })
        .await?;
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

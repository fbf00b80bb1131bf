//! Work that waits for a disk, beside the threads that serve everything else.
//!
//! [`Disk`](super::disk::Disk) says how it is done, so that a simulated disk can do it in its own time.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

/// What a [`Worker`] does each time.
pub type Step = Box<dyn FnMut() + Send>;

/// What is done once, beside others.
pub type Job = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// Work that is being done.
pub type Work<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// Does a step of work some time after it was woken, however often that was; one step at a time.
pub trait Worker: Send + Sync + 'static {
    /// There is something to do.
    fn wake(&self);
}

#[derive(Debug, Default)]
struct State {
    woken: bool,
    stopping: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread. When dropped, it does what it was woken for, and ends.
#[derive(Debug)]
pub struct Thread {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Thread {
    /// Starts one of this name.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(name: &str, step: Step) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&theirs, step))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }
}

impl Worker for Thread {
    fn wake(&self) {
        self.shared.lock().woken = true;
        self.shared.changed.notify_one();
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported there.
            let _ = thread.join();
        }
    }
}

fn work(shared: &Shared, mut step: Step) {
    loop {
        let mut state = shared.lock();
        while !state.woken {
            if state.stopping {
                return;
            }
            state = shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.woken = false;
        drop(state);
        step();
    }
}

/// Does a job on one of the runtime's threads for what blocks.
///
/// # Errors
/// The job's.
pub async fn blocking(job: Job) -> io::Result<()> {
    tokio::task::spawn_blocking(job)
        .await
        .map_err(io::Error::other)?
}

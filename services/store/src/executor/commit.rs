//! Group commit: one flush for all who wait for one.
//!
//! ```text
//!   append, wait ──┐
//!   append, wait ──┼──> waiting ──> worker: take all, flush once, tell all ──> again, while there are any
//!   append, wait ──┘
//! ```
//!
//! While a flush runs, the next group gathers: the busier the log, the larger the groups. Groups need no timer and add no
//! delay to a writer who is alone.

use super::{beside::Worker, disk::Disk, durations::Durations, log::Unsynced};
use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// Told once: None when durable, else why not.
pub type Done = Box<dyn FnOnce(Option<io::Error>) + Send>;

/// Most who wait at once: Raft appends one group of entries at a time, so this is never met; if it is, the next one
/// blocks until the flush that runs is over.
pub const WAITING_MAX: usize = 4096;

struct Shared {
    waiting: Mutex<Vec<(Unsynced, Done)>>,
    taken: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<(Unsynced, Done)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The worker that flushes. When dropped, it serves who waits, and ends.
pub struct GroupCommit {
    shared: Arc<Shared>,
    worker: Box<dyn Worker>,
}

impl GroupCommit {
    /// Has a worker of the log's disk flush; `flushes` counts how long that takes.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(disk: &dyn Disk, flushes: Durations) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            taken: Condvar::new(),
        });
        let theirs = shared.clone();
        let worker = disk.worker("log-flush", Box::new(move || flush(&theirs, &flushes)))?;
        Ok(Self { shared, worker })
    }

    /// Asks for what was appended to be made durable. `done` is called by the worker, in the order of calls.
    pub fn submit(&self, unsynced: Unsynced, done: Done) {
        let mut waiting = self.shared.lock();
        while waiting.len() >= WAITING_MAX {
            waiting = self
                .shared
                .taken
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        waiting.push((unsynced, done));
        drop(waiting);
        self.worker.wake();
    }
}

/// One flush for all who wait now.
fn flush(shared: &Shared, flushes: &Durations) {
    let group = std::mem::take(&mut *shared.lock());
    shared.taken.notify_all();
    // The log makes a segment durable before it begins the next, so the last one's flush covers all.
    let flushed = match group.last() {
        Some((unsynced, _)) => flushes.of(|| unsynced.sync()),
        None => return,
    };
    let failure = flushed.err().map(|error| (error.kind(), error.to_string()));
    for (_, done) in group {
        let failure = failure.clone();
        done(failure.map(|(kind, text)| io::Error::new(kind, text)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::{
        log::{Log, SEGMENT_BYTES, Settings},
        simulated::{Crash, Simulated},
    };
    use std::{sync::mpsc, time::Duration};

    /// Ten times what a flush in memory may take on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(10);

    fn log(disk: &Simulated) -> Log {
        let settings = Settings {
            segment_bytes: SEGMENT_BYTES,
            purged: 0,
            checkpointed: 0,
            random: Box::new(|| 7),
        };
        Log::open(Arc::new(disk.clone()), settings)
            .expect("a good disk")
            .0
    }

    #[test]
    fn many_writers_share_a_flush_and_lose_nothing() {
        let disk = Simulated::default();
        let mut log = log(&disk);
        let commit = GroupCommit::start(&disk, Durations::of_disk()).expect("a thread");
        let (told, tell) = mpsc::channel();
        // The first flush waits for the disk, which is held, so that the others gather behind it.
        let (hold, held) = mpsc::channel::<()>();
        let (begun, begin) = mpsc::channel();
        let unsynced = log.append(0, &[b"first"]).expect("appended");
        commit.submit(
            unsynced,
            Box::new(move |failure| {
                assert!(failure.is_none());
                begun.send(()).expect("the test waits");
                held.recv_timeout(PATIENCE).expect("the test lets go");
            }),
        );
        begin.recv_timeout(PATIENCE).expect("flushed");
        let before = disk.syncs();
        for index in 1..=100 {
            let unsynced = log.append(index, &[b"another"]).expect("appended");
            let told = told.clone();
            commit.submit(
                unsynced,
                Box::new(move |failure| {
                    told.send((index, failure.is_none()))
                        .expect("the test waits")
                }),
            );
        }
        hold.send(()).expect("the thread waits");
        for index in 1..=100 {
            assert_eq!(tell.recv_timeout(PATIENCE), Ok((index, true)));
        }
        assert_eq!(disk.syncs() - before, 1);
        drop(commit);
        disk.crash(Crash::Clean);
        assert_eq!(self::log(&disk).next(), 101);
    }

    #[test]
    fn a_failed_flush_is_told_to_all_and_ends_the_log() {
        let disk = Simulated::default();
        let mut log = log(&disk);
        let commit = GroupCommit::start(&disk, Durations::of_disk()).expect("a thread");
        let unsynced = log.append(0, &[b"a"]).expect("appended");
        disk.fail_after(0);
        let (told, tell) = mpsc::channel();
        for _ in 0..2 {
            let told = told.clone();
            commit.submit(
                unsynced.clone(),
                Box::new(move |failure| told.send(failure.is_some()).expect("the test waits")),
            );
        }
        assert_eq!(tell.recv_timeout(PATIENCE), Ok(true));
        assert_eq!(tell.recv_timeout(PATIENCE), Ok(true));
        disk.crash(Crash::Kill);
        assert!(
            log.append(1, &[b"b"]).is_err(),
            "nobody knows what is durable"
        );
    }
}

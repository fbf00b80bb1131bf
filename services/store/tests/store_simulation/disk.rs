//! Disks with their own time, and machines that lose power.
//!
//! The disks are those of the store's unit tests ([`Simulated`]), which forget what was not flushed. Here each process has its own
//! handles of them: after a power cut those of the process that was cut off do nothing any more, so that it may end in its own time
//! without anybody noticing.

use crate::{
    dice::Dice,
    simulated::{Crash, Simulated, SimulatedFile},
};
pub(crate) use orlop_store::executor::disk::{Disk, File};
use orlop_store::executor::{
    beside::{Step, Work, Worker},
    watch,
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::{sync::Notify, task::JoinHandle, time::sleep};

/// The disks of one machine, and what is wrong with them.
pub(crate) struct Storage {
    pub(crate) records: Simulated,
    pub(crate) segments: Simulated,
    /// Counts power cuts: handles of earlier processes are dead.
    process: AtomicU64,
    dice: Dice,
    /// Most milliseconds that a step of work waits, before and after.
    delay: AtomicU64,
    /// Nothing gets done while this is true.
    held: watch::Sender<bool>,
    /// Flushes of the log do nothing: a planted bug.
    lies: AtomicBool,
}

impl Storage {
    pub(crate) fn new(dice: Dice) -> Arc<Self> {
        Arc::new(Self {
            records: Simulated::default(),
            segments: Simulated::default(),
            process: AtomicU64::new(0),
            dice,
            delay: AtomicU64::new(3),
            held: watch::Sender::new(false),
            lies: AtomicBool::new(false),
        })
    }

    /// The process that runs, or that starts next.
    pub(crate) fn process(&self) -> u64 {
        self.process.load(Ordering::Relaxed)
    }

    /// Handles for a process that starts.
    pub(crate) fn handles(self: &Arc<Self>) -> (SimulatedDisk, SimulatedDisk) {
        let handle = |disk: &Simulated, is_log| SimulatedDisk {
            disk: disk.clone(),
            process: Process {
                storage: self.clone(),
                number: self.process(),
            },
            is_log,
        };
        (handle(&self.records, false), handle(&self.segments, true))
    }

    /// The process that runs loses its disks, and they what the crash takes.
    pub(crate) fn cut(&self, crash: Crash) {
        self.process.fetch_add(1, Ordering::Relaxed);
        self.records.crash(crash);
        self.segments.crash(crash);
        self.hold(false);
    }

    pub(crate) fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    pub(crate) fn slow(&self, delay_millis_max: u64) {
        self.delay.store(delay_millis_max, Ordering::Relaxed);
    }

    /// Has flushes of the log do nothing, or what they should, from now on.
    pub(crate) fn lie(&self, lies: bool) {
        self.lies.store(lies, Ordering::Relaxed);
    }

    async fn wait(&self) {
        let most = self.delay.load(Ordering::Relaxed);
        sleep(self.dice.millis(0, most)).await;
        let mut held = self.held.subscribe();
        // The sender lives as long as this.
        let _ = held.wait_for(|held| !held).await;
    }
}

/// One process on a machine.
#[derive(Clone)]
struct Process {
    storage: Arc<Storage>,
    number: u64,
}

impl Process {
    fn lives(&self) -> io::Result<()> {
        if self.storage.process() == self.number {
            Ok(())
        } else {
            Err(io::Error::other("this process lost its power"))
        }
    }
}

/// One process's handle of a disk.
#[derive(Clone)]
pub(crate) struct SimulatedDisk {
    disk: Simulated,
    process: Process,
    is_log: bool,
}

/// One process's handle of a file.
#[derive(Clone)]
pub(crate) struct ProcessFile {
    file: SimulatedFile,
    process: Process,
    is_log: bool,
}

impl SimulatedDisk {
    fn file(&self, file: SimulatedFile) -> ProcessFile {
        ProcessFile {
            file,
            process: self.process.clone(),
            is_log: self.is_log,
        }
    }
}

impl Disk for SimulatedDisk {
    type File = ProcessFile;

    fn list(&self) -> io::Result<Vec<String>> {
        self.process.lives()?;
        self.disk.list()
    }

    fn open(&self, name: &str) -> io::Result<ProcessFile> {
        self.process.lives()?;
        self.disk.open(name).map(|file| self.file(file))
    }

    fn create(&self, name: &str) -> io::Result<ProcessFile> {
        self.process.lives()?;
        self.disk.create(name).map(|file| self.file(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.process.lives()?;
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.process.lives()?;
        self.disk.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.process.lives()?;
        self.disk.sync()
    }

    /// Only the log's disk fills up: the store waits for space on that of the records by blocking a thread, and here is but one.
    fn free(&self) -> io::Result<u64> {
        self.process.lives()?;
        self.process.storage.segments.free()
    }

    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Work<T> {
        let process = self.process.clone();
        Box::pin(async move {
            process.storage.wait().await;
            let done = work()?;
            process.storage.wait().await;
            process.lives()?;
            Ok(done)
        })
    }

    fn worker(&self, _name: &str, mut step: Step) -> io::Result<Box<dyn Worker>> {
        let woken = Arc::new(Notify::new());
        let wakes = woken.clone();
        let storage = self.process.storage.clone();
        let task = tokio::spawn(async move {
            loop {
                wakes.notified().await;
                storage.wait().await;
                step();
            }
        });
        Ok(Box::new(Task { woken, task }))
    }
}

struct Task {
    woken: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Worker for Task {
    fn wake(&self) {
        self.woken.notify_one();
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl File for ProcessFile {
    fn length(&self) -> io::Result<u64> {
        self.process.lives()?;
        self.file.length()
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.process.lives()?;
        self.file.read(buffer, offset)
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.process.lives()?;
        self.file.write(bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.process.lives()?;
        self.file.set_length(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.process.lives()?;
        if self.is_log && self.process.storage.lies.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.file.sync()
    }
}

//! Disks with their own time, and machines that lose power.
//!
//! The disks are those of the store's unit tests ([`Simulated`]), which forget what was not flushed. Here each process has its own
//! handles of them: after a power cut those of the process that was cut off do nothing any more, so that it may end in its own time
//! without anybody noticing.

use crate::{
    dice::Dice,
    recording::{Change, Recording},
    simulated::{Crash, Simulated, SimulatedFile},
};
pub(crate) use orlop_store::executor::disk::{Disk, File};
use orlop_store::executor::{
    beside::{Job, Step, Work, Worker},
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
    /// Where changes are noted, if anywhere.
    recording: Option<Recording>,
}

impl Storage {
    /// Disks that are empty.
    pub(crate) fn new(dice: Dice) -> Arc<Self> {
        Self::of(Simulated::default(), Simulated::default(), dice, None)
    }

    /// These disks.
    pub(crate) fn of(
        records: Simulated,
        segments: Simulated,
        dice: Dice,
        recording: Option<Recording>,
    ) -> Arc<Self> {
        Arc::new(Self {
            records,
            segments,
            process: AtomicU64::new(0),
            dice,
            delay: AtomicU64::new(3),
            held: watch::Sender::new(false),
            lies: AtomicBool::new(false),
            recording,
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

    fn note(&self, is_log: bool, change: impl FnOnce() -> Change) {
        if let Some(recording) = &self.recording {
            recording.note(is_log, change());
        }
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
    fn file(&self, file: SimulatedFile) -> Arc<dyn File> {
        Arc::new(ProcessFile {
            file,
            process: self.process.clone(),
            is_log: self.is_log,
        })
    }

    fn note(&self, change: impl FnOnce() -> Change) {
        self.process.storage.note(self.is_log, change);
    }
}

impl ProcessFile {
    fn note(&self, change: impl FnOnce(usize) -> Change) {
        let number = self.file.number();
        self.process.storage.note(self.is_log, || change(number));
    }
}

impl Disk for SimulatedDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.process.lives()?;
        self.disk.list()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.process.lives()?;
        self.disk.open_file(name).map(|file| self.file(file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.process.lives()?;
        let file = self.disk.create_file(name)?;
        self.note(|| Change::Create {
            name: name.to_owned(),
        });
        Ok(self.file(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.process.lives()?;
        self.disk.rename(from, to)?;
        self.note(|| Change::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
        });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.process.lives()?;
        self.disk.remove(name)?;
        self.note(|| Change::Remove {
            name: name.to_owned(),
        });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.process.lives()?;
        self.disk.sync()?;
        self.note(|| Change::SyncNames);
        Ok(())
    }

    /// Only the log's disk fills up: the store waits for space on that of the records by blocking a thread, and here is but one.
    fn free(&self) -> io::Result<u64> {
        self.process.lives()?;
        self.process.storage.segments.free()
    }

    fn carry_out(&self, job: Job) -> Work<()> {
        let process = self.process.clone();
        Box::pin(async move {
            process.storage.wait().await;
            job()?;
            process.storage.wait().await;
            process.lives()
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
        self.file.write(bytes, offset)?;
        self.note(|file| Change::Write {
            file,
            bytes: bytes.to_vec(),
            offset,
        });
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.process.lives()?;
        self.file.set_length(length)?;
        self.note(|file| Change::SetLength { file, length });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.process.lives()?;
        if self.is_log && self.process.storage.lies.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.file.sync()?;
        self.note(|file| Change::Sync { file });
        Ok(())
    }
}

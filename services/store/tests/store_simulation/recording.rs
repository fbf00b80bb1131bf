//! What a member did to its disks, operation by operation, and the same again up to any of them.
//!
//! ```text
//!   handles of a machine's disks ──> Recording: both disks, one order ──> Replay: until(n) ──> power_cut ──> disks for a start
//!                                                                             └── goes on where it was
//! ```

use crate::{
    dice::Dice,
    disk::{Disk, File, Storage},
    simulated::{Crash, Simulated},
};
use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A change of a disk. Files have numbers, in the order in which they were made there.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create {
        name: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        name: String,
    },
    /// Names are durable.
    SyncNames,
    Write {
        file: usize,
        bytes: Vec<u8>,
        offset: u64,
    },
    SetLength {
        file: usize,
        length: u64,
    },
    /// A file's content is durable.
    Sync {
        file: usize,
    },
}

/// A change of one of a machine's two disks.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) is_log: bool,
    pub(crate) change: Change,
}

impl Recorded {
    /// Its kind, for choosing some of each.
    pub(crate) fn kind(&self) -> Kind {
        Kind {
            is_log: self.is_log,
            operation: match &self.change {
                Change::Create { .. } => "create",
                Change::Rename { .. } => "rename",
                Change::Remove { .. } => "remove",
                Change::SyncNames => "flush names",
                Change::Write { .. } => "write",
                Change::SetLength { .. } => "set length",
                Change::Sync { .. } => "flush",
            },
        }
    }
}

/// Which disk, and what was done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    pub(crate) is_log: bool,
    pub(crate) operation: &'static str,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let disk = if self.is_log { "segments" } else { "records" };
        write!(formatter, "{} {disk}", self.operation)
    }
}

/// Changes of a machine's disks in the order in which they happened. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recording(Arc<Mutex<Vec<Recorded>>>);

impl Recording {
    pub(crate) fn note(&self, is_log: bool, change: Change) {
        self.lock().push(Recorded { is_log, change });
    }

    /// How many there are: what is done from now on comes after so many.
    pub(crate) fn place(&self) -> usize {
        self.lock().len()
    }

    /// All of them.
    pub(crate) fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Recorded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Disks on which a recording is done again, step by step.
pub(crate) struct Replay<'a> {
    changes: &'a [Recorded],
    done: usize,
    records: Simulated,
    segments: Simulated,
    /// Operations that do nothing: a planted bug.
    skipped: Option<Kind>,
}

impl<'a> Replay<'a> {
    /// Nothing is done yet.
    pub(crate) fn new(changes: &'a [Recorded], skipped: Option<Kind>) -> Self {
        Self {
            changes,
            done: 0,
            records: Simulated::default(),
            segments: Simulated::default(),
            skipped,
        }
    }

    /// Goes on until so many are done.
    pub(crate) fn until(&mut self, end: usize) -> io::Result<()> {
        for recorded in &self.changes[self.done..end] {
            if self.skipped != Some(recorded.kind()) {
                let disk = if recorded.is_log {
                    &self.segments
                } else {
                    &self.records
                };
                carry_out(disk, &recorded.change)?;
            }
        }
        self.done = end;
        Ok(())
    }

    /// The disks as they would be if this had happened now. The replay goes on as if it had not.
    pub(crate) fn crashed(&self, crash: Crash, dice: Dice) -> Arc<Storage> {
        let storage = Storage::of(self.records.fork(), self.segments.fork(), dice, None);
        storage.cut(crash);
        storage
    }
}

fn carry_out(disk: &Simulated, change: &Change) -> io::Result<()> {
    match change {
        Change::Create { name } => disk.create(name).map(|_| ()),
        Change::Rename { from, to } => disk.rename(from, to),
        Change::Remove { name } => disk.remove(name),
        Change::SyncNames => disk.sync(),
        Change::Write {
            file,
            bytes,
            offset,
        } => disk.file(*file).write(bytes, *offset),
        Change::SetLength { file, length } => disk.file(*file).set_length(*length),
        Change::Sync { file } => disk.file(*file).sync(),
    }
}

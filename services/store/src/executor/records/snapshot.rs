//! A file of records in the making, which takes the place of our own in one step: another member's, or our own without the
//! pages that nobody uses any more.

use super::{
    ALARMS, Cache, CacheBytes, FACTS, LEASES, NAME, RECORDS, RecordFile, RecordsError, View,
    database, taken_bytes,
};
use crate::{
    executor::disk::Disk,
    planner::{revision::Revision, state::Kept},
};
use redb::Durability;
use std::{
    io,
    ops::ControlFlow,
    sync::{Arc, atomic::Ordering},
};

/// The file of another member's records until it is whole.
pub const INCOMING: &str = "records.incoming";
/// The file that our own records are copied to.
pub const COPY: &str = "records.copy";
/// Records that one transaction of a copy takes: some ten milliseconds, and less memory than a cache of pages.
const COPIED_TOGETHER: usize = 4096;

/// Records on their way into a file.
pub struct Incoming {
    file: RecordFile,
    last: Option<Revision>,
    records: u64,
}

impl Incoming {
    /// Begins a file; one that was begun before and never came to its end is gone.
    ///
    /// # Errors
    /// The disk's.
    pub fn begin(disk: &dyn Disk, cache: CacheBytes) -> Result<Self, RecordsError> {
        Self::create(
            disk,
            INCOMING,
            cache.pages,
            Arc::new(Cache::new(cache.records)),
        )
    }

    fn create(
        disk: &dyn Disk,
        name: &'static str,
        page_bytes: usize,
        cache: Arc<Cache>,
    ) -> Result<Self, RecordsError> {
        let file = disk.create(name).map_err(failed("create"))?;
        Ok(Self {
            file: RecordFile::of(file, page_bytes, cache)?,
            last: None,
            records: 0,
        })
    }

    /// Takes what a view of our own file has beyond what came so far; returns how many records that were. Records must not
    /// have been dropped between one view and the next.
    ///
    /// # Errors
    /// The disk's.
    pub fn copy(&mut self, view: &View) -> Result<u64, RecordsError> {
        let before = self.records;
        loop {
            let from = match self.last {
                Some(last) => last.next(),
                None => Revision { main: 0, sub: 0 },
            };
            let mut group = Vec::new();
            view.scan(from, &mut |revision, record| {
                group.push((revision, record.to_vec()));
                if group.len() < COPIED_TOGETHER {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            let ended = group.len() < COPIED_TOGETHER;
            self.add(
                group
                    .iter()
                    .map(|(revision, record)| (*revision, record.as_slice())),
            )?;
            if ended {
                return Ok(self.records - before);
            }
        }
    }

    /// Makes durable what came so far.
    ///
    /// # Errors
    /// The disk's.
    pub fn sync(&self) -> Result<(), RecordsError> {
        self.file.write_durably(|| Ok(()))
    }

    /// Ends a copy, as [`Incoming::finish`]; `view` is the one that was copied last.
    ///
    /// # Errors
    /// The disk's, or damage.
    pub fn finish_copy(self, view: &View) -> Result<RecordFile, RecordsError> {
        let (kept, applied) = view.kept()?;
        let applied = applied.ok_or_else(|| RecordsError::Damaged {
            what: "it has no log position".to_owned(),
        })?;
        let records = self.records;
        self.finish(&kept, &applied, records)
    }

    /// Takes the next records, in the order of their revisions, as the file holds them.
    ///
    /// # Errors
    /// The disk's, or they are out of order.
    pub fn add<'a>(
        &mut self,
        records: impl IntoIterator<Item = (Revision, &'a [u8])>,
    ) -> Result<(), RecordsError> {
        let mut write = self
            .file
            .shared
            .database
            .begin_write()
            .map_err(database("write"))?;
        write
            .set_durability(Durability::None)
            .map_err(database("write"))?;
        {
            let mut table = write.open_table(RECORDS).map_err(database("write"))?;
            for (revision, record) in records {
                if self.last.is_some_and(|last| last >= revision) {
                    let what = format!("record {revision} of a snapshot comes out of order");
                    return Err(RecordsError::Damaged { what });
                }
                table
                    .insert(&revision.to_bytes(), record)
                    .map_err(database("write"))?;
                let taken = taken_bytes(record.len());
                self.file.shared.taken.fetch_add(taken, Ordering::Relaxed);
                self.last = Some(revision);
                self.records += 1;
            }
        }
        write.commit().map_err(database("commit"))
    }

    /// Ends it, durably, with all else that the file holds. `records` is how many there must be.
    ///
    /// # Errors
    /// The disk's, or some are missing.
    pub fn finish(
        self,
        kept: &Kept,
        applied: &[u8],
        records: u64,
    ) -> Result<RecordFile, RecordsError> {
        if records != self.records {
            let what = format!("a snapshot of {records} records came with {}", self.records);
            return Err(RecordsError::Damaged { what });
        }
        let mut write = self
            .file
            .shared
            .database
            .begin_write()
            .map_err(database("write"))?;
        write.set_two_phase_commit(true);
        fill(&write, kept, applied).map_err(database("write"))?;
        write.commit().map_err(database("commit"))?;
        Ok(self.file)
    }
}

fn fill(write: &redb::WriteTransaction, kept: &Kept, applied: &[u8]) -> Result<(), redb::Error> {
    let mut facts = write.open_table(FACTS)?;
    facts.insert("revision", kept.revision.to_be_bytes().as_slice())?;
    facts.insert("compacted", kept.compacted.to_be_bytes().as_slice())?;
    facts.insert("applied", applied)?;
    let mut leases = write.open_table(LEASES)?;
    for (id, lease) in &kept.leases {
        leases.insert(id, (lease.time_to_live, lease.remaining))?;
    }
    let mut alarms = write.open_table(ALARMS)?;
    for alarm in &kept.alarms {
        alarms.insert((alarm.member, alarm.kind), ())?;
    }
    Ok(())
}

impl RecordFile {
    /// Gives a finished file of this name, [`INCOMING`] or [`COPY`], the place of the one that was, in one step, which is
    /// durable when the disk is flushed. The old one lives on for those who have it open.
    ///
    /// # Errors
    /// The disk's.
    pub fn take_place(disk: &dyn Disk, name: &str) -> Result<(), RecordsError> {
        disk.rename(name, NAME).map_err(failed("replace"))
    }

    /// Begins a copy of this file, which shares its cache.
    ///
    /// # Errors
    /// The disk's.
    pub fn begin_copy(&self, disk: &dyn Disk, page_bytes: usize) -> Result<Incoming, RecordsError> {
        Incoming::create(disk, COPY, page_bytes, self.shared.cache.clone())
    }

    /// Removes files in the making that a crash left.
    ///
    /// # Errors
    /// The disk's.
    pub fn remove_unfinished(disk: &dyn Disk) -> Result<(), RecordsError> {
        remove(disk, INCOMING)?;
        remove(disk, COPY)
    }

    /// Removes a copy that is not to take the file's place after all.
    ///
    /// # Errors
    /// The disk's.
    pub fn remove_copy(disk: &dyn Disk) -> Result<(), RecordsError> {
        remove(disk, COPY)
    }
}

fn remove(disk: &dyn Disk, name: &str) -> Result<(), RecordsError> {
    match disk.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove what was to take the place of")(error))
        }
        _ => Ok(()),
    }
}

fn failed(operation: &'static str) -> impl Fn(io::Error) -> RecordsError {
    move |source| RecordsError::Disk { operation, source }
}

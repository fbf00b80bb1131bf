//! A file of records in the making: another member's, which comes in pieces and then takes the place of our own.

use super::{ALARMS, CacheBytes, FACTS, LEASES, NAME, RECORDS, RecordFile, RecordsError, database};
use crate::{
    executor::disk::Disk,
    planner::{revision::Revision, state::Kept},
};
use redb::Durability;
use std::io;

/// The file until it is whole.
const INCOMING: &str = "records.incoming";

/// Another member's records on their way in.
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
    pub fn begin(disk: &impl Disk, cache: CacheBytes) -> Result<Self, RecordsError> {
        let file = disk.create(INCOMING).map_err(failed("create"))?;
        Ok(Self {
            file: RecordFile::of(file, cache)?,
            last: None,
            records: 0,
        })
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
        write.set_quick_repair(true);
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
    /// Gives a finished [`Incoming`] the place of the file that was, in one step. The old one lives on for those who
    /// have it open.
    ///
    /// # Errors
    /// The disk's.
    pub fn take_place(disk: &impl Disk) -> Result<(), RecordsError> {
        disk.rename(INCOMING, NAME)
            .and_then(|()| disk.sync())
            .map_err(failed("replace"))
    }
}

fn failed(operation: &'static str) -> impl Fn(io::Error) -> RecordsError {
    move |source| RecordsError::Disk { operation, source }
}

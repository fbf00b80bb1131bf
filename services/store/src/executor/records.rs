//! Records on disk: redb, written with every batch of applied commands and made durable now and then.
//!
//! ```text
//!   records   revision ──> KeyValue in protobuf        version 0: a delete
//!   leases    number ──> granted life, what was left when last told
//!   alarms    member, kind
//!   facts     "format", "revision", "compacted", "applied"
//! ```
//!
//! Every commit holds what its commands did together with the log position that they came from, so that after a crash the
//! file is as it was at one such position, and the log is applied again from there. A commit that is not
//! durable costs no flush; the next durable one takes it along.

mod snapshot;
mod view;

use super::disk::{Disk, File};
use crate::planner::{
    index::Restore,
    records::{Change, Records, StorageError},
    revision::Revision,
    state::{Bookkeeping, State, add_record},
};
use bytes::Bytes;
use etcd_proto::{mvccpb::KeyValue, prost::Message};
use redb::{
    Builder, Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageBackend,
    TableDefinition, WriteTransaction,
};
use std::{fmt, io, ops::ControlFlow};

pub use snapshot::Incoming;
pub use view::View;

/// The file.
pub const NAME: &str = "records.redb";
/// Of this layout.
pub const FORMAT: u64 = 1;

const RECORDS: TableDefinition<'_, &[u8; Revision::LENGTH], &[u8]> =
    TableDefinition::new("records");
const LEASES: TableDefinition<'_, i64, (i64, Option<i64>)> = TableDefinition::new("leases");
const ALARMS: TableDefinition<'_, (u64, i32), ()> = TableDefinition::new("alarms");
const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts");

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The disk refused.
    #[error("{operation} {NAME}")]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// redb refused: the disk's fault, or the file is not what was written.
    #[error("{operation} {NAME}")]
    Database {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: redb::Error,
    },
    /// What is in the file is not what was put there.
    #[error(
        "{NAME} is damaged: {what}; remove the member and add it anew, so that its peers bring it up to date"
    )]
    Damaged {
        /// What is wrong.
        what: String,
    },
    /// A later release wrote it.
    #[error("{NAME} has format {0}, this release reads {FORMAT}")]
    Format(u64),
}

/// What one commit holds.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// Changed keys.
    pub changes: &'a [Change],
    /// What else the commands changed.
    pub bookkeeping: &'a [Bookkeeping],
    /// Records that compaction dropped. All of a key that one step of compaction named belong in one commit.
    pub dropped: &'a [Revision],
    /// The store's revision afterwards.
    pub revision: i64,
    /// The log position afterwards, as the log's owner writes it.
    pub applied: &'a [u8],
    /// Whether the commit, and every one before it, is durable when it returns.
    pub durable: bool,
}

/// The file of records.
pub struct RecordFile {
    database: Database,
    length: Box<dyn Fn() -> io::Result<u64> + Send + Sync>,
}

impl RecordFile {
    /// Opens the file, or makes it. redb keeps at most `cache_bytes` of it in memory.
    ///
    /// # Errors
    /// The disk's; or the file is damaged, or of a later release.
    pub fn open(disk: &impl Disk, cache_bytes: usize) -> Result<Self, RecordsError> {
        let failed = |operation| move |source| RecordsError::Disk { operation, source };
        let file = match disk.open(NAME) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = disk.create(NAME).map_err(failed("create"))?;
                disk.sync().map_err(failed("create"))?;
                file
            }
            Err(error) => return Err(failed("open")(error)),
        };
        Self::of(file, cache_bytes)
    }

    fn of(file: impl File, cache_bytes: usize) -> Result<Self, RecordsError> {
        let measured = file.clone();
        let database = Builder::new()
            .set_cache_size(cache_bytes)
            .create_with_backend(Backend(file))
            .map_err(database("open"))?;
        let file = Self {
            database,
            length: Box::new(move || measured.length()),
        };
        file.prepare()?;
        Ok(file)
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// The disk's.
    pub fn bytes(&self) -> Result<u64, RecordsError> {
        (self.length)().map_err(|source| RecordsError::Disk {
            operation: "measure",
            source,
        })
    }

    /// The state that the file holds, and the log position that it was made at; None for a new file.
    ///
    /// # Errors
    /// The disk's, or the file is damaged.
    pub fn restore(&self) -> Result<(State, Option<Vec<u8>>), RecordsError> {
        let view = self.view()?;
        let (kept, applied) = view.kept()?;
        let newest = kept.revision;
        let mut index = Restore::default();
        let start = Revision { main: 0, sub: 0 };
        let mut beyond = None;
        view.records()?
            .scan(start, &mut |revision, record| {
                if revision.main > newest {
                    beyond = Some(revision);
                    return ControlFlow::Break(());
                }
                add_record(&mut index, revision, &record);
                ControlFlow::Continue(())
            })
            .map_err(|error| RecordsError::Damaged {
                what: error.to_string(),
            })?;
        if let Some(revision) = beyond {
            let what = format!("record {revision} is newer than the store, which is at {newest}");
            return Err(RecordsError::Damaged { what });
        }
        Ok((State::restore(kept, index.finish()), applied))
    }

    /// Commits what commands did.
    ///
    /// # Errors
    /// The disk's. What is in the file is then unknown until it is opened again.
    pub fn commit(&self, commit: Commit<'_>) -> Result<(), RecordsError> {
        let mut write = self.database.begin_write().map_err(database("write"))?;
        if commit.durable {
            // A crash would else cost a walk over the whole file at the next start.
            write.set_quick_repair(true);
        } else {
            write
                .set_durability(Durability::None)
                .map_err(database("write"))?;
        }
        fill(&write, commit).map_err(|source| RecordsError::Database {
            operation: "write",
            source,
        })?;
        write.commit().map_err(database("commit"))
    }

    /// Reads as of the last commit.
    ///
    /// # Errors
    /// The disk's.
    pub fn reader(&self) -> Result<Reader, RecordsError> {
        self.view()?.records()
    }

    /// Everything as of the last commit, whatever is committed later. Its pages are kept while it is there.
    ///
    /// # Errors
    /// The disk's.
    pub fn view(&self) -> Result<View, RecordsError> {
        let read = self.database.begin_read().map_err(database("read"))?;
        Ok(View { read })
    }

    /// Checks the format, and makes the tables.
    fn prepare(&self) -> Result<(), RecordsError> {
        let write = self.database.begin_write().map_err(database("prepare"))?;
        let known = {
            let mut facts = write.open_table(FACTS).map_err(database("prepare"))?;
            let known = facts
                .get("format")
                .map_err(database("prepare"))?
                .map(|format| format.value().to_vec());
            if known.is_none() {
                facts
                    .insert("format", FORMAT.to_be_bytes().as_slice())
                    .map_err(database("prepare"))?;
            }
            known
        };
        match known.map(TryInto::<[u8; 8]>::try_into) {
            Some(Ok(format)) if u64::from_be_bytes(format) == FORMAT => return Ok(()),
            Some(Ok(format)) => return Err(RecordsError::Format(u64::from_be_bytes(format))),
            Some(Err(_)) => {
                let what = "its format is no number".to_owned();
                return Err(RecordsError::Damaged { what });
            }
            None => {}
        }
        write.open_table(RECORDS).map_err(database("prepare"))?;
        write.open_table(LEASES).map_err(database("prepare"))?;
        write.open_table(ALARMS).map_err(database("prepare"))?;
        write.commit().map_err(database("prepare"))
    }
}

fn fill(write: &WriteTransaction, commit: Commit<'_>) -> Result<(), redb::Error> {
    let mut records = write.open_table(RECORDS)?;
    for change in commit.changes {
        let record = change.record.encode_to_vec();
        records.insert(&change.revision.to_bytes(), record.as_slice())?;
    }
    for revision in commit.dropped {
        records.remove(&revision.to_bytes())?;
    }
    let mut facts = write.open_table(FACTS)?;
    facts.insert("revision", commit.revision.to_be_bytes().as_slice())?;
    facts.insert("applied", commit.applied)?;
    for bookkeeping in commit.bookkeeping {
        match bookkeeping {
            Bookkeeping::Compacted(revision) => {
                facts.insert("compacted", revision.to_be_bytes().as_slice())?;
            }
            Bookkeeping::Lease(id, Some(lease)) => {
                let mut leases = write.open_table(LEASES)?;
                leases.insert(id, (lease.time_to_live, lease.remaining))?;
            }
            Bookkeeping::Lease(id, None) => {
                write.open_table(LEASES)?.remove(id)?;
            }
            Bookkeeping::Alarms(raised) => {
                let mut alarms = write.open_table(ALARMS)?;
                alarms.retain(|_, ()| false)?;
                for alarm in raised {
                    alarms.insert((alarm.member, alarm.kind), ())?;
                }
            }
        }
    }
    Ok(())
}

/// The records as of one commit, whatever is committed later.
pub struct Reader {
    records: ReadOnlyTable<&'static [u8; Revision::LENGTH], &'static [u8]>,
}

impl Records for Reader {
    fn get(&self, revision: Revision) -> Result<KeyValue, StorageError> {
        let record = self
            .records
            .get(&revision.to_bytes())
            .map_err(|error| unreadable(revision, error))?
            .ok_or(StorageError::Missing { revision })?;
        decode(revision, record.value())
    }

    fn scan(
        &self,
        from: Revision,
        visit: &mut dyn FnMut(Revision, KeyValue) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let start = from.to_bytes();
        let records = self
            .records
            .range::<&[u8; Revision::LENGTH]>(&start..)
            .map_err(|error| unreadable(from, error))?;
        for record in records {
            let (revision, record) = record.map_err(|error| unreadable(from, error))?;
            let revision = Revision::from_bytes(*revision.value());
            if visit(revision, decode(revision, record.value())?).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn decode(revision: Revision, bytes: &[u8]) -> Result<KeyValue, StorageError> {
    // One copy, which key and value then share.
    KeyValue::decode(Bytes::copy_from_slice(bytes)).map_err(|error| unreadable(revision, error))
}

fn unreadable(
    revision: Revision,
    error: impl std::error::Error + Send + Sync + 'static,
) -> StorageError {
    StorageError::Read {
        revision,
        source: Box::new(error),
    }
}

fn database<E: Into<redb::Error>>(operation: &'static str) -> impl Fn(E) -> RecordsError {
    move |error| RecordsError::Database {
        operation,
        source: error.into(),
    }
}

/// redb's view of one of our files.
struct Backend<F>(F);

impl<F> fmt::Debug for Backend<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(NAME)
    }
}

impl<F: File> StorageBackend for Backend<F> {
    fn len(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(out, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_length(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(data, offset)
    }
}

#[cfg(test)]
mod tests;

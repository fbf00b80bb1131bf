//! Records on disk: redb, and before it what is to be written to it, and a cache of records.
//!
//! ```text
//!   commit ──> pending ──write, in groups──> redb:   records   revision ──> KeyValue in protobuf     version 0: a delete
//!      │          │                           │      leases    number ──> granted life, what was left when last told
//!      └─> cache  │                           │      alarms    member, kind
//!            │    │                           │      facts     "format", "revision", "compacted", "applied"
//!            └────┴──────────> reader <───────┘
//! ```
//!
//! A commit holds what commands did together with the log position that they came from, and a write takes all commits so
//! far: after a crash the file is as it was at one such position, and the log is applied again from there. A write that is
//! not durable costs no flush; the next durable one takes it along.

mod cache;
mod pending;
mod reader;
mod snapshot;
mod view;

use super::{
    disk::{Disk, File},
    space::Patience,
};
use crate::planner::{
    index::Restore,
    records::{Change, StorageError},
    revision::Revision,
    state::{Bookkeeping, State, add_record},
};
use bytes::Bytes;
use cache::Cache;
use etcd_proto::{mvccpb::KeyValue, prost::Message};
use pending::{Pending, Taken};
use redb::{
    Builder, Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, StorageBackend,
    TableDefinition, WriteTransaction,
};
use std::{
    fmt, io,
    ops::ControlFlow,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

pub use reader::Reader;
pub use snapshot::{COPY, INCOMING, Incoming};
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
}

/// How much is kept in memory.
#[derive(Debug, Clone, Copy)]
pub struct CacheBytes {
    /// Of the file's pages, by redb.
    pub pages: usize,
    /// Of records by themselves.
    pub records: usize,
}

/// The file of records.
pub struct RecordFile {
    shared: Arc<Shared>,
    /// The same that the database has.
    file: Arc<dyn File>,
    patience: Arc<Patience>,
}

/// What readers share with the file.
struct Shared {
    database: Database,
    cache: Arc<Cache>,
    pending: Mutex<Pending>,
    /// One write at a time.
    writing: Mutex<()>,
    /// Bytes that the records in the file take, as [`taken_bytes`] has it.
    taken: AtomicU64,
}

impl RecordFile {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// The disk's; or the file is damaged, or of a later release.
    pub fn open(disk: &dyn Disk, cache: CacheBytes) -> Result<Self, RecordsError> {
        let failed = |operation| move |source| RecordsError::Disk { operation, source };
        let file = match disk.open(NAME) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // It gets its name when redb can open it: power may be lost while it is made.
                let file = disk.create(INCOMING).map_err(failed("create"))?;
                let new = Self::of(file, cache.pages, Arc::new(Cache::new(cache.records)))?;
                Self::take_place(disk, INCOMING)?;
                disk.sync().map_err(failed("create"))?;
                return Ok(new);
            }
            Err(error) => return Err(failed("open")(error)),
        };
        Self::of(file, cache.pages, Arc::new(Cache::new(cache.records)))
    }

    fn of(file: Arc<dyn File>, page_bytes: usize, cache: Arc<Cache>) -> Result<Self, RecordsError> {
        let patience = Arc::new(Patience::default());
        let backend = Backend {
            file: file.clone(),
            patience: patience.clone(),
        };
        let database = Builder::new()
            .set_cache_size(page_bytes)
            // redb would else trust every page of the last commit, and hand out whatever they have become.
            .set_check_integrity_on_open(true)
            .create_with_backend(backend)
            .map_err(unusable)?;
        let file = Self {
            shared: Arc::new(Shared {
                database,
                cache,
                pending: Mutex::default(),
                writing: Mutex::default(),
                taken: AtomicU64::new(0),
            }),
            file,
            patience,
        };
        file.prepare()?;
        Ok(file)
    }

    /// Whether writes wait while the disk is full. Until told to, they fail.
    pub(super) fn patience(&self) -> &Patience {
        &self.patience
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// The disk's.
    pub fn bytes(&self) -> Result<u64, RecordsError> {
        self.file.length().map_err(|source| RecordsError::Disk {
            operation: "measure",
            source,
        })
    }

    /// Bytes of it, and of what is to be written to it, that records take: what is left of [`RecordFile::bytes`] is free
    /// for others. Known once the state was restored.
    #[must_use]
    pub fn bytes_in_use(&self) -> u64 {
        let pending = self.shared.pending().bytes();
        let pending = u64::try_from(pending).expect("64 bits");
        self.shared.taken.load(Ordering::Relaxed) + pending
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
        let (mut taken, mut wrong) = (0, None);
        view.scan(Revision { main: 0, sub: 0 }, &mut |revision, record| {
            taken += taken_bytes(record.len());
            wrong = restore_record(&mut index, revision, record, newest).err();
            match wrong {
                None => ControlFlow::Continue(()),
                Some(_) => ControlFlow::Break(()),
            }
        })?;
        if let Some(what) = wrong {
            return Err(RecordsError::Damaged { what });
        }
        self.shared.taken.store(taken, Ordering::Relaxed);
        Ok((State::restore(kept, index.finish()), applied))
    }

    /// Takes in what commands did: readers see it from now on, and the next write has it.
    pub fn commit(&self, commit: Commit<'_>) {
        let records: Vec<_> = commit
            .changes
            .iter()
            .map(|change| (change.revision, Bytes::from(change.record.encode_to_vec())))
            .collect();
        self.shared.pending().add(commit, &records);
        self.shared.cache.remove(commit.dropped);
        self.shared.cache.add(records);
    }

    /// Whether enough waits to be written.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.shared.pending().is_full()
    }

    /// Whether so much waits that no more should come before it is written.
    #[must_use]
    pub fn must_write(&self) -> bool {
        self.shared.pending().is_overfull()
    }

    /// Writes every commit so far. They are durable after the next [`RecordFile::write_durably`].
    ///
    /// # Errors
    /// The disk's. What is in the file is then unknown until it is opened again.
    pub fn write(&self) -> Result<(), RecordsError> {
        let _one = self.shared.one_writer();
        let taken = self.shared.pending().take();
        self.shared.write(&taken, false)
    }

    /// Writes every commit so far, and makes them durable, with all before. `flush` makes durable first what they came from, since
    /// the file must not hold what the log could lose; commits that come while it does are not in this write.
    ///
    /// # Errors
    /// As for [`RecordFile::write`], or those of `flush`.
    pub fn write_durably(
        &self,
        flush: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), RecordsError> {
        let _one = self.shared.one_writer();
        let taken = self.shared.pending().take();
        flush().map_err(|source| RecordsError::Disk {
            operation: "flush the log before",
            source,
        })?;
        self.shared.write(&taken, true)
    }

    /// Reads as of the last commit.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(self.shared.clone())
    }

    /// Everything as of the last commit, whatever is committed later. Its pages are kept while it is there.
    ///
    /// # Errors
    /// The disk's.
    pub fn view(&self) -> Result<View, RecordsError> {
        let _one = self.shared.one_writer();
        if !self.shared.pending().is_empty() {
            let taken = self.shared.pending().take();
            self.shared.write(&taken, false)?;
        }
        let read = self.shared.database.begin_read();
        let read = read.map_err(database("read"))?;
        Ok(View { read })
    }

    /// Checks the format, and makes the tables.
    fn prepare(&self) -> Result<(), RecordsError> {
        let write = self.shared.database.begin_write();
        let write = write.map_err(database("prepare"))?;
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

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn one_writer(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, taken: &Taken, durable: bool) -> Result<(), RecordsError> {
        let mut write = self.database.begin_write().map_err(database("write"))?;
        if durable {
            // With one flush for both, a start could take the commit before this one for the last, where this one is damaged.
            write.set_two_phase_commit(true);
        } else {
            write
                .set_durability(Durability::None)
                .map_err(database("write"))?;
        }
        let (added, removed) = fill(&write, taken).map_err(|source| RecordsError::Database {
            operation: "write",
            source,
        })?;
        write.commit().map_err(database("commit"))?;
        self.taken.fetch_add(added, Ordering::Relaxed);
        self.taken.fetch_sub(removed, Ordering::Relaxed);
        self.pending().written(&taken.records);
        Ok(())
    }
}

/// Returns the bytes that were added, and those that were removed.
fn fill(
    write: &WriteTransaction,
    Taken {
        records: changed,
        rest,
    }: &Taken,
) -> Result<(u64, u64), redb::Error> {
    let (mut added, mut removed) = (0, 0);
    let mut records = write.open_table(RECORDS)?;
    for (revision, record) in changed {
        records.insert(&revision.to_bytes(), record.as_ref())?;
        added += taken_bytes(record.len());
    }
    for revision in &rest.dropped {
        if let Some(record) = records.remove(&revision.to_bytes())? {
            removed += taken_bytes(record.value().len());
        }
    }
    let mut facts = write.open_table(FACTS)?;
    if let Some((revision, applied)) = &rest.position {
        facts.insert("revision", revision.to_be_bytes().as_slice())?;
        facts.insert("applied", applied.as_slice())?;
    }
    if let Some(revision) = rest.compacted {
        facts.insert("compacted", revision.to_be_bytes().as_slice())?;
    }
    if !rest.leases.is_empty() {
        let mut leases = write.open_table(LEASES)?;
        for (id, lease) in &rest.leases {
            match lease {
                Some(lease) => leases.insert(*id, (lease.time_to_live, lease.remaining))?,
                None => leases.remove(*id)?,
            };
        }
    }
    if let Some(raised) = &rest.alarms {
        let mut alarms = write.open_table(ALARMS)?;
        alarms.retain(|_, ()| false)?;
        for alarm in raised {
            alarms.insert((alarm.member, alarm.kind), ())?;
        }
    }
    Ok((added, removed))
}

/// What a record takes in the file: its bytes, its key, and where they are.
fn taken_bytes(record: usize) -> u64 {
    u64::try_from(record + Revision::LENGTH + size_of::<u32>()).expect("64 bits")
}

/// Takes a record of the file into an index in the making.
fn restore_record(
    index: &mut Restore,
    revision: Revision,
    record: &[u8],
    newest: i64,
) -> Result<(), String> {
    if revision.main > newest {
        return Err(format!(
            "record {revision} is newer than the store, which is at {newest}"
        ));
    }
    let record = decode(revision, Bytes::copy_from_slice(record));
    let record = record.map_err(|error| super::member::chain(&error))?;
    add_record(index, revision, &record);
    Ok(())
}

/// Key and value share the bytes.
fn decode(revision: Revision, bytes: Bytes) -> Result<KeyValue, StorageError> {
    KeyValue::decode(bytes).map_err(|error| unreadable(revision, error))
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

/// Why redb does not open the file. It never wrote another version than the one that it reads.
fn unusable(error: DatabaseError) -> RecordsError {
    match error {
        DatabaseError::Storage(redb::StorageError::Corrupted(what)) => {
            RecordsError::Damaged { what }
        }
        // So it calls a file that does not begin as all of its files do.
        DatabaseError::Storage(redb::StorageError::Io(source))
            if source.kind() == io::ErrorKind::InvalidData =>
        {
            RecordsError::Damaged {
                what: source.to_string(),
            }
        }
        DatabaseError::UpgradeRequired(version) => RecordsError::Damaged {
            what: format!("its version is {version}"),
        },
        other => database("open")(other),
    }
}

fn database<E: Into<redb::Error>>(operation: &'static str) -> impl Fn(E) -> RecordsError {
    move |error| RecordsError::Database {
        operation,
        source: error.into(),
    }
}

/// redb's view of one of our files.
struct Backend {
    file: Arc<dyn File>,
    patience: Arc<Patience>,
}

impl fmt::Debug for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(NAME)
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(out, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.patience.wait(|| self.file.set_length(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.patience.wait(|| self.file.write(data, offset))
    }
}

#[cfg(test)]
mod tests;

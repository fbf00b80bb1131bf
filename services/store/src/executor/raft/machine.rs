//! The state with its records, as one member has it: applies, checkpoints, compacts, gives and takes snapshots.
//!
//! ```text
//!   apply ────────┐
//!   checkpoint ───┼──> writer (one at a time) ──> held: state + file of records + position ──> readers
//!   compaction ───┤                                      │
//!   install ──────┘                                      └──> watches, lease clock, waiters
//! ```
//!
//! Invariants: who reads sees state, records and position of one moment. Watches hear of a change before its reply goes
//! out. A durable checkpoint comes after a flush of the log, so that it never holds what the log could still lose.

use super::{
    Entry, Proposal, StoredMembership,
    encoding::Position,
    storage::LogStorage,
    waiters::{Outcome, Waiters},
};
use crate::{
    executor::{
        disk::Disk,
        leases::LeaseClock,
        records::{Commit, Incoming, Reader, RecordFile, View},
        watches::WatchHub,
    },
    planner::{
        command::Command,
        records::{Change, Records, StorageError},
        revision::Revision,
        state::{Bookkeeping, State},
    },
};
use etcd_proto::mvccpb::KeyValue;
use openraft::EntryPayload;
use std::{
    io,
    ops::ControlFlow,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use tokio::sync::{Mutex, Notify, watch};

/// Keys that one step of a compaction looks at: some hundred microseconds, while which nobody reads.
const COMPACTION_KEYS: usize = 1000;

/// How a machine runs.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Bytes of records in memory.
    pub cache_bytes: usize,
    /// Entries after which a durable checkpoint is made.
    pub checkpoint_entries: u64,
}

/// What belongs together at one moment.
struct Held {
    state: State,
    file: Arc<RecordFile>,
    position: Position,
}

/// What he who writes knows.
struct Writer {
    /// Entries that were applied since the last durable checkpoint.
    fresh: u64,
}

/// The machine.
pub struct Machine<D: Disk> {
    disk: Arc<D>,
    settings: Settings,
    held: RwLock<Held>,
    writer: Mutex<Writer>,
    log: LogStorage<D>,
    /// Who waits for proposals of this process.
    pub waiters: Waiters,
    /// Watch streams.
    pub watches: Arc<WatchHub>,
    /// When leases end.
    pub leases: LeaseClock,
    /// Index of the entry that is applied next.
    applied: watch::Sender<u64>,
    /// Records before this revision are deleted.
    compacted: watch::Sender<i64>,
    compact: Notify,
}

/// What a batch of entries did.
#[derive(Default)]
struct Batch {
    changes: Vec<Change>,
    bookkeeping: Vec<Bookkeeping>,
    compacted: Option<i64>,
    outcomes: Vec<(u64, u64, Outcome)>,
}

impl<D: Disk> Machine<D> {
    /// Opens the records of `disk`, and the log in `segments` beside them.
    ///
    /// # Errors
    /// The disks', or damage.
    pub fn open(
        disk: Arc<D>,
        segments: D,
        settings: Settings,
        mut random: Box<dyn FnMut() -> u64 + Send>,
    ) -> io::Result<Self> {
        let file = RecordFile::open(&*disk, settings.cache_bytes).map_err(io::Error::other)?;
        let (state, applied) = file.restore().map_err(io::Error::other)?;
        let position = Position::decode(applied.as_deref())?;
        // What redb shows after an orderly end need not be durable, and the log is purged by it.
        commit(&file, &state, &position, &Batch::default(), &[], true)?;
        let origin = random();
        let log = LogStorage::open(disk.clone(), segments, &position, random)?;
        let watches = WatchHub::new(state.revision(), state.compacted());
        let machine = Self {
            disk,
            settings,
            writer: Mutex::new(Writer { fresh: 0 }),
            log,
            waiters: Waiters::new(origin),
            watches,
            leases: LeaseClock::default(),
            applied: watch::Sender::new(position.next_index()),
            compacted: watch::Sender::new(0),
            compact: Notify::new(),
            held: RwLock::new(Held {
                state,
                file: Arc::new(file),
                position,
            }),
        };
        // One that a crash interrupted goes on.
        machine.compact.notify_one();
        Ok(machine)
    }

    /// The disk of its records.
    pub(crate) fn disk(&self) -> &Arc<D> {
        &self.disk
    }

    /// The log beside it.
    #[must_use]
    pub fn log(&self) -> LogStorage<D> {
        self.log.clone()
    }

    /// Looks at the state and its records of one moment.
    ///
    /// # Errors
    /// The disk's.
    pub fn read<T>(&self, look: impl FnOnce(&State, &Reader) -> T) -> io::Result<T> {
        let held = self.held();
        let reader = held.file.reader().map_err(io::Error::other)?;
        Ok(look(&held.state, &reader))
    }

    /// Everything on disk as of now, and its position, whatever is applied later.
    ///
    /// # Errors
    /// The disk's.
    pub fn view(&self) -> io::Result<(View, Position)> {
        let held = self.held();
        let view = held.file.view().map_err(io::Error::other)?;
        Ok((view, held.position.clone()))
    }

    /// How far entries are applied, and by which membership.
    #[must_use]
    pub fn position(&self) -> Position {
        self.held().position.clone()
    }

    /// Bytes of the file of records.
    ///
    /// # Errors
    /// The disk's.
    pub fn bytes(&self) -> io::Result<u64> {
        self.held().file.bytes().map_err(io::Error::other)
    }

    /// Waits until the entry of this index is applied.
    pub async fn wait_applied(&self, index: u64) {
        let mut applied = self.applied.subscribe();
        // The sender lives as long as this.
        let _ = applied.wait_for(|next| *next > index).await;
    }

    /// Waits until the records that a compaction to this revision makes superfluous are deleted.
    pub async fn wait_compacted(&self, revision: i64) {
        let mut compacted = self.compacted.subscribe();
        let _ = compacted.wait_for(|done| *done >= revision).await;
    }

    /// Applies committed entries, in order, and answers who waits here for theirs.
    ///
    /// # Errors
    /// The disk's. The machine must not be used afterwards.
    pub async fn apply(&self, entries: &[Entry]) -> io::Result<()> {
        let mut writer = self.writer.lock().await;
        let outcomes = self.apply_batch(entries)?;
        for (origin, sequence, outcome) in outcomes {
            self.waiters.applied(origin, sequence, outcome);
        }
        if let Some(last) = entries.last() {
            self.applied.send_replace(last.log_id.index + 1);
        }
        writer.fresh += u64::try_from(entries.len()).expect("64 bits");
        if writer.fresh >= self.settings.checkpoint_entries {
            self.checkpoint_as(&mut writer).await?;
        }
        Ok(())
    }

    /// Makes everything durable that was applied, so that the log before it may be purged.
    ///
    /// # Errors
    /// The disk's.
    pub async fn checkpoint(&self) -> io::Result<()> {
        let mut writer = self.writer.lock().await;
        if writer.fresh == 0 {
            return Ok(());
        }
        self.checkpoint_as(&mut writer).await
    }

    async fn checkpoint_as(&self, writer: &mut Writer) -> io::Result<()> {
        self.log.sync().await?;
        let (file, revision, position) = {
            let mut held = self.held_mut();
            // Only when the log has what was applied since, the file speaks for the log again.
            if self.log.next() >= held.position.next_index() {
                held.position.installed = false;
            }
            (
                held.file.clone(),
                held.state.revision(),
                held.position.clone(),
            )
        };
        let end = position.next_index();
        let checkpoint = move || {
            let commit = Commit {
                changes: &[],
                bookkeeping: &[],
                dropped: &[],
                revision,
                applied: &position.encode(),
                durable: true,
            };
            file.commit(commit).map_err(io::Error::other)
        };
        self.disk.run(checkpoint).await?;
        self.log.checkpointed(end);
        writer.fresh = 0;
        Ok(())
    }

    /// Takes the place of our own state: another member's, which is further.
    ///
    /// # Errors
    /// The disk's, or damage.
    pub async fn install(&self, file: RecordFile) -> io::Result<()> {
        let mut writer = self.writer.lock().await;
        let restore = move || {
            let (state, applied) = file.restore().map_err(io::Error::other)?;
            Ok((file, state, applied))
        };
        let (file, state, applied) = self.disk.run(restore).await?;
        let position = Position::decode(applied.as_deref())?;
        let disk = self.disk.clone();
        let take_place = move || RecordFile::take_place(&*disk).map_err(io::Error::other);
        self.disk.run(take_place).await?;
        let next = position.next_index();
        let mut held = self.held_mut();
        let (revision, compacted) = (state.revision(), state.compacted());
        *held = Held {
            state,
            file: Arc::new(file),
            position,
        };
        self.watches.replaced(revision, compacted);
        drop(held);
        writer.fresh = 0;
        self.log.checkpointed(next);
        self.applied.send_replace(next);
        self.compact.notify_one();
        Ok(())
    }

    /// Begins a file for a snapshot on its way in.
    ///
    /// # Errors
    /// The disk's.
    pub fn incoming(&self) -> io::Result<Incoming> {
        Incoming::begin(&*self.disk, self.settings.cache_bytes).map_err(io::Error::other)
    }

    /// Deletes what compactions made superfluous, in steps beside other work, for ever.
    ///
    /// # Errors
    /// The disk's.
    pub async fn compact(&self) -> io::Result<()> {
        loop {
            self.compact.notified().await;
            let upto = self.held().state.compacted();
            let mut cursor = None;
            loop {
                cursor = self.compact_step(cursor.as_deref()).await?;
                if cursor.is_none() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            self.compacted.send_replace(upto);
        }
    }

    async fn compact_step(&self, cursor: Option<&[u8]>) -> io::Result<Option<Box<[u8]>>> {
        let _writer = self.writer.lock().await;
        let mut held = self.held_mut();
        let mut dropped = Vec::new();
        let next = held.state.compact(cursor, COMPACTION_KEYS, &mut dropped);
        if !dropped.is_empty() {
            let batch = Batch::default();
            commit(
                &held.file,
                &held.state,
                &held.position,
                &batch,
                &dropped,
                false,
            )?;
        }
        Ok(next)
    }

    /// Serves watches that are behind, for ever.
    ///
    /// # Errors
    /// The disk's.
    pub async fn catch_up(&self) -> io::Result<()> {
        loop {
            self.watches.wait_behind().await;
            while self
                .read(|state, records| self.watches.catch_up(state.index(), records))?
                .map_err(io::Error::other)?
            {
                tokio::task::yield_now().await;
            }
        }
    }

    fn apply_batch(&self, entries: &[Entry]) -> io::Result<Vec<(u64, u64, Outcome)>> {
        let mut held = self.held_mut();
        let held = &mut *held;
        let reader = held.file.reader().map_err(io::Error::other)?;
        let mut batch = Batch::default();
        for entry in entries {
            match &entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(proposal) => {
                    self.apply_proposal(&mut held.state, proposal, &reader, &mut batch)?;
                }
                EntryPayload::Membership(membership) => {
                    held.position.membership =
                        StoredMembership::new(Some(entry.log_id), membership.clone());
                }
            }
            held.position.applied = Some(entry.log_id);
        }
        commit(&held.file, &held.state, &held.position, &batch, &[], false)?;
        let records = Fresh {
            changes: &batch.changes,
            older: &reader,
        };
        self.watches
            .applied(&batch.changes, batch.compacted, &records)
            .map_err(io::Error::other)?;
        if batch.compacted.is_some() {
            self.compact.notify_one();
        }
        Ok(batch.outcomes)
    }

    fn apply_proposal(
        &self,
        state: &mut State,
        proposal: &Proposal,
        reader: &Reader,
        batch: &mut Batch,
    ) -> io::Result<()> {
        let command = Command::decode(proposal.command.clone()).map_err(io::Error::other)?;
        let records = Fresh {
            changes: &batch.changes,
            older: reader,
        };
        let applied = state.apply(&command, &records).map_err(io::Error::other)?;
        let granted = matches!(command, Command::LeaseGrant(_));
        for bookkeeping in &applied.bookkeeping {
            self.leases.applied(granted, bookkeeping);
            if let Bookkeeping::Compacted(revision) = bookkeeping {
                batch.compacted = Some(*revision);
            }
        }
        batch.changes.extend(applied.changes);
        batch.bookkeeping.extend(applied.bookkeeping);
        let outcome = (proposal.origin, proposal.sequence, applied.reply);
        batch.outcomes.push(outcome);
        Ok(())
    }

    fn held(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn held_mut(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn commit(
    file: &RecordFile,
    state: &State,
    position: &Position,
    batch: &Batch,
    dropped: &[Revision],
    durable: bool,
) -> io::Result<()> {
    let commit = Commit {
        changes: &batch.changes,
        bookkeeping: &batch.bookkeeping,
        dropped,
        revision: state.revision(),
        applied: &position.encode(),
        durable,
    };
    file.commit(commit).map_err(io::Error::other)
}

/// Records of a batch that is being applied, over those on disk.
struct Fresh<'a> {
    changes: &'a [Change],
    older: &'a Reader,
}

impl Records for Fresh<'_> {
    fn get(&self, revision: Revision) -> Result<KeyValue, StorageError> {
        let found = self
            .changes
            .binary_search_by_key(&revision, |change| change.revision);
        match found {
            Ok(position) => Ok(self.changes[position].record.clone()),
            Err(_) => self.older.get(revision),
        }
    }

    fn scan(
        &self,
        from: Revision,
        visit: &mut dyn FnMut(Revision, KeyValue) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let mut ended = false;
        self.older.scan(from, &mut |revision, record| {
            let flow = visit(revision, record);
            ended = flow.is_break();
            flow
        })?;
        let first = self
            .changes
            .partition_point(|change| change.revision < from);
        for change in &self.changes[first..] {
            if ended || visit(change.revision, change.record.clone()).is_break() {
                break;
            }
        }
        Ok(())
    }
}

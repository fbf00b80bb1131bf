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
    fresh::Fresh,
    storage::LogStorage,
    tally::Tally,
    waiters::{self, Waiters},
};
use crate::{
    executor::{
        beside::Work,
        disk::Disk,
        leases::LeaseClock,
        records::{CacheBytes, Commit, INCOMING, Incoming, Reader, RecordFile, View},
        watch,
        watches::WatchHub,
    },
    planner::{
        command::Command,
        records::Change,
        revision::Revision,
        state::{Bookkeeping, State},
    },
};
use openraft::EntryPayload;
use std::{
    io,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};
use tokio::{
    sync::{Mutex, Notify},
    time::Instant,
};

/// Keys that one step of a compaction looks at: some hundred microseconds, while which nobody reads.
const COMPACTION_KEYS: usize = 1000;

/// Writers ask for the disk's free space this often: what comes in between is a part of what is kept free.
const FREE_AGE_MAX: Duration = Duration::from_millis(100);

/// How a machine runs.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// What of the records is kept in memory.
    pub cache: CacheBytes,
    /// Entries, or changes, after which a durable checkpoint is made.
    pub checkpoint_entries: u64,
    /// Bytes after which a segment of the log gets a successor.
    pub segment_bytes: u64,
}

/// What belongs together at one moment.
pub(super) struct Held {
    state: State,
    pub(super) file: Arc<RecordFile>,
    position: Position,
}

/// What came of a write of the records that runs beside applying; None: it still does.
type Outcome = Option<Result<(), (io::ErrorKind, String)>>;

/// What he who writes knows.
pub(super) struct Writer {
    /// Entries that were applied since the last durable checkpoint was begun, or changes where they are more.
    fresh: u64,
    /// The write that runs: one at most.
    writing: Option<watch::Receiver<Outcome>>,
    /// The file has its name, which may not be durable yet.
    pub(super) unsettled: bool,
}

impl Writer {
    fn new() -> Self {
        Self {
            fresh: 0,
            writing: None,
            unsettled: false,
        }
    }

    /// Waits for the write that runs, if one does.
    async fn written(&mut self) -> io::Result<()> {
        if let Some(writing) = self.writing.clone() {
            outcome(writing).await?;
            self.writing = None;
        }
        Ok(())
    }

    /// Whether a write runs, that is.
    fn is_writing(&self) -> bool {
        let writing = self.writing.as_ref();
        writing.is_some_and(|writing| writing.borrow().is_none())
    }
}

async fn outcome(mut writing: watch::Receiver<Outcome>) -> io::Result<()> {
    let ended = writing.wait_for(Option::is_some).await;
    ended.map_err(|_| io::Error::other("a write of the records was given up"))?;
    match &*writing.borrow() {
        Some(Err((kind, text))) => Err(io::Error::new(*kind, text.clone())),
        Some(Ok(())) | None => Ok(()),
    }
}

/// The machine.
pub struct Machine {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) settings: Settings,
    held: RwLock<Held>,
    pub(super) writer: Mutex<Writer>,
    /// One defragmentation at a time.
    pub(super) defragmenting: Mutex<()>,
    /// Held by who drops records, and by who needs that none are dropped.
    pub(super) dropping: Mutex<()>,
    log: LogStorage,
    /// Who waits for proposals of this process.
    pub waiters: Waiters,
    /// Watch streams.
    pub watches: Arc<WatchHub>,
    /// When leases end.
    pub leases: LeaseClock,
    /// What was applied.
    pub tally: Tally,
    /// Index of the entry that is applied next.
    applied: watch::Sender<u64>,
    /// Records before this revision are deleted.
    compacted: watch::Sender<i64>,
    compact: Notify,
    /// The disk's free bytes, and when they were asked for.
    free: std::sync::Mutex<Option<(u64, Instant)>>,
}

/// Origin, sequence and outcome of a proposal.
type Told = (u64, u64, waiters::Outcome);

/// What a batch of entries did.
#[derive(Default)]
struct Batch {
    changes: Vec<Change>,
    bookkeeping: Vec<Bookkeeping>,
    compacted: Option<i64>,
    outcomes: Vec<Told>,
}

impl Machine {
    /// Opens the records of `disk`, and the log in `segments` beside them.
    ///
    /// # Errors
    /// The disks', or damage.
    pub fn open(
        disk: Arc<dyn Disk>,
        segments: Arc<dyn Disk>,
        settings: Settings,
        mut random: Box<dyn FnMut() -> u64 + Send>,
    ) -> io::Result<Self> {
        RecordFile::remove_unfinished(&*disk).map_err(io::Error::other)?;
        // A process that was killed may have given names that are not durable yet, and this one goes by what has them.
        disk.sync()?;
        let file = RecordFile::open(&*disk, settings.cache).map_err(io::Error::other)?;
        let (state, applied) = file.restore().map_err(io::Error::other)?;
        let position = Position::decode(applied.as_deref())?;
        // What redb shows after an orderly end need not be durable, and the log is purged by it.
        file.write_durably(|| Ok(())).map_err(io::Error::other)?;
        let origin = random();
        let tally = Tally::default();
        let log = LogStorage::open(
            disk.clone(),
            segments,
            settings.segment_bytes,
            &position,
            random,
            tally.flushes.clone(),
        )?;
        let watches = WatchHub::new(state.revision(), state.compacted());
        let machine = Self {
            disk,
            settings,
            writer: Mutex::new(Writer::new()),
            defragmenting: Mutex::new(()),
            dropping: Mutex::new(()),
            log,
            waiters: Waiters::new(origin),
            watches,
            leases: LeaseClock::default(),
            tally,
            applied: watch::Sender::new(position.next_index()),
            compacted: watch::Sender::new(0),
            compact: Notify::new(),
            free: std::sync::Mutex::default(),
            held: RwLock::new(Held {
                state,
                file: Arc::new(file),
                position,
            }),
        };
        // A start fails on a full disk; a member that runs waits.
        machine.file().patience().begin();
        machine.log.patience().begin();
        // One that a crash interrupted goes on.
        machine.compact.notify_one();
        Ok(machine)
    }

    /// The disk of its records.
    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The log beside it.
    #[must_use]
    pub fn log(&self) -> LogStorage {
        self.log.clone()
    }

    /// Looks at the state and its records of one moment.
    ///
    /// # Errors
    /// The disk's.
    pub fn read<T>(&self, look: impl FnOnce(&State, &Reader) -> T) -> io::Result<T> {
        let held = self.held();
        Ok(look(&held.state, &held.file.reader()))
    }

    /// The store's revision.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.held().state.revision()
    }

    /// Keys with history, and the revision before which it is forgotten.
    #[must_use]
    pub fn extent(&self) -> (usize, i64) {
        let held = self.held();
        (held.state.index().len(), held.state.compacted())
    }

    /// Everything as of a moment after the call, and its position, whatever is applied later.
    ///
    /// # Errors
    /// The disk's.
    pub async fn view(&self) -> io::Result<(View, Position)> {
        let file = self.file();
        let view = move || {
            let view = file.view().map_err(io::Error::other)?;
            let applied = view.applied().map_err(io::Error::other)?;
            Ok((view, Position::decode(applied.as_deref())?))
        };
        self.disk.run(view).await
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

    /// Bytes that the disk can still take, as of some moments ago.
    ///
    /// # Errors
    /// The disk's.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        match *free {
            Some((bytes, at)) if at.elapsed() < FREE_AGE_MAX => Ok(bytes),
            _ => {
                let bytes = self.disk.free()?;
                *free = Some((bytes, Instant::now()));
                Ok(bytes)
            }
        }
    }

    /// What waits for space on a full disk fails from now on.
    pub fn stop_waiting(&self) {
        self.log.patience().end();
        self.file().patience().end();
    }

    /// Bytes of it that are in use.
    #[must_use]
    pub fn bytes_in_use(&self) -> u64 {
        self.held().file.bytes_in_use()
    }

    /// Waits until the entry of this index is applied.
    pub async fn wait_applied(&self, index: u64) {
        // Most find it done.
        if *self.applied.borrow() > index {
            return;
        }
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
        let (outcomes, changes) = self.apply_batch(entries)?;
        for (origin, sequence, outcome) in outcomes {
            self.waiters.applied(origin, sequence, outcome);
        }
        if let Some(last) = entries.last() {
            self.applied.send_replace(last.log_id.index + 1);
        }
        // A transaction takes as long again as its changes do.
        writer.fresh += u64::try_from(changes.max(entries.len())).expect("64 bits");
        self.write_beside(&mut writer).await
    }

    /// Makes everything durable that was applied, so that the log before it may be purged.
    ///
    /// # Errors
    /// The disk's.
    pub async fn checkpoint(&self) -> io::Result<()> {
        let checkpoint = {
            let mut writer = self.writer.lock().await;
            if writer.fresh > 0 {
                writer.written().await?;
                self.begin_checkpoint(&mut writer);
            }
            writer.writing.clone()
        };
        // Entries are applied meanwhile.
        match checkpoint {
            Some(checkpoint) => outcome(checkpoint).await,
            None => Ok(()),
        }
    }

    /// Has the records written, once enough of them wait or a checkpoint is due, beside what is applied next. Where writing
    /// cannot keep up, whoever applies waits here.
    async fn write_beside(&self, writer: &mut Writer) -> io::Result<()> {
        let file = self.file();
        let due = writer.fresh >= self.settings.checkpoint_entries;
        if !due && !file.wants_write() || writer.is_writing() && !file.must_write() {
            return Ok(());
        }
        writer.written().await?;
        if due {
            self.begin_checkpoint(writer);
        } else {
            let writes = self.tally.writes.clone();
            let write = move || writes.of(|| file.write()).map_err(io::Error::other);
            self.begin(writer, self.disk.run(write));
        }
        Ok(())
    }

    /// Has everything that was applied so far made durable. No other write runs.
    fn begin_checkpoint(&self, writer: &mut Writer) {
        let end = self.mark();
        let unsettled = std::mem::take(&mut writer.unsettled);
        writer.fresh = 0;
        let (disk, log, file) = (self.disk.clone(), self.log.clone(), self.file());
        let writes = self.tally.writes.clone();
        let write = move || {
            let written = writes.of(|| file.write_durably(|| log.sync_now()));
            written.map_err(io::Error::other)?;
            if unsettled {
                disk.sync()?;
            }
            log.checkpointed(end);
            Ok(())
        };
        self.begin(writer, self.disk.run(write));
    }

    fn begin(&self, writer: &mut Writer, write: Work<()>) {
        let sender = watch::Sender::new(None);
        writer.writing = Some(sender.subscribe());
        tokio::spawn(async move {
            let told = |error: io::Error| (error.kind(), crate::executor::member::chain(&error));
            sender.send_replace(Some(write.await.map_err(told)));
        });
    }

    /// Commits the position as one at which the file may be durable once the log is flushed. Returns the entry after it.
    fn mark(&self) -> u64 {
        let mut held = self.held_mut();
        // Only when the log has what was applied since, the file speaks for the log again.
        if self.log.next() >= held.position.next_index() {
            held.position.installed = false;
        }
        held.commit(&Batch::default(), &[]);
        held.position.next_index()
    }

    /// Flushes the log, and marks the position that the file may then be durable at.
    pub(super) async fn prepare_checkpoint(&self, writer: &mut Writer) -> io::Result<u64> {
        writer.written().await?;
        self.log.sync().await?;
        Ok(self.mark())
    }

    /// The file is durable as of the entry before `end`: what is before it may be purged.
    pub(super) async fn settle(&self, writer: &mut Writer, end: u64) -> io::Result<()> {
        if writer.unsettled {
            let disk = self.disk.clone();
            self.disk.run(move || disk.sync()).await?;
            writer.unsettled = false;
        }
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
        writer.written().await?;
        let restore = move || {
            let (state, applied) = file.restore().map_err(io::Error::other)?;
            Ok((file, state, applied))
        };
        let (file, state, applied) = self.disk.run(restore).await?;
        let position = Position::decode(applied.as_deref())?;
        let disk = self.disk.clone();
        let take_place = move || {
            RecordFile::take_place(&*disk, INCOMING).map_err(io::Error::other)?;
            disk.sync()
        };
        self.disk.run(take_place).await?;
        writer.unsettled = false;
        let next = position.next_index();
        file.patience().begin();
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
        Incoming::begin(&*self.disk, self.settings.cache).map_err(io::Error::other)
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
        let _dropping = self.dropping.lock().await;
        let mut writer = self.writer.lock().await;
        let next = {
            let mut held = self.held_mut();
            let mut dropped = Vec::new();
            let next = held.state.compact(cursor, COMPACTION_KEYS, &mut dropped);
            if !dropped.is_empty() {
                held.commit(&Batch::default(), &dropped);
            }
            next
        };
        self.write_beside(&mut writer).await?;
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

    /// Returns the outcomes for those who wait, and how many changes there were.
    fn apply_batch(&self, entries: &[Entry]) -> io::Result<(Vec<Told>, usize)> {
        let mut held = self.held_mut();
        let held = &mut *held;
        let reader = held.file.reader();
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
        held.commit(&batch, &[]);
        self.watches
            .applied(&batch.changes, batch.compacted, &held.file.reader())
            .map_err(io::Error::other)?;
        if batch.compacted.is_some() {
            self.compact.notify_one();
        }
        Ok((batch.outcomes, batch.changes.len()))
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
        self.tally.applied(
            &command,
            &applied.changes,
            &applied.bookkeeping,
            &applied.reply,
        );
        batch.changes.extend(applied.changes);
        batch.bookkeeping.extend(applied.bookkeeping);
        let outcome = (proposal.origin, proposal.sequence, applied.reply);
        batch.outcomes.push(outcome);
        Ok(())
    }

    pub(super) fn file(&self) -> Arc<RecordFile> {
        self.held().file.clone()
    }

    fn held(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn held_mut(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn commit(&self, batch: &Batch, dropped: &[Revision]) {
        self.file.commit(Commit {
            changes: &batch.changes,
            bookkeeping: &batch.bookkeeping,
            dropped,
            revision: self.state.revision(),
            applied: &self.position.encode(),
        });
    }
}

//! openraft's log storage over our log: entries, vote, and how far it is purged.

use super::{
    Entry, LogId, TypeConfig, Vote,
    encoding::{
        Position, decode_entry, decode_entry_id, decode_log_id, decode_vote, encode_entry,
        encode_log_id, encode_vote,
    },
    recent::Recent,
};
use crate::executor::{
    cell::Cell,
    commit::GroupCommit,
    disk::Disk,
    durations::Durations,
    log::{self, Log, LogError},
    peer::proto,
    space::{self, Patience},
};
use openraft::{
    LogState, OptionalSend, RaftLogReader,
    storage::{IOFlushed, RaftLogStorage},
};
use prost::Message;
use std::{
    fmt::Debug,
    future::ready,
    io,
    ops::{Bound, RangeBounds},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time::sleep;

const VOTE: Cell = Cell::new("vote");
const PURGED: Cell = Cell::new("purged");
/// Bytes of entries that one read gives to replication: a message to a peer, well below what gRPC takes.
const READ_BYTES_MAX: usize = 1024 * 1024;

/// The log, shared by openraft's tasks and by checkpoints.
#[derive(Clone)]
pub struct LogStorage {
    shared: Arc<Shared>,
}

struct Shared {
    /// Where the cells are.
    disk: Arc<dyn Disk>,
    log: Mutex<Log>,
    /// The end of the log in memory; locked after the log, where both are.
    recent: Mutex<Recent>,
    kept: Mutex<Kept>,
    commit: GroupCommit,
    patience: Patience,
}

/// What the cells hold, and the end of the log.
#[derive(Debug, Clone, Copy)]
struct Kept {
    vote: Option<Vote>,
    purged: Option<LogId>,
    last: Option<LogId>,
}

impl LogStorage {
    /// Opens the log in `segments`, with its cells in `disk`, beside records at `position`. A segment beyond `segment_bytes` gets a
    /// successor; `flushes` counts how long group commits take.
    ///
    /// # Errors
    /// The disks'; damage; or the log begins behind what the records hold, so that entries between are lost.
    pub fn open(
        disk: Arc<dyn Disk>,
        segments: Arc<dyn Disk>,
        segment_bytes: u64,
        position: &Position,
        random: Box<dyn FnMut() -> u64 + Send>,
        flushes: Durations,
    ) -> io::Result<Self> {
        let vote = VOTE
            .read(&*disk)
            .map_err(io::Error::other)?
            .map(|bytes| proto::Vote::decode(bytes.as_slice()))
            .transpose()?;
        let vote = vote.map(|vote| decode_vote(Some(vote))).transpose()?;
        let purged = PURGED
            .read(&*disk)
            .map_err(io::Error::other)?
            .map(|bytes| proto::LogId::decode(bytes.as_slice()))
            .transpose()?
            .map(decode_log_id);
        let applied = position.next_index();
        let settings = log::Settings {
            segment_bytes,
            purged: purged.map_or(0, |purged| purged.index + 1),
            checkpointed: if position.installed { 0 } else { applied },
            random,
        };
        let commit = GroupCommit::start(&*segments, flushes)?;
        let (mut log, recovered) = Log::open(segments, settings).map_err(io::Error::other)?;
        if recovered.cut_bytes > 0 {
            tracing::info!(
                bytes = recovered.cut_bytes,
                "a torn tail of the log was cut"
            );
        }
        if applied < log.first() {
            return Err(io::Error::other(LogError::Missing {
                from: applied,
                to: log.first(),
                what: "the records end before the log begins".to_owned(),
            }));
        }
        log.checkpointed(applied);
        let last = match log.next().checked_sub(1) {
            Some(index) if index >= log.first() => {
                let bytes = log.read(index).map_err(io::Error::other)?;
                Some(decode_entry_id(index, &bytes)?)
            }
            _ => purged,
        };
        let kept = Kept { vote, purged, last };
        Ok(Self {
            shared: Arc::new(Shared {
                disk,
                log: Mutex::new(log),
                recent: Mutex::default(),
                kept: Mutex::new(kept),
                commit,
                patience: Patience::default(),
            }),
        })
    }

    /// Makes everything that was appended durable.
    ///
    /// # Errors
    /// The disk's; the log takes nothing more then.
    pub async fn sync(&self) -> io::Result<()> {
        let log = self.clone();
        self.shared.disk.run(move || log.sync_now()).await
    }

    /// The same, for who may block.
    ///
    /// # Errors
    /// As for [`LogStorage::sync`].
    pub fn sync_now(&self) -> io::Result<()> {
        let unsynced = self.log().unsynced();
        unsynced.sync()
    }

    /// Whether what is to be written waits while the disk is full. Until told to, it fails.
    pub(in crate::executor) fn patience(&self) -> &Patience {
        &self.shared.patience
    }

    /// Tries until there is space. What fails for want of it leaves everything as it was.
    async fn until_space<T, F>(&self, what: &str, mut write: impl FnMut() -> F) -> io::Result<T>
    where
        F: Future<Output = io::Result<T>>,
    {
        let mut told = false;
        loop {
            match write().await {
                Err(error) if self.patience().lasts(&error) => {
                    space::tell(&mut told, what);
                    sleep(space::AGAIN).await;
                }
                written => return written,
            }
        }
    }

    /// Entries before this are in a durable checkpoint of the records.
    pub fn checkpointed(&self, end: u64) {
        self.log().checkpointed(end);
    }

    /// Index of the entry that is appended next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.log().next()
    }

    /// Bytes of the log on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.log().bytes()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        let log = self.shared.log.lock();
        log.unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        let kept = self.shared.kept.lock();
        kept.unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        let recent = self.shared.recent.lock();
        recent.unwrap_or_else(PoisonError::into_inner)
    }

    /// Log and memory change together.
    fn append_now(
        &self,
        first: u64,
        payloads: &[bytes::Bytes],
        entries: &mut Vec<Entry>,
    ) -> io::Result<log::Unsynced> {
        let mut log = self.log();
        let unsynced = append_all(&mut log, first, payloads).map_err(io::Error::other)?;
        let mut recent = self.recent();
        entries.drain(..).for_each(|entry| recent.append(entry));
        Ok(unsynced)
    }

    fn truncate_now(&self, next: u64) -> io::Result<()> {
        let mut log = self.log();
        log.truncate(next).map_err(io::Error::other)?;
        self.recent().truncate(next);
        Ok(())
    }

    fn purge_now(&self, upto: LogId) -> io::Result<()> {
        let end = upto.index + 1;
        // Before anything is removed: a start must know what is missing on purpose.
        let mut log = self.log();
        log.may_purge(end).map_err(io::Error::other)?;
        let bytes = encode_log_id(upto).encode_to_vec();
        PURGED
            .replace(&*self.shared.disk, &bytes)
            .map_err(io::Error::other)?;
        log.purge(end).map_err(io::Error::other)?;
        drop(log);
        let mut kept = self.kept();
        kept.purged = Some(upto);
        kept.last = kept.last.max(Some(upto));
        Ok(())
    }

    fn read(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        if let Some(entries) = self.recent().read(start, end, bytes_max) {
            return Ok(entries);
        }
        let log = self.log();
        let (start, end) = (start.max(log.first()), end.min(log.next()));
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for index in start..end {
            if bytes >= bytes_max {
                break;
            }
            let entry = log.read(index).map_err(io::Error::other)?;
            bytes += entry.len();
            entries.push(decode_entry(index, entry.into())?);
        }
        Ok(entries)
    }
}

impl RaftLogReader<TypeConfig> for LogStorage {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, io::Error> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.read(start, end, usize::MAX)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read(start, end, READ_BYTES_MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.kept().vote)
    }
}

impl RaftLogStorage<TypeConfig> for LogStorage {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let kept = *self.kept();
        Ok(LogState {
            last_purged_log_id: kept.purged,
            last_log_id: kept.last.max(kept.purged),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    /// openraft takes what was written before a vote for durable once the vote is: so the log is flushed first. This
    /// delays elections only; signs of life change no vote.
    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.sync().await?;
        let bytes = encode_vote(vote).encode_to_vec();
        self.until_space("the vote", || {
            let (disk, bytes) = (self.shared.disk.clone(), bytes.clone());
            let replace = move || VOTE.replace(&*disk, &bytes).map_err(io::Error::other);
            self.shared.disk.run(replace)
        })
        .await?;
        self.kept().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut first = None;
        let mut last = None;
        let mut payloads = Vec::new();
        let mut appended = Vec::new();
        for entry in entries {
            first.get_or_insert(entry.log_id.index);
            last = Some(entry.log_id);
            payloads.push(encode_entry(&entry));
            appended.push(entry);
        }
        let unsynced = match first {
            Some(first) => {
                self.until_space("the log", || {
                    ready(self.append_now(first, &payloads, &mut appended))
                })
                .await?
            }
            None => self.log().unsynced(),
        };
        if last.is_some() {
            self.kept().last = last;
        }
        let done = move |failure: Option<io::Error>| {
            callback.io_completed(failure.map_or(Ok(()), Err));
        };
        self.shared.commit.submit(unsynced, Box::new(done));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let next = last.map_or(0, |last| last.index + 1);
        if next >= self.log().next() {
            return Ok(());
        }
        self.until_space("the log", || ready(self.truncate_now(next)))
            .await?;
        self.kept().last = last;
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.until_space("the log's beginning", || {
            let storage = self.clone();
            self.shared.disk.run(move || storage.purge_now(upto))
        })
        .await
    }
}

/// Appends in pieces that the log takes at once.
fn append_all(
    log: &mut Log,
    first: u64,
    payloads: &[bytes::Bytes],
) -> Result<log::Unsynced, LogError> {
    let mut next = first;
    let mut left = payloads;
    loop {
        let mut bytes = 0;
        let fitting = left
            .iter()
            .take_while(|payload| {
                bytes += payload.len() + log::format::ENTRY_HEADER;
                bytes <= log::APPEND_BYTES_MAX
            })
            .count()
            // One that does not fit alone is refused by the log, which says why.
            .max(1)
            .min(left.len());
        let (now, later) = left.split_at(fitting);
        let unsynced = log.append(next, now)?;
        next += u64::try_from(now.len()).expect("64 bits");
        left = later;
        if left.is_empty() {
            return Ok(unsynced);
        }
    }
}

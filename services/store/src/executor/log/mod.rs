//! The Raft log: append-only segments of checksummed entries.
//!
//! ```text
//!   0000000000000001.log   0000000000000002.log   0000000000000003.log <── append
//!   [head|batch|batch|...] [head|batch|...]       [head|batch|batch|batch|   torn?
//!    └─ purge: whole files, never                                      └─ synced so far: what a crash leaves
//!       past the last checkpoint
//! ```
//!
//! Invariants: what was flushed is never written again; a segment begins only when the one before is durable, so that
//! only the last can have a torn tail; an entry is read back with its checksum or not at all.
//!
//! The log knows nothing of Raft: entries are bytes under consecutive indices. It has no thread and no clock, so that a
//! simulation runs it as it is; [`super::commit`] flushes for many writers at once.

pub mod format;
mod recover;

use super::disk::{Disk, File};
use format::{BATCH_BYTES_MAX, ENTRY_HEADER, PAYLOAD_BYTES_MAX, SEGMENT_HEADER, SegmentHeader};
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// A segment that is larger gets a successor: what is read at once at start, and what purging gives back at least.
pub const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;
/// Most bytes of one append: four of the largest entries.
pub const APPEND_BYTES_MAX: usize = 4 * BATCH_BYTES_MAX;

/// Why the log cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk refused. A full disk leaves the log as it was.
    #[error("{operation} log segment {name}")]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// The file.
        name: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A file is not what was written.
    #[error(
        "log segment {name} is damaged at byte {offset}: {what}; remove the member and add it anew, so that its peers bring it up to date"
    )]
    Damaged {
        /// The file.
        name: String,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// Entries that must be there are not.
    #[error(
        "the log lacks entries {from} to {to}: {what}; remove the member and add it anew, so that its peers bring it up to date"
    )]
    Missing {
        /// First that is missing.
        from: u64,
        /// First that is not.
        to: u64,
        /// Where it was noticed.
        what: String,
    },
    /// A later release wrote it.
    #[error(
        "log segment {name} has version {version}, this release reads {}",
        format::VERSION
    )]
    Version {
        /// The file.
        name: String,
        /// Its version.
        version: u32,
    },
    /// An entry or an append is larger than the log takes.
    #[error("{bytes} bytes are more than the log takes at once")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
    },
    /// An entry that the log does not have, asked for or appended to.
    #[error("entry {index} is not in the log, which has {first} to {next} (excluded)")]
    OutOfRange {
        /// Asked for.
        index: u64,
        /// First in the log.
        first: u64,
        /// After the last.
        next: u64,
    },
    /// Entries that a restart would need.
    #[error(
        "entries before {end} are not all in a durable checkpoint, which has those before {checkpointed}"
    )]
    NotCheckpointed {
        /// Asked for.
        end: u64,
        /// What may be purged.
        checkpointed: u64,
    },
    /// An earlier flush failed, so that nobody knows what is durable.
    #[error("an earlier write to the log could not be made durable; the member must start again")]
    Failed,
}

/// Where an entry is.
#[derive(Debug, Clone, Copy)]
struct Place {
    segment: u64,
    /// Of the payload.
    offset: u32,
    length: u32,
}

struct Segment {
    header: SegmentHeader,
    file: Arc<dyn File>,
    length: u64,
    synced: Arc<AtomicU64>,
}

/// What was appended and may not be durable yet.
#[derive(Clone)]
pub struct Unsynced {
    file: Arc<dyn File>,
    length: u64,
    synced: Arc<AtomicU64>,
    failed: Arc<AtomicBool>,
}

impl Unsynced {
    /// Makes it durable, with everything that was appended before it.
    ///
    /// # Errors
    /// The disk's. The log takes nothing more then: a kernel may drop what it could not write and report it only once.
    pub fn sync(&self) -> io::Result<()> {
        if self.failed.load(Ordering::Acquire) {
            return Err(io::Error::other("an earlier flush of the log failed"));
        }
        if let Err(error) = self.file.sync() {
            self.failed.store(true, Ordering::Release);
            return Err(error);
        }
        self.synced.fetch_max(self.length, Ordering::AcqRel);
        Ok(())
    }
}

/// How to open a log.
pub struct Settings {
    /// A segment that is larger gets a successor.
    pub segment_bytes: u64,
    /// Entries before this were purged.
    pub purged: u64,
    /// Entries before this are known to have been durable here: a checkpoint holds what they did. (Another member's
    /// snapshot says nothing of this log.)
    pub checkpointed: u64,
    /// Random numbers, for salts.
    pub random: Box<dyn FnMut() -> u64 + Send>,
}

/// What opening found beyond whole entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Bytes of a torn tail that were cut off.
    pub cut_bytes: u64,
}

/// The log.
pub struct Log {
    disk: Arc<dyn Disk>,
    settings: Settings,
    segments: VecDeque<Segment>,
    places: VecDeque<Place>,
    /// Index of the first entry, that of `places[0]`.
    first: u64,
    failed: Arc<AtomicBool>,
}

impl Log {
    /// Opens the log of a directory, or begins one.
    ///
    /// # Errors
    /// The disk's; or the log is damaged, or lacks what was purged or checkpointed.
    pub fn open(disk: Arc<dyn Disk>, settings: Settings) -> Result<(Self, Recovered), LogError> {
        recover::open(disk, settings)
    }

    /// Index of the first entry.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Index of the entry that is appended next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.first + u64::try_from(self.places.len()).expect("64 bits")
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    /// Appends entries, the first of them as entry `index`; where the log has that one already, it is cut there first.
    /// They can be read at once, and are durable after [`Unsynced::sync`].
    ///
    /// # Errors
    /// A gap, too many bytes, or the disk's; the log is then as before.
    pub fn append<P: AsRef<[u8]>>(
        &mut self,
        index: u64,
        payloads: &[P],
    ) -> Result<Unsynced, LogError> {
        self.usable()?;
        // The log ends before what was purged only after a purge that failed, which must be done again first.
        if index < self.first.max(self.settings.purged) || index > self.next() {
            return Err(self.out_of_range(index));
        }
        check_sizes(payloads)?;
        if self.last().length >= self.settings.segment_bytes {
            self.begin_segment(self.next())?;
        }
        let segment = self.last();
        let mut buffer = Vec::new();
        let mut ranges = Vec::with_capacity(payloads.len());
        let mut first = index;
        for batch in batches(payloads) {
            ranges.extend(format::encode_batch(
                segment.header.salt,
                first,
                segment.synced.load(Ordering::Acquire),
                batch,
                &mut buffer,
            ));
            first += u64::try_from(batch.len()).expect("64 bits");
        }
        let start = segment.length;
        if let Err(source) = segment.file.write(&buffer, start) {
            // What was written of it must not be there when the next batch is written behind it.
            if segment.file.set_length(start).is_err() {
                self.failed.store(true, Ordering::Release);
            }
            return Err(disk_error("append to", segment.header.number, source));
        }
        self.cut(index);
        let number = self.last().header.number;
        for range in ranges {
            self.places.push_back(place(number, start, &range));
        }
        let segment = self.segments.back_mut().expect("never empty");
        segment.length = start + u64::try_from(buffer.len()).expect("64 bits");
        Ok(self.unsynced())
    }

    /// Everything appended so far.
    #[must_use]
    pub fn unsynced(&self) -> Unsynced {
        let segment = self.last();
        Unsynced {
            file: segment.file.clone(),
            length: segment.length,
            synced: segment.synced.clone(),
            failed: self.failed.clone(),
        }
    }

    /// Reads one entry.
    ///
    /// # Errors
    /// It is not there, or damaged, or the disk's.
    pub fn read(&self, index: u64) -> Result<Vec<u8>, LogError> {
        let position = index
            .checked_sub(self.first)
            .and_then(|position| usize::try_from(position).ok());
        let place = position
            .and_then(|position| self.places.get(position))
            .ok_or_else(|| self.out_of_range(index))?;
        let segment = self.segment(place.segment);
        let header = u32::try_from(ENTRY_HEADER).expect("small");
        let start = u64::from(place.offset - header);
        let length = usize::try_from(place.length).expect("32 bits") + ENTRY_HEADER;
        let mut bytes = vec![0; length];
        segment
            .file
            .read(&mut bytes, start)
            .map_err(|source| disk_error("read", place.segment, source))?;
        let payload = format::decode_entry(&bytes, segment.header.salt, index, 0);
        if payload != Some(ENTRY_HEADER..length) {
            return Err(LogError::Damaged {
                name: name(place.segment),
                offset: start,
                what: format!("entry {index} has a wrong checksum"),
            });
        }
        bytes.drain(..ENTRY_HEADER);
        Ok(bytes)
    }

    /// Forgets the entries from `index` on; durable, like an append, after [`Unsynced::sync`].
    ///
    /// # Errors
    /// As for [`Log::append`].
    pub fn truncate(&mut self, index: u64) -> Result<Unsynced, LogError> {
        self.append::<&[u8]>(index, &[])
    }

    /// Entries before `end` are in a durable checkpoint, so that they may be purged.
    pub fn checkpointed(&mut self, end: u64) {
        self.settings.checkpointed = self.settings.checkpointed.max(end);
    }

    /// Whether the entries before `end` may be purged.
    ///
    /// # Errors
    /// They are not all checkpointed, or an earlier flush failed.
    pub fn may_purge(&self, end: u64) -> Result<(), LogError> {
        self.usable()?;
        if end > self.settings.checkpointed {
            return Err(LogError::NotCheckpointed {
                end,
                checkpointed: self.settings.checkpointed,
            });
        }
        Ok(())
    }

    /// Forgets the entries before `end`, and removes segments that hold no others. The caller has made `end` durable
    /// before, and passes it as [`Settings::purged`] from now on. Where the log does not reach `end` (another
    /// member's snapshot took its place), it begins anew there.
    ///
    /// # Errors
    /// They are not all checkpointed, or the disk's; segments may then be left for the next purge to remove.
    pub fn purge(&mut self, end: u64) -> Result<(), LogError> {
        self.may_purge(end)?;
        self.settings.purged = self.settings.purged.max(end);
        if self.next() < end {
            self.begin_segment(end)?;
            self.places.clear();
            self.first = end;
        }
        while self.first < end {
            self.places.pop_front();
            self.first += 1;
        }
        self.remove_unneeded()
    }

    /// Removes segments before the one that holds the first entry, the oldest first, so that what is left has no gap:
    /// one goes only when its successor begins with what was purged. (Where the log was cut across segments, that is
    /// later than its entries alone would say.)
    fn remove_unneeded(&mut self) -> Result<(), LogError> {
        let needed = self.places.front().map(|place| place.segment);
        let needed = needed.unwrap_or(self.last().header.number);
        while let (Some(segment), Some(successor)) = (self.segments.front(), self.segments.get(1))
            && segment.header.number < needed
            && successor.header.first <= self.settings.purged
        {
            let number = segment.header.number;
            self.disk
                .remove(&name(number))
                .and_then(|()| self.disk.sync())
                .map_err(|source| disk_error("remove", number, source))?;
            self.segments.pop_front();
        }
        Ok(())
    }

    /// Makes the last segment durable and begins its successor.
    fn begin_segment(&mut self, first: u64) -> Result<(), LogError> {
        let number = match self.segments.back() {
            Some(segment) => {
                let number = segment.header.number;
                self.unsynced()
                    .sync()
                    .map_err(|source| disk_error("flush", number, source))?;
                number + 1
            }
            None => 1,
        };
        let header = SegmentHeader {
            number,
            first,
            salt: (self.settings.random)(),
        };
        let file = self
            .disk
            .create(&name(number))
            .and_then(|file| {
                file.write(&header.encode(), 0)?;
                file.sync()?;
                self.disk.sync()?;
                Ok(file)
            })
            .map_err(|source| disk_error("create", number, source))?;
        let length = u64::try_from(SEGMENT_HEADER).expect("small");
        self.segments.push_back(Segment {
            header,
            file,
            length,
            synced: Arc::new(AtomicU64::new(length)),
        });
        Ok(())
    }

    fn cut(&mut self, index: u64) {
        while self.next() > index && self.places.pop_back().is_some() {}
    }

    fn last(&self) -> &Segment {
        self.segments.back().expect("never empty")
    }

    fn segment(&self, number: u64) -> &Segment {
        let oldest = self
            .segments
            .front()
            .map_or(0, |segment| segment.header.number);
        let position = usize::try_from(number - oldest).expect("as many as there are");
        &self.segments[position]
    }

    fn usable(&self) -> Result<(), LogError> {
        let failed = self.failed.load(Ordering::Acquire);
        (!failed).then_some(()).ok_or(LogError::Failed)
    }

    fn out_of_range(&self, index: u64) -> LogError {
        LogError::OutOfRange {
            index,
            first: self.first,
            next: self.next(),
        }
    }
}

fn check_sizes<P: AsRef<[u8]>>(payloads: &[P]) -> Result<(), LogError> {
    let mut all = 0;
    for payload in payloads {
        let bytes = payload.as_ref().len();
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(LogError::TooLarge { bytes });
        }
        all += bytes + ENTRY_HEADER;
    }
    if all > APPEND_BYTES_MAX {
        return Err(LogError::TooLarge { bytes: all });
    }
    Ok(())
}

/// Payloads in groups that fit into a batch each; one empty group where there are none.
fn batches<P: AsRef<[u8]>>(payloads: &[P]) -> impl Iterator<Item = &[P]> {
    let mut left = Some(payloads);
    std::iter::from_fn(move || {
        let payloads = left?;
        let mut bytes = 0;
        let fitting = payloads
            .iter()
            .take_while(|payload| {
                bytes += payload.as_ref().len() + ENTRY_HEADER;
                bytes <= BATCH_BYTES_MAX
            })
            .count();
        let (batch, rest) = payloads.split_at(fitting);
        left = (!rest.is_empty()).then_some(rest);
        Some(batch)
    })
}

fn place(segment: u64, start: u64, range: &std::ops::Range<usize>) -> Place {
    let offset = start + u64::try_from(range.start).expect("64 bits");
    Place {
        segment,
        offset: u32::try_from(offset).expect("a segment is at most SEGMENT_BYTES and an append"),
        length: u32::try_from(range.len()).expect("at most PAYLOAD_BYTES_MAX"),
    }
}

/// The file of a segment.
fn name(number: u64) -> String {
    format!("{number:016}.log")
}

fn disk_error(operation: &'static str, number: u64, source: io::Error) -> LogError {
    LogError::Disk {
        operation,
        name: name(number),
        source,
    }
}

#[cfg(test)]
mod tests;

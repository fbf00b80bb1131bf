//! Opening a log: what is whole is taken, a torn tail is cut, damage is named and refused.

use super::{
    Disk, File, Log, LogError, Place, Recovered, Segment, Settings, disk_error,
    format::{self, Batch, HeaderError, SEGMENT_HEADER, SegmentHeader},
    name, place,
};
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
};

pub(super) fn open(disk: Arc<dyn Disk>, settings: Settings) -> Result<(Log, Recovered), LogError> {
    let (purged, checkpointed) = (settings.purged, settings.checkpointed);
    let mut log = Log {
        disk,
        first: purged,
        settings,
        segments: VecDeque::new(),
        places: VecDeque::new(),
        failed: Arc::new(AtomicBool::new(false)),
    };
    let mut recovered = Recovered::default();
    let numbers = log.numbers()?;
    let mut reading = Reading {
        first: None,
        places: VecDeque::new(),
    };
    for (position, number) in numbers.iter().copied().enumerate() {
        let last = position + 1 == numbers.len();
        log.check_successor(number)?;
        log.read_segment(number, last, &mut reading, &mut recovered)?;
    }
    log.adopt(reading)?;
    match log.segments.back() {
        None => log.begin_segment(log.first)?,
        // A process that was killed may have made a segment whose name is not durable yet.
        Some(segment) => {
            let number = segment.header.number;
            log.disk
                .sync()
                .map_err(|source| disk_error("flush the name of", number, source))?;
        }
    }
    if log.next() < checkpointed.max(purged) {
        return Err(LogError::Missing {
            from: log.next(),
            to: checkpointed.max(purged),
            what: "a durable checkpoint has them".to_owned(),
        });
    }
    log.remove_unneeded()?;
    Ok((log, recovered))
}

/// What was read so far.
struct Reading {
    /// Index of the first place; None before the first segment.
    first: Option<u64>,
    places: VecDeque<Place>,
}

impl Reading {
    fn next(&self) -> Option<u64> {
        let count = u64::try_from(self.places.len()).expect("64 bits");
        Some(self.first? + count)
    }

    /// Takes a batch in. False where it leaves a gap.
    fn take(&mut self, segment: u64, batch: &Batch) -> bool {
        let (Some(first), Some(next)) = (self.first, self.next()) else {
            return false;
        };
        if batch.first > next {
            return false;
        }
        if let Some(kept) = batch.first.checked_sub(first) {
            let kept = usize::try_from(kept).expect("as many as there are");
            self.places.truncate(kept);
        } else {
            // It voids entries of a segment that is purged.
            self.places.clear();
            self.first = Some(batch.first);
        }
        let places = batch.payloads.iter();
        self.places
            .extend(places.map(|payload| place(segment, 0, payload)));
        true
    }
}

impl Log {
    /// Numbers of the segments, in order.
    fn numbers(&self) -> Result<Vec<u64>, LogError> {
        let names = self
            .disk
            .list()
            .map_err(|source| disk_error("list", 0, source))?;
        let mut numbers: Vec<u64> = names
            .iter()
            .filter_map(|name| name.strip_suffix(".log")?.parse().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn check_successor(&self, number: u64) -> Result<(), LogError> {
        match self.segments.back() {
            Some(before) if before.header.number + 1 != number => Err(LogError::Damaged {
                name: name(before.header.number + 1),
                offset: 0,
                what: "it is missing".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn read_segment(
        &mut self,
        number: u64,
        last: bool,
        reading: &mut Reading,
        recovered: &mut Recovered,
    ) -> Result<(), LogError> {
        let (file, bytes) = self.load(number)?;
        let header = match SegmentHeader::decode(&bytes) {
            Ok(header) if header.number == number => header,
            // Nothing is written behind a head before the head is durable.
            Err(HeaderError::Damaged(_)) if last && bytes.len() <= SEGMENT_HEADER => {
                return self.remove_unfinished(number);
            }
            Ok(_) => return Err(damaged(number, 0, "it is another segment's")),
            Err(HeaderError::Damaged(what)) => return Err(damaged(number, 0, what)),
            Err(HeaderError::Version(version)) => {
                let name = name(number);
                return Err(LogError::Version { name, version });
            }
        };
        self.begin_reading(header, reading)?;
        let mut end = SEGMENT_HEADER;
        while let Some(batch) = format::decode_batch(&bytes, header.salt, end) {
            if !reading.take(number, &batch) {
                let what = format!("entry {} follows upon a gap", batch.first);
                return Err(damaged(number, end, what));
            }
            end = batch.end;
        }
        if end < bytes.len() {
            if !last || is_vouched_for(&bytes, header.salt, end) {
                let next = reading.next().unwrap_or(header.first);
                let what = format!("what was acknowledged as entry {next} cannot be read");
                return Err(damaged(number, end, what));
            }
            file.set_length(length(end))
                .and_then(|()| file.sync())
                .map_err(|source| disk_error("cut the torn tail of", number, source))?;
            recovered.cut_bytes = length(bytes.len() - end);
        } else if last {
            // A killed process leaves whole batches that were never flushed. The next batch says that they were.
            file.sync()
                .map_err(|source| disk_error("flush", number, source))?;
        }
        self.segments.push_back(Segment {
            header,
            file,
            length: length(end),
            synced: Arc::new(AtomicU64::new(length(end))),
        });
        Ok(())
    }

    /// A segment begins where the one before ends, unless what lies between was purged.
    fn begin_reading(&self, header: SegmentHeader, reading: &mut Reading) -> Result<(), LogError> {
        let purged = self.settings.purged;
        let next = reading.next();
        if next == Some(header.first) {
            return Ok(());
        }
        if next.is_none_or(|next| next < header.first) && header.first <= purged {
            reading.places.clear();
            reading.first = Some(header.first);
            return Ok(());
        }
        let from = next.unwrap_or(purged);
        if from < header.first {
            return Err(LogError::Missing {
                from,
                to: header.first,
                what: format!("segment {} begins after them", name(header.number)),
            });
        }
        let what = format!(
            "it begins at entry {}, the one before ends at {from}",
            header.first
        );
        Err(damaged(header.number, 0, what))
    }

    /// Leaves out what was purged; begins anew where a purge was interrupted before it could.
    fn adopt(&mut self, reading: Reading) -> Result<(), LogError> {
        let purged = self.settings.purged;
        let next = reading.next().unwrap_or(purged);
        let mut first = reading.first.unwrap_or(purged);
        self.places = reading.places;
        while first < purged && self.places.pop_front().is_some() {
            first += 1;
        }
        self.first = first.max(purged);
        if next < purged {
            self.begin_segment(purged)?;
        }
        Ok(())
    }

    fn load(&self, number: u64) -> Result<(Arc<dyn File>, Vec<u8>), LogError> {
        let fail = |source| disk_error("read", number, source);
        let file = self.disk.open(&name(number)).map_err(fail)?;
        let length = file.length().map_err(fail)?;
        let length = usize::try_from(length)
            .map_err(io::Error::other)
            .map_err(fail)?;
        let mut bytes = vec![0; length];
        file.read(&mut bytes, 0).map_err(fail)?;
        Ok((file, bytes))
    }

    fn remove_unfinished(&self, number: u64) -> Result<(), LogError> {
        self.disk
            .remove(&name(number))
            .and_then(|()| self.disk.sync())
            .map_err(|source| disk_error("remove unfinished", number, source))
    }
}

/// Whether a batch behind `at` says that the segment was durable beyond `at`.
fn is_vouched_for(segment: &[u8], salt: u64, mut at: usize) -> bool {
    let unreadable = length(at);
    while let Some(batch) = format::next_batch(segment, salt, at) {
        if batch.synced > unreadable {
            return true;
        }
        at = batch.end;
    }
    false
}

fn damaged(number: u64, offset: usize, what: impl Into<String>) -> LogError {
    LogError::Damaged {
        name: name(number),
        offset: length(offset),
        what: what.into(),
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("64 bits")
}

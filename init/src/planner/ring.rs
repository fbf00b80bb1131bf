//! The log lines of one service that are kept in memory, addressed by a cursor that only grows.
//!
//! Bounds: [`LOG_RING_BYTES`] of text per service (each line counts its own overhead as well). The oldest
//! lines go first; who comes too late learns how many were lost.

use init_proto::control::{LOG_RING_BYTES, LogLine};
use std::collections::VecDeque;

/// What a line costs beside its text.
const LINE_OVERHEAD: usize = 64;

/// The ring.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// Cursor of the first kept line.
    first: u64,
}

/// A piece of the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Lines, oldest first.
    pub(crate) lines: Vec<LogLine>,
    /// Cursor of the line after the last one.
    pub(crate) next: u64,
    /// Lines between the asked-for cursor and the first line that are gone.
    pub(crate) lost: u64,
}

impl Ring {
    /// Adds a line.
    pub(crate) fn push(&mut self, line: LogLine) {
        self.bytes += cost(&line);
        self.lines.push_back(line);
        while self.bytes > LOG_RING_BYTES {
            let Some(gone) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= cost(&gone);
            self.first += 1;
        }
    }

    /// Lines from `cursor` on, as many as fit into `bytes_max`, but at least one where there is one.
    pub(crate) fn read(&self, cursor: u64, bytes_max: usize) -> Chunk {
        let lost = self.first.saturating_sub(cursor);
        let start = cursor.saturating_sub(self.first);
        let skip = usize::try_from(start)
            .unwrap_or(usize::MAX)
            .min(self.lines.len());
        let mut lines = Vec::new();
        let mut bytes = 0;
        for line in self.lines.iter().skip(skip) {
            bytes += cost(line);
            if bytes > bytes_max && !lines.is_empty() {
                break;
            }
            lines.push(line.clone());
        }
        let taken = u64::try_from(skip + lines.len()).unwrap_or(u64::MAX);
        Chunk {
            lines,
            next: self.first.saturating_add(taken),
            lost,
        }
    }

    /// Whether there is a line at or after `cursor`.
    pub(crate) fn has(&self, cursor: u64) -> bool {
        cursor.saturating_sub(self.first) < u64::try_from(self.lines.len()).unwrap_or(u64::MAX)
    }

    /// All kept lines, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &LogLine> {
        self.lines.iter()
    }
}

fn cost(line: &LogLine) -> usize {
    line.text.len() + LINE_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: String) -> LogLine {
        LogLine {
            time_ms: 0,
            level: 6,
            text,
        }
    }

    #[test]
    fn reading_in_pieces_gives_every_kept_line_once() {
        let mut ring = Ring::default();
        for number in 0..20_000 {
            ring.push(line(number.to_string()));
        }
        let mut cursor = 0;
        let mut seen = Vec::new();
        loop {
            let chunk = ring.read(cursor, 1000);
            if chunk.lines.is_empty() {
                break;
            }
            if cursor == 0 {
                assert!(chunk.lost > 0);
                assert_eq!(chunk.lines[0].text, chunk.lost.to_string());
            } else {
                assert_eq!(chunk.lost, 0);
            }
            cursor = chunk.next;
            seen.extend(chunk.lines.into_iter().map(|l| l.text));
        }
        assert_eq!(seen.last().map(String::as_str), Some("19999"));
        assert_eq!(seen.len(), ring.lines.len());
        assert!(ring.bytes <= LOG_RING_BYTES);
    }

    #[test]
    fn a_cursor_from_the_future_reads_nothing_and_stays_sane() {
        let mut ring = Ring::default();
        ring.push(line("a".into()));
        let chunk = ring.read(u64::MAX, 1000);
        assert_eq!((chunk.lines.len(), chunk.next, chunk.lost), (0, 1, 0));
        assert!(ring.has(0) && !ring.has(1) && !ring.has(u64::MAX));
    }
}

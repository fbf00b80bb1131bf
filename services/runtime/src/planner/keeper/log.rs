//! Lines of a container's log, as kubelets read them.
//!
//! ```text
//!   2026-11-30T19:05:20.123456789Z stdout F a whole line, or the end of one
//!   2026-11-30T19:05:20.123456789Z stderr P a piece of a line that goes on
//! ```
//!
//! Source: "CRI: Container log format" (design of kubelet's container logs).

use jiff::Timestamp;
use std::io::Write as _;

/// Longest piece of a line. containerd's and kubelets' own.
pub const LINE_MAX: usize = 16 * 1024;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output; a terminal, too.
    Out,
    /// Standard error.
    Error,
}

impl Stream {
    const fn name(self) -> &'static str {
        match self {
            Self::Out => "stdout",
            Self::Error => "stderr",
        }
    }
}

/// Cuts what one stream writes into lines. A line that is not complete yet waits here, not in the log.
#[derive(Debug)]
pub struct Lines {
    stream: Stream,
    begun: Vec<u8>,
}

impl Lines {
    /// Of this stream.
    #[must_use]
    pub const fn new(stream: Stream) -> Self {
        Self {
            stream,
            begun: Vec::new(),
        }
    }

    /// Takes what was written, and appends to `log` the entries that are complete, all with this time.
    pub fn push(&mut self, mut bytes: &[u8], now: Timestamp, log: &mut Vec<u8>) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            self.line(line, now, log);
            bytes = &rest[1..];
        }
        self.piece(bytes, now, log);
    }

    /// The stream has ended: what waits is an entry.
    pub fn end(&mut self, now: Timestamp, log: &mut Vec<u8>) {
        if !self.begun.is_empty() {
            self.line(&[], now, log);
        }
    }

    /// Bytes that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.begun.len()
    }

    fn line(&mut self, line: &[u8], now: Timestamp, log: &mut Vec<u8>) {
        self.piece(line, now, log);
        let begun = std::mem::take(&mut self.begun);
        entry(self.stream, "F", &begun, now, log);
        // Most lines are short: what one needed is not kept for all.
        if begun.capacity() <= 1024 {
            self.begun = begun;
            self.begun.clear();
        }
    }

    /// Adds to the line that has begun; whatever is more than a line may be goes out as a piece. A line that is exactly as long as it
    /// may be is whole.
    fn piece(&mut self, mut bytes: &[u8], now: Timestamp, log: &mut Vec<u8>) {
        while self.begun.len() + bytes.len() > LINE_MAX {
            let (now_full, rest) = bytes.split_at(LINE_MAX - self.begun.len());
            self.begun.extend_from_slice(now_full);
            bytes = rest;
            entry(self.stream, "P", &self.begun, now, log);
            self.begun.clear();
        }
        self.begun.extend_from_slice(bytes);
    }
}

fn entry(stream: Stream, tag: &str, text: &[u8], now: Timestamp, log: &mut Vec<u8>) {
    // A vector takes all that it is given.
    let _ = write!(log, "{now:.9} {} {tag} ", stream.name());
    log.extend_from_slice(text);
    log.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIME: &str = "2026-11-30T19:05:20.000000007Z";

    fn now() -> Timestamp {
        TIME.parse().expect("a time")
    }

    fn logged(parts: &[&[u8]], end: bool) -> String {
        let mut lines = Lines::new(Stream::Out);
        let mut log = Vec::new();
        for part in parts {
            lines.push(part, now(), &mut log);
        }
        if end {
            lines.end(now(), &mut log);
        }
        String::from_utf8(log).expect("text").replace(TIME, "T")
    }

    #[test]
    fn lines_are_entries_however_they_come() {
        let check = |parts: &[&[u8]], end: bool, expect: &str| {
            assert_eq!(logged(parts, end), expect, "{parts:?}");
        };
        check(&[b"one\ntwo\n"], false, "T stdout F one\nT stdout F two\n");
        check(&[b"o", b"ne", b"\n"], false, "T stdout F one\n");
        check(&[b"\n"], false, "T stdout F \n");
        check(&[b"unfinished"], false, "");
        check(&[b"unfinished"], true, "T stdout F unfinished\n");
        check(&[], true, "");
        check(&[b"with \r\n"], true, "T stdout F with \r\n");
    }

    #[test]
    fn long_lines_come_in_pieces() {
        let exact = vec![b'x'; LINE_MAX];
        let text = logged(&[&exact, b"\n"], false);
        assert_eq!(text.matches(" P ").count(), 0);
        assert_eq!(text.len(), "T stdout F \n".len() + LINE_MAX);
        let text = logged(&[&exact, &exact, b"yz\n"], false);
        assert_eq!(text.matches(" P ").count(), 2);
        assert!(text.ends_with("T stdout F yz\n"));
    }

    proptest! {
        /// Whatever is written in whatever parts: the entries give it back, none is longer than it may be, and no more than a
        /// line waits.
        #[test]
        fn nothing_is_lost(parts in proptest::collection::vec(proptest::collection::vec(prop_oneof![
            9 => any::<u8>(), 1 => Just(b'\n')
        ], 0..30_000), 0..6)) {
            let mut lines = Lines::new(Stream::Error);
            let mut log = Vec::new();
            for part in &parts {
                lines.push(part, now(), &mut log);
                prop_assert!(lines.waiting() <= LINE_MAX);
            }
            lines.end(now(), &mut log);
            let head = format!("{TIME} stderr ");
            let mut given = Vec::new();
            for line in log.split_inclusive(|byte| *byte == b'\n') {
                let rest = line.strip_prefix(head.as_bytes()).expect("time and stream");
                let text = &rest[2..rest.len() - 1];
                prop_assert!(text.len() <= LINE_MAX);
                given.extend_from_slice(text);
                if rest.starts_with(b"F ") {
                    given.push(b'\n');
                }
            }
            let mut all = parts.concat();
            if all.last().is_some_and(|last| *last != b'\n') {
                all.push(b'\n');
            }
            prop_assert_eq!(given, all);
        }
    }
}

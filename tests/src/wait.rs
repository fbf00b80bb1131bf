//! Waiting for a condition, with a bound.
//!
//! Every wait names what it waits for and how long that usually takes; the bound is ten times that, because
//! shared machines have shown double times and a wrong bound is a flaky test. [`Lines`] wakes on each new
//! line; [`eventually`] is for conditions that nobody announces, and looks again after [`LOOK_AGAIN`].

use anyhow::{Context as _, Result, bail};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A wait is given up after this many times its expected length.
pub const PATIENCE: u32 = 10;
/// Pause between two looks at a condition that nobody announces.
pub const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Lines kept in memory; the file has them all.
const LINES_KEPT: usize = 100_000;
/// Longest line; a longer one is cut, so that a flood without newlines cannot fill the memory.
const LINE_MAX: u64 = 16 * 1024;
/// Lines that a failure shows.
const LINES_SHOWN: usize = 60;

/// Looks until `look` gives something, at most [`PATIENCE`] times `expected`.
///
/// # Errors
/// `look` fails, or the bound is met: the error names `what`.
pub fn eventually<T>(
    what: &str,
    expected: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let bound = expected * PATIENCE;
    let start = Instant::now();
    loop {
        if let Some(value) = look().with_context(|| format!("while waiting for {what}"))? {
            return Ok(value);
        }
        if start.elapsed() >= bound {
            bail!("{what}: not within {bound:?}");
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<String>,
    /// Lines dropped from the front.
    dropped: usize,
    ended: bool,
}

impl Kept {
    fn next(&self) -> usize {
        self.dropped + self.lines.len()
    }
}

/// The lines that a program or a serial port writes, kept in memory and in a file.
#[derive(Debug, Clone)]
pub struct Lines {
    name: String,
    path: PathBuf,
    shared: Arc<(Mutex<Kept>, Condvar)>,
}

impl Lines {
    /// Follows `source` in a thread of its own until it ends, and copies every line to `path`.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn follow(name: &str, source: impl Read + Send + 'static, path: &Path) -> Result<Self> {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("make {}", path.display()))?;
        let lines = Self {
            name: name.to_owned(),
            path: path.to_owned(),
            shared: Arc::default(),
        };
        let shared = Arc::clone(&lines.shared);
        std::thread::Builder::new()
            .name(format!("follow {name}"))
            .spawn(move || {
                let mut source = BufReader::new(source);
                let mut bytes = Vec::new();
                loop {
                    bytes.clear();
                    let read = source.by_ref().take(LINE_MAX).read_until(b'\n', &mut bytes);
                    if read.unwrap_or(0) == 0 {
                        break;
                    }
                    let _ = file.write_all(&bytes);
                    let text = String::from_utf8_lossy(&bytes);
                    let (kept, changed) = &*shared;
                    let mut kept = lock(kept);
                    if kept.lines.len() == LINES_KEPT {
                        kept.lines.pop_front();
                        kept.dropped += 1;
                    }
                    kept.lines
                        .push_back(text.trim_end_matches(['\r', '\n']).to_owned());
                    changed.notify_all();
                }
                let (kept, changed) = &*shared;
                lock(kept).ended = true;
                changed.notify_all();
            })
            .context("start a thread")?;
        Ok(lines)
    }

    /// Where the next line will be: give it to [`Lines::wait_after`] to wait for lines from now on.
    #[must_use]
    pub fn position(&self) -> usize {
        lock(&self.shared.0).next()
    }

    /// Waits for a line that contains `text`, among all kept ones.
    ///
    /// # Errors
    /// As [`Lines::wait_after`].
    pub fn wait(&self, text: &str, expected: Duration) -> Result<String> {
        self.wait_after(0, text, expected)
    }

    /// Waits for a line that contains `text`, from `position` on.
    ///
    /// # Errors
    /// The source ends or the bound is met before; the error shows the last lines.
    pub fn wait_after(&self, position: usize, text: &str, expected: Duration) -> Result<String> {
        self.find_after(position, &format!("\"{text}\""), expected, |line| {
            line.contains(text)
        })
    }

    /// Waits for the first line from `position` on for which `wanted` holds.
    ///
    /// # Errors
    /// As [`Lines::wait_after`].
    pub fn find_after(
        &self,
        position: usize,
        what: &str,
        expected: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let deadline = Instant::now() + expected * PATIENCE;
        let (kept, changed) = &*self.shared;
        let mut kept = lock(kept);
        let mut looked = position;
        loop {
            let first = looked.saturating_sub(kept.dropped);
            if let Some(line) = kept.lines.iter().skip(first).find(|line| wanted(line)) {
                return Ok(line.clone());
            }
            looked = kept.next();
            let left = deadline.saturating_duration_since(Instant::now());
            if kept.ended || left.is_zero() {
                let why = if kept.ended {
                    "it ended"
                } else {
                    "the bound is met"
                };
                drop(kept);
                bail!(
                    "{}: no line with {what}; {why} ({:?}). The end of {}:\n{}",
                    self.name,
                    expected * PATIENCE,
                    self.path.display(),
                    self.tail()
                );
            }
            kept = changed
                .wait_timeout(kept, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits until the source has ended.
    ///
    /// # Errors
    /// The bound is met before.
    pub fn wait_end(&self, expected: Duration) -> Result<()> {
        let deadline = Instant::now() + expected * PATIENCE;
        let (kept, changed) = &*self.shared;
        let mut kept = lock(kept);
        while !kept.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(kept);
                bail!(
                    "{}: did not end within {:?}. Its end:\n{}",
                    self.name,
                    expected * PATIENCE,
                    self.tail()
                );
            }
            kept = changed
                .wait_timeout(kept, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Ok(())
    }

    /// How many lines contain `text`.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        lock(&self.shared.0)
            .lines
            .iter()
            .filter(|line| line.contains(text))
            .count()
    }

    /// All kept lines from `position` on.
    #[must_use]
    pub fn since(&self, position: usize) -> Vec<String> {
        let kept = lock(&self.shared.0);
        kept.lines
            .iter()
            .skip(position.saturating_sub(kept.dropped))
            .cloned()
            .collect()
    }

    /// The last lines, for failures.
    #[must_use]
    pub fn tail(&self) -> String {
        let kept = lock(&self.shared.0);
        let first = kept.lines.len().saturating_sub(LINES_SHOWN);
        kept.lines
            .iter()
            .skip(first)
            .map(|line| format!("  | {line}\n"))
            .collect()
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(10);

    #[test]
    fn a_line_is_found_and_a_missing_one_shows_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let source = std::io::Cursor::new(b"one\r\ntwo\nthree".to_vec());
        let lines = Lines::follow("test", source, &directory.path().join("log")).unwrap();
        assert_eq!(lines.wait("tw", SHORT).unwrap(), "two");
        lines.wait_end(SHORT).unwrap();
        assert!(
            lines
                .wait_after(2, "two", SHORT)
                .unwrap_err()
                .to_string()
                .contains("| three")
        );
        assert_eq!(
            std::fs::read(directory.path().join("log")).unwrap(),
            b"one\r\ntwo\nthree"
        );
    }

    #[test]
    fn a_condition_that_never_holds_meets_its_bound() {
        let error =
            eventually::<()>("the moon", Duration::from_millis(5), || Ok(None)).unwrap_err();
        assert!(error.to_string().contains("the moon"), "{error}");
    }
}

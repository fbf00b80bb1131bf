//! Names of what a test makes on this host, and the removal of what killed runs have left.
//!
//! ```text
//!   orlop-<kind>-<pid>-<start time of pid>-<n>
//! ```
//! A name whose process no longer lives (or whose pid has been reused, which the start time shows) is a
//! leftover. The kernel itself cleans up processes, mounts, links and network namespaces, because each
//! hangs on a process that ends with its test; directories and cgroups are what can remain.

use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A name that is unique on this host; `kind` is a word of lower-case letters.
///
/// # Errors
/// `/proc` cannot be read.
pub fn name(kind: &str) -> Result<String> {
    let pid = std::process::id();
    let start = start_time(pid).context("read the start time of this process")?;
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    Ok(format!("orlop-{kind}-{pid}-{start}-{number}"))
}

/// Field 22 of `/proc/PID/stat`: clock ticks from the machine's start to the process's. None: no process.
#[must_use]
pub fn start_time(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may contain anything.
    text.rsplit_once(')')?
        .1
        .split_ascii_whitespace()
        .nth(19)?
        .parse()
        .ok()
}

/// Whether `name` was made by a process that is gone.
#[must_use]
pub fn is_leftover(name: &str) -> bool {
    let mut parts = name.split('-');
    let (Some("orlop"), Some(_), Some(pid), Some(start), Some(_), None) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) else {
        return false;
    };
    let (Ok(pid), Ok(start)) = (pid.parse(), start.parse::<u64>()) else {
        return false;
    };
    start_time(pid) != Some(start)
}

/// The entries of `directory` that killed runs have left. A directory that is not there has none.
pub fn list(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_leftover))
        .map(|entry| entry.path())
}

/// A scratch directory for one node; removed when dropped, and leftovers of its kind when made.
///
/// # Errors
/// The directory cannot be made.
pub fn scratch(kind: &str) -> Result<Scratch> {
    let base = std::env::temp_dir();
    for leftover in list(&base) {
        let _ = fs::remove_dir_all(leftover);
    }
    let path = base.join(name(kind)?);
    fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
    Ok(Scratch { path })
}

/// See [`scratch`].
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left shows why a test failed: it stays until the next run when the test panics.
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_dead_processes_are_leftovers() {
        assert!(!is_leftover(&name("node").unwrap()));
        let pid = std::process::id();
        assert!(
            is_leftover(&format!("orlop-node-{pid}-1-0")),
            "the pid was reused"
        );
        assert!(is_leftover("orlop-node-4194999-1-0"));
        for other in [
            "orlop",
            "orlop-cache",
            "systemd-1-2-3-4",
            "orlop-node-x-1-0",
            "orlop-node-1-2-3-4",
        ] {
            assert!(!is_leftover(other), "{other}");
        }
    }
}

//! What a running program has used, as the kernel counts it (`proc_pid_stat(5)`, `proc_pid_status(5)`, `proc_pid_io(5)`).

use anyhow::{Context as _, Result};
use std::fs;
use std::ops::{Add, Sub};
use std::time::Duration;

/// Length of a tick in `/proc/PID/stat`: a fixed part of the kernel's interface on this architecture.
const TICK: Duration = Duration::from_millis(10);
/// Ticks in user mode, counted from 1 as the manual page does.
const USER_FIELD: usize = 14;
/// Ticks in the kernel.
const SYSTEM_FIELD: usize = 15;
/// The first field after the program's name, which may contain anything.
const FIRST_AFTER_NAME: usize = 3;

/// One look at one program, or a sum over several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in user mode and in the kernel since the start, to 10 ms.
    pub cpu: Duration,
    /// Bytes of physical memory now.
    pub resident: u64,
    /// Bytes that were handed to a disk since the start, or will be: a page counts when it becomes dirty.
    pub written: u64,
}

impl Usage {
    /// Looks at the process `pid`.
    ///
    /// # Errors
    /// There is no such process, or it is somebody else's.
    pub fn of(pid: u32) -> Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            fs::read_to_string(&path).with_context(|| format!("read {path}"))
        };
        Ok(Self {
            cpu: cpu(&read("stat")?).with_context(|| format!("/proc/{pid}/stat"))?,
            resident: field(&read("status")?, "VmRSS:")
                .with_context(|| format!("/proc/{pid}/status"))?
                * 1024,
            written: field(&read("io")?, "write_bytes:")
                .with_context(|| format!("/proc/{pid}/io"))?,
        })
    }

    /// Looks at this program.
    ///
    /// # Errors
    /// As [`Usage::of`].
    pub fn own() -> Result<Self> {
        Self::of(std::process::id())
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            resident: self.resident + other.resident,
            written: self.written + other.written,
        }
    }
}

/// What was used between two looks; of memory, what there is now.
impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            resident: self.resident,
            written: self.written.saturating_sub(before.written),
        }
    }
}

/// The process's child, where it has exactly one.
///
/// # Errors
/// `/proc` cannot be read.
pub fn child_of(parent: u32) -> Result<Option<u32>> {
    let mut found = None;
    for entry in fs::read_dir("/proc").context("list /proc")? {
        let name = entry.context("list /proc")?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process that ended in the meantime is nobody's child.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        let is_child = after_name(&stat)
            .and_then(|fields| fields.get(1)?.parse().ok())
            .is_some_and(|of: u32| of == parent);
        if is_child && found.replace(pid).is_some() {
            return Ok(None);
        }
    }
    Ok(found)
}

/// Fields from the state on.
fn after_name(stat: &str) -> Option<Vec<&str>> {
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().collect())
}

fn cpu(stat: &str) -> Option<Duration> {
    let fields = after_name(stat)?;
    let ticks =
        |number: usize| -> Option<u32> { fields.get(number - FIRST_AFTER_NAME)?.parse().ok() };
    Some(TICK * (ticks(USER_FIELD)? + ticks(SYSTEM_FIELD)?))
}

/// The number behind `name` at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_moves_no_field() {
        let stat = "7 (a) R 1) S 3 7 7 0 -1 4 10 0 0 0 250 50 0 0 20 0 1 0 9 1 1";
        assert_eq!(cpu(stat), Some(Duration::from_secs(3)));
        assert_eq!(after_name(stat).unwrap()[1], "3");
    }

    #[test]
    fn work_and_writing_are_counted() {
        let before = Usage::own().unwrap();
        assert!(before.resident > 100 * 1024, "{before:?}");
        let mut sum = 0_u64;
        while (Usage::own().unwrap() - before).cpu < TICK * 2 {
            sum = sum.wrapping_add(u64::from(std::process::id()));
        }
        assert!(sum > 0);
    }
}

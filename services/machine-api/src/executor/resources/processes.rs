//! Processes from `/proc/PID/stat` and `/proc/PID/cmdline`, bounded.

use super::{ReadError, Reading, Sources, fields};
use crate::planner::resources::{Snapshot, Spec};
use serde_json::Value as Json;
use std::{fs, io::Read as _, path::Path};

/// Processes listed, lowest PIDs first.
const MAX: usize = 4096;
/// Bytes of a command line that are shown.
const COMMAND_MAX: u64 = 1024;
/// The unit of times in `stat` (sysconf(_SC_CLK_TCK)) is 100 per second in every Linux ABI.
const TICK_MS: u64 = 10;

pub(super) fn processes(_: &Sources) -> Reading<'_> {
    Box::pin(std::future::ready(read()))
}

fn read() -> Result<Snapshot, ReadError> {
    let failed = |source| ReadError::File {
        path: "/proc".to_owned(),
        source,
    };
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    let mut pids: Vec<u32> = fs::read_dir("/proc")
        .map_err(failed)?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    Ok(pids
        .into_iter()
        .take(MAX)
        .filter_map(|pid| {
            let directory = Path::new("/proc").join(pid.to_string());
            // A process that ends meanwhile is not listed.
            let stat = fs::read_to_string(directory.join("stat")).ok()?;
            let spec = process(&stat, command(&directory), page)?;
            Some((pid.to_string(), spec))
        })
        .collect())
}

fn command(directory: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(directory.join("cmdline"))
        .ok()?
        .take(COMMAND_MAX)
        .read_to_end(&mut bytes)
        .ok()?;
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    let text = text.trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Fields behind the name, which may hold spaces and parentheses itself. The first is field 3.
fn split(stat: &str) -> Option<(&str, Vec<&str>)> {
    let (front, back) = stat.rsplit_once(") ")?;
    let (_, name) = front.split_once(" (")?;
    Some((name, back.split_whitespace().collect()))
}

/// proc_pid_stat(5).
fn process(stat: &str, command: Option<String>, page: u64) -> Option<Spec> {
    let (name, values) = split(stat)?;
    let number = |field: usize| values.get(field - 3)?.parse::<u64>().ok();
    let cpu = number(14)?.saturating_add(number(15)?);
    Some(fields([
        ("name", name.into()),
        ("command", command.into()),
        ("state", Json::from(*values.first()?)),
        ("parent", number(4)?.into()),
        ("threads", number(20)?.into()),
        ("startedMs", number(22)?.saturating_mul(TICK_MS).into()),
        ("cpuMs", cpu.saturating_mul(TICK_MS).into()),
        ("memory", number(24)?.saturating_mul(page).into()),
    ]))
}

/// Field 22 of `/proc/PID/stat`: start of the process in milliseconds of CLOCK_BOOTTIME.
#[must_use]
pub fn start_time_ms(stat: &str) -> Option<u64> {
    let (_, values) = split(stat)?;
    let ticks: u64 = values.get(22 - 3)?.parse().ok()?;
    Some(ticks.saturating_mul(TICK_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 30 12 0 0 20 0 4 0 250 8192 3 0";
        let spec = process(stat, None, 4096).unwrap();
        assert_eq!(spec["name"], "a) b (c");
        assert_eq!(spec["state"], "S");
        assert_eq!(spec["parent"], 1);
        assert_eq!(spec["threads"], 4);
        assert_eq!(spec["cpuMs"], 420);
        assert_eq!(spec["startedMs"], 2500);
        assert_eq!(spec["memory"], 3 * 4096);
        assert_eq!(start_time_ms(stat), Some(2500));
        assert!(process("7 (a) S", None, 4096).is_none());
    }
}

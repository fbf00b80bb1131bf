//! Processes as the node sees them.

use crate::{
    front::until,
    node::{Node, PATIENCE},
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Who writes nothing for so long waits: two looks of the server whether its client has gone.
const STILL: Duration = Duration::from_secs(2);

/// A number that no process of another run has in its command.
pub(crate) fn marked(number: u32) -> String {
    format!("{number}{:07}", std::process::id())
}

fn command(process: &Path) -> String {
    let words = fs::read(process.join("cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ")
}

/// The process with this in its command.
pub(crate) fn find(part: &str) -> Option<i32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut numbered = processes.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse::<i32>().ok()?;
        Some((pid, entry.path()))
    });
    numbered
        .find(|(_, process)| command(process).contains(part))
        .map(|(pid, _)| pid)
}

pub(crate) async fn found(part: &str) -> i32 {
    until(|| find(part).is_some(), || format!("{part} does not run")).await;
    find(part).unwrap()
}

pub(crate) async fn gone(part: &str) {
    until(|| find(part).is_none(), || format!("{part} runs still")).await;
}

pub(crate) fn runtime(node: &Node) -> i32 {
    let root = node.path("root");
    find(&format!("runtime --root {} ", root.display())).unwrap()
}

pub(crate) fn keeper(node: &Node) -> i32 {
    let state = node.path("state");
    find(&format!("runtime-keeper --state {} ", state.display())).unwrap()
}

/// What a process's descriptors are.
pub(crate) fn descriptors(pid: i32) -> Vec<PathBuf> {
    let all = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    all.filter_map(|entry| fs::read_link(entry.path()).ok())
        .collect()
}

pub(crate) async fn has_descriptors(pid: i32, is_right: impl Fn(usize) -> bool) {
    until(
        || is_right(descriptors(pid).len()),
        || format!("{:?}", descriptors(pid)),
    )
    .await;
}

/// Until it writes no more, though it has not ended; how much it has written.
pub(crate) async fn waits_to_write(pid: i32) -> u64 {
    let written = || {
        let counts = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
        let count = counts.lines().find_map(|line| line.strip_prefix("wchar: "));
        count.unwrap().parse::<u64>().unwrap()
    };
    let begun = Instant::now();
    loop {
        let before = written();
        tokio::time::sleep(STILL).await;
        let after = written();
        if before == after && after > 0 {
            return after;
        }
        assert!(begun.elapsed() < PATIENCE, "it is not held up: {after}");
    }
}

//! What a sandboxed node must leave as it was on this host, as one snapshot per aspect.

use crate::programs::tool;
use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use xtask::command;

/// Sysctls that change by themselves: counters and random numbers. Prefixes below `/proc/sys`.
const RESTLESS: [&str; 10] = [
    "fs/aio-nr",
    "fs/dentry-state",
    "fs/file-nr",
    "fs/inode-nr",
    "fs/inode-state",
    "fs/quota",
    "kernel/ns_last_pid",
    "kernel/pty/nr",
    "kernel/random",
    "net/netfilter/nf_conntrack_count",
];
/// Reading these acts on the machine, or blocks.
const UNTOUCHED: [&str; 2] = ["vm/stat_refresh", "net/ipv4/route/flush"];
/// How far the clock may seem to step between two snapshots: far more than reading it takes.
const CLOCK_SLACK: Duration = Duration::from_millis(500);

/// One look at the host.
#[derive(Debug)]
pub struct Snapshot {
    aspects: BTreeMap<&'static str, BTreeSet<String>>,
    wall: SystemTime,
    monotonic: Instant,
}

impl Snapshot {
    /// Looks at everything.
    ///
    /// # Errors
    /// A file or a tool cannot be read.
    pub fn take() -> Result<Self> {
        let text = |path: &str| fs::read_to_string(path).with_context(|| format!("read {path}"));
        let mut aspects = BTreeMap::new();
        aspects.insert("sysctls", sysctls());
        // Use counts move with any mount of anybody; names and sizes are what was loaded.
        let modules = fs::read_to_string("/proc/modules").unwrap_or_default();
        aspects.insert(
            "modules",
            modules
                .lines()
                .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
                .collect(),
        );
        aspects.insert("mounts", lines(&text("/proc/self/mounts")?));
        aspects.insert("links", links()?);
        aspects.insert("addresses", lines(&ip(&["-o", "address", "show"])?));
        aspects.insert(
            "routes",
            lines(&ip(&["-o", "route", "show", "table", "all"])?),
        );
        aspects.insert(
            "nftables",
            lines(&command::output(tool("nft")?.args(["list", "tables"]))?),
        );
        aspects.insert("cgroups", cgroups());
        aspects.insert("processes", processes());
        aspects.insert("host name", lines(&text("/proc/sys/kernel/hostname")?));
        aspects.insert("scratch", leftovers_of_this_process());
        Ok(Self {
            aspects,
            wall: SystemTime::now(),
            monotonic: Instant::now(),
        })
    }

    /// What is different in `later`, one line each; empty when the host is unchanged.
    #[must_use]
    pub fn differences(&self, later: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (aspect, before) in &self.aspects {
            let after = &later.aspects[aspect];
            found.extend(
                before
                    .difference(after)
                    .map(|line| format!("{aspect}: gone: {line}")),
            );
            found.extend(
                after
                    .difference(before)
                    .map(|line| format!("{aspect}: new: {line}")),
            );
        }
        let passed = later.monotonic.duration_since(self.monotonic);
        let shown = later.wall.duration_since(self.wall).unwrap_or_default();
        if passed.abs_diff(shown) > CLOCK_SLACK {
            found.push(format!(
                "clock: {passed:?} have passed, the clock shows {shown:?}"
            ));
        }
        found
    }
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

fn sysctls() -> BTreeSet<String> {
    let root = Path::new("/proc/sys");
    let mut found = BTreeSet::new();
    walk(root, &mut |path| {
        let key = path
            .strip_prefix(root)
            .unwrap_or(path)
            .display()
            .to_string();
        if RESTLESS
            .iter()
            .chain(&UNTOUCHED)
            .any(|prefix| key.starts_with(prefix))
        {
            return;
        }
        // Write-only ones cannot be read: they are commands, not values.
        if let Ok(bytes) = fs::read(path) {
            found.insert(format!(
                "{key} = {}",
                String::from_utf8_lossy(&bytes).trim_end()
            ));
        }
    });
    found
}

fn walk(directory: &Path, act: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), act),
            Ok(kind) if kind.is_file() => act(&entry.path()),
            _ => {}
        }
    }
}

fn ip(arguments: &[&str]) -> Result<String> {
    let text = command::output(tool("ip")?.args(arguments))?;
    // Lifetimes count down by themselves.
    Ok(text
        .lines()
        .map(|line| line.split(" valid_lft").next().unwrap_or(line).to_owned() + "\n")
        .collect())
}

fn links() -> Result<BTreeSet<String>> {
    Ok(lines(&ip(&["-o", "link", "show"])?))
}

fn cgroups() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    directories(Path::new("/sys/fs/cgroup"), &mut found);
    if let Some(hierarchy) = crate::sandbox::cgroup::hierarchy() {
        for file in ["cgroup.subtree_control", "cgroup.controllers"] {
            let text = fs::read_to_string(hierarchy.join(file)).unwrap_or_default();
            found.insert(format!("{file} = {}", text.trim_end()));
        }
    }
    found
}

fn directories(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.insert(entry.path().display().to_string());
            directories(&entry.path(), found);
        }
    }
}

/// Programs of ours that run now, whoever started them: other processes come and go on any host.
fn processes() -> BTreeSet<String> {
    let ours = [
        "orlop-sandbox",
        "orlop-guard",
        "init",
        "orlop",
        "dnsmasq",
        "toy",
    ];
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            let name = name.trim_end();
            let pid = entry.file_name().into_string().ok()?;
            // PID 1 of the host is called init on many hosts, and stays.
            ours.contains(&name).then(|| format!("{pid} {name}"))
        })
        .collect()
}

fn leftovers_of_this_process() -> BTreeSet<String> {
    let own = format!("-{}-", std::process::id());
    let entries = fs::read_dir(std::env::temp_dir())
        .into_iter()
        .flatten()
        .flatten();
    let paths = entries.map(|entry| entry.path());
    let mine = |path: &PathBuf| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        name.starts_with("orlop-") && name.contains(&own)
    };
    paths
        .filter(mine)
        .map(|path| path.display().to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_mount_or_a_stepped_clock_is_seen() {
        let before = Snapshot::take().unwrap();
        let mut after = Snapshot::take().unwrap();
        after
            .aspects
            .get_mut("mounts")
            .unwrap()
            .insert("tmpfs /x tmpfs rw 0 0".into());
        after.wall += Duration::from_secs(3600);
        let found = before.differences(&after);
        assert!(
            found
                .iter()
                .any(|line| line == "mounts: new: tmpfs /x tmpfs rw 0 0"),
            "{found:?}"
        );
        assert!(
            found.iter().any(|line| line.starts_with("clock: ")),
            "{found:?}"
        );
    }
}

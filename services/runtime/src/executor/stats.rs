//! Statistics of cgroups, and what containers have written.

use crate::planner::stats::{Texts, TextsV1, Usage, usage, usage_v1};
use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Where the kernel's cgroups are.
const ROOT: &str = "/sys/fs/cgroup";
/// Files that are counted of one container; more than that is said to be as many.
const FILES_MAX: usize = 1_000_000;

/// What a cgroup has used. One that is gone has used nothing that is known.
pub(super) fn of_cgroup(path: &Path, v2: bool) -> Usage {
    let below = path.strip_prefix("/").unwrap_or(path);
    let read = |file: PathBuf| fs::read_to_string(file).unwrap_or_default();
    if v2 {
        let of = |name: &str| read(Path::new(ROOT).join(below).join(name));
        return usage(&Texts {
            cpu_stat: &of("cpu.stat"),
            cpu_pressure: &of("cpu.pressure"),
            memory_current: &of("memory.current"),
            memory_stat: &of("memory.stat"),
            memory_max: &of("memory.max"),
            memory_pressure: &of("memory.pressure"),
            memory_events: &of("memory.events"),
            processes: &of("cgroup.procs"),
            swap_current: &of("memory.swap.current"),
            swap_max: &of("memory.swap.max"),
            pids_current: &of("pids.current"),
            io_pressure: &of("io.pressure"),
        });
    }
    let of = |controller: &str, name: &str| {
        read(Path::new(ROOT).join(controller).join(below).join(name))
    };
    usage_v1(&TextsV1 {
        cpu_usage: &of("cpuacct", "cpuacct.usage"),
        cpu_stat: &of("cpu", "cpu.stat"),
        memory_limit_met: &of("memory", "memory.failcnt"),
        out_of_memory: &of("memory", "memory.oom_control"),
        processes: &of("pids", "cgroup.procs"),
        memory_usage: &of("memory", "memory.usage_in_bytes"),
        memory_stat: &of("memory", "memory.stat"),
        memory_limit: &of("memory", "memory.limit_in_bytes"),
        memory_and_swap: &of("memory", "memory.memsw.usage_in_bytes"),
        pids_current: &of("pids", "pids.current"),
    })
}

/// Bytes on the disk and files below a directory.
pub(super) fn of_directory(path: &Path) -> (u64, u64) {
    let (mut bytes, mut files) = (0_u64, 0_u64);
    let mut left = vec![path.to_owned()];
    let mut seen = 0;
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            seen += 1;
            if seen > FILES_MAX {
                return (bytes, files);
            }
            let Ok(found) = entry.metadata() else {
                continue;
            };
            files += 1;
            bytes = bytes.saturating_add(found.blocks().saturating_mul(512));
            if found.is_dir() {
                left.push(entry.path());
            }
        }
    }
    (bytes, files)
}

//! Processes of a cgroup, by whichever version of cgroups the machine has.

use super::sys;
use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, Signal, kill_process},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where the kernel's cgroups are.
const ROOT: &str = "/sys/fs/cgroup";

/// Ends all processes in a cgroup, and in those below it.
pub(super) fn kill(path: &Path) {
    let below = path.strip_prefix("/").unwrap_or(path);
    if below.as_os_str().is_empty() {
        return;
    }
    let whole = Path::new(ROOT).join(below);
    // cgroups(7): all at once, also those that are just being made.
    if fs::write(whole.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    for hierarchy in directories(Path::new(ROOT)) {
        kill_each(&hierarchy.join(below));
    }
}

/// Removes a cgroup whose processes have ended, as far as it is empty.
pub(super) fn remove(path: &Path) {
    let below = path.strip_prefix("/").unwrap_or(path);
    if below.as_os_str().is_empty() {
        return;
    }
    let _ = fs::remove_dir(Path::new(ROOT).join(below));
    for hierarchy in directories(Path::new(ROOT)) {
        let _ = fs::remove_dir(hierarchy.join(below));
    }
}

/// Has the kernel ask a program of [`crate::planner::devices`] before a process of this cgroup (version 2) opens or makes a device.
pub(super) fn guard_devices(path: &Path, program: &[u8]) -> io::Result<()> {
    let below = path.strip_prefix("/").unwrap_or(path);
    let cgroup = rustix::fs::open(
        Path::new(ROOT).join(below),
        OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let program = sys::load_device_program(program)?;
    sys::attach_device_program(&program, &cgroup)
}

fn kill_each(cgroup: &Path) {
    let processes = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    for pid in processes.lines().filter_map(|line| line.parse().ok()) {
        if let Some(pid) = Pid::from_raw(pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    for below in directories(cgroup) {
        kill_each(&below);
    }
}

fn directories(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

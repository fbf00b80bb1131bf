//! Reaping, and what `/proc` says of a process.

use super::sys;
use rustix::process::{Pid, Signal, WaitOptions, waitpid};
use std::fs;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Exit code.
    Code(i32),
    /// Killed by this signal.
    Signal(i32),
}

/// A reaped process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reaped {
    /// Process id.
    pub(crate) pid: i32,
    /// Field 22 of `/proc/PID/stat`, read before the process was reaped; 0 where it was unreadable.
    pub(crate) start_time: u64,
    /// How it ended.
    pub(crate) end: End,
}

/// Reaps one ended child; None when there is none.
///
/// Signals are plain numbers here: a type of the named ones refuses the real-time signals, and a zombie
/// that cannot be read hides all that come after it.
pub(crate) fn reap() -> Option<Reaped> {
    let ended = sys::ended_child()?;
    // The zombie keeps its pid and its start time until the next line.
    let start_time = start_time(ended).unwrap_or(0);
    let (pid, status) = waitpid(Pid::from_raw(ended), WaitOptions::NOHANG).ok()??;
    let end = match status.terminating_signal() {
        Some(signal) => End::Signal(signal),
        None => End::Code(status.exit_status().unwrap_or_default()),
    };
    Some(Reaped {
        pid: pid.as_raw_nonzero().get(),
        start_time,
        end,
    })
}

/// Start time of a live process or zombie, in clock ticks since the kernel's start.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    parse_start_time(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_start_time(stat: &str) -> Option<u64> {
    // The name is in parentheses and may hold anything, closing parentheses too; after the last one
    // come fields 3 and up.
    stat.rsplit_once(')')?
        .1
        .split_ascii_whitespace()
        .nth(19)?
        .parse()
        .ok()
}

/// Resident memory of a process in bytes; 0 where unknown.
pub(crate) fn resident_bytes(pid: i32) -> u64 {
    let pages: u64 = fs::read_to_string(format!("/proc/{pid}/statm"))
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse().ok())
        .unwrap_or(0);
    pages.saturating_mul(u64::try_from(rustix::param::page_size()).unwrap_or(4096))
}

/// What a process is doing, for the message about one that hangs: its state and its system call.
pub(crate) fn doing(pid: i32) -> String {
    let word = |file: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        text.split_whitespace().next().unwrap_or("?").to_owned()
    };
    let state = fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| Some(stat.rsplit_once(')')?.1.trim().chars().next()?.to_string()))
        .unwrap_or_else(|| "gone".into());
    format!(
        "state {state}, system call {}, in {}",
        word("syscall"),
        word("wchan")
    )
}

/// The service in whose cgroup a process runs.
pub(crate) fn service_of(pid: i32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    super::cgroups::service_of(&text).map(Into::into)
}

/// Sends a signal by number to a process that `init` has not reaped yet.
pub(crate) fn signal(pid: i32, number: i32) {
    if pid > 0 {
        sys::kill(pid, number);
    }
}

/// Sends a signal to every process that `init` can see, except itself.
pub(crate) fn signal_all(signal: Signal) {
    // kill(-1) spares the caller; in a sandbox the PID namespace bounds it.
    if rustix::process::getpid().is_init() {
        let all = nix::unistd::Pid::from_raw(-1);
        if let Ok(signal) = nix::sys::signal::Signal::try_from(signal.as_raw()) {
            let _ = nix::sys::signal::kill(all, signal);
        }
    }
}

/// Whether any other process of user space is left (kernel threads have no memory map).
pub(crate) fn any_left() -> bool {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.parse::<i32>().is_ok_and(|pid| pid > 1)
                && fs::read_to_string(entry.path().join("statm"))
                    .is_ok_and(|text| !text.starts_with("0 "))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_parentheses_does_not_hide_the_start_time() {
        let fields: Vec<String> = (4..=40).map(|n| n.to_string()).collect();
        let stat = format!("7 (a) b) (c) S {}", fields.join(" "));
        assert_eq!(parse_start_time(&stat), Some(22));
        assert_eq!(parse_start_time("7 (a"), None);
    }

    #[test]
    fn this_process_has_a_start_time_and_memory() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(start_time(pid).unwrap() > 0);
        assert!(resident_bytes(pid) > 0);
    }
}

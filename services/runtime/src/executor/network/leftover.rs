//! Plugins of an earlier runtime, which was killed while they worked: they would go on adding what is being deleted.
//!
//! They are known by their environment. A pod's processes have what they like in theirs: it is read with a bound, and one that calls itself a plugin
//! is ended as one.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use std::{
    fs::{self, File},
    io::{self, Read as _},
    time::{Duration, Instant},
};

/// Longest environment that is looked at. A plugin's is far below: `CNI_ARGS` and `CNI_PATH` are its longest.
const ENVIRONMENT_MAX: u64 = 256 * 1024;
/// They are ended within so long, or `DEL` goes on without: one in the kernel's hands for longer waits for a device.
const ENDS_MAX: Duration = Duration::from_secs(5);

/// Ends them, and those that they have started meanwhile. Blocks until they have ended.
pub(super) fn end(sandbox: &str) {
    let wanted = format!("CNI_CONTAINERID={sandbox}");
    let begun = Instant::now();
    loop {
        let running = find(wanted.as_bytes());
        if running.is_empty() {
            return;
        }
        for (pid, process) in &running {
            let pid = pid.as_raw_nonzero().get();
            tracing::warn!(sandbox, pid, "a CNI plugin still runs: it is ended");
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
        for (_, process) in &running {
            wait(process, ENDS_MAX.saturating_sub(begun.elapsed()));
        }
        if begun.elapsed() >= ENDS_MAX {
            tracing::error!(sandbox, "CNI plugins of an earlier runtime do not end");
            return;
        }
    }
}

/// All with this in their environment. Each is held before it is looked at, so that nobody else is meant if it ends and its number is given away.
fn find(wanted: &[u8]) -> Vec<(Pid, OwnedFd)> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    let held = numbers.filter_map(|number| {
        let pid = Pid::from_raw(number)?;
        Some((pid, pidfd_open(pid, PidfdFlags::empty()).ok()?))
    });
    held.filter(|(pid, _)| {
        environment(*pid).is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one == wanted))
    })
    .collect()
}

fn environment(pid: Pid) -> io::Result<Vec<u8>> {
    let file = File::open(format!("/proc/{}/environ", pid.as_raw_nonzero()))?;
    let mut all = Vec::new();
    file.take(ENVIRONMENT_MAX + 1).read_to_end(&mut all)?;
    if u64::try_from(all.len()).is_ok_and(|length| length > ENVIRONMENT_MAX) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(all)
}

/// A process's descriptor can be read when it has ended.
fn wait(process: &OwnedFd, most: Duration) {
    let most = Timespec::try_from(most).ok();
    let _ = poll(&mut [PollFd::new(process, PollFlags::IN)], most.as_ref());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        os::unix::process::ExitStatusExt as _,
        process::{Child, Command},
    };

    fn sleeping(sandbox: &str, padding: usize) -> Child {
        let mut sleep = Command::new("sleep");
        // A word of an environment has 128 KiB at most.
        for number in 0..padding {
            sleep.env(format!("PADDING{number}"), "x".repeat(100_000));
        }
        let started = sleep.arg("600").env("CNI_CONTAINERID", sandbox).spawn();
        started.expect("sleep")
    }

    #[test]
    fn all_of_one_sandbox_end_and_no_others() {
        let sandbox = format!("leftover-{}", std::process::id());
        let mut own = [sleeping(&sandbox, 0), sleeping(&sandbox, 2)];
        let mut others = [
            sleeping(&format!("{sandbox}-other"), 0),
            sleeping(&sandbox, 3),
        ];
        end(&sandbox);
        for child in &mut own {
            let ended = child.try_wait().expect("a child").expect("it has ended");
            assert_eq!(ended.signal(), Some(9));
        }
        for child in &mut others {
            assert_eq!(child.try_wait().expect("a child"), None);
            child.kill().expect("a child");
            child.wait().expect("a child");
        }
    }
}

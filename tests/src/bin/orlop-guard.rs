//! Runs a program and kills it when standard input closes, which happens when the test that holds the other
//! end ends in whatever way. Exits as the program did, or with 137 where it was killed.

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments
        .next()
        .context("usage: orlop-guard PROGRAM [ARGUMENT ...]")?;
    let mut child = Command::new(&program)
        .args(arguments)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .context("a process id fits")?;
    let life =
        rustix::process::pidfd_open(pid, PidfdFlags::empty()).context("watch the program")?;
    let input = rustix::stdio::stdin();
    loop {
        let mut descriptors = [
            PollFd::new(&life, PollFlags::IN),
            PollFd::new(&input, PollFlags::IN),
        ];
        match poll(&mut descriptors, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("wait for the program"),
        }
        if !descriptors[0].revents().is_empty() {
            break;
        }
        if !descriptors[1].revents().is_empty() {
            let mut byte = [0];
            if rustix::io::read(input, &mut byte).unwrap_or(0) == 0 {
                child.kill().context("kill the program")?;
                break;
            }
        }
    }
    let status = child.wait().context("wait for the program")?;
    std::process::exit(
        status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
    );
}

//! The launcher: one process with one thread per node. It boots the node, boots it again when it asks for a
//! reboot, and says what happens on standard output, one line each:
//!
//! ```text
//!   boot 1 pid 4711          PID 1 runs; the pid is the host's
//!   exit 1 code 133          it ended ("signal 9" where it was killed)
//!   end                      nothing more will happen
//! ```
//! Lines on standard input are orders: `signal N` sends a signal to PID 1, and the end of the input kills the
//! node. The node's console is standard error.

use super::cgroup::Cgroup;
use super::specification::{EXIT_LAUNCH, EXIT_REBOOT, Specification};
use super::{links, mounts, sys};
use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use rustix::thread::CapabilitySet;
use std::io::Write as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Stdio};

/// Reboots that one launcher follows: a node that reboots without end must end some day.
const BOOTS_MAX: u32 = 1000;
/// What a sandboxed node can never do, whoever it is: set the clock and its alarms, load modules, touch
/// I/O ports, reboot the machine, read or clear the kernel's log.
const NEVER: [CapabilitySet; 6] = [
    CapabilitySet::SYS_TIME,
    CapabilitySet::WAKE_ALARM,
    CapabilitySet::SYS_MODULE,
    CapabilitySet::SYS_RAWIO,
    CapabilitySet::SYS_BOOT,
    CapabilitySet::SYSLOG,
];

/// Runs the node to its end; the value is the launcher's own exit code.
///
/// # Errors
/// The node could not be started.
pub fn run(specification: &Specification) -> Result<i32> {
    let cgroup = Cgroup::create(&specification.name).context("make the node's cgroup")?;
    for boot in 1..=BOOTS_MAX {
        let status = run_once(specification, cgroup.as_ref(), boot)?;
        match (status.code(), status.signal()) {
            (Some(code), _) => say(&format!("exit {boot} code {code}"))?,
            (None, signal) => say(&format!("exit {boot} signal {}", signal.unwrap_or(0)))?,
        }
        if status.code() != Some(EXIT_REBOOT) {
            say("end")?;
            return Ok(0);
        }
    }
    bail!("the node has rebooted {BOOTS_MAX} times");
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .context("report")
}

fn run_once(
    specification: &Specification,
    cgroup: Option<&Cgroup>,
    boot: u32,
) -> Result<ExitStatus> {
    let (wait_for_go, go) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("make a pipe")?;
    let pid = match sys::fork_into_namespaces().context("fork into new namespaces")? {
        sys::Fork::Child => {
            drop(go);
            let error = become_init(specification, cgroup.is_some(), wait_for_go);
            eprintln!("orlop-sandbox: {error:#}");
            std::process::exit(EXIT_LAUNCH);
        }
        sys::Fork::Parent(pid) => pid,
    };
    drop(wait_for_go);
    let child = Pid::from_raw(pid).context("a process id is not zero")?;
    let prepared = prepare(specification, cgroup, pid).and_then(|()| {
        rustix::io::write(&go, b"g").context("let the node go")?;
        say(&format!("boot {boot} pid {pid}"))
    });
    if let Err(error) = prepared {
        let _ = rustix::process::kill_process(child, Signal::KILL);
        let _ = rustix::process::waitpid(Some(child), WaitOptions::empty());
        return Err(error);
    }
    drop(go);
    attend(child)?;
    let (_, status) = rustix::process::waitpid(Some(child), WaitOptions::empty())
        .context("wait for the node")?
        .context("the node has ended")?;
    Ok(ExitStatus::from_raw(status.as_raw()))
}

fn prepare(specification: &Specification, cgroup: Option<&Cgroup>, pid: i32) -> Result<()> {
    if let Some(cgroup) = cgroup {
        cgroup.admit(pid).context("move the node into its cgroup")?;
    }
    match &specification.link {
        Some(link) => links::connect(link, pid),
        None => Ok(()),
    }
}

/// Obeys orders until PID 1 has ended.
fn attend(child: Pid) -> Result<()> {
    let life = rustix::process::pidfd_open(child, PidfdFlags::empty()).context("watch the node")?;
    let input = rustix::stdio::stdin();
    let mut orders = String::new();
    let mut open = true;
    loop {
        let mut descriptors = vec![PollFd::new(&life, PollFlags::IN)];
        if open {
            descriptors.push(PollFd::new(&input, PollFlags::IN));
        }
        match poll(&mut descriptors, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error).context("wait for the node or an order"),
        }
        if !descriptors[0].revents().is_empty() {
            return Ok(());
        }
        let mut bytes = [0; 256];
        // Not through the standard library's buffer: poll does not see what lies in it.
        let read = rustix::io::read(input, &mut bytes).unwrap_or(0);
        if read == 0 {
            open = false;
            let _ = rustix::process::kill_process(child, Signal::KILL);
            continue;
        }
        orders.push_str(&String::from_utf8_lossy(&bytes[..read]));
        while let Some((order, rest)) = orders.split_once('\n') {
            obey(child, order)?;
            orders = rest.to_owned();
        }
    }
}

fn obey(child: Pid, order: &str) -> Result<()> {
    let signal = order
        .strip_prefix("signal ")
        .and_then(|number| number.parse().ok())
        .and_then(Signal::from_named_raw)
        .with_context(|| format!("the order `{order}` is not `signal NUMBER`"))?;
    // The node may have ended by itself in this moment.
    let _ = rustix::process::kill_process(child, signal);
    Ok(())
}

/// In the child: waits until its links are there, makes its world and becomes `init`. Returns only failure.
fn become_init(
    specification: &Specification,
    with_cgroups: bool,
    wait_for_go: OwnedFd,
) -> anyhow::Error {
    match make_world(specification, with_cgroups, wait_for_go) {
        Err(error) => error,
        Ok(()) => {
            let error = Command::new("/usr/bin/init")
                .arg("--sandbox")
                .args(&specification.arguments)
                .env_clear()
                .env("PATH", "/usr/bin:/usr/sbin")
                .env("TERM", "linux")
                .stdin(Stdio::null())
                .stdout(console())
                .exec();
            anyhow::Error::new(error).context("start /usr/bin/init")
        }
    }
}

/// Standard error is the console; standard output is the launcher's own.
fn console() -> Stdio {
    rustix::io::dup(rustix::stdio::stderr()).map_or_else(|_| Stdio::null(), Stdio::from)
}

fn make_world(
    specification: &Specification,
    with_cgroups: bool,
    wait_for_go: OwnedFd,
) -> Result<()> {
    // The node ends with its launcher, even one that is killed.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .context("die with the launcher")?;
    let mut byte = [0];
    if rustix::io::read(&wait_for_go, &mut byte).context("wait for the links")? == 0 {
        bail!("the launcher gave up");
    }
    drop(wait_for_go);
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWCGROUP)
        .context("make a cgroup namespace")?;
    links::set_up_inside(specification.link.as_ref())?;
    rustix::system::sethostname(b"localhost").context("set the host name")?;
    mounts::set_up(specification, with_cgroups)?;
    rustix::process::setsid().context("start a session")?;
    for capability in NEVER {
        rustix::thread::remove_capability_from_bounding_set(capability)
            .with_context(|| format!("drop {capability:?}"))?;
    }
    Ok(())
}

//! Services with bad manners, for the supervisor's suite. The first argument chooses one:
//!
//! ```text
//!   plan           hands over the plan that came as the node's config
//!   steady         ready, then waits; on SIGTERM it notes its name in /var/stops and ends
//!   crash CODE     ready, then ends at once
//!   never-ready    runs and says nothing
//!   stubborn       ready, ignores SIGTERM
//!   silent-death   ready, then stops answering its watchdog
//!   flood          ready, then writes lines as fast as it can; says how many as its status
//!   orphans N      leaves N orphans behind, the n-th with exit code n % 256; notes them in /var/orphans
//!   holder         registers children, stores their pipes, gets both back after its own death
//!   write N        a held child
//!   hog            ready, then takes memory until it is stopped
//!   write-probe    tries to write to the root, and says as its status how many attempts were refused
//!   report NAME    says the state of another service as its status, whenever it changes
//! ```

use anyhow::{Context as _, Result, bail};
use init_proto::control::{Child, ExitState, Request, Response};
use init_proto::paths;
use orlop_tests::control::Control;
use orlop_tests::leftovers::start_time;
use orlop_tests::toys::{HELD, HELD_BYTES, HELD_CODE};
use rustix::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketType,
};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Asks the holder to read all pipes and to report.
const REPORT_WANTED: &str = "/var/report-wanted";
/// The holder's report.
const REPORT: &str = "/var/report";
/// Pause between two pieces of a held child's output, so that the holder dies in the middle of it.
const PIECE_PAUSE: Duration = Duration::from_millis(40);
const PIECES: usize = 40;
const PIPE_BYTES: usize = 1024 * 1024;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["plan", ..] => plan(),
        ["steady"] => steady(),
        ["crash", code] => {
            notify("READY=1", None)?;
            std::process::exit(code.parse().context("an exit code")?);
        }
        ["never-ready"] => forever(),
        ["stubborn"] => {
            ignore_termination()?;
            notify("READY=1", None)?;
            forever()
        }
        ["silent-death"] => {
            notify("READY=1\nWATCHDOG=1", None)?;
            forever()
        }
        ["flood"] => flood(),
        ["orphans", count] => orphans(count.parse().context("a number of orphans")?),
        ["orphan", depth, code] => orphan(depth, code.parse().context("an exit code")?),
        ["holder"] => holder(),
        ["hog"] => hog(),
        ["write-probe"] => write_probe(),
        ["report", name] => report(name),
        ["write", number] => write_pieces(number.parse().context("a number")?),
        _ => bail!("toy does not know {words:?}"),
    }
}

fn forever() -> Result<()> {
    loop {
        std::thread::park();
    }
}

/// sd_notify(3), with a descriptor to store where there is one.
fn notify(text: &str, descriptor: Option<BorrowedFd<'_>>) -> Result<()> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::DGRAM, None)
        .context("make a socket")?;
    let address =
        SocketAddrUnix::new(paths::NOTIFY_SOCKET).context("the notification socket's name")?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        bail!("no room for a descriptor");
    }
    let parts = [IoSlice::new(text.as_bytes())];
    rustix::net::sendmsg_addr(&socket, &address, &parts, &mut control, SendFlags::empty())
        .context("notify init")?;
    Ok(())
}

/// The descriptors that `init` has handed over, by name; sd_listen_fds(3).
fn handed() -> Result<Vec<(String, OwnedFd)>> {
    let count: RawFd = std::env::var("LISTEN_FDS")
        .map_or(Ok(0), |text| text.parse())
        .context("LISTEN_FDS")?;
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    Ok(names
        .split(':')
        .map(str::to_owned)
        .zip((3..3 + count).map(take))
        .collect())
}

#[allow(unsafe_code)] // sd_listen_fds(3) names descriptors by number
fn take(number: RawFd) -> OwnedFd {
    // SAFETY: init has placed descriptors 3.. for this process, says so in LISTEN_FDS, and this program
    // takes each of them once, before it opens any other.
    unsafe { OwnedFd::from_raw_fd(number) }
}

fn plan() -> Result<()> {
    let is_plan = |name: &str| matches!(name, "config-pending" | "sandbox-config" | "fw-cfg");
    let config = handed()?.into_iter().find(|(name, _)| is_plan(name));
    let mut plan = Vec::new();
    if let Some((_, descriptor)) = config {
        File::from(descriptor)
            .read_to_end(&mut plan)
            .context("read the plan")?;
    }
    std::io::stdout()
        .write_all(&plan)
        .context("hand over the plan")
}

fn ignore_termination() -> Result<()> {
    // Blocked and never taken is ignored, without any handler.
    let mut set = nix::sys::signal::SigSet::empty();
    set.add(nix::sys::signal::Signal::SIGTERM);
    set.thread_block().context("block SIGTERM")
}

fn steady() -> Result<()> {
    let mut set = nix::sys::signal::SigSet::empty();
    set.add(nix::sys::signal::Signal::SIGTERM);
    set.thread_block().context("block SIGTERM")?;
    notify("READY=1", None)?;
    set.wait().context("wait for SIGTERM")?;
    append(
        "/var/stops",
        &std::env::var("ORLOP_SERVICE").unwrap_or_default(),
    )
}

fn append(path: &str, line: &str) -> Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("open {path}"))?;
    writeln!(file, "{line}").with_context(|| format!("write {path}"))
}

fn flood() -> Result<()> {
    notify("READY=1", None)?;
    let line = "x".repeat(1000);
    for number in 0_u64.. {
        println!("{number} {line}");
        if number % 1000 == 0 {
            notify(&format!("STATUS={number}"), None)?;
        }
    }
    Ok(())
}

fn hog() -> Result<()> {
    notify("READY=1", None)?;
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        // Written to, so that it is really there.
        taken.push(vec![1; PIPE_BYTES]);
    }
}

fn write_probe() -> Result<()> {
    let targets = [
        "/probe",
        "/etc/probe",
        "/usr/bin/probe",
        "/usr/bin/init",
        "/usr/lib/os-release",
    ];
    let read_only = |path: &&&str| {
        let opened = OpenOptions::new().create(true).append(true).open(path);
        opened.is_err_and(|error| error.kind() == std::io::ErrorKind::ReadOnlyFilesystem)
    };
    let refused = targets.iter().filter(read_only).count();
    notify(
        &format!("READY=1\nSTATUS=read-only {refused} of {}", targets.len()),
        None,
    )?;
    forever()
}

fn report(name: &str) -> Result<()> {
    let mut init = Control::connect(Path::new("/"))?;
    notify("READY=1", None)?;
    let mut last = String::new();
    loop {
        let status = init.service(name)?;
        let text = format!(
            "{name} restarts {} last {}",
            status.restarts,
            status.last_exit.unwrap_or_default()
        );
        if text != last {
            notify(&format!("STATUS={text}"), None)?;
            last = text;
        }
        std::thread::sleep(orlop_tests::wait::LOOK_AGAIN);
    }
}

fn orphans(count: u32) -> Result<()> {
    for number in 0..count {
        // The first child ends at once; the second one is then nobody's.
        let code = (number % 256).to_string();
        let status = myself(&["orphan", "first", &code])?
            .status()
            .context("start an orphan's parent")?;
        if !status.success() {
            bail!("an orphan's parent failed: {status}");
        }
    }
    std::fs::write("/var/orphans-made", "").context("say that all are made")?;
    notify("READY=1", None)?;
    forever()
}

fn orphan(depth: &str, code: i32) -> Result<()> {
    if depth == "first" {
        let child = myself(&["orphan", "second", &code.to_string()])?
            .spawn()
            .context("start an orphan")?;
        let start = start_time(child.id()).context("the orphan's start time")?;
        return append("/var/orphans", &format!("{} {start} {code}", child.id()));
    }
    std::process::exit(code);
}

fn myself(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(paths::ORLOP);
    command.args(arguments).stdin(Stdio::null());
    Ok(command)
}

/// What a held child writes: byte n of child N.
fn content(number: u32, at: usize) -> u8 {
    let low = u8::try_from(at % 251).unwrap_or(0);
    low ^ u8::try_from(number).unwrap_or(0)
}

fn write_pieces(number: u32) -> Result<()> {
    let bytes: Vec<u8> = (0..HELD_BYTES).map(|at| content(number, at)).collect();
    let mut out = std::io::stdout().lock();
    for piece in bytes.chunks(HELD_BYTES.div_ceil(PIECES)) {
        out.write_all(piece)
            .and_then(|()| out.flush())
            .context("write a piece")?;
        // This is the pace of the work, not a wait for anything.
        std::thread::sleep(PIECE_PAUSE);
    }
    std::process::exit(HELD_CODE + i32::try_from(number).unwrap_or(0));
}

fn holder() -> Result<()> {
    let mut pipes: BTreeMap<String, OwnedFd> = handed()?.into_iter().collect();
    let mut init = Control::connect(Path::new("/"))?;
    let known: Vec<String> = children(&mut init)?
        .into_iter()
        .map(|child| child.label)
        .collect();
    for number in 0..HELD {
        let label = format!("child-{number}");
        if !known.contains(&label) {
            let pipe = hold(&mut init, number, &label)?;
            pipes.insert(label, pipe);
        }
    }
    notify("READY=1", None)?;
    while !Path::new(REPORT_WANTED).exists() {
        std::thread::sleep(orlop_tests::wait::LOOK_AGAIN);
    }
    let mut report = String::new();
    for child in children(&mut init)? {
        let number: u32 = child
            .label
            .trim_start_matches("child-")
            .parse()
            .context("a label of ours")?;
        let data = match pipes.remove(&child.label) {
            None => "no pipe".to_owned(),
            Some(pipe) => read_back(number, pipe)?,
        };
        let exit = exit_of(&mut init, &child)?;
        report.push_str(&format!("{} {exit} {data}\n", child.label));
        init.order(&Request::ForgetChild {
            pid: child.pid,
            start_time: child.start_time,
        })?;
        notify(&format!("FDSTOREREMOVE=1\nFDNAME={}", child.label), None)?;
    }
    let left = children(&mut init)?.len();
    report.push_str(&format!("left {left}\n"));
    std::fs::write(format!("{REPORT}.new"), report).context("write the report")?;
    std::fs::rename(format!("{REPORT}.new"), REPORT).context("show the report")?;
    forever()
}

/// A child's exit once it has one; its pipe has ended, so it is about to.
fn exit_of(init: &mut Control, child: &Child) -> Result<String> {
    let request = Request::ExitOf {
        pid: child.pid,
        start_time: child.start_time,
    };
    orlop_tests::wait::eventually("a child's exit", Duration::from_secs(1), || {
        match init.ask(&request)? {
            Response::Exit(ExitState::Running) => Ok(None),
            Response::Exit(ExitState::Exited { code, .. }) => Ok(Some(format!("code {code}"))),
            other => bail!("ExitOf was answered by {other:?}"),
        }
    })
}

fn children(init: &mut Control) -> Result<Vec<Child>> {
    match init.ask(&Request::Children)? {
        Response::Children(children) => Ok(children),
        other => bail!("Children was answered by {other:?}"),
    }
}

/// Starts a child in a cgroup of its own (as a container would be), stores its pipe and registers it.
fn hold(init: &mut Control, number: u32, label: &str) -> Result<OwnedFd> {
    let (reader, writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("make a pipe")?;
    rustix::pipe::fcntl_setpipe_size(&writer, PIPE_BYTES).context("make the pipe hold 1 MiB")?;
    notify(&format!("FDSTORE=1\nFDNAME={label}"), Some(reader.as_fd()))?;
    let child = myself(&["write", &number.to_string()])?
        .stdout(writer)
        .spawn()
        .context("start a child")?;
    let pid = i32::try_from(child.id()).context("a process id fits")?;
    let cgroup = Path::new("/sys/fs/cgroup/held");
    if std::fs::create_dir_all(cgroup).is_ok() {
        std::fs::write(cgroup.join("cgroup.procs"), pid.to_string()).context("move the child")?;
    }
    let start_time = start_time(child.id()).context("the child's start time")?;
    init.order(&Request::RegisterChild {
        pid,
        start_time,
        label: label.to_owned(),
    })?;
    Ok(reader)
}

fn read_back(number: u32, pipe: OwnedFd) -> Result<String> {
    let mut bytes = Vec::new();
    File::from(pipe)
        .read_to_end(&mut bytes)
        .context("read a pipe")?;
    let intact = bytes
        .iter()
        .enumerate()
        .all(|(at, byte)| *byte == content(number, at));
    Ok(format!(
        "{} bytes {}",
        bytes.len(),
        if intact { "intact" } else { "damaged" }
    ))
}

//! What a child of the keeper does before it ends: one act of libcontainer, or new namespaces.
//!
//! The keeper is one thread, so its child may allocate, read files and fork again. It tells what came of it by a pipe, as one postcard
//! value: the pid of what it has made (0 for nothing), or why it could not.

use super::{
    bundle::{self, CONFIG, Workload},
    cgroup, namespaces,
    sys::{self, Fork},
};
use crate::planner::keeper::frames::Pin;
use libcontainer::{
    config::YoukiConfig,
    container::{Container, builder::ContainerBuilder},
    syscall::syscall::SyscallType,
};
use rustix::{
    fd::OwnedFd,
    fs::FileType,
    pipe::{PipeFlags, pipe_with},
};
use std::{
    error::Error,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Longest report.
pub(super) const REPORT_MAX: usize = 16 * 1024;

/// Until a cgroup is empty.
const DELETE_MAX: Duration = Duration::from_secs(10);
/// Between two attempts.
const DELETE_AGAIN: Duration = Duration::from_millis(5);

/// What came of it.
pub(super) type Report = Result<i32, String>;

/// One act.
#[derive(Debug)]
pub(super) enum Act {
    /// Makes a container and starts it.
    Run {
        id: String,
        bundle: PathBuf,
        /// Standard input, output, error; none with a terminal.
        streams: Vec<OwnedFd>,
        console: Option<PathBuf>,
    },
    /// Runs a process in one that runs.
    Exec {
        id: String,
        process: PathBuf,
        streams: Vec<OwnedFd>,
        console: Option<PathBuf>,
    },
    /// Removes what is left of one.
    Delete { id: String },
    /// Makes namespaces.
    Pin(Pin),
}

/// A child at work.
#[derive(Debug)]
pub(super) struct Worker {
    /// It.
    pub pid: i32,
    /// Where its report comes from; it does not block.
    pub report: OwnedFd,
}

/// Begins an act in a child. `oci`: where libcontainer keeps what it knows.
pub(super) fn begin(act: Act, oci: &Path) -> io::Result<Worker> {
    let (report, written) = pipe_with(PipeFlags::CLOEXEC)?;
    match sys::fork()? {
        Fork::Parent(pid) => {
            drop((act, written));
            rustix::io::ioctl_fionbio(&report, true)?;
            Ok(Worker { pid, report })
        }
        Fork::Child => {
            drop(report);
            sys::reset_signals();
            // What libcontainer logs in the container's own process would go to the container's output.
            let _quiet = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::new());
            // A panic must not unwind into the keeper's loop.
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(act, oci)));
            let report: Report =
                done.unwrap_or_else(|_| Err("the child of the keeper has panicked".to_owned()));
            let report = report.map_err(|reason| reason.chars().take(REPORT_MAX / 4).collect());
            let told = postcard::to_stdvec::<Report>(&report)
                .map_err(io::Error::other)
                .and_then(|bytes| fs::File::from(written).write_all(&bytes));
            sys::exit_now(i32::from(told.is_err()));
        }
    }
}

/// What a report says, of all its bytes.
pub(super) fn report(bytes: &[u8]) -> Report {
    postcard::from_bytes::<Report>(bytes)
        .unwrap_or_else(|_| Err("the child of the keeper has ended without a word".to_owned()))
}

fn run(act: Act, oci: &Path) -> Report {
    match act {
        Act::Run {
            id,
            bundle,
            streams,
            console,
        } => run_container(&id, &bundle, streams, console, oci).map_err(|error| chain(&*error)),
        Act::Exec {
            id,
            process,
            streams,
            console,
        } => exec(&id, &process, streams, console, oci).map_err(|error| chain(&*error)),
        Act::Delete { id } => delete(&id, oci).map_err(|error| chain(&*error)),
        Act::Pin(pin) => namespaces::make(&pin).map(|()| 0),
    }
}

/// What a child has left half-made that could not say so.
pub(super) fn discard(id: &str, oci: &Path) {
    end_what_is_left(id, oci);
    if let Ok(config) = YoukiConfig::load(oci.join(id)) {
        cgroup::remove(&config.cgroup_path);
    }
    let _ = fs::remove_dir_all(oci.join(id));
}

/// What libcontainer leaves behind of each exec (0.7: `TENANT_NOTIFY`, `TENANT_TTY`). None may be under way in this container.
pub(super) fn remove_sockets(id: &str, oci: &Path) {
    let entries = fs::read_dir(oci.join(id)).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("tenant-notify-") || name.starts_with("tenant-tty-") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn run_container(
    id: &str,
    bundle: &Path,
    streams: Vec<OwnedFd>,
    console: Option<PathBuf>,
    oci: &Path,
) -> Result<i32, Box<dyn Error>> {
    let workload = bundle::workload(&bundle.join(CONFIG))?;
    let devices = workload.devices.clone();
    let made = builder(id, streams, console, workload, bundle, oci)?
        .as_init(bundle)
        .with_systemd(false)
        .with_detach(true)
        .build();
    // libcontainer leaves its directory behind where it has failed early, and would refuse the number for ever.
    let mut container = made.inspect_err(|_| discard(id, oci))?;
    // Until it is started, all that runs in the cgroup is libcontainer, which waits.
    let guarded = guard_devices(id, &devices, oci);
    let started = guarded.and_then(|()| Ok(container.start()?));
    if let Err(error) = started {
        let _ = container.delete(true);
        return Err(error);
    }
    let pid = container.pid().ok_or("the container has no process")?;
    Ok(pid.as_raw())
}

/// Has the kernel ask a program about the devices of the container's cgroup. The program stays as long as the cgroup does.
fn guard_devices(id: &str, program: &[u8], oci: &Path) -> Result<(), Box<dyn Error>> {
    if program.is_empty() {
        return Ok(());
    }
    let config = YoukiConfig::load(oci.join(id))?;
    cgroup::guard_devices(&config.cgroup_path, program)
        .map_err(|error| format!("put the device rules on the container's cgroup: {error}").into())
}

fn exec(
    id: &str,
    process: &Path,
    streams: Vec<OwnedFd>,
    console: Option<PathBuf>,
    oci: &Path,
) -> Result<i32, Box<dyn Error>> {
    let workload = bundle::workload(process)?;
    let bundle = process.parent().ok_or("the process is of no bundle")?;
    let built = builder(id, streams, console, workload, bundle, oci)?;
    if let Some(users) = bundle::user_namespace(bundle)? {
        join_users(&users).map_err(|error| format!("join the user namespace: {error}"))?;
    }
    let made = built
        .as_tenant()
        .with_process(Some(process))
        .with_detach(true)
        .build()?;
    Ok(made.as_raw())
}

/// Enters a container's user namespace before libcontainer enters the others: it leaves this one out where a process joins a container, which would
/// be the host's root then. (0.7: `NAMESPACE_TYPES` of its tenant builder.)
fn join_users(path: &Path) -> io::Result<()> {
    // What the host's root is in besides.
    rustix::thread::set_thread_groups(&[])?;
    let namespace = fs::File::open(path)?;
    nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWUSER)?;
    Ok(())
}

fn builder(
    id: &str,
    streams: Vec<OwnedFd>,
    console: Option<PathBuf>,
    workload: Workload,
    bundle: &Path,
    oci: &Path,
) -> Result<ContainerBuilder, Box<dyn Error>> {
    let owner = bundle::user_of_host(bundle, workload.user)?;
    for stream in &streams {
        // A pipe is its maker's; other things keep their owners.
        if FileType::from_raw_mode(rustix::fs::fstat(stream)?.st_mode) == FileType::Fifo {
            let user = rustix::fs::Uid::from_raw(owner);
            rustix::fs::fchown(stream, Some(user), None)?;
        }
    }
    let mut builder = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(oci)?
        .with_console_socket(console)
        .with_executor(workload)
        .validate_id()?;
    let mut streams = streams.into_iter();
    if let Some(stdin) = streams.next() {
        builder = builder.with_stdin(stdin);
    }
    if let Some(stdout) = streams.next() {
        builder = builder.with_stdout(stdout);
    }
    if let Some(stderr) = streams.next() {
        builder = builder.with_stderr(stderr);
    }
    Ok(builder)
}

fn delete(id: &str, oci: &Path) -> Result<i32, Box<dyn Error>> {
    let directory = oci.join(id);
    if !directory.exists() {
        return Ok(0);
    }
    let begun = Instant::now();
    loop {
        // Whoever has just ended is in his cgroup for a moment more.
        end_what_is_left(id, oci);
        match Container::load(directory.clone()).and_then(|mut one| one.delete(true)) {
            Ok(()) => return Ok(0),
            // A child that was ended at its work has left no more than that.
            Err(_) if !directory.join("state.json").exists() => {
                discard(id, oci);
                return Ok(0);
            }
            Err(_) if begun.elapsed() < DELETE_MAX => thread::sleep(DELETE_AGAIN),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends all processes of a container's cgroup.
pub(super) fn end_what_is_left(id: &str, oci: &Path) {
    if let Ok(config) = YoukiConfig::load(oci.join(id)) {
        cgroup::kill(&config.cgroup_path);
    }
}

/// The error and all that led to it, without saying the same twice.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}

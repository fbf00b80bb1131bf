//! Starts a child: its own session, cgroup, user, capabilities, filter, descriptors and environment.
//!
//! Between fork and exec the child does its own set-up; a failure there is written to its standard
//! error, that is, to its log, and ends it with [`SET_UP_FAILED`].

use super::sys::{self, Fork};
use crate::planner::filters::{NAMESPACE_FLAGS, refused};
use init_proto::plan::Seccomp;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fmt::Display;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Exit code of a child that could not be set up or whose program could not be started.
pub(crate) const SET_UP_FAILED: i32 = 127;
/// Open files of a service.
const OPEN_FILES: u64 = 65_536;
/// Highest capability number that a kernel may know.
const CAPABILITY_MAX: u8 = 63;

/// What to start.
#[derive(Debug)]
pub(crate) struct Command<'a> {
    /// Program (absolute path) and arguments.
    pub(crate) command: &'a [String],
    /// The whole environment; `LISTEN_*` is added for `descriptors`.
    pub(crate) environment: Vec<(String, String)>,
    /// User id.
    pub(crate) user: u32,
    /// Group id, the only group.
    pub(crate) group: u32,
    /// Capability numbers kept.
    pub(crate) capabilities: &'a [u8],
    /// `oom_score_adj`.
    pub(crate) oom_score_adjust: i16,
    /// Sets no_new_privs; implied by a filter.
    pub(crate) no_new_privileges: bool,
    /// System call filter.
    pub(crate) seccomp: Seccomp,
    /// `cgroup.procs` to enter.
    pub(crate) cgroup: Option<OwnedFd>,
    /// Standard input; an empty read for all but a few.
    pub(crate) input: BorrowedFd<'a>,
    /// Standard output.
    pub(crate) output: BorrowedFd<'a>,
    /// Standard error.
    pub(crate) error: BorrowedFd<'a>,
    /// Named descriptors, handed as sd_listen_fds(3) does.
    pub(crate) descriptors: Vec<(String, BorrowedFd<'a>)>,
}

/// Starts it and returns its process id.
///
/// # Errors
/// When the command cannot be expressed (a NUL in it, no filter) or fork fails.
pub(crate) fn spawn(command: &Command<'_>) -> Result<i32, String> {
    let words = command
        .command
        .iter()
        .map(|word| CString::new(word.as_str()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("command has a zero byte: {error}"))?;
    if words.is_empty() {
        return Err("command is empty".into());
    }
    let filters = filters(command.seccomp)
        .map_err(|error| format!("system call filter could not be built: {error}"))?;
    match sys::fork() {
        Err(error) => Err(format!("fork failed: {error}")),
        Ok(Fork::Parent(pid)) => Ok(pid),
        Ok(Fork::Child) => {
            // A panic must not unwind into the loop: this process would go on as a second init.
            let failure = catch_unwind(AssertUnwindSafe(|| become_it(command, &words, &filters)))
                .unwrap_or_else(|_| "init has a bug there".into());
            let text = format!(
                "<3>orlop-init: could not start {}: {failure}\n",
                words[0].to_string_lossy()
            );
            // Before the descriptors are placed this is still init's own standard error.
            let _ = rustix::io::write(command.error, text.as_bytes());
            sys::exit_now(SET_UP_FAILED)
        }
    }
}

fn step<T, E: Display>(what: &str, result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}

/// The child's part. Returns only the reason why there is no new program.
fn become_it(command: &Command<'_>, words: &[CString], filters: &[BpfProgram]) -> String {
    match set_up(command, filters) {
        Ok(environment) => sys::exec(&words[0], words, &environment).to_string(),
        Err(reason) => reason,
    }
}

fn set_up(command: &Command<'_>, filters: &[BpfProgram]) -> Result<Vec<CString>, String> {
    sys::reset_signals();
    let _ = rustix::process::setsid();
    if let Some(cgroup) = &command.cgroup {
        step("entering the cgroup", rustix::io::write(cgroup, b"0"))?;
    }
    let score = command.oom_score_adjust.to_string();
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", score) {
        // Needs CAP_SYS_RESOURCE, which the launcher of a sandbox may not have to give.
        remark(command, &format!("oom_score_adj is not set: {error}"));
    }
    let _ = raise_limit(Resource::Core, 0);
    if raise_limit(Resource::Nofile, OPEN_FILES).is_err() {
        remark(command, "the limit of open files is not raised");
    }
    step("chdir /", rustix::process::chdir("/"))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let environment = environment(command)?;
    let mut descriptors = vec![command.input, command.output, command.error];
    descriptors.extend(command.descriptors.iter().map(|(_, fd)| *fd));
    step("placing descriptors", sys::place_descriptors(&descriptors))?;
    identity(command)?;
    if command.no_new_privileges || !filters.is_empty() {
        step("no_new_privs", rustix::thread::set_no_new_privs(true))?;
    }
    for filter in filters {
        step("system call filter", seccompiler::apply_filter(filter))?;
    }
    Ok(environment)
}

/// A line for the service's log from its own set-up.
fn remark(command: &Command<'_>, text: &str) {
    let _ = rustix::io::write(command.error, format!("<6>orlop-init: {text}\n").as_bytes());
}

/// Sets a resource limit; where the hard limit may not be raised, as far as it goes, which is an error.
pub(crate) fn raise_limit(resource: Resource, value: u64) -> rustix::io::Result<()> {
    let both = Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    rustix::process::setrlimit(resource, both).or_else(|error| {
        let maximum = rustix::process::getrlimit(resource).maximum;
        let current = maximum.map_or(value, |maximum| maximum.min(value));
        let part = Rlimit {
            current: Some(current),
            maximum,
        };
        rustix::process::setrlimit(resource, part)?;
        if current < value { Err(error) } else { Ok(()) }
    })
}

fn environment(command: &Command<'_>) -> Result<Vec<CString>, String> {
    let mut all = command.environment.clone();
    if !command.descriptors.is_empty() {
        let names: Vec<_> = command
            .descriptors
            .iter()
            .map(|(n, _)| n.as_str())
            .collect();
        let pid = rustix::process::getpid().as_raw_nonzero().to_string();
        all.push(("LISTEN_PID".into(), pid));
        all.push(("LISTEN_FDS".into(), names.len().to_string()));
        all.push(("LISTEN_FDNAMES".into(), names.join(":")));
    }
    all.into_iter()
        .map(|(key, value)| step("environment", CString::new(format!("{key}={value}"))))
        .collect()
}

/// Groups, user and the five capability sets.
fn identity(command: &Command<'_>) -> Result<(), String> {
    // A sandbox's launcher may have taken some from init itself.
    let own = step("capget", rustix::thread::capabilities(None))?.permitted;
    let kept = command
        .capabilities
        .iter()
        .filter(|number| **number <= CAPABILITY_MAX)
        .fold(0_u64, |set, number| set | 1 << number)
        & own.bits();
    let each = |number: u8| CapabilitySet::from_bits_retain(1 << number);
    for number in (0..=CAPABILITY_MAX).filter(|number| kept & 1 << number == 0) {
        // EINVAL: a number that this kernel does not know.
        match rustix::thread::remove_capability_from_bounding_set(each(number)) {
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(format!("bounding set: {error}")),
        }
    }
    let (user, group) = (
        rustix::fs::Uid::from_raw(command.user),
        rustix::fs::Gid::from_raw(command.group),
    );
    step("setgroups", rustix::thread::set_thread_groups(&[]))?;
    step(
        "setresgid",
        rustix::thread::set_thread_res_gid(group, group, group),
    )?;
    // Without this bit, leaving user 0 clears what the ambient set is made from.
    step(
        "securebits",
        rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::KEEP_CAPS),
    )?;
    step(
        "setresuid",
        rustix::thread::set_thread_res_uid(user, user, user),
    )?;
    let sets = CapabilitySet::from_bits_retain(kept);
    step(
        "capset",
        rustix::thread::set_capabilities(
            None,
            CapabilitySets {
                effective: sets,
                permitted: sets,
                inheritable: sets,
            },
        ),
    )?;
    for number in (0..=CAPABILITY_MAX).filter(|number| kept & 1 << number != 0) {
        step(
            "ambient set",
            rustix::thread::configure_capability_in_ambient_set(each(number), true),
        )?;
    }
    // The parent-death signal and dumpability were reset by the change of user, as they should be.
    Ok(())
}

/// The filters of a profile, in the order in which they are installed.
fn filters(profile: Seccomp) -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let Some(calls) = refused(profile) else {
        return Ok(Vec::new());
    };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        calls.into_iter().map(|call| (call, Vec::new())).collect();
    let mut namespaces = Vec::new();
    for flag in NAMESPACE_FLAGS {
        let bit = u64::from(flag.cast_unsigned());
        namespaces.push(SeccompRule::new(vec![SeccompCondition::new(
            0,
            SeccompCmpArgLen::Qword,
            SeccompCmpOp::MaskedEq(bit),
            bit,
        )?])?);
    }
    rules.insert(libc::SYS_clone, namespaces);
    let build = |rules, errno: i32| -> Result<BpfProgram, seccompiler::BackendError> {
        SeccompFilter::new(
            rules,
            SeccompAction::Allow,
            SeccompAction::Errno(errno.cast_unsigned()),
            TargetArch::x86_64,
        )?
        .try_into()
    };
    let no_clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    Ok(vec![
        build(no_clone3, libc::ENOSYS)?,
        build(rules, libc::EPERM)?,
    ])
}

/// Runs something of init's own in a child process, which then ends; gives its process id. For what the
/// kernel makes its caller wait for.
pub(crate) fn in_child(act: impl FnOnce()) -> io::Result<i32> {
    match sys::fork()? {
        Fork::Parent(pid) => Ok(pid),
        Fork::Child => {
            // As above: nothing may unwind out of here.
            let _ = catch_unwind(AssertUnwindSafe(act));
            sys::exit_now(0)
        }
    }
}

/// `/dev/null`, for standard input.
pub(crate) fn null() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        "/dev/null",
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?)
}

/// A pipe whose reading end does not block. One MiB where the kernel allows it, so that a burst fits.
pub(crate) fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    const WANTED: usize = 1024 * 1024;
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let _ = rustix::pipe::fcntl_setpipe_size(writer.as_fd(), WANTED);
    rustix::io::ioctl_fionbio(&reader, true)?;
    Ok((reader, writer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// Runs a program of the test host to its end and gives its output.
    fn run(words: &[&str], change: impl FnOnce(&mut Command<'_>)) -> String {
        run_with(words, None, change)
    }

    fn run_with(
        words: &[&str],
        handed: Option<&OwnedFd>,
        change: impl FnOnce(&mut Command<'_>),
    ) -> String {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let null = null().unwrap();
        let (reader, writer) = output_pipe().unwrap();
        rustix::io::ioctl_fionbio(&reader, false).unwrap();
        let mut command = Command {
            command: &words,
            environment: vec![("A".into(), "b".into())],
            user: 0,
            group: 0,
            capabilities: &[],
            oom_score_adjust: 0,
            no_new_privileges: false,
            seccomp: Seccomp::Unfiltered,
            cgroup: None,
            input: null.as_fd(),
            output: writer.as_fd(),
            error: writer.as_fd(),
            descriptors: handed
                .map(|fd| ("first".into(), fd.as_fd()))
                .into_iter()
                .collect(),
        };
        change(&mut command);
        let pid = spawn(&command).unwrap();
        drop(command);
        drop(writer);
        let mut text = String::new();
        std::fs::File::from(reader)
            .read_to_string(&mut text)
            .unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap();
        // What a host that gives fewer rights than a machine has makes the child say.
        text.lines()
            .filter(|line| !line.starts_with("<6>orlop-init: "))
            .map(|line| format!("{line}\n"))
            .collect()
    }

    fn status_line<'a>(status: &'a str, key: &str) -> &'a str {
        status
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap_or_else(|| panic!("no {key} in {status}"))
            .trim()
    }

    #[test]
    fn a_child_has_its_user_and_only_its_capabilities() {
        let status = run(&["/bin/cat", "/proc/self/status"], |command| {
            (command.user, command.group) = (901, 902);
            command.capabilities = &[10, 12];
            command.seccomp = Seccomp::Service;
        });
        assert_eq!(status_line(&status, "Uid:"), "901\t901\t901\t901");
        assert_eq!(status_line(&status, "Gid:"), "902\t902\t902\t902");
        assert_eq!(status_line(&status, "Groups:"), "");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(status_line(&status, set), "0000000000001400", "{set}");
        }
        assert_eq!(status_line(&status, "NoNewPrivs:"), "1");
        assert_eq!(status_line(&status, "Seccomp:"), "2");
    }

    #[test]
    fn a_child_without_capabilities_is_a_weak_root() {
        let status = run(&["/bin/cat", "/proc/self/status"], |_| {});
        assert_eq!(status_line(&status, "CapEff:"), "0000000000000000");
        // 32 and 33 belong to libc, which lets nobody touch them.
        let ignored = u64::from_str_radix(status_line(&status, "SigIgn:"), 16).unwrap();
        assert_eq!(ignored & !(0b11 << 31), 0);
        assert_eq!(status_line(&status, "SigBlk:"), "0000000000000000");
    }

    #[test]
    fn a_filtered_child_makes_no_namespaces() {
        let refused = run(
            &["/usr/bin/unshare", "--uts", "/bin/echo", "made"],
            |command| {
                command.capabilities = &[21];
                command.seccomp = Seccomp::Service;
            },
        );
        assert!(refused.contains("not permitted"), "{refused}");
        let made = run(
            &["/usr/bin/unshare", "--uts", "/bin/echo", "made"],
            |command| {
                command.capabilities = &[21];
            },
        );
        assert_eq!(made, "made\n");
    }

    #[test]
    fn descriptors_arrive_in_order() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&writer, b"through the pipe").unwrap();
        drop(writer);
        let script =
            "cat <&3; echo; echo $LISTEN_FDS $LISTEN_FDNAMES $A; [ $LISTEN_PID = $$ ] && echo me";
        let text = run_with(&["/bin/sh", "-c", script], Some(&reader), |_| {});
        assert_eq!(text, "through the pipe\n1 first b\nme\n");
    }

    #[test]
    fn a_missing_program_says_so_in_its_log() {
        let text = run(&["/nonexistent"], |_| {});
        assert!(
            text.starts_with("<3>orlop-init: could not start /nonexistent: "),
            "{text}"
        );
    }
}

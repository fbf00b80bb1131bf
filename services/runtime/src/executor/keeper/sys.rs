//! The only place of the runtime with `unsafe`: what rustix and nix offer as unsafe calls or not at all.
#![allow(unsafe_code)] // fork, seccomp(2), bpf(2), mount_setattr(2) and waitid(2) have no safe form

use rustix::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::io;

/// Which side of a fork this is.
pub(in crate::executor) enum Fork {
    /// The new process.
    Child,
    /// The old one, with the new one's pid.
    Parent(i32),
}

/// One instruction of BPF, as the kernel reads it: `struct sock_filter` of the classic one, `struct bpf_insn` of the other.
pub(in crate::executor) const INSTRUCTION_BYTES: usize = 8;

/// fork(2). The keeper has one thread, so the child may do everything that the parent may.
pub(in crate::executor) fn fork() -> io::Result<Fork> {
    // SAFETY: the process has one thread (the keeper starts none), so no lock can be held by a thread that does not exist in the
    // child.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Ends the calling process without running destructors or exit handlers: for forked children only.
pub(in crate::executor) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit is always sound; it does not return.
    unsafe { libc::_exit(code) }
}

/// Descriptors that this process has from whoever started it are nothing to programs that it starts.
pub(in crate::executor) fn keep_descriptors_from_others() -> io::Result<()> {
    // SAFETY: it sets a flag of descriptors and touches no memory.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3_u32,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Sets every disposition to its default, and unblocks all signals, as a new program expects.
pub(in crate::executor) fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL installs no code; numbers that are none give EINVAL, which is of no interest.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: the set is initialised by sigemptyset before it is used.
    unsafe {
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Blocks SIGCHLD and SIGTERM, and gives a descriptor that is readable when one of them is pending.
pub(in crate::executor) fn signals() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before it is used, and the descriptor that signalfd gives is new and ours.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) < 0 {
            return Err(io::Error::last_os_error());
        }
        let descriptor = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}

/// The number of the next signal of [`signals`]. None: there is none now.
pub(in crate::executor) fn next_signal(signals: &OwnedFd) -> io::Result<Option<i32>> {
    let mut information = [0; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::read(signals, &mut information) {
        Ok(count) if count >= 4 => {
            let [a, b, c, d, ..] = information;
            Ok(i32::try_from(u32::from_ne_bytes([a, b, c, d])).ok())
        }
        Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The end of a child that has ended and was not reaped, which stays so: pid, and exit code or 128 + signal. None: of nobody.
pub(in crate::executor) fn next_end() -> io::Result<Option<(i32, i32)>> {
    // SAFETY: `siginfo_t` is plain data, for which zeros are valid; waitid fills it, and then the fields of SIGCHLD are those that are
    // read.
    unsafe {
        let mut info = std::mem::zeroed::<libc::siginfo_t>();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        if libc::waitid(libc::P_ALL, 0, &raw mut info, options) < 0 {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::ECHILD) => Ok(None),
                _ => Err(error),
            };
        }
        let pid = info.si_pid();
        if pid == 0 {
            return Ok(None);
        }
        let code = match info.si_code {
            libc::CLD_EXITED => info.si_status(),
            _ => 128 + info.si_status(),
        };
        Ok(Some((pid, code)))
    }
}

/// Lets a child that has ended go.
pub(in crate::executor) fn reap(pid: i32) {
    // SAFETY: no status is asked for.
    let _ = unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
}

/// Waits until a child has ended, and lets it go.
pub(in crate::executor) fn reap_when_ended(pid: i32) {
    // SAFETY: no status is asked for.
    let _ = unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
}

/// Turns on the loopback of the network namespace that the calling process is in.
pub(in crate::executor) fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: `ifreq` is plain data, for which zeros are valid; the name is shorter than its field; SIOCSIFFLAGS reads the name and
    // the flags.
    let result = unsafe {
        let mut request = std::mem::zeroed::<libc::ifreq>();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = libc::c_char::from_ne_bytes([*from]);
        }
        request.ifr_ifru.ifru_flags =
            libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or_default();
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request)
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Puts a filter of system calls on the calling process and all that it will start. It needs `CAP_SYS_ADMIN` or no_new_privs.
pub(in crate::executor) fn filter(program: &[u8]) -> io::Result<()> {
    let count = program.len() / INSTRUCTION_BYTES;
    let length = libc::c_ushort::try_from(count)
        .ok()
        .filter(|_| program.len().is_multiple_of(INSTRUCTION_BYTES) && count > 0)
        .ok_or_else(|| io::Error::other("it is no filter of system calls"))?;
    // The kernel reads instructions at their alignment.
    let mut instructions = words(program);
    let filter = libc::sock_fprog {
        len: length,
        filter: instructions.as_mut_ptr().cast(),
    };
    // SAFETY: `filter` names `len` instructions of eight bytes each, which live until the call has returned; the kernel copies and
    // checks them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const filter,
        )
    };
    if result == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// Loads a program of `BPF_PROG_TYPE_CGROUP_DEVICE`. Its licence is this program's: it calls nothing that wants another.
pub(in crate::executor) fn load_device_program(program: &[u8]) -> io::Result<OwnedFd> {
    /// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`; what follows is zero for the kernel.
    #[repr(C)]
    struct Load {
        program_type: u32,
        count: u32,
        instructions: u64,
        licence: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
    }
    const BPF_PROG_LOAD: libc::c_int = 5;
    const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
    let count = program.len() / INSTRUCTION_BYTES;
    let instructions = words(program);
    let load = Load {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: u32::try_from(count).map_err(io::Error::other)?,
        instructions: u64::try_from(instructions.as_ptr().addr()).map_err(io::Error::other)?,
        licence: u64::try_from(c"Apache-2.0".as_ptr().addr()).map_err(io::Error::other)?,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: `load` is as long as is said and names `count` instructions of eight bytes and a string with its end; all live until
    // the call has returned. The kernel copies and checks them. The descriptor that it gives is new and ours.
    unsafe {
        let descriptor = bpf(BPF_PROG_LOAD, (&raw const load).cast(), size_of::<Load>())?;
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}

/// Attaches it to a cgroup (version 2), beside others that are there: all must allow. It stays as long as the cgroup does.
pub(in crate::executor) fn attach_device_program(
    program: &OwnedFd,
    cgroup: &OwnedFd,
) -> io::Result<()> {
    /// The beginning of `union bpf_attr` for `BPF_PROG_ATTACH`.
    #[repr(C)]
    struct Attach {
        cgroup: i32,
        program: i32,
        attach_type: u32,
        flags: u32,
    }
    const BPF_PROG_ATTACH: libc::c_int = 8;
    const BPF_CGROUP_DEVICE: u32 = 6;
    const BPF_F_ALLOW_MULTI: u32 = 2;
    let attach = Attach {
        cgroup: cgroup.as_raw_fd(),
        program: program.as_raw_fd(),
        attach_type: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: `attach` is as long as is said and lives until the call has returned; it has numbers only.
    unsafe {
        bpf(
            BPF_PROG_ATTACH,
            (&raw const attach).cast(),
            size_of::<Attach>(),
        )
    }
    .map(drop)
}

/// bpf(2).
///
/// # Safety
/// `attributes` names so many bytes as the command wants them, and what they name lives until the call has returned.
unsafe fn bpf(
    command: libc::c_int,
    attributes: *const libc::c_void,
    length: usize,
) -> io::Result<i32> {
    // SAFETY: as the caller has it.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, length) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}

/// Has a mount that is attached nowhere show its files' owners as a user namespace maps them. What is mounted below stays as it is.
pub(in crate::executor) fn map_owners(mounted: &OwnedFd, users: &OwnedFd) -> io::Result<()> {
    const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
    let attributes = Attributes {
        set: MOUNT_ATTR_IDMAP,
        users: u64::try_from(users.as_raw_fd()).map_err(io::Error::other)?,
        ..Attributes::default()
    };
    set_attributes(mounted, libc::AT_EMPTY_PATH, &attributes)
}

/// Has a mount that is attached nowhere, and all below it, take what comes and goes at those that it is a copy of, and give them nothing.
pub(in crate::executor) fn only_follow(mounted: &OwnedFd) -> io::Result<()> {
    let attributes = Attributes {
        propagation: libc::MS_SLAVE,
        ..Attributes::default()
    };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    set_attributes(mounted, flags, &attributes)
}

/// `struct mount_attr`.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    users: u64,
}

fn set_attributes(
    mounted: &OwnedFd,
    flags: libc::c_int,
    attributes: &Attributes,
) -> io::Result<()> {
    // SAFETY: the path is empty and has its end, `attributes` is as long as is said, and both live until the call has returned.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mounted.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const *attributes,
            size_of::<Attributes>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Instructions at their alignment.
fn words(program: &[u8]) -> Vec<u64> {
    let chunks = program.as_chunks::<INSTRUCTION_BYTES>().0;
    chunks
        .iter()
        .map(|bytes| u64::from_ne_bytes(*bytes))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::devices;
    use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType};

    fn rule(major: i64, minor: Option<i64>) -> LinuxDeviceCgroup {
        let rule = LinuxDeviceCgroupBuilder::default()
            .allow(major % 2 == 0)
            .typ(LinuxDeviceType::C)
            .major(major)
            .access("rw");
        let rule = match minor {
            Some(minor) => rule.minor(minor),
            None => rule,
        };
        rule.build().expect("a rule")
    }

    #[test]
    fn the_kernel_takes_the_longest_programs_and_none_that_is_none() {
        let count = i64::try_from(devices::RULES_MAX).expect("small") - 32;
        let general = (0..32).map(|major| rule(major, None));
        for each in [
            &(|number| rule(1, Some(number))) as &dyn Fn(i64) -> LinuxDeviceCgroup,
            &|number| rule(number, Some(number % 7)),
        ] {
            let rules: Vec<_> = general.clone().chain((0..count).map(each)).collect();
            let program = devices::compile(&rules).expect("rules").expect("a program");
            load_device_program(&program.to_bytes()).expect("the kernel takes it");
        }
        let refused = load_device_program(&[0; 16]).expect_err("no program");
        assert_eq!(refused.raw_os_error(), Some(libc::EINVAL));
    }
}

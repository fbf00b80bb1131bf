//! The only place of `init` with `unsafe`: what rustix and nix offer as unsafe calls or not at all.
#![allow(unsafe_code)] // fork, exec, descriptor placement and two ioctls have no safe form

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ffi::{CStr, CString};
use std::io;

/// Highest signal whose disposition is reset in a child.
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=64;

/// Which side of a fork this is.
pub(crate) enum Fork {
    /// The new process.
    Child,
    /// `init`, with the new process's id.
    Parent(i32),
}

/// fork(2). `init` has one thread, so the child may do everything that the parent may.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: the process is single-threaded (no thread is ever started), so no lock can be held by a
    // thread that does not exist in the child.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Ends the calling process without running destructors or exit handlers: for forked children only.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit is always sound; it does not return.
    unsafe { libc::_exit(code) }
}

/// Replaces the calling process; returns only on failure.
pub(crate) fn exec(program: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| {
        let mut list: Vec<_> = strings.iter().map(|string| string.as_ptr()).collect();
        list.push(std::ptr::null());
        list
    };
    let (argv, envp) = (pointers(arguments), pointers(environment));
    // SAFETY: both lists end with a null pointer and every other pointer is a C string that lives until
    // the call has returned.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

/// Unblocks all signals and sets every disposition to its default, as a new program expects.
pub(crate) fn reset_signals() {
    for signal in SIGNALS {
        // SAFETY: SIG_DFL installs no code; invalid numbers give EINVAL, which is of no interest.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: the set is initialised by sigemptyset before it is used.
    unsafe {
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Makes `descriptors[n]` the calling process's descriptor `n`, inherited over exec, and marks all
/// higher ones close-on-exec. For forked children only: it closes what is in the way.
pub(crate) fn place_descriptors(descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let count = RawFd::try_from(descriptors.len()).map_err(io::Error::other)?;
    // First out of the way of all targets, so that no target overwrites a source.
    let mut parked = Vec::with_capacity(descriptors.len());
    for descriptor in descriptors {
        // SAFETY: F_DUPFD_CLOEXEC on a borrowed, hence open, descriptor creates a new one.
        let copy = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD_CLOEXEC, count) };
        if copy < 0 {
            return Err(io::Error::last_os_error());
        }
        parked.push(copy);
    }
    for (target, source) in (0..).zip(parked) {
        // SAFETY: this is a forked child about to exec: nothing in it uses the descriptor that is
        // replaced. dup2 clears close-on-exec on the target.
        if unsafe { libc::dup2(source, target) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let first = libc::c_uint::try_from(count).map_err(io::Error::other)?;
    // SAFETY: only sets a flag on descriptors. Kernels without the call (before 5.11) answer ENOSYS;
    // all of init's own descriptors carry the flag already.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    Ok(())
}

/// An ended child that is not reaped yet, and stays so; None when there is none.
pub(crate) fn ended_child() -> Option<i32> {
    // SAFETY: all zeros are a siginfo_t, which waitid(2) fills; `si_pid` is the field that it sets for a
    // child, and is zero where there was none.
    let pid = unsafe {
        let mut information = std::mem::zeroed::<libc::siginfo_t>();
        let look = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        match libc::waitid(libc::P_ALL, 0, &raw mut information, look) {
            0 => information.si_pid(),
            _ => 0,
        }
    };
    (pid > 0).then_some(pid)
}

/// kill(2) with any signal number, real-time ones included. Nothing can be done about failure.
pub(crate) fn kill(pid: i32, signal: i32) {
    // SAFETY: touches no memory of this process.
    let _ = unsafe { libc::kill(pid, signal) };
}

/// Takes ownership of descriptors that the kernel has just put into this process (`SCM_RIGHTS`).
pub(crate) fn own_received(descriptors: &[RawFd]) -> Vec<OwnedFd> {
    descriptors
        .iter()
        // SAFETY: recvmsg(2) has created each of them for this message alone; nobody else knows them.
        .map(|descriptor| unsafe { OwnedFd::from_raw_fd(*descriptor) })
        .collect()
}

/// BLKRRPART: makes the kernel read a disk's partition table again. Refused while one is in use.
pub(crate) fn reread_partitions(disk: BorrowedFd<'_>) -> io::Result<()> {
    // _IO(0x12, 95), linux/fs.h
    const BLKRRPART: libc::c_ulong = 0x125f;
    // SAFETY: the request takes no argument and touches no memory of this process.
    if unsafe { libc::ioctl(disk.as_raw_fd(), BLKRRPART) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// WDIOC_SETTIMEOUT: asks a watchdog for this timeout and returns what it took, in seconds.
pub(crate) fn watchdog_set_timeout(watchdog: BorrowedFd<'_>, seconds: i32) -> io::Result<i32> {
    // _IOWR('W', 6, int), linux/watchdog.h
    const WDIOC_SETTIMEOUT: libc::c_ulong = 0xC004_5706;
    let mut value: libc::c_int = seconds;
    // SAFETY: the request reads and writes one int, which `value` is.
    let result = unsafe { libc::ioctl(watchdog.as_raw_fd(), WDIOC_SETTIMEOUT, &raw mut value) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(value)
}

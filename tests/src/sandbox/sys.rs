//! The only unsafe code of the sandbox: what no safe crate offers.
#![allow(unsafe_code)] // clone(2) as a fork and kill(2) with a real-time signal have no safe form

use std::io;

/// Which side of a fork this is.
#[derive(Debug)]
pub(crate) enum Fork {
    /// The new process, PID 1 of its namespace.
    Child,
    /// The launcher, with the new process's id.
    Parent(i32),
}

/// Forks into new PID, mount, network, UTS and IPC namespaces. The cgroup namespace comes later: its root
/// is the cgroup that the process is in when it is made.
///
/// Must be called by a process with one thread; the launcher is one.
///
/// # Errors
/// The kernel refuses, for example without root.
pub(crate) fn fork_into_namespaces() -> io::Result<Fork> {
    let flags = libc::CLONE_NEWPID
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::SIGCHLD;
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: without CLONE_VM and with a null stack clone(2) is a fork: the child has its own copy of all
    // memory. The process has one thread, so no lock can be held by a thread missing from the child.
    match unsafe {
        libc::syscall(
            libc::SYS_clone,
            libc::c_long::from(flags),
            none,
            none,
            none,
            none,
        )
    } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => i32::try_from(pid)
            .map(Fork::Parent)
            .map_err(io::Error::other),
    }
}

/// kill(2) with any signal number.
///
/// # Errors
/// There is no such process.
pub(crate) fn kill(pid: i32, number: i32) -> io::Result<()> {
    // SAFETY: touches no memory of this process.
    match unsafe { libc::kill(pid, number) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

//! The only place of the runtime with `unsafe`: what rustix and nix offer as unsafe calls or not at all.
#![allow(unsafe_code)] // fork, seccomp(2) and waitid(2) have no safe form

use rustix::fd::{FromRawFd as _, OwnedFd};
use std::io;

/// Which side of a fork this is.
pub(in crate::executor) enum Fork {
    /// The new process.
    Child,
    /// The old one, with the new one's pid.
    Parent(i32),
}

/// One instruction of classic BPF, as the kernel reads it: `struct sock_filter`.
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
        libc::ioctl(
            std::os::fd::AsRawFd::as_raw_fd(&socket),
            libc::SIOCSIFFLAGS,
            &raw const request,
        )
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
    let mut instructions = vec![0_u64; count];
    for (instruction, bytes) in instructions
        .iter_mut()
        .zip(program.as_chunks::<INSTRUCTION_BYTES>().0)
    {
        *instruction = u64::from_ne_bytes(*bytes);
    }
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

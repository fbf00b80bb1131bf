//! Numbers of system calls by name, for each ABI of the machine.
//!
//! The numbers of x32 are those of x86-64 with bit 30, but for calls whose structures differ: these have numbers of
//! their own (Linux, `arch/x86/entry/syscalls/syscall_64.tbl`).

use syscalls::{x86, x86_64};

/// Bit 30: how x32's calls differ from x86-64's.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// One way to call the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abi {
    X86_64,
    X32,
    X86,
}

impl Abi {
    /// The number that the kernel shows to a filter.
    pub(super) fn number(self, name: &str) -> Option<u32> {
        let number = match self {
            Self::X86 => name.parse::<x86::Sysno>().ok()?.id(),
            Self::X86_64 => name.parse::<x86_64::Sysno>().ok()?.id(),
            Self::X32 => {
                if let Some(at) = X32_OWN.iter().position(|own| *own == name) {
                    return u32::try_from(at).ok().map(|at| X32_BIT + X32_FIRST + at);
                }
                let number = name.parse::<x86_64::Sysno>().ok()?.id();
                return u32::try_from(number).ok().map(|number| X32_BIT | number);
            }
        };
        u32::try_from(number).ok()
    }

    /// The highest number with a name.
    pub(super) fn newest(self) -> u32 {
        let number = match self {
            Self::X86 => x86::Sysno::last().id(),
            Self::X86_64 | Self::X32 => x86_64::Sysno::last().id(),
        };
        let number = u32::try_from(number).unwrap_or_default();
        match self {
            Self::X32 => X32_BIT | number,
            Self::X86_64 | Self::X86 => number,
        }
    }

    /// Whether arguments have 64 bits.
    pub(super) fn wide(self) -> bool {
        self == Self::X86_64
    }
}

const X32_FIRST: u32 = 512;

/// From [`X32_FIRST`] on.
#[rustfmt::skip]
const X32_OWN: [&str; 36] = [
    "rt_sigaction", "rt_sigreturn", "ioctl", "readv", "writev", "recvfrom", "sendmsg", "recvmsg",
    "execve", "ptrace", "rt_sigpending", "rt_sigtimedwait", "rt_sigqueueinfo", "sigaltstack",
    "timer_create", "mq_notify", "kexec_load", "waitid", "set_robust_list", "get_robust_list",
    "vmsplice", "move_pages", "preadv", "pwritev", "rt_tgsigqueueinfo", "recvmmsg", "sendmmsg",
    "process_vm_readv", "process_vm_writev", "setsockopt", "getsockopt", "io_setup", "io_submit",
    "execveat", "preadv2", "pwritev2",
];

/// A call of 32-bit x86 that has two ways in: its own number, and one of several calls behind one number, told apart
/// by the first argument. Libraries before Linux 4.3 know only the second.
pub(super) fn x86_behind(name: &str) -> Option<(&'static str, u64)> {
    let find = |table: &[(u64, &str)]| {
        table
            .iter()
            .find(|(_, call)| *call == name)
            .map(|(first, _)| *first)
    };
    find(&SOCKETCALL)
        .map(|first| ("socketcall", first))
        .or_else(|| find(&IPC).map(|first| ("ipc", first)))
}

/// Linux, `include/uapi/linux/net.h`.
#[rustfmt::skip]
const SOCKETCALL: [(u64, &str); 20] = [
    (1, "socket"), (2, "bind"), (3, "connect"), (4, "listen"), (5, "accept"), (6, "getsockname"),
    (7, "getpeername"), (8, "socketpair"), (9, "send"), (10, "recv"), (11, "sendto"), (12, "recvfrom"),
    (13, "shutdown"), (14, "setsockopt"), (15, "getsockopt"), (16, "sendmsg"), (17, "recvmsg"),
    (18, "accept4"), (19, "recvmmsg"), (20, "sendmmsg"),
];

/// Linux, `include/uapi/linux/ipc.h`.
#[rustfmt::skip]
const IPC: [(u64, &str); 12] = [
    (1, "semop"), (2, "semget"), (3, "semctl"), (4, "semtimedop"), (11, "msgsnd"), (12, "msgrcv"),
    (13, "msgget"), (14, "msgctl"), (21, "shmat"), (22, "shmdt"), (23, "shmget"), (24, "shmctl"),
];

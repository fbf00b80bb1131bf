//! Seccomp profiles, compiled to filters of system calls (seccomp(2), classic BPF) without a C library.
//!
//! ```text
//!   RuntimeDefault ──runtime_default──┐
//!                                     ├──> LinuxSeccomp ──compile──> Program ──> whoever installs it
//!   Localhost: a file ──parse─────────┘    (OCI runtime spec)
//! ```
//!
//! What a profile means is what people know from libseccomp under runc:
//!
//! - A name that this machine has no number for is passed over.
//! - A rule whose action is the default one is passed over.
//! - Of one system call, the first rule without arguments holds; without one, the rules with arguments are tried in
//!   their order, and then the default action is taken.
//! - Conditions of one rule must all hold; but where two of them are for the same argument, each is a rule of its own.
//! - A 32-bit ABI's arguments are compared by their low words.
//! - A call by an ABI that the profile does not name kills the thread.
//! - A call newer than all that the profile names fails with `ENOSYS`, where the default action is to refuse: libraries
//!   then fall back to an older one, which they do not after `EPERM`.
//!
//! This module knows nothing of files, processes, or how a filter is installed.
//!
//! ```
//! use orlop_runtime::planner::seccomp::{Kernel, compile, runtime_default};
//! use std::collections::HashSet;
//! let profile = runtime_default(&HashSet::new(), Kernel { major: 6, minor: 12 });
//! let program = compile(&profile)?;
//! assert!(program.instructions.len() < 512);
//! # Ok::<(), orlop_runtime::planner::seccomp::Error>(())
//! ```

mod assembler;
mod compile;
mod numbers;
mod runtime_default;
mod text;

#[cfg(test)]
mod tests;

pub use assembler::Instruction;
pub use compile::compile;
pub use runtime_default::runtime_default;
pub use text::parse;

use std::{num::ParseIntError, str::FromStr};
use thiserror::Error;

/// Instructions of one filter (the kernel's `BPF_MAXINSNS`).
pub const INSTRUCTIONS_MAX: usize = 4096;

/// Bytes of a profile's text. The one that is the default elsewhere has 17,000.
pub const TEXT_MAX: usize = 1 << 20;

/// A filter, as seccomp(2) takes it with `SECCOMP_SET_MODE_FILTER`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// One to [`INSTRUCTIONS_MAX`]. All jumps go forward, and each way ends in a return.
    pub instructions: Vec<Instruction>,
    /// `SECCOMP_FILTER_FLAG_LOG` and `SECCOMP_FILTER_FLAG_SPEC_ALLOW`, or 0. A kernel before 4.17 refuses the second.
    pub flags: u32,
}

impl Program {
    /// The array of `struct sock_filter` that the kernel takes, in this machine's byte order: eight bytes each.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.instructions
            .iter()
            .flat_map(|instruction| instruction.to_bytes())
            .collect()
    }
}

/// A kernel's version, by which profiles choose rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kernel {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
}

/// From a release as uname(2) gives it, `6.12.63-cloud`, or a profile, `4.8`.
impl FromStr for Kernel {
    type Err = ParseIntError;

    fn from_str(release: &str) -> Result<Self, ParseIntError> {
        let mut numbers = release.split(|byte: char| !byte.is_ascii_digit());
        let mut next = || numbers.next().unwrap_or_default().parse();
        Ok(Self {
            major: next()?,
            minor: next()?,
        })
    }
}

/// Why a profile cannot be used.
#[derive(Debug, Error)]
pub enum Error {
    /// Not what a profile looks like.
    #[error("seccomp profile is not readable")]
    Text(#[from] serde_json::Error),
    /// Longer than [`TEXT_MAX`].
    #[error("seccomp profile has {0} bytes, more than {TEXT_MAX}")]
    TextTooLong(usize),
    /// Two ways to say one thing.
    #[error("seccomp profile has both {0:?} and {1:?}")]
    Both(&'static str, &'static str),
    /// A version that is none.
    #[error("minKernel {0:?} of a seccomp profile is no version")]
    MinKernel(String),
    /// Asks a supervisor, and there is none.
    #[error("seccomp action SCMP_ACT_NOTIFY ({0}) is not supported")]
    Notify(String),
    /// System calls have six arguments.
    #[error("seccomp rule for {name} has argument {index}, above 5")]
    Argument {
        /// The system call.
        name: String,
        /// The argument's index.
        index: usize,
    },
    /// A value for a process or its tracer has 16 bits.
    #[error("errnoRet {value} ({name}) of a seccomp profile is above 65535")]
    Errno {
        /// The system call, or "default".
        name: String,
        /// What it shall see.
        value: u32,
    },
    /// Longer than [`INSTRUCTIONS_MAX`].
    #[error("seccomp profile makes {0} instructions, more than {INSTRUCTIONS_MAX}")]
    TooLong(usize),
}

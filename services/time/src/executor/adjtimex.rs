#![allow(unsafe_code)] // no crate in use has a safe call for adjtimex(2)
//! One call: adjtimex(2).

use std::io;

/// Hands `timex` to the kernel and gives back what it filled in. With `modes` 0 it only reads.
///
/// # Errors
/// The system's; EPERM without CAP_SYS_TIME.
pub(super) fn adjtimex(mut timex: libc::timex) -> io::Result<libc::timex> {
    // SAFETY: the pointer is to a whole, initialised structure that outlives the call.
    let result = unsafe { libc::adjtimex(&raw mut timex) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(timex)
    }
}

/// A structure that asks for nothing.
pub(super) fn empty() -> libc::timex {
    // SAFETY: the structure consists of integers only, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

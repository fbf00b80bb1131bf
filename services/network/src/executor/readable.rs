#![allow(unsafe_code)] // tokio asks for a promise that the descriptor stays open
//! Waiting for a descriptor to become readable, on descriptors that own themselves.

use std::{io, os::fd::OwnedFd};
use tokio::io::{Interest, unix::AsyncFd};

/// Registers a descriptor with the runtime for reading.
///
/// # Errors
/// The system's.
pub fn readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open for as long as it exists, its number never changes, and the AsyncFd owns
    // it from here on.
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    registered.map_err(io::Error::from)
}

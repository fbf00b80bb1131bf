//! Pipes and terminals, read and written without holding up a thread.
//!
//! A terminal is read and written as a pipe is: all that is asked of tokio's pipes is when they are ready.

use crate::planner::streams::protocol::Size;
use rustix::{
    fd::OwnedFd,
    io::Errno,
    termios::{Winsize, tcsetwinsize},
};
use std::io;
use tokio::net::unix::pipe;

/// What is read.
#[derive(Debug)]
pub(super) struct Reader(pipe::Receiver);

/// What is written.
#[derive(Debug)]
pub(super) struct Writer(pipe::Sender);

/// What has a size.
#[derive(Debug)]
pub(super) struct Terminal(OwnedFd);

impl Reader {
    pub(super) fn new(descriptor: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&descriptor, true)?;
        Ok(Self(pipe::Receiver::from_owned_fd_unchecked(descriptor)?))
    }

    /// 0: it has ended. A terminal whose other end is closed reads as an error.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> usize {
        loop {
            if self.0.readable().await.is_err() {
                return 0;
            }
            match self.0.try_read(buffer) {
                Ok(count) => return count,
                Err(error) if is_passing(&error) => {}
                Err(_) => return 0,
            }
        }
    }
}

impl Writer {
    pub(super) fn new(descriptor: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&descriptor, true)?;
        Ok(Self(pipe::Sender::from_owned_fd_unchecked(descriptor)?))
    }

    /// All of it. False: nobody reads any longer.
    pub(super) async fn write_all(&self, bytes: &[u8]) -> bool {
        let mut left = bytes;
        while !left.is_empty() {
            if self.0.writable().await.is_err() {
                return false;
            }
            match self.0.try_write(left) {
                Ok(count) => left = left.get(count..).unwrap_or_default(),
                Err(error) if is_passing(&error) => {}
                Err(_) => return false,
            }
        }
        true
    }
}

impl Terminal {
    pub(super) const fn new(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    pub(super) fn resize(&self, size: Size) {
        let size = Winsize {
            ws_row: size.height,
            ws_col: size.width,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        if let Err(error) = tcsetwinsize(&self.0, size) {
            tracing::debug!(%error, "a terminal takes no size");
        }
    }
}

/// One more of the same, which is closed on its own.
pub(super) fn another(descriptor: &OwnedFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(descriptor, 0)?)
}

fn is_passing(error: &io::Error) -> bool {
    let interrupted = error.raw_os_error() == Some(Errno::INTR.raw_os_error());
    error.kind() == io::ErrorKind::WouldBlock || interrupted
}

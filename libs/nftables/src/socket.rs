//! The connection to the kernel's netfilter.

use crate::{Batch, Error, batch::BATCH_MAX, encode::HEADER};
use rustix::{
    fd::OwnedFd,
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink, recv, sendto,
        socket_with, sockopt,
    },
};
use std::io;

/// An error's message without the one that it is about: header, code, header.
const ANSWER_BYTES: usize = 1024;
const NLMSG_ERROR: u16 = 2;

/// Of the network namespace in which it was opened.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// Opens one in the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn open() -> Result<Self, Error> {
        let opened = || {
            let socket = socket_with(
                AddressFamily::NETLINK,
                SocketType::RAW,
                SocketFlags::CLOEXEC,
                Some(netlink::NETFILTER),
            )?;
            bind(&socket, &netlink::SocketAddrNetlink::new(0, 0))?;
            Ok(socket)
        };
        opened()
            .map(Self)
            .map_err(|error: Errno| Error::Open(error.into()))
    }

    /// Carries out a transaction: all of it or nothing. One of nothing is done already.
    ///
    /// # Errors
    /// [`Error`], for the first operation that was refused.
    pub fn commit(&self, batch: &Batch) -> Result<(), Error> {
        let Some((bytes, last)) = batch.finished()? else {
            return Ok(());
        };
        self.send(&bytes)?;
        self.answers(last, |sequence| {
            let index = usize::try_from(sequence).ok()?.checked_sub(1)?;
            batch.operations.get(index).cloned()
        })
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        // A message must fit into the send buffer as a whole; the usual one ends at 208 KiB.
        let wanted = bytes.len().saturating_mul(2).min(BATCH_MAX * 2);
        let _ = sockopt::set_socket_send_buffer_size_force(&self.0, wanted);
        let kernel = netlink::SocketAddrNetlink::new(0, 0);
        let sent = sendto(&self.0, bytes, SendFlags::empty(), &kernel)
            .map_err(|error| Error::Send(error.into()))?;
        if sent != bytes.len() {
            return Err(Error::Send(io::ErrorKind::WriteZero.into()));
        }
        Ok(())
    }

    /// The kernel has worked it off before the send returned: all that it says is there. `named`: what a message is for.
    pub(crate) fn answers(
        &self,
        last: u32,
        named: impl Fn(u32) -> Option<String>,
    ) -> Result<(), Error> {
        let mut done = false;
        let mut refused = None;
        loop {
            let mut buffer = [0; ANSWER_BYTES];
            let count = match recv(&self.0, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((count, _)) => count,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => break,
                // More errors than the buffer has room for: that the first is known is enough.
                Err(Errno::NOBUFS) if refused.is_some() => continue,
                Err(error) => return Err(Error::Send(error.into())),
            };
            let Some((kind, sequence, code)) = buffer.get(..count).and_then(answer) else {
                continue;
            };
            if kind != NLMSG_ERROR {
                continue;
            }
            if code == 0 {
                done |= sequence == last;
            } else if refused.is_none() {
                refused = Some((sequence, code));
            }
        }
        match refused {
            Some((sequence, code)) => Err(Error::Refused {
                operation: named(sequence).unwrap_or_default(),
                source: io::Error::from_raw_os_error(code.saturating_neg()),
            }),
            None if done => Ok(()),
            None => Err(Error::Silent),
        }
    }
}

/// Kind, sequence number and code of an answer.
fn answer(bytes: &[u8]) -> Option<(u16, u32, i32)> {
    let word = |at: usize| -> Option<[u8; 4]> { bytes.get(at..at + 4)?.try_into().ok() };
    let [kind0, kind1, ..] = word(4)?;
    Some((
        u16::from_ne_bytes([kind0, kind1]),
        u32::from_ne_bytes(word(8)?),
        i32::from_ne_bytes(word(HEADER)?),
    ))
}

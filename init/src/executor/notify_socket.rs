//! The sd_notify(3) socket: datagrams with the sender's credentials and, for the descriptor store, file
//! descriptors.

use super::sys;
use crate::planner::notify::DATAGRAM_MAX;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fs;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::PermissionsExt;

/// Descriptors in one datagram; the kernel's own bound.
const DESCRIPTORS_MAX: usize = 253;
/// Datagrams taken in one turn of the loop.
pub(crate) const BATCH: usize = 64;

/// One datagram.
#[derive(Debug)]
pub(crate) struct Datagram {
    /// Sender, as the kernel vouches for it; 0 for one outside this PID namespace.
    pub(crate) pid: i32,
    /// Text; empty where it was longer than [`DATAGRAM_MAX`].
    pub(crate) bytes: Vec<u8>,
    /// Descriptors that came with it.
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// Binds the socket; everybody on the node may send, the credentials tell who did.
pub(crate) fn bind(path: &str) -> io::Result<OwnedFd> {
    let _ = fs::remove_file(path);
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    rustix::net::sockopt::set_socket_passcred(&socket, true)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    Ok(socket)
}

/// Takes the next datagram; None when there is none.
pub(crate) fn receive(socket: &OwnedFd) -> Option<Datagram> {
    let mut bytes = vec![0_u8; DATAGRAM_MAX];
    // Not rustix: it takes the pid 0 of a sender outside this PID namespace for no credentials at all.
    let mut space = nix::cmsg_space!([i32; DESCRIPTORS_MAX], libc::ucred);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let received =
        recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags).ok()?;
    let mut datagram = Datagram {
        pid: 0,
        bytes: Vec::new(),
        descriptors: Vec::new(),
    };
    for message in received.cmsgs().ok()? {
        match message {
            ControlMessageOwned::ScmRights(descriptors) => {
                datagram.descriptors.extend(sys::own_received(&descriptors));
            }
            ControlMessageOwned::ScmCredentials(credentials) => datagram.pid = credentials.pid(),
            _ => {}
        }
    }
    let whole = !received.flags.contains(MsgFlags::MSG_TRUNC);
    let length = received.bytes;
    if whole {
        bytes.truncate(length);
        datagram.bytes = bytes;
    }
    Some(datagram)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd;
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
    use std::mem::MaybeUninit;

    #[test]
    fn text_sender_and_descriptors_arrive() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify.sock");
        let path = path.to_str().unwrap();
        let socket = bind(path).unwrap();
        assert!(receive(&socket).is_none());
        let client = rustix::net::socket(AddressFamily::UNIX, SocketType::DGRAM, None).unwrap();
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        let descriptors = [reader.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        rustix::net::connect(&client, &SocketAddrUnix::new(path).unwrap()).unwrap();
        rustix::net::sendmsg(
            &client,
            &[std::io::IoSlice::new(b"FDSTORE=1\nFDNAME=x")],
            &mut control,
            SendFlags::empty(),
        )
        .unwrap();
        let datagram = receive(&socket).unwrap();
        assert_eq!(datagram.bytes, b"FDSTORE=1\nFDNAME=x");
        assert_eq!(datagram.descriptors.len(), 1);
        assert_eq!(u32::try_from(datagram.pid).unwrap(), std::process::id());
    }
}

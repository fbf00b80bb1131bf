//! The kernel's announcements of devices.

use crate::planner::uevents::{Uevent, parse};
use rustix::fd::OwnedFd;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use std::io;

/// Longest announcement: the kernel's own buffer is 2 KiB, the header comes on top.
const MESSAGE_MAX: usize = 8 * 1024;
/// Receive buffer, as a coldplug burst of a large machine needs.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// Multicast group of the kernel (2 would be udev's).
const KERNEL_GROUP: u32 = 1;
/// Announcements taken in one turn of the loop.
pub(crate) const BATCH: usize = 64;

/// Opens the socket.
pub(crate) fn open() -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(KOBJECT_UEVENT),
    )?;
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER);
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
    Ok(socket)
}

/// Takes the next announcement; None when there is none.
pub(crate) fn receive(socket: &OwnedFd) -> Option<Uevent> {
    let mut buffer = vec![0_u8; MESSAGE_MAX];
    match rustix::net::recvfrom(socket, &mut buffer[..], RecvFlags::empty()) {
        Ok((length, _, sender)) => {
            let kernel = sender
                .and_then(|address| SocketAddrNetlink::try_from(address).ok())
                .is_some_and(|address| address.pid() == 0);
            Some(if kernel {
                parse(buffer.get(..length).unwrap_or(&buffer))
            } else {
                Uevent::Other
            })
        }
        Err(rustix::io::Errno::NOBUFS) => Some(Uevent::Lost),
        Err(_) => None,
    }
}

//! Tells that the kernel's links, addresses or routes changed.
//!
//! What changed is not looked at: the service looks at everything anyway. So nothing needs to be
//! decoded, an overflow of the socket's buffer is no loss but one more reason to look, and the only
//! queue is the kernel's own bounded one.

use super::readable::readable;
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};
use tokio::io::unix::AsyncFd;

/// RTNLGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE, _IPV6_IFINFO
/// (linux/rtnetlink.h).
const GROUPS: [u32; 6] = [1, 5, 7, 9, 11, 12];
/// Messages taken off the socket at once; more are left for the next call.
const DRAIN_MAX: usize = 4096;

/// The socket.
#[derive(Debug)]
pub struct Monitor {
    socket: AsyncFd<OwnedFd>,
}

impl Monitor {
    /// Begins to listen.
    ///
    /// # Errors
    /// The system's.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        Ok(Self {
            socket: readable(socket.as_fd().try_clone_to_owned()?)?,
        })
    }

    /// Waits until something changed since the last call.
    ///
    /// # Errors
    /// Where the socket no longer works.
    pub async fn changed(&self) -> io::Result<()> {
        let mut guard = self.socket.readable().await?;
        for _ in 0..DRAIN_MAX {
            // A message that does not fit the buffer is cut off, which is fine: nobody reads it.
            let mut ignored = [0_u8; 16];
            match rustix::io::read(guard.get_inner(), &mut ignored) {
                Ok(_) | Err(rustix::io::Errno::NOBUFS | rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    guard.clear_ready();
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

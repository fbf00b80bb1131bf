#![allow(unsafe_code)] // a packet socket's address (sockaddr_ll) has no safe constructor
//! A packet socket for one link that sees DHCP answers only and sends to the broadcast address.
//!
//! It works on a link without any address. The one unsafe block fills the `sockaddr_ll`.

use super::readable::readable;
use crate::planner::model::LinkIndex;
use socket2::{Domain, Protocol, SockAddr, SockFilter, SockRef, Socket, Type};
use std::{io, os::fd::OwnedFd};
use tokio::io::unix::AsyncFd;

/// ETH_P_IP, IPv4 (linux/if_ether.h).
const ETHERTYPE_IPV4: u16 = 0x0800;
/// Largest packet that is read; a longer one is cut off, and then ignored.
const PACKET_MAX: usize = 2048;

/// Classic BPF over the IPv4 packet: unfragmented UDP to port 68 passes. Everything else never leaves
/// the kernel. Codes are those of linux/bpf_common.h.
const FILTER: [SockFilter; 9] = [
    SockFilter::new(0x30, 0, 0, 9),      // A = protocol
    SockFilter::new(0x15, 0, 6, 17),     // not UDP: drop
    SockFilter::new(0x28, 0, 0, 6),      // A = flags and fragment offset
    SockFilter::new(0x45, 4, 0, 0x3fff), // a fragment: drop
    SockFilter::new(0xb1, 0, 0, 0),      // X = length of the IPv4 header
    SockFilter::new(0x48, 0, 0, 2),      // A = destination port
    SockFilter::new(0x15, 0, 1, 68),     // not the client's: drop
    SockFilter::new(0x06, 0, 0, 0xffff), // take it whole
    SockFilter::new(0x06, 0, 0, 0),      // drop
];

/// The socket.
#[derive(Debug)]
pub struct PacketSocket {
    socket: AsyncFd<OwnedFd>,
    broadcast: SockAddr,
}

impl PacketSocket {
    /// Opens a socket on a link. Needs CAP_NET_RAW.
    ///
    /// # Errors
    /// The system's.
    pub fn open(link: LinkIndex) -> io::Result<Self> {
        // Protocol 0 receives nothing, so that no packet comes in before the filter is in place.
        let socket = Socket::new(
            Domain::PACKET,
            Type::DGRAM.nonblocking().cloexec(),
            Some(Protocol::from(0)),
        )?;
        socket.attach_filter(&FILTER)?;
        socket.bind(&address(link)?)?;
        // On a link that is down this leaves ENETDOWN for the next call, packet(7), which may come when it is up.
        let _ = socket.take_error()?;
        let socket = readable(socket.into())?;
        Ok(Self {
            socket,
            broadcast: address(link)?,
        })
    }

    /// Waits for a packet, from its IPv4 header on.
    ///
    /// # Errors
    /// The system's; ENETDOWN when the link goes down, after which the socket works on.
    pub async fn receive(&self) -> io::Result<Vec<u8>> {
        let mut buffer = [0_u8; PACKET_MAX];
        loop {
            let mut guard = self.socket.readable().await?;
            let read = |socket: &AsyncFd<OwnedFd>| Ok(rustix::io::read(socket, &mut buffer)?);
            let Ok(result) = guard.try_io(read) else {
                continue;
            };
            let length = result?;
            return Ok(buffer[..length.min(PACKET_MAX)].to_vec());
        }
    }

    /// Sends an IPv4 packet to every host on the link. A full send queue is an error like any other:
    /// DHCP sends again.
    ///
    /// # Errors
    /// The system's.
    pub fn broadcast(&self, packet: &[u8]) -> io::Result<()> {
        let socket = SockRef::from(self.socket.get_ref());
        match socket.send_to(packet, &self.broadcast) {
            // May tell of an earlier time, and is said once.
            Err(error) if error.kind() == io::ErrorKind::NetworkDown => {
                socket.send_to(packet, &self.broadcast).map(drop)
            }
            result => result.map(drop),
        }
    }
}

/// IPv4 on a link, at the Ethernet broadcast address.
fn address(link: LinkIndex) -> io::Result<SockAddr> {
    let index = i32::try_from(link).map_err(io::Error::other)?;
    let family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    let length =
        libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).map_err(io::Error::other)?;
    let ethernet = libc::sockaddr_ll {
        sll_family: family,
        sll_protocol: ETHERTYPE_IPV4.to_be(),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0],
    };
    // SAFETY: the storage is larger than a sockaddr_ll and at least as aligned, and `length` covers
    // exactly the part that is written.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, storage_length| {
            storage.cast::<libc::sockaddr_ll>().write(ethernet);
            *storage_length = length;
            Ok(())
        })
    }?;
    Ok(address)
}

//! The node's own addresses, over netlink, and word of their changes.

use rtnetlink::{
    Handle, MulticastGroup,
    packet_route::address::{AddressAttribute, AddressMessage},
};
use std::{io, net::IpAddr};
use tokio::sync::watch;
use tokio_stream::StreamExt as _;

/// Addresses looked at: a node with more has pods, whose addresses are not the API's.
pub const ADDRESSES_MAX: usize = 256;

/// A connection for questions, and a counter that grows when links, addresses or routes change.
///
/// # Errors
/// Where netlink sockets cannot be had.
pub fn open() -> io::Result<(Handle, watch::Receiver<u64>)> {
    let (questions, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(questions);
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
    ];
    let (monitor, _, mut messages) = rtnetlink::new_multicast_connection(&groups)?;
    tokio::spawn(monitor);
    let (changed, changes) = watch::channel(0);
    tokio::spawn(async move {
        while messages.next().await.is_some() {
            changed.send_modify(|count: &mut u64| *count += 1);
        }
    });
    Ok((handle, changes))
}

/// Addresses that others may reach the node by, loopback and link-local ones left out; at most
/// [`ADDRESSES_MAX`], in order.
///
/// # Errors
/// What netlink says.
pub async fn read(netlink: &Handle) -> Result<Vec<IpAddr>, rtnetlink::Error> {
    let mut found = Vec::new();
    let mut messages = netlink.address().get().execute();
    while let Some(message) = messages.next().await {
        found.extend(address_of(&message?).filter(|address| is_reachable(*address)));
    }
    found.sort_unstable();
    found.dedup();
    found.truncate(ADDRESSES_MAX);
    Ok(found)
}

/// The node's own address in a message; on point-to-point links `Address` is the other end.
#[must_use]
pub fn address_of(message: &AddressMessage) -> Option<IpAddr> {
    let local = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Local(address) => Some(*address),
            _ => None,
        });
    let other = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        });
    local.or(other)
}

fn is_reachable(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !address.is_loopback() && !link_local
}

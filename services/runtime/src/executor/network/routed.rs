//! The routed network: a veth for each pod, and nothing shared between pods but the node's routes.
//!
//! ```text
//!   pod's namespace                                   the node's
//!   eth0  10.1.0.7/32, fd00::7/128   ─────veth─────   orl0123456789ab  ee:ee:ee:ee:ee:ee
//!   169.254.1.1 dev eth0                              10.1.0.7 dev orl0123456789ab proto 112
//!   default via 169.254.1.1                           fd00::7  dev orl0123456789ab proto 112
//!   default via fe80::1
//!   neighbours of both ends are permanent: nobody asks, nobody answers for others, and no address is waited for
//! ```
//!
//! Names come from the sandbox's ID, and all but the link goes with the link: to take a half-made one away is to remove the link.

use super::{
    Ask, NetworkError,
    netlink::{Netlink, NetlinkError, asked},
    sysctl,
};
use crate::planner::network::{cni_attachment::LINK, ruleset::LINK_PREFIX};
use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        AddressFamily,
        address::{AddressAttribute, AddressFlags, AddressHeaderFlags},
        link::{InfoData, InfoVeth, LinkAttribute, LinkMessage},
        route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope},
    },
};
use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsRawFd as _,
    pin::pin,
};
use tokio_stream::StreamExt as _;

/// Our routes (`ip route show proto 112`). The service `network` has 111, and removes what is its own and not wanted.
const PROTOCOL: u8 = 0x70;
/// Nobody's: the pod sends to it what is not for itself, and only its hardware address matters.
const GATEWAY4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The same for IPv6.
const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// Of all of the node's ends: each is alone with its pod.
const NODE_HARDWARE: [u8; 6] = [0xee; 6];
/// Of the pods' ends.
const POD_HARDWARE: [u8; 6] = [0x0a, 0x6f, 0x72, 0x6c, 0x00, 0x01];
/// Where the node has no way out: Ethernet's.
const MTU: u32 = 1500;

/// Gives a pod its link. `publishes`: it has ports of the node.
pub(super) async fn attach(
    ask: &Ask,
    addresses: &[IpAddr],
    publishes: bool,
) -> Result<(), NetworkError> {
    let name = link_name(&ask.sandbox);
    let node = Netlink::here()?;
    let pod = Netlink::within(&ask.namespace).await?;
    let namespace = File::open(&ask.namespace).map_err(NetworkError::at(format!(
        "open {}",
        ask.namespace.display()
    )))?;
    let mtu = mtu(&node.handle).await?;
    let peer = LinkMessageBuilder::<LinkUnspec>::new()
        .name(LINK)
        .address(POD_HARDWARE.to_vec())
        .mtu(mtu)
        .setns_by_fd(namespace.as_raw_fd())
        .build();
    let pair = LinkVeth::new(&name, LINK)
        .address(NODE_HARDWARE.to_vec())
        .mtu(mtu)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build();
    let made = node.handle.link().add(pair).execute();
    asked(format!("make the link {name} of a pod"), made).await?;
    sysctl::of_link(&name, addresses.iter().any(IpAddr::is_ipv6), publishes)?;

    let own = index(&pod.handle, LINK).await?;
    up(&pod.handle, own, LINK).await?;
    for address in addresses {
        own_address(&pod.handle, own, *address).await?;
    }
    let link = index(&node.handle, &name).await?;
    up(&node.handle, link, &name).await?;
    for address in addresses {
        let what = format!("route {address} by {name}");
        let neighbour = node.handle.neighbours().add(link, *address);
        let neighbour = neighbour.link_layer_address(&POD_HARDWARE).replace();
        asked(&*what, neighbour.execute()).await?;
        let route = to(*address).oif(link);
        asked(what, node.handle.route().add(route).replace().execute()).await?;
    }
    // Last: with it the pod may speak.
    for address in addresses {
        way_out(&pod.handle, own, address.is_ipv4()).await?;
    }
    Ok(())
}

/// Removes a pod's link, and with it all that it had.
pub(super) async fn detach(sandbox: &str) -> Result<(), NetlinkError> {
    let name = link_name(sandbox);
    let node = Netlink::here()?;
    let removed = async {
        let link = index(&node.handle, &name).await?;
        let what = format!("remove the link {name} of a pod");
        asked(what, node.handle.link().del(link).execute()).await
    };
    match removed.await {
        Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
        done => done,
    }
}

/// 15 letters are all that a name has; 48 bits of the ID tell 512 sandboxes apart.
fn link_name(sandbox: &str) -> String {
    let own: String = sandbox.chars().take(12).collect();
    format!("{LINK_PREFIX}{own}")
}

async fn up(handle: &Handle, link: u32, name: &str) -> Result<(), NetlinkError> {
    let message = LinkUnspec::new_with_index(link).up().build();
    asked(
        format!("turn on {name}"),
        handle.link().set(message).execute(),
    )
    .await
}

async fn own_address(handle: &Handle, link: u32, address: IpAddr) -> Result<(), NetlinkError> {
    let prefix = if address.is_ipv4() { 32 } else { 128 };
    let mut add = handle.address().add(link, address, prefix);
    if address.is_ipv6() {
        // It is the only one on its link: there is nobody to ask, and no second to lose.
        let message = add.message_mut();
        message.header.flags |= AddressHeaderFlags::Nodad;
        let flags = AddressAttribute::Flags(AddressFlags::Nodad);
        message.attributes.push(flags);
    }
    asked(format!("add the pod's address {address}"), add.execute()).await
}

async fn way_out(handle: &Handle, link: u32, ipv4: bool) -> Result<(), NetlinkError> {
    let gateway = if ipv4 {
        IpAddr::V4(GATEWAY4)
    } else {
        IpAddr::V6(GATEWAY6)
    };
    let what = format!("add the pod's route by {gateway}");
    let neighbour = handle.neighbours().add(link, gateway);
    let neighbour = neighbour.link_layer_address(&NODE_HARDWARE);
    asked(&*what, neighbour.execute()).await?;
    if ipv4 {
        let on_link = to(gateway).oif(link);
        asked(&*what, handle.route().add(on_link).execute()).await?;
        let default = RouteMessageBuilder::<Ipv4Addr>::new()
            .gateway(GATEWAY4)
            .output_interface(link)
            .protocol(RouteProtocol::from(PROTOCOL))
            .build();
        asked(what, handle.route().add(default).execute()).await
    } else {
        let default = RouteMessageBuilder::<Ipv6Addr>::new()
            .gateway(GATEWAY6)
            .output_interface(link)
            .protocol(RouteProtocol::from(PROTOCOL))
            .build();
        asked(what, handle.route().add(default).execute()).await
    }
}

/// A route to one address by a link.
fn to(address: IpAddr) -> OneAddress {
    OneAddress(address)
}

struct OneAddress(IpAddr);

impl OneAddress {
    fn oif(self, link: u32) -> RouteMessage {
        let protocol = RouteProtocol::from(PROTOCOL);
        match self.0 {
            IpAddr::V4(v4) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(v4, 32)
                .output_interface(link)
                .scope(RouteScope::Link)
                .protocol(protocol)
                .build(),
            IpAddr::V6(v6) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(v6, 128)
                .output_interface(link)
                .protocol(protocol)
                .build(),
        }
    }
}

async fn index(handle: &Handle, name: &str) -> Result<u32, NetlinkError> {
    let links = handle.link().get().match_name(name).execute();
    let found = async { pin!(links).next().await.transpose() };
    let found = asked(format!("find the link {name}"), found).await?;
    found
        .map(|link| link.header.index)
        .ok_or_else(|| NetlinkError::Refused {
            what: format!("find the link {name}"),
            source: std::io::Error::from_raw_os_error(libc::ENODEV),
        })
}

/// The smallest MTU of the links by which the node reaches others: what fits there needs no fragments.
async fn mtu(handle: &Handle) -> Result<u32, NetlinkError> {
    let mut ways = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut filter = RouteMessage::default();
        filter.header.address_family = family;
        let routes = handle.route().get(filter).execute();
        let found = async {
            let mut routes = pin!(routes);
            let mut found = Vec::new();
            while let Some(route) = routes.next().await {
                found.extend(way_of_default(&route?));
            }
            Ok(found)
        };
        ways.extend(asked("list the node's routes", found).await?);
    }
    let links = handle.link().get().execute();
    let found = async {
        let mut links = pin!(links);
        let mut smallest = None;
        while let Some(link) = links.next().await {
            let link = link?;
            if ways.contains(&link.header.index) {
                let mtu = mtu_of(&link);
                smallest = smallest.into_iter().chain(mtu).min();
            }
        }
        Ok(smallest)
    };
    let smallest = asked("list the node's links", found).await?;
    Ok(smallest.unwrap_or(MTU))
}

fn mtu_of(link: &LinkMessage) -> Option<u32> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(*mtu),
            _ => None,
        })
}

/// The link of a default route of the main table.
fn way_of_default(route: &RouteMessage) -> Option<u32> {
    let header = &route.header;
    if header.destination_prefix_length != 0 || header.table != RouteHeader::RT_TABLE_MAIN {
        return None;
    }
    route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Oif(link) => Some(*link),
            _ => None,
        })
}

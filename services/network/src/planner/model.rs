//! What the kernel has, as far as this service looks, and the operations that change it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Protocol number (rtnetlink's `rtm_protocol` and `IFA_PROTO`) that marks what this service made.
/// Above the numbers that iproute2's `rt_protos` gives to routing daemons (up to 0x6c at this time,
/// then 186 and up) and below those that tools take from the top.
pub const PROTOCOL: u8 = 0x6f;

/// Index of a link, as the kernel counts them.
pub type LinkIndex = u32;

/// A network link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Name, such as `eth0`.
    pub name: String,
    /// Kind of a virtual link (`veth`, `bridge`); empty for hardware.
    pub kind: String,
    /// Whether it speaks Ethernet (ARPHRD_ETHER).
    pub ethernet: bool,
    /// Whether it is the loopback link.
    pub loopback: bool,
    /// Current hardware address; empty where the link has none.
    pub address: Vec<u8>,
    /// Permanent hardware address as colon-separated lower-case hex; the current one where the
    /// driver knows none.
    pub permanent_address: String,
    /// Kernel driver; empty where unknown.
    pub driver: String,
    /// Place on the bus; empty where unknown.
    pub bus_path: String,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether it has a carrier and nobody (IEEE 802.1X) must let it in first.
    pub carrier: bool,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// The most that the driver takes for it; 0 where unknown.
    pub mtu_max: u32,
    /// `accept_ra` and `autoconf` of IPv6; `None` where the kernel has no IPv6 on the link.
    pub router_advertisements: Option<RouterAdvertisements>,
}

/// How the kernel treats IPv6 router advertisements on a link (`/proc/sys/net/ipv6/conf/<link>/`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouterAdvertisements {
    /// `accept_ra` 0 and `autoconf` 0.
    Ignored,
    /// `accept_ra` 2 (also while the node forwards packets, as Kubernetes wants it) and `autoconf` 1.
    Accepted,
    /// Any other combination.
    Other,
}

/// An address on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The link.
    pub link: LinkIndex,
    /// The address.
    pub address: IpAddr,
    /// Length of the on-link prefix in bits.
    pub prefix: u8,
}

/// A unicast route in the main table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// Network that is reached, with zero host bits.
    pub destination: IpAddr,
    /// Prefix length of the destination.
    pub prefix: u8,
    /// The lower one wins. Together with the destination it names the route in the kernel's table.
    pub metric: u32,
    /// Link that packets leave by.
    pub link: LinkIndex,
    /// Next hop; none: the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// Preferred source address.
    pub source: Option<IpAddr>,
}

impl Route {
    /// What the kernel's table is keyed by: two routes of one key displace each other.
    #[must_use]
    pub fn key(&self) -> (IpAddr, u8, u32) {
        (self.destination, self.prefix, self.metric)
    }
}

/// What the kernel has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kernel {
    /// All links.
    pub links: BTreeMap<LinkIndex, Link>,
    /// Addresses, and whether they carry [`PROTOCOL`].
    pub addresses: BTreeMap<Address, bool>,
    /// Unicast routes of the main table that carry [`PROTOCOL`]. Others are nobody's business here.
    pub routes: BTreeSet<Route>,
    /// Host name.
    pub hostname: String,
    /// Files that this service wrote: name to content; absent ones are missing.
    pub files: BTreeMap<&'static str, String>,
}

/// One change. Each is idempotent and leaves no choice to the executor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Sets how IPv6 router advertisements are treated. Comes before the link goes up.
    RouterAdvertisements {
        /// The link.
        link: LinkIndex,
        /// Its name, by which `/proc/sys` knows it.
        name: String,
        /// Accept and configure addresses by them, or ignore them.
        accept: bool,
    },
    /// Sets the largest packet.
    Mtu {
        /// The link.
        link: LinkIndex,
        /// Bytes.
        mtu: u32,
    },
    /// Brings a link up or down.
    Up {
        /// The link.
        link: LinkIndex,
        /// Up or down.
        up: bool,
    },
    /// Removes a route of ours.
    RemoveRoute(Route),
    /// Removes an address of ours.
    RemoveAddress(Address),
    /// Adds an address, or keeps it.
    AddAddress(Address),
    /// Adds a route or replaces the one of the same key.
    SetRoute {
        /// The route.
        route: Route,
        /// The gateway counts as reachable on the link whatever the addresses say.
        on_link: bool,
    },
    /// Sets the host name.
    Hostname(String),
    /// Writes a file of the runtime directory atomically.
    File {
        /// Its name.
        name: &'static str,
        /// Its content.
        content: String,
    },
}

impl Operation {
    /// The kind of operation, as metrics label it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RouterAdvertisements { .. } => "router_advertisements",
            Self::Mtu { .. } => "mtu",
            Self::Up { .. } => "link_state",
            Self::RemoveRoute(_) => "remove_route",
            Self::RemoveAddress(_) => "remove_address",
            Self::AddAddress(_) => "add_address",
            Self::SetRoute { .. } => "set_route",
            Self::Hostname(_) => "hostname",
            Self::File { .. } => "file",
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} on link {}", self.address, self.prefix, self.link)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{} metric {}",
            self.destination, self.prefix, self.metric
        )?;
        if let Some(gateway) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        write!(f, " on link {}", self.link)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RouterAdvertisements { name, accept, .. } => {
                let verb = if *accept { "accept" } else { "ignore" };
                write!(f, "{verb} router advertisements on {name}")
            }
            Self::Mtu { link, mtu } => write!(f, "set MTU {mtu} on link {link}"),
            Self::Up { link, up } => {
                write!(f, "set link {link} {}", if *up { "up" } else { "down" })
            }
            Self::RemoveRoute(route) => write!(f, "remove route {route}"),
            Self::RemoveAddress(address) => write!(f, "remove address {address}"),
            Self::AddAddress(address) => write!(f, "add address {address}"),
            Self::SetRoute { route, .. } => write!(f, "set route {route}"),
            Self::Hostname(name) => write!(f, "set host name {name}"),
            Self::File { name, .. } => write!(f, "write {name}"),
        }
    }
}

/// `address` with all bits behind the prefix zeroed.
#[must_use]
pub fn network(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX
                .checked_shl(32_u32.saturating_sub(prefix.into()))
                .unwrap_or(0);
            Ipv4Addr::from(u32::from(address) & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX
                .checked_shl(128_u32.saturating_sub(prefix.into()))
                .unwrap_or(0);
            Ipv6Addr::from(u128::from(address) & mask).into()
        }
    }
}

/// Whether `address` lies in the network of `of`/`prefix`.
#[must_use]
pub fn contains(of: IpAddr, prefix: u8, address: IpAddr) -> bool {
    of.is_ipv4() == address.is_ipv4() && network(of, prefix) == network(address, prefix)
}

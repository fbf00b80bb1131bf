//! Links, addresses and routes over rtnetlink: the kernel's state read, operations carried out.

use super::files;
use crate::planner::model::{Address, Kernel, Link, LinkIndex, Operation, PROTOCOL, Route};
use rtnetlink::{
    AddressMessageBuilder, Handle, LinkUnspec, RouteMessageBuilder,
    packet_route::{
        AddressFamily,
        address::{AddressAttribute, AddressMessage, AddressProtocol},
        link::{LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage},
        route::{
            RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
            RouteType, RouteVia,
        },
    },
};
use std::{
    fmt::Write as _,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    pin::pin,
    time::Duration,
};
use tokio_stream::{Stream, StreamExt as _};

/// Longest wait for the kernel's answer to one request. It answers at once; only a broken connection
/// takes longer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the kernel could not be asked or told.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No connection.
    #[error("open a netlink socket")]
    Open(#[source] io::Error),
    /// The kernel refused.
    #[error("{what}")]
    Refused {
        /// What was asked.
        what: String,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
    /// The connection broke or spoke nonsense.
    #[error("{what}")]
    Broken {
        /// What was asked.
        what: String,
        /// What went wrong.
        #[source]
        source: rtnetlink::Error,
    },
    /// No answer within [`ANSWER_TIMEOUT`].
    #[error("{what}: no answer from the kernel within {ANSWER_TIMEOUT:?}")]
    Timeout {
        /// What was asked.
        what: String,
    },
}

/// A connection to the kernel.
#[derive(Debug, Clone)]
pub struct Netlink {
    handle: Handle,
}

impl Netlink {
    /// Connects. The connection's task ends with the runtime.
    ///
    /// # Errors
    /// [`NetlinkError::Open`].
    pub fn open() -> Result<Self, NetlinkError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(NetlinkError::Open)?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Reads links, addresses and our routes into `kernel`.
    ///
    /// # Errors
    /// [`NetlinkError`].
    pub async fn observe(&self, kernel: &mut Kernel) -> Result<(), NetlinkError> {
        let links = collect("list links", self.handle.link().get().execute()).await?;
        kernel.links = links
            .iter()
            .map(|message| (message.header.index, link(message)))
            .collect();
        let addresses = collect("list addresses", self.handle.address().get().execute()).await?;
        kernel.addresses = addresses.iter().filter_map(address).collect();
        kernel.routes.clear();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut filter = RouteMessage::default();
            filter.header.address_family = family;
            let routes = collect("list routes", self.handle.route().get(filter).execute()).await?;
            kernel.routes.extend(routes.iter().filter_map(route));
        }
        Ok(())
    }

    /// Carries out an operation on a link, an address or a route.
    ///
    /// # Errors
    /// [`NetlinkError`] with the operation as its text. What is already as wanted is no error.
    pub async fn apply(&self, operation: &Operation) -> Result<(), NetlinkError> {
        let work = async {
            match operation {
                Operation::Mtu { link, mtu } => {
                    let message = LinkUnspec::new_with_index(*link).mtu(*mtu).build();
                    self.handle.link().set(message).execute().await
                }
                Operation::Up { link, up } => {
                    let builder = LinkUnspec::new_with_index(*link);
                    let message = if *up { builder.up() } else { builder.down() }.build();
                    self.handle.link().set(message).execute().await
                }
                Operation::AddAddress(address) => self.add_address(address).await,
                Operation::RemoveAddress(address) => {
                    self.handle
                        .address()
                        .del(address_message(address))
                        .execute()
                        .await
                }
                Operation::SetRoute { route, on_link } => {
                    let message = route_message(route, *on_link);
                    self.handle.route().add(message).replace().execute().await
                }
                Operation::RemoveRoute(route) => {
                    self.handle
                        .route()
                        .del(route_message(route, false))
                        .execute()
                        .await
                }
                Operation::RouterAdvertisements { .. }
                | Operation::Hostname(_)
                | Operation::File { .. } => Ok(()),
            }
        };
        let what = || operation.to_string();
        match tokio::time::timeout(ANSWER_TIMEOUT, work).await {
            Err(_) => Err(NetlinkError::Timeout { what: what() }),
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if is_done(operation, &error) => Ok(()),
            Ok(Err(error)) => Err(refused(what(), error)),
        }
    }

    async fn add_address(&self, address: &Address) -> Result<(), rtnetlink::Error> {
        let mut request = self
            .handle
            .address()
            .add(address.link, address.address, address.prefix);
        let message = request.message_mut();
        *message = address_message(address);
        message
            .attributes
            .push(AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)));
        request.replace().execute().await
    }
}

async fn collect<T>(
    what: &str,
    answers: impl Stream<Item = Result<T, rtnetlink::Error>>,
) -> Result<Vec<T>, NetlinkError> {
    let mut answers = pin!(answers);
    let mut all = Vec::new();
    let work = async {
        while let Some(answer) = answers.next().await {
            all.push(answer?);
        }
        Ok(())
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, work).await {
        Err(_) => Err(NetlinkError::Timeout { what: what.into() }),
        Ok(Err(error)) => Err(refused(what.into(), error)),
        Ok(Ok(())) => Ok(all),
    }
}

fn refused(what: String, error: rtnetlink::Error) -> NetlinkError {
    match errno(&error) {
        Some(code) => NetlinkError::Refused {
            what,
            source: io::Error::from_raw_os_error(code),
        },
        None => NetlinkError::Broken {
            what,
            source: error,
        },
    }
}

fn errno(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => Some(message.raw_code().saturating_neg()),
        _ => None,
    }
}

/// Removing what is gone is done: the kernel takes routes away together with addresses.
fn is_done(operation: &Operation, error: &rtnetlink::Error) -> bool {
    matches!(
        operation,
        Operation::RemoveAddress(_) | Operation::RemoveRoute(_)
    ) && matches!(
        errno(error),
        Some(libc::EADDRNOTAVAIL | libc::ESRCH | libc::ENODEV | libc::ENOENT)
    )
}

fn link(message: &LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        ethernet: message.header.link_layer_type == LinkLayerType::Ether,
        loopback: flags.contains(LinkFlags::Loopback),
        up: flags.contains(LinkFlags::Up),
        // Not Running: the kernel says that up to a second later, when its link watch comes by.
        carrier: flags.contains(LinkFlags::LowerUp) && !flags.contains(LinkFlags::Dormant),
        ..Link::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(address) => link.address.clone_from(address),
            LinkAttribute::PermAddress(address) => link.permanent_address = hex(address),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::MaxMtu(mtu) => link.mtu_max = *mtu,
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Kind(kind) = info {
                        link.kind = kind.to_string();
                    }
                }
            }
            _ => {}
        }
    }
    if link.permanent_address.is_empty() {
        link.permanent_address = hex(&link.address);
    }
    files::describe(&mut link);
    link
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        let separator = if at == 0 { "" } else { ":" };
        write!(text, "{separator}{byte:02x}").expect("a String takes everything");
    }
    text
}

fn address(message: &AddressMessage) -> Option<(Address, bool)> {
    let mut local = None;
    let mut peer = None;
    let mut ours = false;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => peer = Some(*address),
            AddressAttribute::Protocol(protocol) => ours = u8::from(*protocol) == PROTOCOL,
            _ => {}
        }
    }
    // IPv4 has both, and on point-to-point links they differ; IPv6 has the second alone.
    let address = local.or(peer)?;
    Some((
        Address {
            link: message.header.index,
            address,
            prefix: message.header.prefix_len,
        },
        ours,
    ))
}

/// Our unicast routes of the main table; others are none.
fn route(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    let table = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        });
    let ours = u8::from(header.protocol) == PROTOCOL
        && header.kind == RouteType::Unicast
        && table.unwrap_or(header.table.into()) == u32::from(RouteHeader::RT_TABLE_MAIN);
    if !ours {
        return None;
    }
    let any = match header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let mut route = Route {
        destination: any,
        prefix: header.destination_prefix_length,
        metric: 0,
        link: LinkIndex::default(),
        gateway: None,
        source: None,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => route.destination = ip(address)?,
            RouteAttribute::Gateway(address) => route.gateway = Some(ip(address)?),
            RouteAttribute::Via(RouteVia::Inet6(address)) => {
                route.gateway = Some((*address).into())
            }
            RouteAttribute::PrefSource(address) => route.source = Some(ip(address)?),
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::Oif(link) => route.link = *link,
            _ => {}
        }
    }
    Some(route)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

fn address_message(address: &Address) -> AddressMessage {
    match address.address {
        IpAddr::V4(ip) => AddressMessageBuilder::<Ipv4Addr>::new()
            .index(address.link)
            .address(ip, address.prefix)
            .build(),
        IpAddr::V6(ip) => AddressMessageBuilder::<Ipv6Addr>::new()
            .index(address.link)
            .address(ip, address.prefix)
            .build(),
    }
}

fn route_message(route: &Route, on_link: bool) -> RouteMessage {
    let protocol = RouteProtocol::from(PROTOCOL);
    // IPv4 wants to be told that a route without a gateway ends on the link.
    let scope = if route.gateway.is_none() && route.destination.is_ipv4() {
        RouteScope::Link
    } else {
        RouteScope::Universe
    };
    let mut builder = RouteMessageBuilder::<IpAddr>::new()
        .output_interface(route.link)
        .priority(route.metric)
        .protocol(protocol)
        .scope(scope)
        .table_id(RouteHeader::RT_TABLE_MAIN.into());
    if on_link {
        builder = builder.onlink();
    }
    let message = builder.get_mut();
    message.header.address_family = if route.destination.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    message.header.destination_prefix_length = route.prefix;
    if route.prefix > 0 {
        message
            .attributes
            .push(RouteAttribute::Destination(route.destination.into()));
    }
    if let Some(source) = route.source {
        message
            .attributes
            .push(RouteAttribute::PrefSource(source.into()));
    }
    match (route.destination, route.gateway) {
        (IpAddr::V4(_), Some(IpAddr::V6(gateway))) => {
            message
                .attributes
                .push(RouteAttribute::Via(RouteVia::Inet6(gateway)));
        }
        (_, Some(gateway)) => message
            .attributes
            .push(RouteAttribute::Gateway(gateway.into())),
        (_, None) => {}
    }
    builder.build()
}

//! Links, addresses and routes, over netlink.

use super::{ReadError, Reading, Sources, fields};
use crate::{executor::addresses::address_of, planner::resources::Snapshot};
use rtnetlink::{
    RouteMessageBuilder,
    packet_route::{
        address::{AddressAttribute, AddressFlags, AddressMessage},
        link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State},
        route::{RouteAddress, RouteAttribute, RouteMessage},
    },
};
use serde_json::Value as Json;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use tokio_stream::{Stream, StreamExt as _};

/// Resources of one kind that are kept: a node with more routes has a routing daemon of its own.
const MAX: usize = 16_384;

async fn collect<T>(
    what: &'static str,
    messages: impl Stream<Item = Result<T, rtnetlink::Error>>,
) -> Result<Vec<T>, ReadError> {
    messages
        .take(MAX)
        .collect::<Result<Vec<T>, _>>()
        .await
        .map_err(|source| ReadError::Netlink { what, source })
}

async fn link_messages(sources: &Sources) -> Result<Vec<LinkMessage>, ReadError> {
    collect("links", sources.netlink.link().get().execute()).await
}

fn names(links: &[LinkMessage]) -> HashMap<u32, String> {
    let name = |link: &LinkMessage| {
        link.attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name.clone()),
                _ => None,
            })
    };
    links
        .iter()
        .filter_map(|link| Some((link.header.index, name(link)?)))
        .collect()
}

fn named(names: &HashMap<u32, String>, index: u32) -> String {
    names
        .get(&index)
        .cloned()
        .unwrap_or_else(|| format!("#{index}"))
}

pub(super) fn links(sources: &Sources) -> Reading<'_> {
    Box::pin(async move {
        let messages = link_messages(sources).await?;
        let names = names(&messages);
        Ok(messages
            .iter()
            .map(|link| (named(&names, link.header.index), link_fields(link, &names)))
            .collect())
    })
}

fn link_fields(
    link: &LinkMessage,
    names: &HashMap<u32, String>,
) -> crate::planner::resources::Spec {
    let (mut mac, mut mtu, mut state, mut kind) = (Json::Null, Json::Null, Json::Null, Json::Null);
    let (mut controller, mut parent) = (Json::Null, Json::Null);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::Address(bytes) if !bytes.is_empty() => mac = hardware(bytes).into(),
            LinkAttribute::Mtu(value) => mtu = (*value).into(),
            LinkAttribute::OperState(value) => state = operational(*value).into(),
            LinkAttribute::Controller(index) => controller = named(names, *index).into(),
            LinkAttribute::ParentDevName(name) => parent = name.clone().into(),
            LinkAttribute::LinkInfo(infos) => {
                kind = infos
                    .iter()
                    .find_map(|info| match info {
                        LinkInfo::Kind(kind) => Some(kind_name(kind)),
                        _ => None,
                    })
                    .into();
            }
            _ => {}
        }
    }
    let flags = link.header.flags;
    fields([
        ("index", link.header.index.into()),
        ("hardwareAddress", mac),
        ("mtu", mtu),
        ("up", flags.contains(LinkFlags::Up).into()),
        ("carrier", flags.contains(LinkFlags::LowerUp).into()),
        ("operationalState", state),
        ("loopback", flags.contains(LinkFlags::Loopback).into()),
        ("kind", kind),
        ("controller", controller),
        ("busDevice", parent),
    ])
}

fn hardware(bytes: &[u8]) -> String {
    let pairs: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

fn kind_name(kind: &InfoKind) -> String {
    match kind {
        InfoKind::Other(name) => name.clone(),
        known => format!("{known:?}").to_lowercase(),
    }
}

/// As /sys/class/net/NAME/operstate says it.
fn operational(state: State) -> String {
    match state {
        State::NotPresent => "notpresent".into(),
        State::Down => "down".into(),
        State::LowerLayerDown => "lowerlayerdown".into(),
        State::Testing => "testing".into(),
        State::Dormant => "dormant".into(),
        State::Up => "up".into(),
        _ => "unknown".into(),
    }
}

pub(super) fn addresses(sources: &Sources) -> Reading<'_> {
    Box::pin(async move {
        let names = names(&link_messages(sources).await?);
        let messages = collect("addresses", sources.netlink.address().get().execute()).await?;
        Ok(messages
            .iter()
            .filter_map(|message| address_resource(message, &names))
            .collect())
    })
}

fn address_resource(
    message: &AddressMessage,
    names: &HashMap<u32, String>,
) -> Option<(String, crate::planner::resources::Spec)> {
    let address = address_of(message)?;
    let link = named(names, message.header.index);
    let text = format!("{address}/{}", message.header.prefix_len);
    let flags = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Flags(flags) => Some(*flags),
            _ => None,
        });
    let has = |flag| flags.is_some_and(|flags| flags.contains(flag));
    let spec = fields([
        ("link", link.clone().into()),
        ("address", address.to_string().into()),
        ("prefixLength", message.header.prefix_len.into()),
        ("family", family(address).into()),
        (
            "scope",
            format!("{:?}", message.header.scope).to_lowercase().into(),
        ),
        ("permanent", has(AddressFlags::Permanent).into()),
        ("tentative", has(AddressFlags::Tentative).into()),
    ]);
    Some((format!("{link}/{text}"), spec))
}

const fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}

pub(super) fn routes(sources: &Sources) -> Reading<'_> {
    Box::pin(async move {
        let names = names(&link_messages(sources).await?);
        let mut found = Snapshot::new();
        let v4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let v6 = RouteMessageBuilder::<Ipv6Addr>::new().build();
        let zero = [
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ];
        for (question, zero) in [v4, v6].into_iter().zip(zero) {
            let messages = sources.netlink.route().get(question).execute();
            for message in collect("routes", messages).await? {
                let (id, spec) = route_resource(&message, zero, &names);
                found.insert(id, spec);
            }
        }
        Ok(found)
    })
}

fn route_resource(
    message: &RouteMessage,
    zero: IpAddr,
    names: &HashMap<u32, String>,
) -> (String, crate::planner::resources::Spec) {
    let header = &message.header;
    let (mut destination, mut gateway, mut source) = (zero, Json::Null, Json::Null);
    let (mut link, mut metric, mut table) = (None, 0, u32::from(header.table));
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(value) => destination = ip(value).unwrap_or(zero),
            RouteAttribute::Gateway(value) => gateway = ip(value).map(|ip| ip.to_string()).into(),
            RouteAttribute::PrefSource(value) => source = ip(value).map(|ip| ip.to_string()).into(),
            RouteAttribute::Oif(index) => link = Some(named(names, *index)),
            RouteAttribute::Priority(value) => metric = *value,
            RouteAttribute::Table(value) => table = *value,
            _ => {}
        }
    }
    let destination = format!("{destination}/{}", header.destination_prefix_length);
    let kind = format!("{:?}", header.kind).to_lowercase();
    let through = link.clone().unwrap_or_else(|| kind.clone());
    let id = format!("{table}/{destination}/{through}/{metric}");
    let spec = fields([
        ("destination", destination.into()),
        ("family", family(zero).into()),
        ("gateway", gateway),
        ("link", link.into()),
        ("metric", metric.into()),
        ("table", table.into()),
        ("source", source),
        ("protocol", header.protocol.to_string().into()),
        ("scope", header.scope.to_string().into()),
        ("type", kind.into()),
    ]);
    (id, spec)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

//! Rules of kind `Link`: within one document, between links, and with the cluster's networks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Report;
use crate::documents::{Link, Route};
use crate::kinds::{Documents, Placed};
use crate::values::InterfaceAddress;

/// Smallest MTU that IPv6 takes (RFC 8200, section 5).
const IPV6_MTU_MIN: u32 = 1280;

pub(super) fn check(placed: &Placed<Link>, report: &mut Report<'_>) {
    let link = &placed.value;
    if link.selector.is_empty() {
        let hint = "give at least one of name, mac, driver, busPath; name: \"*\" fits every link";
        report.at(placed, "Link.selector", "selects nothing", hint);
    }
    if !link.up && (link.dhcp4.enabled || !link.addresses.is_empty() || !link.routes.is_empty()) {
        let message = "a link that is down has no addresses, DHCP or routes";
        report.at(
            placed,
            "Link.up",
            message,
            "remove \"up: false\" or the rest",
        );
    }
    check_mtu(placed, report);
    for (index, address) in link.addresses.iter().enumerate() {
        if let Some(first) = link.addresses[..index]
            .iter()
            .position(|a| a.address() == address.address())
        {
            let message = format!("the same address as addresses[{first}]");
            report.at(
                placed,
                format!("Link.addresses[{index}]"),
                message,
                "remove one",
            );
        }
    }
    for (index, route) in link.routes.iter().enumerate() {
        let path = format!("Link.routes[{index}]");
        let same =
            |other: &Route| (other.destination, other.metric) == (route.destination, route.metric);
        if let Some(first) = link.routes[..index].iter().position(same) {
            let message = format!("the same destination and metric as routes[{first}]");
            report.at(placed, &path, message, "give one of them another metric");
        }
        check_route(placed, route, &path, report);
    }
}

fn check_mtu(placed: &Placed<Link>, report: &mut Report<'_>) {
    let link = &placed.value;
    let ipv6 = link
        .addresses
        .iter()
        .any(|address| address.address().is_ipv6());
    if let Some(mtu) = link.mtu
        && mtu < IPV6_MTU_MIN
        && ipv6
    {
        let message = format!("{mtu} is too small for the IPv6 addresses of this link");
        report.at(
            placed,
            "Link.mtu",
            message,
            format!("IPv6 needs at least {IPV6_MTU_MIN}"),
        );
    }
}

fn check_route(placed: &Placed<Link>, route: &Route, path: &str, report: &mut Report<'_>) {
    let link = &placed.value;
    let family = |ipv6: bool| if ipv6 { "IPv6" } else { "IPv4" };
    if let Some(source) = route.source {
        let at = format!("{path}.source");
        let own = link
            .addresses
            .iter()
            .any(|address| address.address() == source);
        let from_elsewhere = if source.is_ipv6() {
            link.accept_router_advertisements
        } else {
            link.dhcp4.enabled
        };
        if source.is_ipv6() != route.destination.is_ipv6() {
            let message = format!(
                "an {} source for an {} destination",
                family(source.is_ipv6()),
                family(route.destination.is_ipv6())
            );
            report.at(placed, at, message, "");
        } else if !own && !from_elsewhere {
            report.at(
                placed,
                at,
                "is not an address of this link",
                "add it to addresses",
            );
        }
    }
    let Some(gateway) = route.gateway else {
        return;
    };
    let at = format!("{path}.gateway");
    if gateway.is_ipv6() != route.destination.is_ipv6() {
        let message = format!(
            "an {} gateway for an {} destination",
            family(gateway.is_ipv6()),
            family(route.destination.is_ipv6())
        );
        report.at(placed, at, message, "");
    } else if gateway.is_unspecified() || gateway.is_multicast() || gateway.is_loopback() {
        let message = format!("{gateway} is not an address that a gateway can have");
        report.at(placed, at, message, "");
    } else if link
        .addresses
        .iter()
        .any(|address| address.address() == gateway)
    {
        report.at(
            placed,
            at,
            "is an address of this link itself",
            "name the router's address",
        );
    } else if !route.on_link && !reachable(link, gateway) {
        report.at(
            placed,
            at,
            format!("{gateway} is in none of the networks of this link's addresses"),
            "add an address in its network, or set onLink: true",
        );
    }
}

/// Whether the link's addresses put the gateway on the link, or may do so once they are known.
fn reachable(link: &Link, gateway: IpAddr) -> bool {
    let on_link = |address: &InterfaceAddress| address.network().contains(gateway);
    let unknown = match gateway {
        IpAddr::V4(_) => link.dhcp4.enabled,
        IpAddr::V6(gateway) => gateway.is_unicast_link_local() || link.accept_router_advertisements,
    };
    unknown || link.addresses.iter().any(on_link)
}

/// Rules between links, and between links and the cluster.
pub(super) fn check_together(documents: &Documents, report: &mut Report<'_>) {
    let mut selectors: BTreeMap<String, &Placed<Link>> = BTreeMap::new();
    let mut owners: BTreeMap<IpAddr, &Placed<Link>> = BTreeMap::new();
    for placed in &documents.links {
        let selector = placed.value.selector.to_string().to_ascii_lowercase();
        if let Some(first) = selectors.get(&selector) {
            if !selector.is_empty() {
                let line = report.line(first, "Link.selector");
                let message = format!(
                    "the same selector as document {} (line {line})",
                    first.document
                );
                report.at(
                    placed,
                    "Link.selector",
                    message,
                    "put both into one document",
                );
            }
        } else {
            selectors.insert(selector, placed);
        }
        for (index, address) in placed.value.addresses.iter().enumerate() {
            let path = format!("Link.addresses[{index}]");
            let owner = *owners.entry(address.address()).or_insert(placed);
            if owner.document != placed.document {
                let message = format!(
                    "document {} gives the same address to another link",
                    owner.document
                );
                report.at(placed, &path, message, "");
            }
            check_against_cluster(documents, placed, *address, &path, report);
        }
    }
}

fn check_against_cluster(
    documents: &Documents,
    placed: &Placed<Link>,
    address: InterfaceAddress,
    path: &str,
    report: &mut Report<'_>,
) {
    let Some(cluster) = documents.cluster.first() else {
        return;
    };
    let network = &cluster.value.network;
    let lists = [
        ("pod", &network.pod_cidrs),
        ("service", &network.service_cidrs),
    ];
    for (what, list) in lists {
        if let Some(cidr) = list.iter().find(|cidr| cidr.overlaps(&address.network())) {
            let message = format!("{} overlaps the {what} network {cidr}", address.network());
            report.at(
                placed,
                path,
                message,
                "change the address or the cluster's networks",
            );
        }
    }
}

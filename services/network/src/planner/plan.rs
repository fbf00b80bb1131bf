//! The difference between what is wanted and what the kernel has.
//!
//! Level-triggered: [`plan`] looks at the whole state each time and knows nothing of the past, so that
//! it converges from any state and after a crash between any two operations. Only objects that carry
//! [`PROTOCOL`](super::model::PROTOCOL) are ever removed.

use super::{
    dhcp::lease::Lease,
    model::{
        Address, Kernel, Link, LinkIndex, Operation, Route, RouterAdvertisements, contains, network,
    },
    resolv,
    settings::{LinkSettings, Settings},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Metric that the kernel gives an IPv6 route without one (`IP6_RT_PRIO_USER`).
const IPV6_METRIC: u32 = 1024;

/// What DHCP contributes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leases {
    /// The lease that holds, by link.
    pub held: BTreeMap<LinkIndex, Lease>,
    /// The last host name that any lease gave in this boot: a node does not change its name when a
    /// server goes away.
    pub hostname: Option<String>,
}

/// Operations that bring the kernel to what is wanted, in the order in which they work. Empty where
/// nothing is to be done.
#[must_use]
pub fn plan(settings: &Settings, kernel: &Kernel, leases: &Leases) -> Vec<Operation> {
    let wanted = Wanted::new(settings, kernel, leases);
    let mut operations = links(settings, kernel, leases);
    let routes: BTreeSet<Route> = wanted.routes.values().map(|(route, _)| *route).collect();
    operations.extend(
        kernel
            .routes
            .difference(&routes)
            .map(|route| Operation::RemoveRoute(*route)),
    );

    let removed: Vec<Address> = kernel
        .addresses
        .iter()
        .filter(|(address, ours)| **ours && !wanted.addresses.contains(address))
        .map(|(address, _)| *address)
        .collect();
    operations.extend(
        removed
            .iter()
            .map(|address| Operation::RemoveAddress(*address)),
    );

    // With the first address of a network the kernel takes away the others of it and the IPv4 routes
    // that need them, so those are set anew.
    let disturbed = |link: LinkIndex, ipv4: bool| {
        removed
            .iter()
            .any(|gone| gone.link == link && gone.address.is_ipv4() && ipv4)
    };
    for address in &wanted.addresses {
        if !kernel.addresses.contains_key(address)
            || disturbed(address.link, address.address.is_ipv4())
        {
            operations.push(Operation::AddAddress(*address));
        }
    }
    // Those without a gateway come first: they make gateways reachable.
    let (with, without): (Vec<_>, Vec<_>) = wanted
        .routes
        .into_values()
        .partition(|(route, _)| route.gateway.is_some());
    for (route, on_link) in without.into_iter().chain(with) {
        if !kernel.routes.contains(&route) || disturbed(route.link, route.destination.is_ipv4()) {
            operations.push(Operation::SetRoute { route, on_link });
        }
    }
    operations.extend(resolv::operations(settings, kernel, leases));
    operations
}

/// Whether DHCPv4 is wanted on a link.
#[must_use]
pub fn wants_dhcp(settings: &Settings, link: &Link) -> bool {
    settings
        .of(link)
        .is_some_and(|wanted| wanted.up && wanted.dhcp4_route_metric.is_some())
}

fn links(settings: &Settings, kernel: &Kernel, leases: &Leases) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (&index, link) in &kernel.links {
        if link.loopback && !link.up {
            operations.push(Operation::Up {
                link: index,
                up: true,
            });
        }
        let Some(wanted) = settings.of(link) else {
            continue;
        };
        let accept = wanted.accept_router_advertisements;
        let advertisements = if accept {
            RouterAdvertisements::Accepted
        } else {
            RouterAdvertisements::Ignored
        };
        if link
            .router_advertisements
            .is_some_and(|has| has != advertisements)
        {
            operations.push(Operation::RouterAdvertisements {
                link: index,
                name: link.name.clone(),
                accept,
            });
        }
        let leased = leases
            .held
            .get(&index)
            .filter(|_| wanted.dhcp4_route_metric.is_some());
        if let Some(mtu) = mtu(wanted, link, leased).filter(|mtu| *mtu != link.mtu) {
            operations.push(Operation::Mtu { link: index, mtu });
        }
        if link.up != wanted.up {
            operations.push(Operation::Up {
                link: index,
                up: wanted.up,
            });
        }
    }
    operations
}

fn mtu(wanted: &LinkSettings, link: &Link, lease: Option<&Lease>) -> Option<u32> {
    let most = if link.mtu_max == 0 {
        u32::MAX
    } else {
        link.mtu_max
    };
    wanted
        .mtu
        .or_else(|| lease.and_then(|lease| lease.mtu).map(|mtu| mtu.min(most)))
}

struct Wanted {
    addresses: BTreeSet<Address>,
    /// By key, with the on-link flag.
    routes: BTreeMap<(IpAddr, u8, u32), (Route, bool)>,
}

impl Wanted {
    fn new(settings: &Settings, kernel: &Kernel, leases: &Leases) -> Self {
        let mut wanted = Self {
            addresses: BTreeSet::new(),
            routes: BTreeMap::new(),
        };
        for (&link, facts) in &kernel.links {
            let Some(of) = settings.of(facts).filter(|of| of.up) else {
                continue;
            };
            for &(address, prefix) in &of.addresses {
                wanted.addresses.insert(Address {
                    link,
                    address,
                    prefix,
                });
            }
            for route in &of.routes {
                let default = if route.destination.is_ipv4() {
                    0
                } else {
                    IPV6_METRIC
                };
                wanted.route(
                    Route {
                        destination: network(route.destination, route.prefix),
                        prefix: route.prefix,
                        metric: route.metric.unwrap_or(default),
                        link,
                        gateway: route.gateway,
                        source: route.source,
                    },
                    route.on_link,
                );
            }
            if let (Some(metric), Some(lease)) = (of.dhcp4_route_metric, leases.held.get(&link)) {
                wanted.lease(link, metric, lease);
            }
        }
        wanted
    }

    fn lease(&mut self, link: LinkIndex, metric: u32, lease: &Lease) {
        let address = IpAddr::V4(lease.address);
        self.addresses.insert(Address {
            link,
            address,
            prefix: lease.prefix,
        });
        let direct = |gateway: IpAddr| {
            contains(address, lease.prefix, gateway)
                || lease.routes.iter().any(|route| {
                    route.gateway.is_none()
                        && contains(route.destination.into(), route.prefix, gateway)
                })
        };
        for route in &lease.routes {
            let gateway = route.gateway.map(IpAddr::V4);
            // Clouds hand out /32 addresses with a router beside them.
            let on_link = gateway.is_some_and(|gateway| !direct(gateway));
            let route = Route {
                destination: route.destination.into(),
                prefix: route.prefix,
                metric,
                link,
                gateway,
                source: Some(address),
            };
            self.route(route, on_link);
        }
    }

    /// Adds a route. The kernel's table holds one per destination and metric, so a second one (two
    /// links with a default route each) gets the next free metric: the link that came first wins.
    fn route(&mut self, mut route: Route, on_link: bool) {
        while let Some((other, _)) = self.routes.get(&route.key()) {
            if *other == route {
                return;
            }
            let Some(next) = route.metric.checked_add(1) else {
                return;
            };
            route.metric = next;
        }
        self.routes.insert(route.key(), (route, on_link));
    }
}

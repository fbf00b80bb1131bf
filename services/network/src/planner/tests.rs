//! The plan against a model of the kernel: carried out, it leaves nothing to do.

use super::{
    dhcp::lease::{Lease, LeaseRoute},
    model::{Address, Kernel, Link, Operation, RouterAdvertisements, network},
    plan::{Leases, plan},
    resolv::{RESOLV_CONF, TIME_SERVERS},
    settings::{LinkSettings, RouteSettings, Settings},
};
use machine_config::LinkSelector;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

/// Carries out an operation as Linux does, with what it takes away besides.
fn apply(kernel: &mut Kernel, operation: &Operation) -> Result<(), String> {
    match operation {
        Operation::RouterAdvertisements { link, accept, .. } => {
            let set = if *accept {
                RouterAdvertisements::Accepted
            } else {
                RouterAdvertisements::Ignored
            };
            kernel
                .links
                .get_mut(link)
                .ok_or("no link")?
                .router_advertisements = Some(set);
        }
        Operation::Mtu { link, mtu } => kernel.links.get_mut(link).ok_or("no link")?.mtu = *mtu,
        Operation::Up { link, up } => {
            kernel.links.get_mut(link).ok_or("no link")?.up = *up;
            if !up {
                kernel.routes.retain(|route| route.link != *link);
                kernel
                    .addresses
                    .retain(|address, _| address.link != *link || address.address.is_ipv4());
            }
        }
        Operation::RemoveRoute(route) => drop(kernel.routes.remove(route)),
        Operation::RemoveAddress(gone) => {
            kernel.addresses.remove(gone); // gone already is as good
            if gone.address.is_ipv4() {
                // The first address of a network takes the others with it, and an address its routes.
                let net = |address: &Address| {
                    (
                        address.link,
                        network(address.address, address.prefix),
                        address.prefix,
                    )
                };
                kernel.addresses.retain(|address, ours| {
                    net(address) != net(gone) || !*ours || address.address < gone.address
                });
                let held: Vec<Address> = kernel.addresses.keys().copied().collect();
                kernel.routes.retain(|route| {
                    let sourced = route.source == Some(gone.address);
                    let alone = !held
                        .iter()
                        .any(|address| address.link == route.link && address.address.is_ipv4());
                    !(route.destination.is_ipv4()
                        && (sourced || (alone && route.link == gone.link)))
                });
            }
        }
        Operation::AddAddress(address) => {
            kernel.links.get(&address.link).ok_or("no link")?;
            kernel.addresses.entry(*address).or_insert(true);
        }
        Operation::SetRoute { route, on_link } => {
            if !kernel.links.get(&route.link).ok_or("no link")?.up {
                return Err("the link is down".into());
            }
            if let Some(gateway) = route.gateway
                && !on_link
                && !reachable(kernel, route.link, gateway)
            {
                return Err(format!("{gateway} is not reachable"));
            }
            kernel.routes.retain(|other| other.key() != route.key());
            kernel.routes.insert(*route);
        }
        Operation::Hostname(name) => kernel.hostname.clone_from(name),
        Operation::File { name, content } => drop(kernel.files.insert(name, content.clone())),
    }
    Ok(())
}

fn reachable(kernel: &Kernel, link: u32, gateway: IpAddr) -> bool {
    let by_address = kernel.addresses.keys().any(|address| {
        address.link == link && super::model::contains(address.address, address.prefix, gateway)
    });
    by_address
        || kernel.routes.iter().any(|route| {
            route.link == link
                && route.gateway.is_none()
                && super::model::contains(route.destination, route.prefix, gateway)
        })
}

/// Plans, carries out, and plans again: nothing is left.
fn converge(settings: &Settings, kernel: &mut Kernel, leases: &Leases) -> Vec<Operation> {
    let first = plan(settings, kernel, leases);
    for operation in &first {
        if let Err(error) = apply(kernel, operation) {
            panic!("{operation}: {error}\nof {first:#?}");
        }
    }
    let second = plan(settings, kernel, leases);
    assert!(
        second.is_empty(),
        "left to do: {second:#?}\nafter {first:#?}"
    );
    first
}

fn link(name: &str) -> Link {
    Link {
        name: name.into(),
        ethernet: true,
        address: vec![2, 0, 0, 0, 0, 1],
        mtu: 1500,
        router_advertisements: Some(RouterAdvertisements::Other),
        ..Link::default()
    }
}

fn machine() -> Kernel {
    let loopback = Link {
        name: "lo".into(),
        loopback: true,
        mtu: 65_536,
        ..Link::default()
    };
    let links = [
        (1, loopback),
        (2, link("eth0")),
        (3, link("eth1")),
        (4, link("pod1")),
    ];
    Kernel {
        links: links.into(),
        hostname: "(none)".into(),
        ..Kernel::default()
    }
}

fn settings_of(selector: &str) -> LinkSettings {
    LinkSettings {
        selector: LinkSelector {
            name: Some(selector.parse().unwrap()),
            ..LinkSelector::default()
        },
        up: true,
        mtu: None,
        addresses: Vec::new(),
        dhcp4_route_metric: Some(1024),
        accept_router_advertisements: true,
        routes: Vec::new(),
    }
}

fn settings(links: Vec<LinkSettings>) -> Settings {
    Settings {
        links,
        nameservers: Vec::new(),
        search_domains: Vec::new(),
        hostname: None,
        fallback_hostname: "orlop-0a1b2c".into(),
    }
}

fn lease(address: [u8; 4], prefix: u8, router: [u8; 4]) -> Lease {
    Lease {
        address: address.into(),
        prefix,
        server: router.into(),
        routes: vec![LeaseRoute {
            destination: Ipv4Addr::UNSPECIFIED,
            prefix: 0,
            gateway: Some(router.into()),
        }],
        nameservers: vec![router.into()],
        search_domains: vec!["example.com".into()],
        mtu: None,
        hostname: None,
        time_servers: vec![[10, 0, 0, 123].into()],
        granted: Duration::ZERO,
        terms: None,
    }
}

fn leases(held: impl IntoIterator<Item = (u32, Lease)>) -> Leases {
    Leases {
        held: held.into_iter().collect(),
        hostname: None,
    }
}

fn route(destination: &str, gateway: Option<&str>, metric: Option<u32>) -> RouteSettings {
    let (address, prefix) = destination.split_once('/').unwrap();
    RouteSettings {
        destination: address.parse().unwrap(),
        prefix: prefix.parse().unwrap(),
        gateway: gateway.map(|gateway| gateway.parse().unwrap()),
        metric,
        source: None,
        on_link: false,
    }
}

fn shown(kernel: &Kernel) -> Vec<String> {
    kernel.routes.iter().map(ToString::to_string).collect()
}

fn up(kernel: &Kernel) -> Vec<&str> {
    let up = kernel.links.values().filter(|link| link.up);
    up.map(|link| link.name.as_str()).collect()
}

#[test]
fn a_fresh_machine_without_leases_gets_its_links_up_and_a_name() {
    let mut kernel = machine();
    converge(
        &settings(vec![settings_of("e*")]),
        &mut kernel,
        &Leases::default(),
    );
    assert_eq!(up(&kernel), ["lo", "eth0", "eth1"]);
    assert_eq!(kernel.hostname, "orlop-0a1b2c");
    assert_eq!(kernel.files[TIME_SERVERS], "");
    assert!(kernel.addresses.is_empty());
}

#[test]
fn a_lease_gives_address_route_and_resolver() {
    let mut kernel = machine();
    let held = leases([(2, lease([10, 0, 0, 50], 24, [10, 0, 0, 1]))]);
    converge(&settings(vec![settings_of("e*")]), &mut kernel, &held);
    assert_eq!(
        shown(&kernel),
        ["0.0.0.0/0 metric 1024 via 10.0.0.1 on link 2"]
    );
    assert!(kernel.files[RESOLV_CONF].ends_with("nameserver 10.0.0.1\nsearch example.com\n"));
    assert_eq!(kernel.files[TIME_SERVERS], "10.0.0.123\n");

    // The lease ends: all of it goes.
    converge(
        &settings(vec![settings_of("e*")]),
        &mut kernel,
        &Leases::default(),
    );
    assert!(kernel.routes.is_empty() && kernel.addresses.is_empty());
    assert!(!kernel.files[RESOLV_CONF].contains("nameserver "));
}

#[test]
fn a_router_beside_the_network_is_on_the_link() {
    let mut kernel = machine();
    let held = leases([(2, lease([192, 0, 2, 7], 32, [10, 0, 0, 1]))]);
    let done = converge(&settings(vec![settings_of("e*")]), &mut kernel, &held);
    assert!(
        done.iter()
            .any(|operation| matches!(operation, Operation::SetRoute { on_link: true, .. }))
    );
}

#[test]
fn of_two_default_routes_the_first_links_wins() {
    let mut kernel = machine();
    let held = leases([
        (2, lease([10, 0, 0, 50], 24, [10, 0, 0, 1])),
        (3, lease([10, 0, 1, 50], 24, [10, 0, 1, 1])),
    ]);
    converge(&settings(vec![settings_of("e*")]), &mut kernel, &held);
    assert_eq!(
        shown(&kernel),
        [
            "0.0.0.0/0 metric 1024 via 10.0.0.1 on link 2",
            "0.0.0.0/0 metric 1025 via 10.0.1.1 on link 3"
        ]
    );
}

#[test]
fn the_config_replaces_what_dhcp_says() {
    let mut kernel = machine();
    kernel.links.get_mut(&2).unwrap().mtu_max = 3000;
    let mut given = lease([10, 0, 0, 50], 24, [10, 0, 0, 1]);
    (given.mtu, given.hostname) = (Some(9000), Some("leased".into()));
    let held = Leases {
        hostname: given.hostname.clone(),
        ..leases([(2, given)])
    };
    let mut wanted = settings(vec![settings_of("eth0")]);
    converge(&wanted, &mut kernel, &held);
    assert_eq!(
        (kernel.links[&2].mtu, kernel.hostname.as_str()),
        (3000, "leased")
    );

    wanted.links[0].mtu = Some(1400);
    wanted.hostname = Some("named".into());
    wanted.nameservers = vec!["192.0.2.53".parse().unwrap()];
    wanted.search_domains = vec!["b.example".into()];
    converge(&wanted, &mut kernel, &held);
    assert_eq!(
        (kernel.links[&2].mtu, kernel.hostname.as_str()),
        (1400, "named")
    );
    assert!(kernel.files[RESOLV_CONF].ends_with("nameserver 192.0.2.53\nsearch b.example\n"));
}

#[test]
fn what_others_made_stays() {
    let mut kernel = machine();
    let foreign = Address {
        link: 2,
        address: "192.0.2.1".parse().unwrap(),
        prefix: 24,
    };
    let stale = Address {
        link: 4,
        address: "192.0.2.9".parse().unwrap(),
        prefix: 24,
    };
    kernel.addresses.extend([(foreign, false), (stale, true)]);
    converge(
        &settings(vec![settings_of("e*")]),
        &mut kernel,
        &Leases::default(),
    );
    assert_eq!(kernel.addresses, BTreeMap::from([(foreign, false)]));
}

#[test]
fn the_first_entry_that_fits_counts_and_loopback_is_nobodys() {
    let mut kernel = machine();
    let mut first = settings_of("eth1");
    first.up = false;
    first.dhcp4_route_metric = None;
    let mut all = settings_of("*");
    all.up = false;
    let done = converge(
        &settings(vec![first, settings_of("e*"), all]),
        &mut kernel,
        &Leases::default(),
    );
    assert_eq!(up(&kernel), ["lo", "eth0"], "{done:#?}");
}

#[test]
fn routes_that_make_gateways_reachable_come_first() {
    let mut kernel = machine();
    let mut wanted = settings_of("eth0");
    wanted.addresses = vec![
        ("10.0.0.2".parse().unwrap(), 24),
        ("fd00::2".parse().unwrap(), 64),
    ];
    wanted.routes = vec![
        route("0.0.0.0/0", Some("172.16.0.1"), None),
        route("172.16.0.0/24", None, Some(5)),
        route("::/0", Some("fd00::1"), None),
        route("0.0.0.0/0", Some("10.0.0.1"), Some(77)),
    ];
    converge(&settings(vec![wanted]), &mut kernel, &Leases::default());
    assert_eq!(
        shown(&kernel),
        [
            "0.0.0.0/0 metric 0 via 172.16.0.1 on link 2",
            "0.0.0.0/0 metric 77 via 10.0.0.1 on link 2",
            "172.16.0.0/24 metric 5 on link 2",
            "::/0 metric 1024 via fd00::1 on link 2",
        ]
    );
}

mod properties;

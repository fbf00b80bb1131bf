//! Any settings, any leases, any state to start from.

use super::*;
use crate::planner::model::Route;
use proptest::prelude::*;

fn any_address() -> impl Strategy<Value = (IpAddr, u8)> {
    prop_oneof![
        (0_u8..3, 1_u8..6, prop_oneof![Just(24_u8), Just(32)])
            .prop_map(|(net, host, prefix)| (IpAddr::from([10, 0, net, host]), prefix)),
        (0_u16..3, 1_u16..4)
            .prop_map(|(net, host)| (IpAddr::from([0xfd00, 0, 0, net, 0, 0, 0, host]), 64)),
    ]
}

fn any_route() -> impl Strategy<Value = RouteSettings> {
    (
        any_address(),
        8_u8..33,
        proptest::option::of(0_u8..4),
        proptest::option::of(0_u32..3),
    )
        .prop_map(|((address, _), prefix, gateway, metric)| RouteSettings {
            destination: network(address, prefix),
            prefix,
            gateway: gateway.map(|host| match address {
                IpAddr::V4(_) => IpAddr::from([10, 0, host, 254]),
                IpAddr::V6(_) => IpAddr::from([0xfd00, 0, 0, host.into(), 0, 0, 0, 0xff]),
            }),
            metric,
            source: None,
            on_link: true,
        })
}

fn any_settings() -> impl Strategy<Value = Settings> {
    let link = (
        prop_oneof![Just("eth0"), Just("eth1"), Just("e*"), Just("pod*")],
        any::<bool>(),
        proptest::option::of(1280_u32..9000),
        proptest::collection::vec(any_address(), 0..4),
        proptest::option::of(100_u32..103),
        any::<bool>(),
        proptest::collection::vec(any_route(), 0..5),
    )
        .prop_map(
            |(selector, up, mtu, addresses, dhcp4_route_metric, accept, routes)| LinkSettings {
                up,
                mtu,
                addresses,
                dhcp4_route_metric,
                accept_router_advertisements: accept,
                routes,
                ..settings_of(selector)
            },
        );
    (
        proptest::collection::vec(link, 0..4),
        proptest::option::of("[a-z]{1,8}"),
    )
        .prop_map(|(links, hostname)| Settings {
            hostname,
            ..settings(links)
        })
}

fn any_leases() -> impl Strategy<Value = Leases> {
    let one = (
        2_u32..5,
        0_u8..3,
        1_u8..6,
        prop_oneof![Just(24_u8), Just(32)],
    )
        .prop_map(|(link, net, host, prefix)| {
            (link, lease([10, 0, net, host], prefix, [10, 0, net, 254]))
        });
    proptest::collection::vec(one, 0..4).prop_map(leases)
}

/// A kernel that somebody left in any state.
fn any_kernel() -> impl Strategy<Value = Kernel> {
    let address =
        (2_u32..5, any_address(), any::<bool>()).prop_map(|(link, (address, prefix), ours)| {
            (
                Address {
                    link,
                    address,
                    prefix,
                },
                ours,
            )
        });
    let stale = (2_u32..5, any_route()).prop_map(|(link, route)| Route {
        destination: route.destination,
        prefix: route.prefix,
        metric: route.metric.unwrap_or(1024),
        link,
        gateway: route.gateway,
        source: None,
    });
    (
        proptest::collection::vec(address, 0..8),
        proptest::collection::vec(stale, 0..8),
        proptest::collection::vec((any::<bool>(), 1280_u32..9000), 4),
        "[a-z]{0,8}",
    )
        .prop_map(|(addresses, routes, links, hostname)| {
            let mut kernel = machine();
            for (link, (up, mtu)) in kernel.links.values_mut().zip(links) {
                (link.up, link.mtu) = (up, mtu);
            }
            let down = |kernel: &Kernel, link| !kernel.links[&link].up;
            for (address, ours) in addresses {
                kernel.addresses.insert(address, ours);
            }
            for route in routes {
                if !down(&kernel, route.link)
                    && !kernel.routes.iter().any(|other| other.key() == route.key())
                {
                    kernel.routes.insert(route);
                }
            }
            Kernel { hostname, ..kernel }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_plan_carried_out_leaves_nothing_to_do(
        settings in any_settings(), mut kernel in any_kernel(), leases in any_leases(), later in any_leases(),
    ) {
        let foreign: Vec<Address> =
            kernel.addresses.iter().filter(|(_, ours)| !**ours).map(|(address, _)| *address).collect();
        converge(&settings, &mut kernel, &leases);
        converge(&settings, &mut kernel, &later);
        for address in foreign {
            // A link that is set down loses its IPv6 addresses, which is the kernel's doing.
            prop_assert!(kernel.addresses.contains_key(&address) || address.address.is_ipv6());
        }
    }

    /// A crash between any two operations is one more state to converge from.
    #[test]
    fn a_crash_at_any_point_does_no_harm(
        settings in any_settings(), mut kernel in any_kernel(), leases in any_leases(), cut in 0_usize..40,
    ) {
        for operation in plan(&settings, &kernel, &leases).iter().take(cut) {
            prop_assert_eq!(apply(&mut kernel, operation), Ok(()));
        }
        converge(&settings, &mut kernel, &leases);
    }
}

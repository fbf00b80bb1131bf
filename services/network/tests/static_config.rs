//! Addresses, routes and names from the config, in a network namespace with a real kernel.

#![allow(clippy::unwrap_used)] // a failed helper fails its test

mod support;

use orlop_network::planner::model::{Address, Operation, Route};
use support::{LINK, Net, SOON, in_namespaces, until, until_async};

const STATIC: &str = r#"{
    "hostname": "node1",
    "links": [{
        "selector": {"name": "eth0"}, "mtu": 1400, "acceptRouterAdvertisements": false,
        "addresses": ["10.9.0.2/24", "10.9.0.3/24", "fd09::2/64"],
        "routes": [{"destination": "0.0.0.0/0", "gateway": "10.9.0.1"},
                   {"destination": "198.51.100.0/24", "gateway": "203.0.113.1", "onLink": true, "metric": 9},
                   {"destination": "fd0a::/64", "gateway": "fd09::1"}]
    }],
    "resolver": {"nameservers": ["10.9.0.53"], "searchDomains": ["example.com"]}
}"#;

async fn is_as_configured(net: &Net) -> bool {
    let kernel = net.observe().await;
    let routes: Vec<String> = kernel
        .routes
        .iter()
        .map(|route| route.to_string().rsplit_once(" on ").unwrap().0.to_owned())
        .collect();
    let has = |text: &str| {
        kernel
            .addresses
            .keys()
            .any(|address| format!("{}/{}", address.address, address.prefix) == text)
    };
    let link = kernel
        .links
        .values()
        .find(|link| link.name == LINK)
        .unwrap();
    routes
        == [
            "0.0.0.0/0 metric 0 via 10.9.0.1",
            "198.51.100.0/24 metric 9 via 203.0.113.1",
            "fd0a::/64 metric 1024 via fd09::1",
        ]
        && ["10.9.0.2/24", "10.9.0.3/24", "fd09::2/64"]
            .iter()
            .all(|text| has(text))
        && (link.up, link.mtu) == (true, 1400)
}

fn hostname() -> String {
    orlop_network::executor::files::hostname()
}

#[test]
fn a_static_config_is_set_up_and_kept_whatever_happens() {
    in_namespaces(async |net| {
        net.config(STATIC);
        let service = net.service();
        until_async("as configured", SOON, async || is_as_configured(&net).await).await;
        assert_eq!(hostname(), "node1");
        assert_eq!(
            service
                .file("resolv.conf")
                .lines()
                .skip(1)
                .collect::<Vec<_>>(),
            ["nameserver 10.9.0.53", "search example.com"]
        );
        let link = net.link(LINK).await;
        // Somebody takes the first address, with which the kernel takes the second and the routes.
        let first = Address {
            link,
            address: "10.9.0.2".parse().unwrap(),
            prefix: 24,
        };
        net.kernel
            .apply(&Operation::RemoveAddress(first))
            .await
            .unwrap();
        until_async("back after an address was taken", SOON, async || {
            is_as_configured(&net).await
        })
        .await;
        net.kernel
            .apply(&Operation::Up { link, up: false })
            .await
            .unwrap();
        until_async("back after the link was set down", SOON, async || {
            is_as_configured(&net).await
        })
        .await;
        net.kernel
            .apply(&Operation::Mtu { link, mtu: 1300 })
            .await
            .unwrap();
        until_async("back after the MTU was changed", SOON, async || {
            is_as_configured(&net).await
        })
        .await;
    });
}

#[test]
fn stale_objects_of_ours_go_and_those_of_others_stay() {
    in_namespaces(async |net| {
        net.config(STATIC);
        let link = net.link(LINK).await;
        net.kernel
            .apply(&Operation::Up { link, up: true })
            .await
            .unwrap();
        let stale = Address {
            link,
            address: "10.9.9.9".parse().unwrap(),
            prefix: 24,
        };
        net.kernel
            .apply(&Operation::AddAddress(stale))
            .await
            .unwrap();
        let old = Route {
            destination: "192.0.2.0".parse().unwrap(),
            prefix: 24,
            metric: 3,
            link,
            gateway: Some("10.9.9.1".parse().unwrap()),
            source: None,
        };
        net.kernel
            .apply(&Operation::SetRoute {
                route: old,
                on_link: false,
            })
            .await
            .unwrap();
        let foreign = net.foreign_address(link, "10.8.0.9").await;
        let _service = net.service();
        until_async("as configured", SOON, async || is_as_configured(&net).await).await;
        let kernel = net.observe().await;
        assert!(!kernel.addresses.contains_key(&stale));
        assert_eq!(kernel.addresses.get(&foreign), Some(&false));
    });
}

#[test]
fn a_new_config_counts_at_once_and_a_broken_one_changes_nothing() {
    in_namespaces(async |net| {
        net.config(STATIC);
        let service = net.service();
        until_async("as configured", SOON, async || is_as_configured(&net).await).await;
        net.config("{\"links\": 7}");
        service.reload();
        until("the fault is told", SOON, || {
            service.status().contains("config not usable")
        })
        .await;
        assert!(is_as_configured(&net).await);
        net.config(r#"{"hostname": "node2", "links": [{"selector": {"name": "eth0"}, "addresses": ["10.9.1.2/24"]}]}"#);
        service.reload();
        until_async("the new config", SOON, async || {
            let kernel = net.observe().await;
            kernel.routes.is_empty()
                && net.addresses().await == ["10.9.1.2".parse::<std::net::IpAddr>().unwrap()]
        })
        .await;
        until("the new name", SOON, || hostname() == "node2").await;
        assert!(!service.status().contains("not usable"));
    });
}

#[test]
fn what_the_kernel_refuses_is_told_and_tried_again() {
    in_namespaces(async |net| {
        net.config(
            r#"{"links": [{"selector": {"name": "eth0"}, "addresses": ["10.9.0.2/24"],
                "routes": [{"destination": "0.0.0.0/0", "gateway": "192.0.2.1"}]}]}"#,
        );
        let service = net.service();
        until("the refusal is told", SOON, || {
            service.status().contains("refused")
        })
        .await;
        assert!(service.is_ready(), "one route must not hold up the boot");
        let errors = "orlop_network_operation_errors_total{kind=\"set_route\"}";
        until("it is tried again", SOON, || service.metric(errors) >= 3).await;
        let link = net.link(LINK).await;
        net.foreign_address(link, "192.0.2.9").await;
        until("it works once the gateway is reachable", SOON, || {
            !service.status().contains("refused")
        })
        .await;
        assert_eq!(net.observe().await.routes.len(), 1);
    });
}

#[test]
fn router_advertisements_are_accepted_as_configured() {
    in_namespaces(async |net| {
        let setting = || {
            let read = |name| {
                std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{LINK}/{name}")).unwrap()
            };
            (
                read("accept_ra").trim().to_owned(),
                read("autoconf").trim().to_owned(),
            )
        };
        net.config(STATIC);
        let service = net.service();
        until("ignored", SOON, || {
            setting() == ("0".to_owned(), "0".to_owned())
        })
        .await;
        net.config("{}");
        service.reload();
        until("accepted", SOON, || {
            setting() == ("2".to_owned(), "1".to_owned())
        })
        .await;
    });
}

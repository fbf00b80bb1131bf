//! The service in a network namespace against a real dnsmasq.

#![allow(clippy::unwrap_used)] // a failed helper fails its test

mod support;

use orlop_network::executor::packet_socket::PacketSocket;
use std::{net::IpAddr, time::Duration};
use support::{LINK, SOON, in_namespaces, until, until_async};

/// dnsmasq takes no leases below two minutes, but any T1 and T2.
const QUICK_RENEWAL: [&str; 2] = ["--dhcp-option=option:T1,1", "--dhcp-option=option:T2,3"];

fn is_in(address: &IpAddr, network: &str) -> bool {
    address.to_string().starts_with(network)
}

#[test]
fn a_lease_brings_address_routes_resolvers_and_name() {
    in_namespaces(async |net| {
        let service = net.service();
        until("ready without a server", SOON, || service.is_ready()).await;
        let _server = net
            .dnsmasq("10.77.0.1", &[
                "--dhcp-option=option:dns-server,10.77.0.53,10.77.0.54",
                "--dhcp-option=option:domain-search,one.example,two.example",
                "--dhcp-option=option:mtu,1400",
                "--dhcp-option=option:ntp-server,10.77.0.123",
                "--dhcp-option=option:classless-static-route,0.0.0.0/0,10.77.0.1,192.0.2.0/24,10.77.0.9",
                "--dhcp-host=*:*:*:*:*:*,leased-name",
            ])
            .await;
        until("the lease", SOON, || {
            service.status().contains("DHCP bound")
        })
        .await;
        until_async("address, routes, MTU", SOON, async || {
            let kernel = net.observe().await;
            let routes: Vec<String> = kernel.routes.iter().map(ToString::to_string).collect();
            net.addresses()
                .await
                .iter()
                .any(|address| is_in(address, "10.77.0."))
                && routes
                    .iter()
                    .any(|route| route.starts_with("0.0.0.0/0 metric 1024 via 10.77.0.1"))
                && routes
                    .iter()
                    .any(|route| route.starts_with("192.0.2.0/24 metric 1024 via 10.77.0.9"))
                && kernel
                    .links
                    .values()
                    .any(|link| link.name == LINK && link.mtu == 1400)
        })
        .await;
        until("resolv.conf", SOON, || {
            service.file("resolv.conf").ends_with(
                "nameserver 10.77.0.53\nnameserver 10.77.0.54\nsearch one.example two.example\n",
            )
        })
        .await;
        assert_eq!(service.file("time-servers"), "10.77.0.123\n");
        assert_eq!(
            service.metric("orlop_network_dhcp_state{link=\"eth0\",state=\"bound\"}"),
            1
        );
        assert_eq!(
            service.metric("orlop_network_dhcp_state{link=\"eth0\",state=\"selecting\"}"),
            0
        );
    });
}

#[test]
fn a_socket_from_before_the_link_was_up_sends_at_once() {
    in_namespaces(async |net| {
        let link = net.link(LINK).await;
        // The kernel leaves an error in a socket that is bound to a link that is down; one that is left to
        // the first packet loses it, and one that is left to the receiver makes it deaf for a while.
        let socket = PacketSocket::open(link).unwrap();
        net.set_up(link).await;
        socket.broadcast(&[0x45; 64]).unwrap();
        tokio::select! {
            biased;
            received = socket.receive() => panic!("nobody sends here: {received:?}"),
            () = tokio::task::yield_now() => {}
        }
    });
}

#[test]
fn a_lease_is_renewed_by_its_server() {
    in_namespaces(async |net| {
        let server = net.dnsmasq("10.77.0.1", &QUICK_RENEWAL).await;
        let service = net.service();
        until("the lease and three renewals", SOON, || {
            server.count("DHCPACK(srv0)") >= 4
        })
        .await;
        assert_eq!(server.count("DHCPDISCOVER(srv0)"), 1);
        assert_eq!(
            service.metric("orlop_network_operations_total{kind=\"remove_address\"}"),
            0
        );
        assert_eq!(
            service.metric("orlop_network_operations_total{kind=\"add_address\"}"),
            1
        );
    });
}

#[test]
fn a_lease_is_rebound_with_the_server_that_took_over() {
    in_namespaces(async |net| {
        let first = net.dnsmasq("10.77.0.1", &QUICK_RENEWAL).await;
        let service = net.service();
        until("the lease", SOON, || {
            service.saved().contains("\"server\":\"10.77.0.1\"")
        })
        .await;
        until_async("the address", SOON, async || {
            !net.addresses().await.is_empty()
        })
        .await;
        let addresses = net.addresses().await;
        drop(first);
        let _second = net.dnsmasq("10.77.0.2", &QUICK_RENEWAL).await;
        until("the lease of the second", SOON, || {
            service.saved().contains("\"server\":\"10.77.0.2\"")
        })
        .await;
        assert_eq!(net.addresses().await, addresses);
        assert_eq!(
            service.metric("orlop_network_operations_total{kind=\"remove_address\"}"),
            0
        );
    });
}

#[test]
fn a_refused_lease_is_given_up_for_a_new_one() {
    in_namespaces(async |net| {
        let first = net.dnsmasq("10.77.0.1", &QUICK_RENEWAL).await;
        let service = net.service();
        until("the lease", SOON, || service.saved().contains("10.77.0.1")).await;
        drop(first);
        // The network was renumbered: dnsmasq answers DHCPNAK to addresses of the old one.
        let second = net.dnsmasq("10.78.0.1", &QUICK_RENEWAL).await;
        until_async("the new address alone", SOON, async || {
            let addresses = net.addresses().await;
            !addresses.is_empty() && addresses.iter().all(|address| is_in(address, "10.78.0."))
        })
        .await;
        assert!(second.count("DHCPNAK(srv0)") >= 1);
        until_async("the new route alone", SOON, async || {
            let kernel = net.observe().await;
            kernel.routes.len() == 1
                && kernel
                    .routes
                    .iter()
                    .all(|route| route.to_string().contains("via 10.78.0.1"))
        })
        .await;
        until("the new lease is saved", SOON, || {
            service.saved().contains("10.78.0.1")
        })
        .await;
    });
}

#[test]
fn a_lease_that_nobody_renews_ends_and_the_server_that_comes_back_is_found() {
    in_namespaces(async |net| {
        // dnsmasq grants no less than two minutes.
        let longest = Duration::from_secs(150);
        let first = net.dnsmasq("10.77.0.1", &QUICK_RENEWAL).await;
        let service = net.service();
        until_async("the address", SOON, async || {
            !net.addresses().await.is_empty()
        })
        .await;
        drop(first);
        until_async("the address goes", longest, async || {
            net.addresses().await.is_empty()
        })
        .await;
        assert!(net.observe().await.routes.is_empty());
        until("resolv.conf names nobody", SOON, || {
            !service.file("resolv.conf").contains("nameserver ")
        })
        .await;
        let _second = net.dnsmasq("10.77.0.1", &[]).await;
        until_async("the address is back", 3 * SOON, async || {
            !net.addresses().await.is_empty()
        })
        .await;
    });
}

#[test]
fn a_service_that_crashed_goes_on_with_its_lease() {
    in_namespaces(async |net| {
        let server = net.dnsmasq("10.77.0.1", &[]).await;
        let service = net.service();
        until_async("the address", SOON, async || {
            !net.addresses().await.is_empty()
        })
        .await;
        until("the lease is saved", SOON, || {
            service.saved().contains("10.77.0.1")
        })
        .await;
        let addresses = net.addresses().await;
        service.crash().await;
        assert_eq!(net.addresses().await, addresses);
        let service = net.service();
        until("verified", SOON, || service.status().contains("DHCP bound")).await;
        assert_eq!(net.addresses().await, addresses);
        assert_eq!(
            server.count("DHCPDISCOVER(srv0)"),
            1,
            "the address was verified, not sought"
        );
        for kind in ["remove_address", "add_address", "remove_route"] {
            let metric = format!("orlop_network_operations_total{{kind=\"{kind}\"}}");
            assert_eq!(service.metric(&metric), 0, "{kind}");
        }
    });
}

#[test]
fn a_pulled_cable_keeps_the_lease_and_it_is_verified_after() {
    in_namespaces(async |net| {
        let server = net.dnsmasq("10.77.0.1", &[]).await;
        let service = net.service();
        until("bound", SOON, || service.status().contains("DHCP bound")).await;
        net.cable(false).await;
        until("noticed", SOON, || {
            service.status().contains("DHCP stopped")
        })
        .await;
        assert_eq!(net.addresses().await.len(), 1);
        net.cable(true).await;
        until("verified", SOON, || service.status().contains("DHCP bound")).await;
        assert_eq!(server.count("DHCPDISCOVER(srv0)"), 1);
    });
}

#[test]
fn forged_packets_are_counted_and_do_no_harm() {
    in_namespaces(async |net| {
        net.server_address("10.77.0.1").await;
        let service = net.service();
        let sent = "orlop_network_dhcp_sent_total{link=\"eth0\"}";
        until("a request is out", SOON, || service.metric(sent) >= 1).await;
        let mut reply = vec![0; 300];
        reply[..3].copy_from_slice(&[2, 1, 6]);
        reply[236..243].copy_from_slice(&[0x63, 0x82, 0x53, 0x63, 53, 1, 2]);
        reply[243] = 255;
        net.forge(&[b"", b"x", &[0xff; 1400], &reply]).await;
        let ignored = |reason: &str| {
            service.metric(&format!(
                "orlop_network_dhcp_ignored_total{{link=\"eth0\",reason=\"{reason}\"}}"
            ))
        };
        until("counted", SOON, || {
            ignored("malformed") == 3 && ignored("wrong_transaction") == 1
        })
        .await;
        let _server = net.dnsmasq("10.77.0.1", &[]).await;
        until("the lease", SOON, || {
            service.status().contains("DHCP bound")
        })
        .await;
        assert!(service.metric("orlop_network_rounds_total") >= 2);
    });
}

#[test]
fn a_router_advertisement_gives_an_address_that_stays() {
    in_namespaces(async |net| {
        let service = net.service();
        let link = net.server_link("srv0").await;
        net.server_ipv6("fd77::1", link).await;
        let options = [
            "--enable-ra",
            "--dhcp-range=fd77::,ra-only,64,120",
            "--ra-param=srv0,4,60",
        ];
        let _server = net.dnsmasq("10.77.0.1", &options).await;
        let has = async |network: &str| {
            let kernel = net.observe().await;
            kernel
                .addresses
                .iter()
                .any(|(address, ours)| is_in(&address.address, network) && !ours)
        };
        until_async("the kernel's address", SOON, async || has("fd77::").await).await;
        until("the lease", SOON, || service.status().contains("10.77.0.")).await;
        until("the status tells it", SOON, || {
            service.status().contains("fd77::")
        })
        .await;
        assert!(has("fd77::").await);
        assert_eq!(
            service.metric("orlop_network_operations_total{kind=\"remove_address\"}"),
            0
        );
    });
}

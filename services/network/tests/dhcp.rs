//! The service in a network namespace against a real dnsmasq.

mod support;

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
        until("the lease", SOON, || service.status().contains("DHCP bound")).await;
        until_async("address, routes, MTU", SOON, async || {
            let kernel = net.observe().await;
            let routes: Vec<String> = kernel.routes.iter().map(ToString::to_string).collect();
            net.addresses().await.iter().any(|address| is_in(address, "10.77.0."))
                && routes.iter().any(|route| route.starts_with("0.0.0.0/0 metric 1024 via 10.77.0.1"))
                && routes.iter().any(|route| route.starts_with("192.0.2.0/24 metric 1024 via 10.77.0.9"))
                && kernel.links.values().any(|link| link.name == LINK && link.mtu == 1400)
        })
        .await;
        until("resolv.conf", SOON, || {
            service.file("resolv.conf").ends_with(
                "nameserver 10.77.0.53\nnameserver 10.77.0.54\nsearch one.example two.example\n",
            )
        })
        .await;
        assert_eq!(service.file("time-servers"), "10.77.0.123\n");
        assert_eq!(service.metric("orlop_network_dhcp_state{link=\"eth0\",state=\"bound\"}"), 1);
        assert_eq!(service.metric("orlop_network_dhcp_state{link=\"eth0\",state=\"selecting\"}"), 0);
    });
}

#[test]
fn a_lease_is_renewed_by_its_server() {
    in_namespaces(async |net| {
        let server = net.dnsmasq("10.77.0.1", &QUICK_RENEWAL).await;
        let service = net.service();
        until("the lease and three renewals", SOON, || server.count("DHCPACK(srv0)") >= 4).await;
        assert_eq!(server.count("DHCPDISCOVER(srv0)"), 1);
        assert_eq!(service.metric("orlop_network_operations_total{kind=\"remove_address\"}"), 0);
        assert_eq!(service.metric("orlop_network_operations_total{kind=\"add_address\"}"), 1);
    });
}

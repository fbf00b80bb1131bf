//! The routed network: pods, their node and the world outside reach each other by address.

use crate::place::{
    NODE4, NODE6, PODS, addresses, ask_tcp, ask_udp, in_namespaces, namespace, network_fault,
    remove, routed_node, sandbox_status, serve_tcp, serve_udp, stop, within,
};
use cri_proto::runtime::{
    NetworkConfig, PodSandboxStatsRequest, RuntimeConfig, UpdateRuntimeConfigRequest,
};
use tonic::Code;

#[test]
fn pods_reach_each_other_and_the_world() {
    in_namespaces(async |place| {
        let mut node = routed_node(PODS).await;
        assert_eq!(network_fault(&mut node).await, "");
        let (one, two) = (node.run_sandbox("one").await, node.run_sandbox("two").await);
        let (of_one, of_two) = (
            addresses(&mut node, &one).await,
            addresses(&mut node, &two).await,
        );
        let text = |all: &[std::net::IpAddr]| {
            all.iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(text(&of_one), "10.88.0.1 fd88::1");
        assert_eq!(text(&of_two), "10.88.0.2 fd88::2");
        let (in_one, in_two) = (namespace(&node, &one), namespace(&node, &two));
        serve_tcp(&in_one, "one", 80);
        serve_tcp(&in_two, "two", 80);
        serve_udp(&in_two, "two", 53);
        serve_tcp(&place.outside, "outside", 80);
        for family in [0, 1] {
            let (first, second) = (of_one[family], of_two[family]);
            assert_eq!(ask_tcp(&in_one, second, 80), format!("two sees {first}"));
            assert_eq!(ask_tcp(&in_two, first, 80), format!("one sees {second}"));
            assert_eq!(ask_udp(&in_one, second, 53), format!("two sees {first}"));
            // Itself, by its own address.
            assert_eq!(ask_tcp(&in_one, first, 80), format!("one sees {first}"));
            // The node, whose address is that of its way out.
            let of_node = [NODE4, NODE6][family];
            assert_eq!(
                ask_tcp(&place.node, first, 80),
                format!("one sees {of_node}")
            );
            // Addresses stay as they are, on the way in and out.
            let outside = ["192.0.2.2", "fd01::2"][family];
            let said = ask_tcp(&place.outside, second, 80);
            assert_eq!(said, format!("two sees {outside}"));
            let said = ask_tcp(&in_one, outside.parse().unwrap(), 80);
            assert_eq!(said, format!("outside sees {first}"));
        }

        let stats = node
            .runtime_client
            .pod_sandbox_stats(PodSandboxStatsRequest {
                pod_sandbox_id: one.clone(),
            })
            .await
            .unwrap()
            .into_inner();
        let network = stats.stats.unwrap().linux.unwrap().network.unwrap();
        let link = network.default_interface.unwrap();
        assert_eq!((link.name.as_str(), network.interfaces.len()), ("eth0", 0));
        assert!(link.rx_bytes.unwrap().value > 500 && link.tx_bytes.unwrap().value > 500);
        assert_eq!(
            (link.rx_errors.unwrap().value, link.tx_errors.unwrap().value),
            (0, 0)
        );

        // A runtime's death is nothing to packets, and the next one hands out other addresses.
        node.kill();
        assert_eq!(
            ask_tcp(&in_one, of_two[0], 80),
            format!("two sees {}", of_one[0])
        );
        node.start().await;
        assert_eq!(addresses(&mut node, &one).await, of_one);
        let three = node.run_sandbox("three").await;
        assert_eq!(
            text(&addresses(&mut node, &three).await),
            "10.88.0.3 fd88::3"
        );

        // Pods keep what they have when the node gets another range; the next runtime knows it.
        let request = |cidr: &str| UpdateRuntimeConfigRequest {
            runtime_config: Some(RuntimeConfig {
                network_config: Some(NetworkConfig {
                    pod_cidr: cidr.to_owned(),
                }),
            }),
        };
        let told = node
            .runtime_client
            .update_runtime_config(request("10.88.9.0/24"))
            .await;
        told.unwrap();
        let wrong = node
            .runtime_client
            .update_runtime_config(request("10.88.9.0"))
            .await;
        assert_eq!(wrong.unwrap_err().code(), Code::InvalidArgument);
        node.kill();
        node.start().await;
        let four = node.run_sandbox("four").await;
        assert_eq!(text(&addresses(&mut node, &four).await), "10.88.9.1");
        let in_four = namespace(&node, &four);
        let seen = ask_tcp(&in_four, of_one[0], 80);
        assert_eq!(seen, "one sees 10.88.9.1");

        stop(&mut node, &one).await;
        assert_eq!(
            sandbox_status(&mut node, &one).await.network.unwrap().ip,
            ""
        );
        for pod in [one, two, three, four] {
            remove(&mut node, &pod).await;
        }
        assert_eq!(place.pod_links().await, Vec::<String>::new());
        assert_eq!(place.pod_routes().await, 0);
        node.nothing_is_left();
    });
}

#[test]
fn without_a_range_there_is_no_network_until_a_kubelet_tells_one() {
    in_namespaces(async |_place| {
        let arguments = ["--cni-conf-dir", "/nonexistent"]
            .map(str::to_owned)
            .to_vec();
        let mut node = crate::node::Node::with(arguments, Vec::new()).await;
        let fault = network_fault(&mut node).await;
        assert!(
            fault.contains("no CNI configuration in /nonexistent"),
            "{fault}"
        );
        let alone = node.run_sandbox("alone").await;
        assert!(addresses(&mut node, &alone).await.is_empty());
        let request = UpdateRuntimeConfigRequest {
            runtime_config: Some(RuntimeConfig {
                network_config: Some(NetworkConfig {
                    pod_cidr: "fd88::/64".to_owned(),
                }),
            }),
        };
        node.runtime_client
            .update_runtime_config(request)
            .await
            .unwrap();
        assert_eq!(network_fault(&mut node).await, "");
        let six = node.run_sandbox("six").await;
        assert_eq!(
            sandbox_status(&mut node, &six).await.network.unwrap().ip,
            "fd88::1"
        );
    });
}

#[test]
fn a_range_ends_and_its_addresses_come_back() {
    in_namespaces(async |place| {
        let mut node = routed_node("10.88.0.0/24").await;
        let mut pods = Vec::new();
        for number in 0..254 {
            pods.push(node.run_sandbox(&format!("pod-{number}")).await);
        }
        let config = node.sandbox_config("one-more");
        let refused = node.try_run_sandbox(config).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(
            refused
                .message()
                .contains("no pod address is left in 10.88.0.0/24: all 254 are taken"),
            "{refused}"
        );
        assert_eq!(place.pod_links().await.len(), 254);
        let removed = pods.remove(99);
        remove(&mut node, &removed).await;
        let again = node.run_sandbox("one-more").await;
        assert_eq!(
            addresses(&mut node, &again).await,
            ["10.88.0.100".parse::<std::net::IpAddr>().unwrap()]
        );
        pods.push(again);
        for pod in pods {
            remove(&mut node, &pod).await;
        }
        assert_eq!(place.pod_links().await, Vec::<String>::new());
        node.nothing_is_left();
    });
}

/// Whatever the node's own look at sources is: IPv6 has none, and that of IPv4 is loose where one setting of the node's is.
#[test]
fn a_pod_speaks_for_itself_alone() {
    in_namespaces(async |place| {
        std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "2").unwrap();
        let mut node = routed_node(PODS).await;
        let bad = node.run_sandbox("bad").await;
        let other = node.run_sandbox("other").await;
        let (of_bad, of_other) = (
            addresses(&mut node, &bad).await,
            addresses(&mut node, &other).await,
        );
        let in_bad = namespace(&node, &bad);
        let ears: Vec<_> = [&place.outside, &place.node, &namespace(&node, &other)]
            .map(|place| within(place, || std::net::UdpSocket::bind("[::]:5353").unwrap()))
            .into();
        for (forged, prefix, family) in [
            (of_other[0], 32, 0),
            ("192.0.2.2".parse().unwrap(), 32, 0),
            ("203.0.113.9".parse().unwrap(), 32, 0),
            (of_other[1], 128, 1),
            ("fd01::2".parse().unwrap(), 128, 1),
            ("2001:db8::9".parse().unwrap(), 128, 1),
        ] {
            let heard: Vec<std::net::IpAddr> = [
                ["192.0.2.2", "fd01::2"][family].parse().unwrap(),
                [NODE4, NODE6][family],
                of_other[family],
            ]
            .into();
            within(&in_bad, || {
                let mut ip = xtask::tools::program("ip").unwrap();
                let address = format!("{forged}/{prefix}");
                let arguments = ["address", "add", &address, "dev", "lo"];
                let nodad = (family == 1).then_some("nodad");
                let added = ip.args(arguments).args(nodad).status().unwrap();
                assert!(added.success());
                for from in [forged, of_bad[family]] {
                    let socket = std::net::UdpSocket::bind((from, 0)).unwrap();
                    for to in &heard {
                        // What is its own way back to itself never leaves it.
                        if *to != forged {
                            socket
                                .send_to(from.to_string().as_bytes(), (*to, 5353))
                                .unwrap();
                        }
                    }
                }
                let mut ip = xtask::tools::program("ip").unwrap();
                let arguments = ["address", "del", &address, "dev", "lo"];
                assert!(ip.args(arguments).status().unwrap().success());
            });
            for (socket, to) in ears.iter().zip(&heard) {
                if *to == forged {
                    continue;
                }
                // It was sent after the forged one, by the same way.
                socket
                    .set_read_timeout(Some(crate::node::PATIENCE))
                    .unwrap();
                let mut buffer = [0; 64];
                let count = socket.recv(&mut buffer).unwrap();
                let said = String::from_utf8_lossy(&buffer[..count]).into_owned();
                assert_eq!(said, of_bad[family].to_string(), "{forged} to {to}");
            }
        }
    });
}

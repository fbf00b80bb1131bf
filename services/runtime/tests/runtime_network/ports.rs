//! Ports of the node that lead to pods.

use crate::place::{
    NODE4, NODE6, PODS, addresses, ask_tcp, ask_udp, in_namespaces, namespace, remove, routed_node,
    serve_tcp, serve_udp, with_port, within,
};
use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};
use tonic::Code;

#[test]
fn a_port_of_the_node_is_a_pods() {
    in_namespaces(async |place| {
        let mut node = routed_node(PODS).await;
        let config = with_port(node.sandbox_config("web"), "", 8080, 80);
        let web = node.try_run_sandbox(config).await.unwrap();
        let other = node.run_sandbox("other").await;
        let (in_web, in_other) = (namespace(&node, &web), namespace(&node, &other));
        serve_tcp(&in_web, "web", 80);
        serve_udp(&in_web, "web", 80);
        let (of_web, of_other) = (
            addresses(&mut node, &web).await,
            addresses(&mut node, &other).await,
        );
        let loopback = "127.0.0.1".parse().unwrap();
        for round in 0..3 {
            for (family, at) in [NODE4, NODE6].into_iter().enumerate() {
                let outside = ["192.0.2.2", "fd01::2"][family];
                assert_eq!(
                    ask_tcp(&place.outside, at, 8080),
                    format!("web sees {outside}")
                );
                assert_eq!(
                    ask_udp(&place.outside, at, 8080),
                    format!("web sees {outside}")
                );
                assert_eq!(ask_tcp(&place.node, at, 8080), format!("web sees {at}"));
                let from_pod = ask_tcp(&in_other, at, 8080);
                assert_eq!(from_pod, format!("web sees {}", of_other[family]));
                // To itself by the node: it sees the node, or it would answer past it.
                let to_itself = ask_tcp(&in_web, at, 8080);
                assert_eq!(to_itself, format!("web sees {at}"), "round {round}");
            }
            assert_eq!(
                ask_tcp(&place.node, loopback, 8080),
                format!("web sees {NODE4}")
            );
            assert_eq!(
                ask_udp(&place.node, loopback, 8080),
                format!("web sees {NODE4}")
            );
            // What goes to the pod's own port is left alone.
            assert_eq!(
                ask_tcp(&place.node, of_web[0], 80),
                format!("web sees {NODE4}")
            );
            if round == 0 {
                // Another's port changes nothing for this one.
                let config = with_port(node.sandbox_config("one"), "192.0.2.1", 9090, 80);
                node.try_run_sandbox(config).await.unwrap();
            } else {
                // From records, whatever has become of the rules.
                node.kill();
                let mut nft = xtask::tools::program("nft").unwrap();
                assert!(nft.args(["flush", "ruleset"]).status().unwrap().success());
                node.start().await;
            }
        }
        remove(&mut node, &web).await;
        let refused = ask_tcp(&place.outside, NODE4, 8080);
        assert!(refused.contains("refused"), "{refused}");
    });
}

#[test]
fn two_pods_cannot_have_the_same() {
    in_namespaces(async |place| {
        let mut node = routed_node(PODS).await;
        let config = with_port(node.sandbox_config("first"), "192.0.2.1", 8080, 80);
        let first = node.try_run_sandbox(config).await.unwrap();
        let config = with_port(node.sandbox_config("second"), "", 8080, 80);
        let refused = node.try_run_sandbox(config).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        let expected = format!("host port 8080/tcp of all addresses is taken by sandbox {first:?}");
        assert_eq!(refused.message(), expected);
        let config = with_port(node.sandbox_config("wrong"), "", 80_000, 80);
        let refused = node.try_run_sandbox(config).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        // One for each of the node's addresses is none the worse.
        let config = with_port(node.sandbox_config("third"), "127.0.0.1", 8080, 81);
        let third = node.try_run_sandbox(config).await.unwrap();
        serve_tcp(&namespace(&node, &first), "first", 80);
        serve_tcp(&namespace(&node, &third), "third", 81);
        assert_eq!(ask_tcp(&place.outside, NODE4, 8080), "first sees 192.0.2.2");
        let loopback = "127.0.0.1".parse().unwrap();
        assert_eq!(
            ask_tcp(&place.node, loopback, 8080),
            format!("third sees {NODE4}")
        );
        remove(&mut node, &first).await;
        let config = with_port(node.sandbox_config("fourth"), "192.0.2.1", 8080, 80);
        let fourth = node.try_run_sandbox(config).await.unwrap();
        serve_tcp(&namespace(&node, &fourth), "fourth", 80);
        assert_eq!(
            ask_tcp(&place.outside, NODE4, 8080),
            "fourth sees 192.0.2.2"
        );
        for pod in [third, fourth] {
            remove(&mut node, &pod).await;
        }
        node.nothing_is_left();
    });
}

/// A sender that never pauses reaches whoever has the port now, and not whom it reached first.
#[test]
fn a_flow_of_udp_follows_the_port() {
    in_namespaces(async |place| {
        let mut node = routed_node(PODS).await;
        let socket = within(&place.outside, || {
            let socket = UdpSocket::bind("0.0.0.0:5353").unwrap();
            socket.connect((NODE4, 8080)).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_millis(200)))
                .unwrap();
            socket
        });
        let mut number = 0;
        let mut ask = || {
            number += 1;
            let mark = format!(" to {number}");
            let mut buffer = [0; 64];
            let _ = socket.send(format!("who{mark}").as_bytes());
            // An answer to an earlier question may come late: it is of who was there then.
            while let Ok(count) = socket.recv(&mut buffer) {
                let said = String::from_utf8_lossy(&buffer[..count]).into_owned();
                if let Some(said) = said.strip_suffix(&mark) {
                    return said.to_owned();
                }
            }
            String::new()
        };
        // It has begun before there is any pod.
        assert_eq!(ask(), "");
        for name in ["first", "second"] {
            let config = with_port(node.sandbox_config(name), "", 8080, 80);
            let pod = node.try_run_sandbox(config).await.unwrap();
            serve_udp(&namespace(&node, &pod), name, 80);
            let begun = Instant::now();
            while ask() != format!("{name} sees 192.0.2.2") {
                assert!(begun.elapsed() < Duration::from_secs(10), "{name}");
            }
            remove(&mut node, &pod).await;
            assert_eq!(ask(), "");
        }
    });
}

/// The links of pods with ports let packets of 127.0.0.0/8 pass. A pod that may change its own network cannot reach by that what the node has
/// for itself alone (as CVE-2020-8558 had it).
#[test]
fn what_the_node_has_for_itself_is_no_pods() {
    in_namespaces(async |place| {
        let mut node = routed_node(PODS).await;
        let config = with_port(node.sandbox_config("bad"), "", 8080, 80);
        let bad = node.try_run_sandbox(config).await.unwrap();
        let in_bad = namespace(&node, &bad);
        let own = within(&place.node, || {
            std::net::TcpListener::bind("127.0.0.1:9999").unwrap()
        });
        own.set_nonblocking(true).unwrap();
        within(&in_bad, || {
            for link in ["all", "eth0"] {
                let path = format!("/proc/sys/net/ipv4/conf/{link}/route_localnet");
                std::fs::write(path, "1").unwrap();
            }
            for arguments in [
                "address del 127.0.0.1/8 dev lo",
                "route add 127.0.0.1 via 169.254.1.1 dev eth0",
            ] {
                let mut ip = xtask::tools::program("ip").unwrap();
                assert!(ip.args(arguments.split(' ')).status().unwrap().success());
            }
        });
        let loopback = "127.0.0.1".parse().unwrap();
        let said = ask_tcp(&in_bad, loopback, 9999);
        assert!(said.contains("timed out"), "{said}");
        let came = own.accept().map(|(_, peer)| peer);
        assert_eq!(came.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    });
}

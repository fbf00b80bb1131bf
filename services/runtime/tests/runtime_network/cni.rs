//! Real plugins: pods reach each other, ports are pods', and what is left of a lost pod is collected.

use crate::{
    node::PATIENCE,
    place::{
        NODE4, Place, addresses, ask_tcp, in_namespaces, namespace, network_fault, remove,
        sandbox_status, serve_tcp, with_port,
    },
    plugins::{Plugins, rules_of},
};
use std::{fs, net::IpAddr, time::Instant};

fn ptp(plugins: &Plugins, version: &str) -> String {
    let leases = plugins.path("leases").display().to_string();
    format!(
        r#"{{"cniVersion": "{version}", "name": "pods", "plugins": [
            {{"type": "ptp", "ipam": {{"type": "host-local", "dataDir": "{leases}",
              "ranges": [[{{"subnet": "10.88.5.0/24"}}], [{{"subnet": "fd88:5::/64"}}]],
              "routes": [{{"dst": "0.0.0.0/0"}}, {{"dst": "::/0"}}]}}}},
            {{"type": "portmap", "snat": true, "capabilities": {{"portMappings": true}}}},
            {{"type": "tuning", "sysctl": {{"net.core.somaxconn": "500"}}}}]}}"#
    )
}

fn bridge(plugins: &Plugins) -> String {
    let leases = plugins.path("leases").display().to_string();
    format!(
        r#"{{"cniVersion": "0.4.0", "name": "bridged", "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
            "ipam": {{"type": "host-local", "dataDir": "{leases}", "subnet": "10.88.6.0/24",
              "routes": [{{"dst": "0.0.0.0/0"}}]}}}}"#
    )
}

#[test]
fn pods_by_ptp_and_portmap() {
    in_namespaces(async |place| {
        let plugins = Plugins::new();
        plugins.config("10-pods.conflist", &ptp(&plugins, "1.0.0"));
        // By name the second is not looked at.
        plugins.config("20-other.conf", "{");
        let mut node = plugins.node().await;
        assert_eq!(network_fault(&mut node).await, "");
        let config = with_port(node.sandbox_config("web"), "", 8080, 80);
        let web = node.try_run_sandbox(config).await.unwrap();
        let other = node.run_sandbox("other").await;
        let of_web = addresses(&mut node, &web).await;
        let text: Vec<_> = of_web.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["10.88.5.2", "fd88:5::2"]);
        let (in_web, in_other) = (namespace(&node, &web), namespace(&node, &other));
        serve_tcp(&in_web, "web", 80);
        let of_other = addresses(&mut node, &other).await;
        assert_eq!(
            ask_tcp(&in_other, of_web[0], 80),
            format!("web sees {}", of_other[0])
        );
        // Until the plugin's addresses are no longer tentative.
        let begun = Instant::now();
        while ask_tcp(&in_other, of_web[1], 80) != format!("web sees {}", of_other[1]) {
            assert!(begun.elapsed() < PATIENCE);
        }
        assert_eq!(ask_tcp(&place.outside, NODE4, 8080), "web sees 192.0.2.2");
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        let from_node = ask_tcp(&place.node, loopback, 8080);
        assert!(from_node.starts_with("web sees "), "{from_node}");
        assert!(rules_of(&place.node, &plugins, &web) > 0);
        assert_eq!(plugins.leases("pods"), ["10.88.5.2", "10.88.5.3"]);

        // With another configuration, and after a restart, pods leave as they came.
        node.kill();
        plugins.config("05-bridge.conf", &bridge(&plugins));
        node.start().await;
        remove(&mut node, &web).await;
        assert_eq!(rules_of(&place.node, &plugins, &web), 0);
        assert_eq!(plugins.leases("pods"), ["10.88.5.3"]);
        remove(&mut node, &other).await;
        assert_eq!(place.pod_links().await, Vec::<String>::new());
        assert_eq!(
            crate::place::files(&node.path("root/network/cni")),
            Vec::<String>::new()
        );
        node.nothing_is_left();
    });
}

#[test]
fn pods_by_bridge() {
    in_namespaces(async |place: Place| {
        let plugins = Plugins::new();
        plugins.config("10-bridge.conf", &bridge(&plugins));
        let mut node = plugins.node().await;
        let (one, two) = (node.run_sandbox("one").await, node.run_sandbox("two").await);
        let (of_one, of_two) = (
            addresses(&mut node, &one).await,
            addresses(&mut node, &two).await,
        );
        serve_tcp(&namespace(&node, &two), "two", 80);
        let said = ask_tcp(&namespace(&node, &one), of_two[0], 80);
        assert_eq!(said, format!("two sees {}", of_one[0]));
        assert_eq!(ask_tcp(&place.node, of_two[0], 80), "two sees 10.88.6.1");
        remove(&mut node, &one).await;
        remove(&mut node, &two).await;
        assert_eq!(plugins.leases("bridged"), Vec::<String>::new());
        node.nothing_is_left();
    });
}

/// Its record is lost, so nobody asks for its end: the attachment is found at the start.
#[test]
fn what_a_lost_pod_has_is_collected() {
    in_namespaces(async |_place| {
        let plugins = Plugins::new();
        plugins.config("10-pods.conflist", &ptp(&plugins, "1.0.0"));
        let mut node = plugins.node().await;
        let (lost, kept) = (
            node.run_sandbox("lost").await,
            node.run_sandbox("kept").await,
        );
        assert_eq!(plugins.leases("pods"), ["10.88.5.2", "10.88.5.3"]);
        node.kill();
        let pinned = crate::place::pin(&node, &lost);
        fs::remove_dir_all(node.path("root/sandboxes").join(&lost)).unwrap();
        node.start().await;
        let begun = Instant::now();
        while plugins.leases("pods") != ["10.88.5.3"] {
            assert!(begun.elapsed() < PATIENCE, "{:?}", plugins.leases("pods"));
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(
            addresses(&mut node, &kept).await[0].to_string(),
            "10.88.5.3"
        );
        remove(&mut node, &kept).await;
        drop(pinned);
    });
}

/// The runtime dies while a plugin works: the plugin is ended, and what it has made is deleted.
#[test]
fn a_plugin_that_outlives_the_runtime_is_ended() {
    in_namespaces(async |place| {
        let plugins = Plugins::new();
        plugins.config("10-pods.conflist", &ptp(&plugins, "1.0.0"));
        let mut node = plugins.node().await;
        let mut half_made = 0;
        for round in 0..24_u64 {
            if round >= 6 && half_made > 0 {
                break;
            }
            let mut client = node.runtime_client.clone();
            let config = with_port(node.sandbox_config("half"), "", 8080, 80);
            let request = cri_proto::runtime::RunPodSandboxRequest {
                config: Some(config),
                runtime_handler: String::new(),
            };
            let call = tokio::spawn(async move { client.run_pod_sandbox(request).await });
            // In every other round when the first plugin has an address already, and is not done.
            let begun = Instant::now();
            while round % 2 == 0 && plugins.leases("pods").is_empty() && !call.is_finished() {
                assert!(begun.elapsed() < PATIENCE);
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(round % 6 * 10)).await;
            node.kill();
            half_made += attachments(&node)
                .iter()
                .filter_map(|file| fs::read_to_string(file).ok())
                .filter(|text| text.contains(r#""result":null"#))
                .count();
            let _ = call.await.unwrap();
            node.start().await;
            let listed = node
                .runtime_client
                .list_pod_sandbox(cri_proto::runtime::ListPodSandboxRequest::default())
                .await
                .unwrap()
                .into_inner();
            assert_eq!(
                plugins.leases("pods").len(),
                listed.items.len(),
                "round {round}"
            );
            for pod in listed.items {
                if pod.state == i32::from(cri_proto::runtime::PodSandboxState::SandboxReady) {
                    let status = sandbox_status(&mut node, &pod.id).await;
                    assert_ne!(status.network.unwrap().ip, "");
                }
                remove(&mut node, &pod.id).await;
            }
            assert_eq!(
                plugins.leases("pods"),
                Vec::<String>::new(),
                "round {round}"
            );
            assert_eq!(place.pod_links().await, Vec::<String>::new());
        }
        assert!(half_made > 0, "no round has met a plugin at work");
        node.nothing_is_left();
    });
}

fn attachments(node: &crate::node::Node) -> Vec<std::path::PathBuf> {
    let all = fs::read_dir(node.path("root/network/cni")).unwrap();
    all.map(|one| one.unwrap().path()).collect()
}

/// As after a power cut: what was made is deleted all the same, by the list of now.
#[test]
fn what_is_kept_is_torn_and_the_pod_can_leave() {
    in_namespaces(async |place| {
        let plugins = Plugins::new();
        plugins.config("10-pods.conflist", &ptp(&plugins, "1.0.0"));
        let mut node = plugins.node().await;
        let pod = node.run_sandbox("pod").await;
        assert_eq!(plugins.leases("pods"), ["10.88.5.2"]);
        node.kill();
        let kept = attachments(&node);
        let [kept] = kept.as_slice() else {
            panic!("{kept:?}")
        };
        let whole = fs::read(kept).unwrap();
        fs::write(kept, &whole[..whole.len() / 2]).unwrap();
        fs::write(kept.with_extension("new"), &whole[..1]).unwrap();
        node.start().await;
        assert_eq!(attachments(&node), [kept.as_path()]);
        remove(&mut node, &pod).await;
        assert_eq!(plugins.leases("pods"), Vec::<String>::new());
        assert_eq!(place.pod_links().await, Vec::<String>::new());
        assert_eq!(attachments(&node), Vec::<std::path::PathBuf>::new());
        node.nothing_is_left();
    });
}

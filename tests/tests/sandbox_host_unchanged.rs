//! A sandboxed node leaves its host as it was: a whole life, with config, reboot and power-off.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

use orlop_tests::client::{API_ANSWERS, Client, Cluster, fingerprint};
use orlop_tests::host::Snapshot;
use orlop_tests::sandbox::{Lab, Node, NodeOptions, node::STOPS};
use orlop_tests::wait::eventually;
use std::fs;
use std::time::Duration;

/// Usual time for the kernel to remove a namespace and the links in it.
const NAMESPACES_GO: Duration = Duration::from_secs(1);

#[test]
fn a_whole_life_leaves_the_host_unchanged() {
    let before = Snapshot::take().unwrap();
    live();
    // The kernel takes network namespaces down in its own time.
    let clean = eventually("the host as it was", NAMESPACES_GO, || {
        Ok(before
            .differences(&Snapshot::take()?)
            .is_empty()
            .then_some(()))
    });
    if clean.is_err() {
        let found = before.differences(&Snapshot::take().unwrap());
        assert!(
            found.is_empty(),
            "the host is not as it was:\n{}",
            found.join("\n")
        );
    }
}

/// A config that asks for a lot: sysctls, modules, a host name, a clock, links.
fn live() {
    let lab = Lab::new().unwrap();
    let dhcp = lab.serve_dhcp(Duration::from_secs(120)).unwrap();
    let cluster = Cluster::generate(lab.scratch(), &["--hostname", "greedy"]).unwrap();
    let node = Node::start(&lab, NodeOptions::default()).unwrap();
    let print = fingerprint(node.console().unwrap(), 0, API_ANSWERS).unwrap();
    let client = Client::in_lab(&lab, &node.address().to_string(), cluster.admin());
    let greedy = cluster
        .edited(
            &cluster.control_plane(),
            "greedy.yaml",
            "kind: Machine\n",
            "kind: Machine\nsysctls:\n  kernel.panic: \"77\"\n  vm.swappiness: \"7\"\n  net.ipv4.ip_forward: \"1\"\nkernel:\n  modules:\n  - name: dummy\n",
        )
        .unwrap();
    client
        .pinned(&print)
        .json(&["apply-config", greedy.to_str().unwrap()])
        .unwrap();
    client
        .wait_version("the configured node", API_ANSWERS * 2, |version| {
            version["mode"] == "control-plane"
        })
        .unwrap();
    let forward = node
        .inside(|| Ok(fs::read_to_string("/proc/sys/net/ipv4/ip_forward")?))
        .unwrap();
    assert_eq!(forward.trim(), "1", "its own network namespace is its own");
    client.order(&["reboot"]).unwrap();
    node.wait_boot(2, STOPS * 2).unwrap();
    client
        .wait_version("the node after its reboot", API_ANSWERS * 2, |version| {
            version["mode"] == "control-plane"
        })
        .unwrap();
    client.order(&["shutdown"]).unwrap();
    assert_eq!(node.wait_exit(2, STOPS).unwrap(), "code 0");
    drop(dhcp);
}

//! Machine config and machine API on sandboxed nodes.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

use orlop_tests::client::{API_ANSWERS, Client, Cluster, fingerprint};
use orlop_tests::sandbox::lab::DhcpServer;
use orlop_tests::sandbox::{Lab, Node, NodeOptions, node::STOPS};
use orlop_tests::wait::eventually;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Half-open connections that must do no harm.
const HALF_OPEN: usize = 10_000;
/// Descriptors that this process needs for them.
const OPEN_FILES: u64 = 16_384;

struct Site {
    lab: Lab,
    cluster: Cluster,
    _dhcp: DhcpServer,
}

fn site() -> Site {
    let lab = Lab::new().unwrap();
    let dhcp = lab.serve_dhcp(Duration::from_secs(120)).unwrap();
    let cluster = Cluster::generate(lab.scratch(), &[]).unwrap();
    Site {
        lab,
        cluster,
        _dhcp: dhcp,
    }
}

impl Site {
    /// A node that has this config from its start, and an admin's client for it.
    fn configured(&self, config: &Path) -> (Node<'_>, Client<'_>) {
        let config = Some(fs::read(config).unwrap());
        let node = Node::start(
            &self.lab,
            NodeOptions {
                config,
                ..NodeOptions::default()
            },
        )
        .unwrap();
        let client = self.admin(&node);
        client
            .wait_version("the configured node", API_ANSWERS, |version| {
                version["mode"] != "maintenance"
            })
            .unwrap();
        (node, client)
    }

    fn admin(&self, node: &Node<'_>) -> Client<'_> {
        Client::in_lab(&self.lab, &node.address().to_string(), self.cluster.admin())
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn maintenance_then_config_then_the_same_identity_after_a_reboot() {
    let site = site();
    let node = Node::start(&site.lab, NodeOptions::default()).unwrap();
    let print = fingerprint(node.console().unwrap(), 0, API_ANSWERS).unwrap();
    let admin = site.admin(&node);
    let stranger = admin.pinned(&print);

    // In maintenance: facts and a config, no more.
    let version = stranger
        .wait_version("maintenance mode", API_ANSWERS, |_| true)
        .unwrap();
    assert_eq!(version["mode"], "maintenance");
    assert!(
        version["maintenanceReason"]
            .as_str()
            .unwrap()
            .contains("config"),
        "{version}"
    );
    assert_eq!(version["sandboxed"], true);
    let phases = stranger.json(&["boot-phases"]).unwrap();
    assert!(
        phases["phases"]
            .as_array()
            .unwrap()
            .iter()
            .any(|phase| phase["state"] == "skipped"),
        "{phases}"
    );
    stranger.json(&["get", "links"]).unwrap();
    for refused in [
        &["services"][..],
        &["reboot"],
        &["dmesg"],
        &["logs", "init"],
        &["get", "config"],
    ] {
        assert_eq!(stranger.run(refused).unwrap().code, 8, "{refused:?}");
    }
    // The config carries the cluster's keys: it goes to the machine with this fingerprint and no other.
    let config = site.cluster.control_plane();
    let wrong = print.chars().rev().collect::<String>();
    assert_eq!(
        admin
            .pinned(&wrong)
            .run(&["apply-config", text(&config)])
            .unwrap()
            .code,
        5
    );

    stranger.json(&["apply-config", text(&config)]).unwrap();
    let configured = admin
        .wait_version("the configured node", API_ANSWERS * 2, |version| {
            version["mode"] == "control-plane"
        })
        .unwrap();
    let stored = node.state().join("config-a");
    assert_eq!(
        fs::metadata(&stored).unwrap().permissions().mode() & 0o777,
        0o600
    );
    // A stranger is out now.
    assert_ne!(stranger.run(&["version"]).unwrap().code, 0);

    admin.order(&["reboot"]).unwrap();
    assert_eq!(
        node.wait_exit(node.boots().unwrap(), STOPS * 2).unwrap(),
        "code 133"
    );
    let again = admin
        .wait_version("the node after its reboot", API_ANSWERS * 2, |version| {
            version["bootId"] != configured["bootId"]
        })
        .unwrap();
    assert_eq!(again["mode"], "control-plane");
    assert_eq!(again["machineId"], configured["machineId"]);
    assert_eq!(again["configSource"], "STATE");
    assert_eq!(again["configGeneration"], configured["configGeneration"]);
}

#[test]
fn a_failed_phase_does_not_open_a_configured_node() {
    let site = site();
    let config = Some(fs::read(site.cluster.control_plane()).unwrap());
    let options = NodeOptions {
        config,
        arguments: vec!["--fail-phase".into(), "volumes".into()],
        ..NodeOptions::default()
    };
    let node = Node::start(&site.lab, options).unwrap();
    let admin = site.admin(&node);
    let version = admin
        .wait_version("maintenance for its own", API_ANSWERS, |version| {
            version["mode"] == "maintenance"
        })
        .unwrap();
    let reason = version["maintenanceReason"].as_str().unwrap();
    assert!(reason.contains("volumes"), "{version}");
    // Its admin may look for the reason; a stranger may not even ask for the version.
    admin.json(&["services"]).unwrap();
    let stranger = admin.run(&["version", "--insecure"]).unwrap();
    assert_eq!(stranger.code, 5, "{stranger:?}");
}

#[test]
fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let site = site();
    let (_node, admin) = site.configured(&site.cluster.control_plane());
    let before = admin.json(&["get", "config"]).unwrap();
    let renamed = site
        .cluster
        .edited(
            &site.cluster.control_plane(),
            "renamed.yaml",
            "kind: Machine\n",
            "kind: Machine\nhostname: renamed\n",
        )
        .unwrap();
    let dry = admin
        .json(&["apply-config", "--dry-run", text(&renamed)])
        .unwrap();
    assert_eq!(dry["generation"], 0);
    let changes = dry["changes"].to_string();
    assert!(
        changes.contains("hostname") && changes.contains("renamed"),
        "{dry}"
    );
    assert_eq!(admin.json(&["get", "config"]).unwrap(), before);

    // The same for real: without a reboot, and it takes effect.
    let applied = admin
        .json(&["apply-config", "--mode", "no-reboot", text(&renamed)])
        .unwrap();
    assert_eq!(applied["generation"], 2, "{applied}");
    admin
        .wait_version("the new host name", API_ANSWERS, |version| {
            version["hostname"] == "renamed"
        })
        .unwrap();

    // Another role cannot be had without a reboot.
    let refused = admin
        .run(&[
            "apply-config",
            "--mode",
            "no-reboot",
            text(&site.cluster.worker()),
        ])
        .unwrap();
    assert_eq!(refused.code, 8, "{refused:?}");
}

#[test]
fn a_bad_config_is_refused_with_every_problem_at_once() {
    let site = site();
    let bad = site
        .cluster
        .edited(
            &site.cluster.worker(),
            "bad.yaml",
            "kind: Machine\n",
            "kind: Machine\nhostnme: x\nsysctls: 7\n",
        )
        .unwrap();
    // By the node itself, where it came from elsewhere than from orlopctl.
    let config = Some(fs::read(&bad).unwrap());
    let node = Node::start(
        &site.lab,
        NodeOptions {
            config,
            ..NodeOptions::default()
        },
    )
    .unwrap();
    let print = fingerprint(node.console().unwrap(), 0, API_ANSWERS).unwrap();
    let stranger = site.admin(&node).pinned(&print);
    let version = stranger
        .wait_version("maintenance mode", API_ANSWERS, |version| {
            version["mode"] == "maintenance"
        })
        .unwrap();
    let reason = version["maintenanceReason"].as_str().unwrap();
    assert!(reason.contains("hostnme"), "{reason}");
    let refused = stranger.run(&["apply-config", text(&bad)]).unwrap();
    assert_eq!(refused.code, 3, "{refused:?}");
    for part in ["hostnme", "sysctls"] {
        assert!(refused.errors.contains(part), "{}", refused.errors);
    }
    // And it takes a good one afterwards.
    let position = node.console().unwrap().position();
    stranger
        .json(&["apply-config", text(&site.cluster.worker())])
        .unwrap();
    let print = fingerprint(node.console().unwrap(), position, API_ANSWERS).unwrap();
    let worker = site.admin(&node).of_worker(&print);
    worker
        .wait_version("the configured node", API_ANSWERS * 2, |version| {
            version["mode"] == "worker"
        })
        .unwrap();
}

#[test]
fn each_role_has_its_reach() {
    let site = site();
    let (_node, admin) = site.configured(&site.cluster.control_plane());
    for (role, allowed, refused) in [
        (
            "reader",
            &["services"][..],
            &["service", "network", "restart"][..],
        ),
        (
            "operator",
            &["service", "network", "restart"],
            &["apply-config", "CONFIG"],
        ),
        ("backup", &["version"], &["services"]),
    ] {
        let file = site.lab.scratch().join(format!("{role}.orlopconfig"));
        let made = admin
            .run(&["config", "new", text(&file), "--roles", role])
            .unwrap();
        assert_eq!(made.code, 0, "{role}: {made:?}");
        let client = admin.with_config(file);
        let config = site.cluster.control_plane();
        let words = |words: &[&str]| -> Vec<String> {
            words
                .iter()
                .map(|&word| {
                    if word == "CONFIG" {
                        text(&config).to_owned()
                    } else {
                        word.to_owned()
                    }
                })
                .collect()
        };
        let run = |command: &[&str]| {
            let words = words(command);
            client
                .run(&words.iter().map(String::as_str).collect::<Vec<_>>())
                .unwrap()
        };
        assert_eq!(run(allowed).code, 0, "{role} may {allowed:?}");
        assert_eq!(run(refused).code, 6, "{role} may not {refused:?}");
    }
    // Secrets are for admins.
    let reader = admin.with_config(site.lab.scratch().join("reader.orlopconfig"));
    assert_eq!(
        reader
            .run(&["get", "config", "--with-secrets"])
            .unwrap()
            .code,
        6
    );
    let seen = reader.run(&["get", "config"]).unwrap();
    assert_eq!(seen.code, 0, "{seen:?}");
    assert!(!seen.output.contains("PRIVATE KEY"), "a reader sees no key");
    assert!(
        admin
            .run(&["get", "config", "--with-secrets"])
            .unwrap()
            .output
            .contains("PRIVATE KEY")
    );
}

#[test]
fn a_killed_machine_api_comes_back() {
    let site = site();
    let (node, admin) = site.configured(&site.cluster.control_plane());
    let pid = node
        .control()
        .unwrap()
        .service("machine-api")
        .unwrap()
        .pid
        .unwrap();
    node.kill(pid).unwrap();
    eventually("another process", API_ANSWERS, || {
        let status = node.control()?.service("machine-api")?;
        Ok((status.ready && status.pid != Some(pid)).then_some(()))
    })
    .unwrap();
    admin
        .wait_version("the API", API_ANSWERS, |_| true)
        .unwrap();
    let services = admin.json(&["services"]).unwrap();
    let api = services
        .as_array()
        .unwrap()
        .iter()
        .find(|service| service["name"] == "machine-api")
        .unwrap();
    assert_eq!(api["restarts"], 1, "{services}");
    assert!(
        api["lastExit"].as_str().unwrap().contains("signal 9"),
        "{services}"
    );
}

#[test]
fn ten_thousand_half_open_connections_do_no_harm() {
    let site = site();
    let (node, admin) = site.configured(&site.cluster.control_plane());
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let wanted = rustix::process::Rlimit {
        current: limit
            .maximum
            .map_or(Some(OPEN_FILES), |maximum| Some(maximum.min(OPEN_FILES))),
        ..limit
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, wanted).unwrap();
    let address = SocketAddr::from((node.address(), 50_000));
    let open = site
        .lab
        .inside(|| {
            // Connected and silent; what the node drops stays open on this side.
            let mut open = Vec::with_capacity(HALF_OPEN);
            for _ in 0..HALF_OPEN {
                if let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_secs(10)) {
                    open.push(stream);
                }
            }
            Ok(open)
        })
        .unwrap();
    assert_eq!(open.len(), HALF_OPEN);
    let start = Instant::now();
    admin
        .wait_version("an answer in the middle of it", API_ANSWERS, |_| true)
        .unwrap();
    println!("answered after {:?}", start.elapsed());
    let status = node.control().unwrap().service("machine-api").unwrap();
    assert_eq!(status.restarts, 0, "{status:?}");
    let host_pid = node.host_pid(status.pid.unwrap()).unwrap();
    let held = fs::read_dir(format!("/proc/{host_pid}/fd"))
        .unwrap()
        .count();
    assert!(held < 1024, "the node holds {held} descriptors");
    drop(open);
}

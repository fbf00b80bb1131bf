//! Configs that are fetched, and configs on STATE that the release cannot use: real services and a real
//! `init` on sandboxed nodes.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

use init_proto::generation::Generation;
use init_proto::paths;
use init_proto::services::{CLOSED, FETCH_CONFIG, FETCH_CONFIG_USER, MACHINE_API};
use orlop_tests::client::{API_ANSWERS, Client, Cluster, fingerprint};
use orlop_tests::programs;
use orlop_tests::sandbox::lab::{self, DhcpServer};
use orlop_tests::sandbox::{Lab, Node, NodeOptions};
use orlop_tests::servers::ConfigServer;
use orlop_tests::wait::{Lines, eventually};
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Usual time from a config that can be had to a configured node: a few attempts.
const FETCHES: Duration = Duration::from_secs(10);

struct Site {
    lab: Lab,
    cluster: Cluster,
    _dhcp: DhcpServer,
}

impl Site {
    fn new() -> Self {
        let lab = Lab::new().unwrap();
        let dhcp = lab.serve_dhcp(Duration::from_secs(120)).unwrap();
        let cluster = Cluster::generate(lab.scratch(), &[]).unwrap();
        Self {
            lab,
            cluster,
            _dhcp: dhcp,
        }
    }

    fn admin(&self, node: &Node<'_>) -> Client<'_> {
        Client::in_lab(&self.lab, &node.address().to_string(), self.cluster.admin())
    }

    /// A node that was configured once and finds `config` on its STATE now.
    fn with_state(&self, config: &Path) -> Node<'_> {
        let options = NodeOptions {
            config: Some(fs::read(self.cluster.control_plane()).unwrap()),
            ..NodeOptions::default()
        };
        let mut node = Node::start(&self.lab, options).unwrap();
        self.admin(&node)
            .wait_version("the configured node", API_ANSWERS, |version| {
                version["mode"] == "control-plane"
            })
            .unwrap();
        node.cut_power().unwrap();
        let generation = Generation {
            number: 9,
            config: fs::read(config).unwrap(),
        };
        fs::write(node.state().join("config-b"), generation.encode()).unwrap();
        node.start_again().unwrap();
        node
    }
}

#[test]
fn a_config_of_another_release_leaves_the_node_to_its_cluster() {
    let site = Site::new();
    let good = site.cluster.control_plane();
    let newer = site
        .cluster
        .edited(
            &good,
            "newer.yaml",
            "kind: Machine\n",
            "kind: Machine\nofTomorrow: 1\n",
        )
        .unwrap();
    let node = site.with_state(&newer);
    let admin = site.admin(&node);
    let version = admin
        .wait_version("maintenance for its own", API_ANSWERS, |version| {
            version["mode"] == "maintenance"
        })
        .unwrap();
    let reason = version["maintenanceReason"].as_str().unwrap();
    assert!(reason.contains("ofTomorrow"), "{reason}");
    // Its admin may look for the reason; a stranger may not even ask for the version.
    admin.json(&["services"]).unwrap();
    let stranger = admin.run(&["version", "--insecure"]).unwrap();
    assert_eq!(stranger.code, 5, "{stranger:?}");
    let config = good.to_str().unwrap();
    let stranger = admin.run(&["apply-config", config, "--insecure"]).unwrap();
    assert_eq!(stranger.code, 5, "{stranger:?}");

    admin.json(&["apply-config", config]).unwrap();
    admin
        .wait_version(
            "the node with a config that it understands",
            API_ANSWERS,
            |version| version["mode"] == "control-plane",
        )
        .unwrap();
}

#[test]
fn a_config_without_an_authority_closes_the_node() {
    let site = Site::new();
    let good = site.cluster.control_plane();
    let strange = site
        .cluster
        .edited(&good, "strange.yaml", "\nca:\n", "\nauthority:\n")
        .unwrap();
    let node = site.with_state(&strange);
    let position = node.console().unwrap().position();
    let print = fingerprint(node.console().unwrap(), position, API_ANSWERS)
        .or_else(|_| fingerprint(node.console().unwrap(), 0, API_ANSWERS))
        .unwrap();
    let anybody = site.admin(&node).pinned(&print);
    let version = anybody
        .wait_version("maintenance", API_ANSWERS, |version| {
            version["mode"] == "maintenance"
        })
        .unwrap();
    let reason = version["maintenanceReason"].as_str().unwrap();
    assert!(reason.contains("takes no config"), "{reason}");
    let refused = anybody
        .run(&["apply-config", good.to_str().unwrap()])
        .unwrap();
    assert_eq!(refused.code, 8, "{refused:?}");
    assert!(
        refused.errors.contains("no config over the network"),
        "{refused:?}"
    );
    let version = anybody.json(&["version"]).unwrap();
    assert_eq!(version["mode"], "maintenance");
}

#[test]
fn a_node_with_a_config_that_nobody_can_plan_from_is_closed() {
    let lab = Lab::new().unwrap();
    // The toy in place of all services hands over its config as the plan, and names what it was started as.
    let options = NodeOptions {
        config: Some(b"no plan at all".to_vec()),
        overlays: vec![(programs::built("toy").unwrap(), paths::ORLOP.into())],
        ..NodeOptions::default()
    };
    let mut node = Node::start(&lab, options).unwrap();
    let started_as = |node: &Node<'_>| {
        eventually("the machine API's start", API_ANSWERS, || {
            let lines = node.control()?.logs(MACHINE_API).map(|(lines, _)| lines);
            // There is no log before the first start.
            let mut lines = lines.unwrap_or_default().into_iter();
            Ok(lines.find(|line| line.contains(MACHINE_API)))
        })
        .unwrap()
    };
    let line = started_as(&node);
    assert!(
        !line.contains(CLOSED),
        "a machine without a config is open: {line}"
    );

    node.cut_power().unwrap();
    let stored = Generation {
        number: 1,
        config: b"kind: Machine\n".to_vec(),
    };
    fs::write(node.state().join("config-a"), stored.encode()).unwrap();
    node.start_again().unwrap();
    let line = started_as(&node);
    assert!(line.contains(CLOSED), "{line}");
}

/// The release's `orlop fetch-config`, run by hand beside a node as its own user; killed when dropped.
struct Fetcher {
    process: Child,
    log: Lines,
    _socket: OwnedFd,
}

impl Fetcher {
    fn start(node: &Node<'_>, program: &Path, url: &str) -> Self {
        let part = node.scratch().join("fetch-config.json");
        fs::write(&part, format!("{{\"url\": \"{url}\"}}")).unwrap();
        // The way to the node's own files is closed to this user; what is open already stays so.
        let socket = Path::new(paths::CONTROL_SOCKET);
        let directory = socket.parent().unwrap().strip_prefix("/").unwrap();
        let directory = node.root().unwrap().join(directory);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let directory = rustix::fs::open(&directory, flags, Mode::empty()).unwrap();
        let number = directory.as_raw_fd();
        let name = socket.file_name().unwrap().to_str().unwrap();
        let mut command = Command::new(program);
        command
            .arg(FETCH_CONFIG)
            .arg("--config")
            .arg(part)
            .arg("--init-socket")
            .arg(format!("/proc/self/fd/{number}/{name}"))
            .uid(FETCH_CONFIG_USER)
            .gid(FETCH_CONFIG_USER)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut process = node.lab().spawn(&mut command).unwrap();
        let output = process.stdout.take().unwrap();
        let log = Lines::follow("fetcher", output, &node.scratch().join("fetcher.log")).unwrap();
        Self {
            process,
            log,
            _socket: directory,
        }
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program where every user can run it.
fn program(site: &Site) -> PathBuf {
    let source = programs::root_tree().unwrap();
    let target = site.lab.scratch().join("orlop");
    fs::copy(source.join(paths::ORLOP.trim_start_matches('/')), &target).unwrap();
    target
}

#[test]
fn a_fetched_config_is_applied_in_maintenance_mode_only() {
    let site = Site::new();
    let program = program(&site);
    let good = fs::read_to_string(site.cluster.control_plane()).unwrap();
    let bad = good.replacen("kind: Machine\n", "kind: Machine\nhostnme: x\n", 1);
    let server = ConfigServer::start(&site.lab, 80, bad.into_bytes()).unwrap();
    let url = format!("http://me:hush@{}/x?token=hush", lab::ADDRESS);

    let node = Node::start(&site.lab, NodeOptions::default()).unwrap();
    fingerprint(node.console().unwrap(), 0, API_ANSWERS).unwrap();
    let fetcher = Fetcher::start(&node, &program, &url);
    fetcher.log.wait("hostnme", FETCHES).unwrap();
    server.change(good.into_bytes());
    fetcher.log.wait("config applied", FETCHES).unwrap();
    let version = site
        .admin(&node)
        .wait_version("the configured node", API_ANSWERS * 2, |version| {
            version["mode"] == "control-plane"
        })
        .unwrap();
    assert_eq!(version["configSource"], "URL");
    assert_eq!(fetcher.log.count("hush"), 0);
    assert!(
        server
            .asked()
            .iter()
            .all(|target| target == "/x?token=hush")
    );
    drop(fetcher);

    // It is no way past the machine API afterwards.
    let fetcher = Fetcher::start(&node, &program, &url);
    fetcher
        .log
        .wait("not in maintenance mode", FETCHES)
        .unwrap();
    let again = site.admin(&node).json(&["version"]).unwrap();
    assert_eq!(again["configGeneration"], version["configGeneration"]);
}

//! orlopctl as a user runs it: files, exit codes, and a real machine API on loopback.
//!
//! The server is the machine API's own process, `machine_api_alone`, which Cargo builds with that room's
//! tests beside orlopctl. It runs without `init` here: what needs `init` is proven on sandboxed nodes.
#![allow(clippy::unwrap_used, missing_docs, reason = "test code")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

const BOUND: Duration = Duration::from_secs(30);

struct Outcome {
    code: i32,
    output: String,
    errors: String,
}

/// Runs orlopctl in `directory`, with its client config there.
fn orlopctl(directory: &Path, arguments: &[&str]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_orlopctl"))
        .args(arguments)
        .current_dir(directory)
        .env("ORLOPCONFIG", directory.join("client/config"))
        .env("HOME", directory)
        .output()
        .unwrap();
    Outcome {
        code: output.status.code().unwrap(),
        output: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

fn check(directory: &Path, arguments: &[&str], code: i32, says: &str) -> Outcome {
    let outcome = orlopctl(directory, arguments);
    let all = format!("{}{}", outcome.output, outcome.errors);
    assert_eq!(outcome.code, code, "{arguments:?}: {all}");
    assert!(all.contains(says), "{arguments:?}: no {says:?} in: {all}");
    outcome
}

/// The machine API's process.
struct Server {
    child: Child,
    node: String,
    fingerprint: String,
}

impl Server {
    /// Starts one with this part of a config; empty is maintenance mode.
    fn start(directory: &Path, part: &[u8]) -> Self {
        let program =
            PathBuf::from(env!("CARGO_BIN_EXE_orlopctl")).with_file_name("machine_api_alone");
        assert!(
            program.is_file(),
            "{} is missing: cargo build --release -p orlop-machine-api",
            program.display()
        );
        let own = tempfile::tempdir_in(directory).unwrap().keep();
        fs::write(own.join("config"), part).unwrap();
        let notify = UnixDatagram::bind(own.join("notify")).unwrap();
        notify.set_read_timeout(Some(BOUND)).unwrap();
        let mut child = Command::new(program)
            .args(["--listen-address", "127.0.0.1:0", "--init-socket"])
            .arg(own.join("no-init.sock"))
            .env("ORLOP_CONFIG", own.join("config"))
            .env("STATE_DIRECTORY", &own)
            .env("NOTIFY_SOCKET", own.join("notify"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The log names the port; the pipe is kept, so that later lines find a reader.
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let node = loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the server ended");
            if let Some((_, rest)) = line.split_once("\"address\":\"") {
                break rest.split('"').next().unwrap().to_owned();
            }
        };
        std::thread::spawn(move || log.lines().map_while(Result::ok).for_each(drop));
        let (mut fingerprint, mut ready) = (String::new(), false);
        let mut buffer = [0_u8; 4096];
        while !ready {
            let length = notify.recv(&mut buffer).unwrap();
            let text = std::str::from_utf8(&buffer[..length]).unwrap();
            ready = text == "READY=1";
            if let Some((_, found)) = text.split_once("fingerprint sha256 ") {
                found.clone_into(&mut fingerprint);
            }
        }
        Self {
            child,
            node,
            fingerprint,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory with what `gen config` makes, and the admin's client config in use.
fn cluster() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let generate = ["gen", "config", "home", "https://127.0.0.1:6443"];
    check(directory.path(), &generate, 0, "wrote ./worker.yaml");
    check(
        directory.path(),
        &["config", "merge", "orlopconfig"],
        0,
        "context home",
    );
    directory
}

fn part(directory: &Path, file: &str) -> Vec<u8> {
    let config = machine_config::parse(&fs::read(directory.join(file)).unwrap()).unwrap();
    machine_config::parts::split(&config).for_service("machine-api")
}

#[test]
fn generated_files_are_private_valid_and_not_replaced_unasked() {
    let directory = cluster();
    let path = directory.path();
    for file in [
        "secrets.yaml",
        "controlplane.yaml",
        "worker.yaml",
        "orlopconfig",
        "client/config",
    ] {
        let mode = path.join(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    check(path, &["validate", "controlplane.yaml"], 0, "control-plane");
    check(path, &["validate", "worker.yaml"], 0, "worker");
    let worker = fs::read_to_string(path.join("worker.yaml")).unwrap();
    assert!(!worker.contains("PRIVATE KEY"), "{worker}");
    let again = ["gen", "config", "home", "https://127.0.0.1:6443"];
    check(path, &again, 10, "--force");
    assert_eq!(
        fs::read_to_string(path.join("worker.yaml")).unwrap(),
        worker
    );
    check(path, &["gen", "secrets"], 10, "secrets.yaml exists");
    let with = [
        "gen",
        "config",
        "home",
        "https://127.0.0.1:6443",
        "--with-secrets",
        "secrets.yaml",
        "--force",
    ];
    check(path, &with, 0, "wrote");
    assert_eq!(
        fs::read_to_string(path.join("worker.yaml")).unwrap(),
        worker
    );
    check(
        path,
        &[
            "gen",
            "config",
            "Not a name",
            "https://127.0.0.1:6443",
            "-d",
            "x",
        ],
        3,
        "cluster name",
    );
}

#[test]
fn a_config_is_checked_like_a_compiler_would() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::write(
        path.join("bad.yaml"),
        "apiVersion: v1alpha1\nkind: Machine\nrole: wrker\n",
    )
    .unwrap();
    check(
        path,
        &["validate", "bad.yaml"],
        3,
        "bad.yaml:3:7: Machine.role",
    );
    let apply = [
        "apply-config",
        "bad.yaml",
        "--insecure",
        "--node",
        "127.0.0.1:1",
    ];
    check(path, &apply, 3, "bad.yaml:3:7: Machine.role");
    check(path, &["validate", "missing.yaml"], 10, "missing.yaml");
}

#[test]
fn contexts_are_listed_chosen_and_removed() {
    let directory = cluster();
    let path = directory.path();
    let listed = check(path, &["config", "contexts", "-o", "json"], 0, "\"admin\"").output;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["current"], true);
    assert_eq!(listed[0]["endpoints"][0], "127.0.0.1");
    check(path, &["config", "use", "other"], 7, "home");
    check(path, &["version", "--context", "other"], 7, "home");
    check(path, &["config", "use", "home"], 0, "");
    check(path, &["config", "remove", "home"], 0, "");
    check(path, &["version"], 7, "config merge");
    fs::remove_file(path.join("client/config")).unwrap();
    check(path, &["version"], 10, "no client config");
    fs::create_dir_all(path.join("client")).unwrap();
    fs::write(
        path.join("client/config"),
        "apiVersion: v1alpha1\nkind: ClientConfig\ncontexs: {}\n",
    )
    .unwrap();
    check(path, &["version"], 3, "config:3:1");
}

#[test]
fn usage_help_and_completion() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    check(path, &["--help"], 0, "Exit codes:");
    check(path, &["verson"], 2, "version");
    check(path, &["--timeout", "5", "version"], 2, "500ms");
    check(
        path,
        &["--fingerprint", "12", "version"],
        2,
        "64 hex digits",
    );
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        check(path, &["completion", shell], 0, "apply-config");
    }
    check(path, &["version", "--client", "-o", "yaml"], 0, "client:");
}

#[test]
fn a_node_that_is_not_there() {
    let directory = cluster();
    let path = directory.path();
    // A port that is free: bound once, and closed.
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    check(
        path,
        &["version", "--node", &free],
        4,
        "nothing listens there",
    );
    // A listener that never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    check(
        path,
        &["version", "--node", &address, "--timeout", "300ms"],
        9,
        "did not answer within",
    );
    check(path, &["version", "--node", "http://x"], 3, "is no node");
}

#[test]
fn maintenance_mode_is_pinned() {
    let directory = cluster();
    let path = directory.path();
    let server = Server::start(path, b"");
    let node = server.node.as_str();
    let pinned = [
        "--insecure",
        "--node",
        node,
        "--fingerprint",
        server.fingerprint.as_str(),
    ];
    let with = |command: &[&'static str]| [&pinned[..], command].concat();
    let version = check(path, &with(&["version", "-o", "json"]), 0, "").output;
    let version: serde_json::Value = serde_json::from_str(&version).unwrap();
    assert_eq!(version["mode"], "maintenance");
    check(path, &with(&["get", "links"]), 0, "HARDWAREADDRESS");
    check(
        path,
        &with(&["get", "links", "lo", "-o", "yaml"]),
        0,
        "loopback: true",
    );
    check(path, &with(&["get"]), 0, "addresses");
    check(
        path,
        &with(&["get", "processes"]),
        8,
        "apply a config first",
    );
    check(path, &with(&["get", "links", "nope"]), 7, "nope");
    check(path, &with(&["get", "pods"]), 7, "addresses, cpus");
    check(path, &with(&["services"]), 8, "maintenance mode");
    // No init behind this server.
    check(
        path,
        &with(&["apply-config", "controlplane.yaml"]),
        4,
        "connect to init",
    );
    // Not verified: facts with a warning, no config.
    let open = ["--insecure", "--node", node];
    check(path, &[&open[..], &["version"]].concat(), 0, "warning");
    check(
        path,
        &[&open[..], &["apply-config", "controlplane.yaml"]].concat(),
        5,
        &server.fingerprint,
    );
    let wrong = "00".repeat(32);
    let pin = [&open[..], &["--fingerprint", &wrong, "version"]].concat();
    check(path, &pin, 5, &server.fingerprint);
    // The cluster's CA has not signed it.
    check(
        path,
        &["version", "--node", node],
        5,
        "--insecure --fingerprint",
    );
}

#[test]
fn a_configured_node_knows_roles() {
    let directory = cluster();
    let path = directory.path();
    let server = Server::start(path, &part(path, "controlplane.yaml"));
    let node = server.node.as_str();
    let version = check(path, &["version", "--node", node, "-o", "json"], 0, "").output;
    let version: serde_json::Value = serde_json::from_str(&version).unwrap();
    assert_eq!(version["mode"], "control-plane");
    assert_eq!(version["clusterName"], "home");
    check(path, &["get", "memory", "--node", node], 0, "AVAILABLE");
    check(
        path,
        &["version", "--node", node, "--insecure"],
        5,
        "wants a client certificate",
    );
    check(
        path,
        &["config", "new", "reader", "--node", node],
        0,
        "reader is a client config",
    );
    let lesser = ["--orlopconfig", "reader", "--node", node];
    let with = |command: &[&'static str]| [&lesser[..], command].concat();
    check(path, &with(&["version"]), 0, "control-plane");
    check(path, &with(&["config", "contexts"]), 0, "reader");
    check(path, &with(&["reboot"]), 6, "operator or admin");
    check(
        path,
        &with(&["get", "config", "--with-secrets"]),
        6,
        "admin",
    );
    check(
        path,
        &with(&["config", "new", "admin", "--roles", "admin"]),
        6,
        "more than the caller has",
    );
    check(path, &with(&["config", "new", "reader"]), 10, "--force");
    // Another cluster's admin.
    let other = cluster();
    let foreign = other.path().join("orlopconfig");
    let foreign = foreign.to_str().unwrap();
    check(
        path,
        &["version", "--orlopconfig", foreign, "--node", node],
        5,
        "context",
    );
    let pinned = [
        "version",
        "--orlopconfig",
        foreign,
        "--node",
        node,
        "--fingerprint",
    ];
    let seen = check(
        path,
        &["version", "--orlopconfig", foreign, "--node", node],
        5,
        "--fingerprint ",
    )
    .errors;
    let seen = seen
        .split("--fingerprint ")
        .nth(1)
        .unwrap()
        .split([';', '.', ' '])
        .next()
        .unwrap()
        .to_owned();
    check(
        path,
        &[&pinned[..], &[seen.as_str()]].concat(),
        5,
        "not of the node's cluster",
    );
}

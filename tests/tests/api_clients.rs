//! Real clients of Kubernetes against the API server: kubectl, curl, the Python client, the crate kube; clients with bad
//! manners; and what all of them see while the store is away, slow, or has gone back.
//!
//! The transcripts of `api_clients/` are what a user sees; each is run over our store and over etcd.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

#[path = "api_clients/hostile.rs"]
mod hostile;
#[path = "api_clients/kube.rs"]
mod kube;
#[path = "api_clients/raw.rs"]
mod raw;
#[path = "api_clients/store_faults.rs"]
mod store_faults;

use orlop_tests::api::{ApiServer, credentials::Credentials, transcript};
use orlop_tests::store::{Cluster, Kind, Options};
use orlop_tests::wait::eventually;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Usual time of a few writes by curl.
const WRITES: Duration = Duration::from_secs(3);

/// A store and an API server over it.
struct Site {
    server: ApiServer,
    store: Cluster,
    directory: tempfile::TempDir,
}

impl Site {
    fn new(kind: Kind) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("orlop-api-")
            .tempdir()
            .unwrap();
        let store = Cluster::start(kind, directory.path(), &Options::default()).unwrap();
        let server = ApiServer::start(&store, directory.path()).unwrap();
        Self {
            server,
            store,
            directory,
        }
    }
}

/// Runs a transcript over both stores.
fn check(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/api_clients/{name}.txt"));
    for kind in [Kind::Orlop, Kind::Etcd] {
        let site = Site::new(kind);
        if let Err(error) = transcript::check(&site.server, &file) {
            panic!("over {}: {error:#}\n{}", kind.name(), site.server.log());
        }
    }
}

#[test]
fn objects_live_as_users_expect() {
    check("objects");
}

#[test]
fn apply_merges_by_the_schema() {
    check("apply");
}

#[test]
fn bodies_in_protobuf_are_as_good_as_json() {
    check("typed");
}

#[test]
fn rollouts_are_seen_by_their_status() {
    check("rollouts");
}

#[test]
fn who_waits_and_watches_sees_what_happens() {
    check("waiting");
}

#[test]
fn what_is_deleted_goes_when_nothing_holds_it() {
    check("deletion");
}

#[test]
fn files_and_editors_are_as_good_as_commands() {
    check("files");
}

#[test]
fn nodes_are_administered() {
    check("nodes");
}

#[test]
fn a_cluster_says_what_it_has() {
    check("asking");
}

#[test]
fn roles_decide_who_may_do_what() {
    check("access");
}

#[test]
fn admission_adds_and_refuses() {
    check("admission");
}

#[test]
fn the_python_client_works_unchanged() {
    check("python");
}

#[test]
fn what_is_beneath_is_as_clients_expect() {
    check("wire");
}

/// What was acknowledged is there after the server was killed at any moment, and what is there is whole.
#[test]
fn acknowledged_writes_survive_kills_of_the_server() {
    const ROUNDS: usize = 8;
    let directory = tempfile::tempdir().unwrap();
    let store = Cluster::start(Kind::Orlop, directory.path(), &Options::default()).unwrap();
    let mut server = ApiServer::start(&store, directory.path()).unwrap();
    let port = server.port();
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        let done = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (url, directory) = (server.url(), directory.path().to_owned());
                let done = done.clone();
                std::thread::spawn(move || {
                    write_until_refused(&url, &directory, &format!("r{round}-w{writer}"), &done)
                })
            })
            .collect();
        // Somewhere among the writes.
        let enough = || Ok((done.load(Ordering::Relaxed) > round).then_some(()));
        eventually("some writes", WRITES, enough).unwrap();
        server.kill().unwrap();
        for writer in writers {
            acknowledged.extend(writer.join().unwrap());
        }
        drop(server);
        server = ApiServer::start_on(&store, directory.path(), port).unwrap();
    }
    let output = server
        .kubectl()
        .unwrap()
        .args([
            "get",
            "services",
            "-o",
            "jsonpath={range .items[*]}{.metadata.name} {.spec.clusterIP}{\"\\n\"}{end}",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|name| !found.contains_key(name.as_str()))
        .collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(
        acknowledged.len() > ROUNDS,
        "only {} writes",
        acknowledged.len()
    );
    // No address is anybody's twice, and none is held for what is not there.
    let addresses: BTreeSet<_> = found.values().collect();
    assert_eq!(addresses.len(), found.len());
    let held = server
        .kubectl()
        .unwrap()
        .args(["get", "ipaddresses", "-o", "name"])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&held.stdout).lines().count(),
        found.len()
    );
}

/// Creates Services one after the other, until the server does not answer any more; those that it acknowledged.
fn write_until_refused(
    url: &str,
    directory: &Path,
    prefix: &str,
    done: &AtomicUsize,
) -> Vec<String> {
    let (certificate, key) = credentials(directory);
    let mut acknowledged = Vec::new();
    for number in 0..1_000 {
        let name = format!("{prefix}-{number}");
        let body = format!(
            r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"{name}"}},"spec":{{"ports":[{{"port":80}}]}}}}"#
        );
        let code = Command::new("curl")
            .args([
                "--silent",
                "--output",
                "/dev/null",
                "--write-out",
                "%{http_code}",
                "--max-time",
                "10",
            ])
            .args([
                "--header",
                "Content-Type: application/json",
                "--data",
                &body,
            ])
            .arg("--cacert")
            .arg(directory.join("apiserver/ca.crt"))
            .arg("--cert")
            .arg(&certificate)
            .arg("--key")
            .arg(&key)
            .arg(format!("{url}/api/v1/namespaces/default/services"))
            .output()
            .unwrap();
        match code.stdout.as_slice() {
            b"201" => {
                acknowledged.push(name);
                done.fetch_add(1, Ordering::Relaxed);
            }
            _ => break,
        }
    }
    acknowledged
}

/// The admin's certificate and key, in files of their own.
fn credentials(directory: &Path) -> (PathBuf, PathBuf) {
    let credentials = Credentials::read(&directory.join("apiserver/admin.kubeconfig")).unwrap();
    let write = |name: &str, bytes: Vec<u8>| {
        let path = directory.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    (
        write("admin.crt", credentials.certificate),
        write("admin.key", credentials.key),
    )
}

#[test]
fn services_get_addresses_and_ports() {
    check("services");
}

//! Real clients of etcd 3.5 against the store: etcdctl, etcdutl, curl, the client library for Rust, and the members of a
//! cluster as they see it.
//!
//! Etcd itself is the judge: the scripts of `store_clients/` and the program `tests/etcd-client` run against both, and
//! what users see must be the same. What is other on purpose has tests of its own here, and a line in the README of
//! `services/store`.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

#[path = "store_clients/snapshots.rs"]
mod snapshots;

use orlop_tests::store::cluster::{Certificates, Member};
use orlop_tests::store::normal::Normal;
use orlop_tests::store::transcript::{self, Client, Outcome};
use orlop_tests::store::{Cluster, Kind, Options};
use orlop_tests::wait::eventually;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Usual time from the start of all members to a leader that all know.
const ELECTS: Duration = Duration::from_secs(3);
/// Usual time for a change to be seen by another member or another cluster.
const SPREADS: Duration = Duration::from_secs(1);

/// A cluster with its scratch directory, and how etcdctl reaches it.
struct Site {
    directory: tempfile::TempDir,
    cluster: Cluster,
    flags: Vec<String>,
}

impl Site {
    fn new(kind: Kind, options: &Options) -> Self {
        let directory = tempfile::Builder::new()
            .prefix(&format!("orlop-clients-{}-", kind.name()))
            .tempdir()
            .unwrap();
        let cluster = Cluster::start(kind, directory.path(), options).unwrap();
        let flags = options.certificates.iter().flat_map(flags_of).collect();
        let site = Self {
            directory,
            cluster,
            flags,
        };
        site.wait_healthy();
        site
    }

    /// One member whose data `make` puts into its directory.
    fn with_data(kind: Kind, make: impl FnOnce(&Member)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = Options::default();
        let mut cluster = Cluster::prepare(kind, directory.path(), &options).unwrap();
        make(&cluster.members[0]);
        cluster.members[0].start().unwrap();
        let site = Self {
            directory,
            cluster,
            flags: Vec::new(),
        };
        site.wait_healthy();
        site
    }

    fn one(kind: Kind) -> Self {
        Self::new(kind, &Options::default())
    }

    fn three(kind: Kind) -> Self {
        let options = Options {
            members: 3,
            ..Options::default()
        };
        Self::new(kind, &options)
    }

    /// Waits until every member answers, and is listed with where it answers.
    fn wait_healthy(&self) {
        let logs = || -> String { self.cluster.members.iter().map(|m| m.log()).collect() };
        eventually("a healthy cluster", ELECTS, || {
            let listed = self.ctl(&["member", "list"]);
            let all = |url: &String| listed.contains(&format!(", {url},"));
            let healthy = self.cluster.endpoints().iter().all(all)
                && self.ctl(&["endpoint", "health"]).ends_with("[0]");
            Ok(healthy.then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error:#}\n{}", logs()));
    }

    fn client(&self) -> Client<'_> {
        self.client_at(&self.cluster.endpoints().join(","))
    }

    fn client_at(&self, endpoints: &str) -> Client<'_> {
        Client {
            cluster: &self.cluster,
            endpoints: endpoints.to_owned(),
            directory: self.directory.path(),
            flags: self.flags.clone(),
        }
    }

    /// What etcdctl wrote, and its exit code in brackets.
    fn ctl(&self, words: &[&str]) -> String {
        run(&self.client(), words)
    }

    /// As [`Site::ctl`], through these members only.
    fn ctl_at(&self, endpoints: &str, words: &[&str]) -> String {
        run(&self.client_at(endpoints), words)
    }

    /// As [`Site::ctl`], of a command that must succeed.
    fn ok(&self, words: &[&str]) -> String {
        succeeded(words, &self.ctl(words))
    }

    fn ok_at(&self, endpoints: &str, words: &[&str]) -> String {
        succeeded(words, &self.ctl_at(endpoints, words))
    }

    fn json(&self, words: &[&str]) -> serde_json::Value {
        let text = self.ok(&[words, &["-w", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?}: {error}: {text}"))
    }
}

fn run(client: &Client<'_>, words: &[&str]) -> String {
    let mut command = transcript::etcdctl_command(client).unwrap();
    transcript::finish(command.args(words), "").unwrap()
}

/// The output of a command that must have succeeded.
fn succeeded(words: &[&str], text: &str) -> String {
    text.strip_suffix("[0]")
        .unwrap_or_else(|| panic!("{words:?}: {text}"))
        .trim_end()
        .to_owned()
}

fn flags_of(certificates: &Certificates) -> Vec<String> {
    vec![
        format!("--cacert={}", certificates.authority.display()),
        format!("--cert={}", certificates.certificate.display()),
        format!("--key={}", certificates.key.display()),
    ]
}

/// Runs `script` against both; their users must see the same.
fn check(script: &str, options: &Options) {
    let outcomes = |kind| {
        let site = Site::new(kind, options);
        transcript::run(&site.client(), script)
            .unwrap_or_else(|error| panic!("{}: {error:#}", kind.name()))
    };
    let expected = outcomes(Kind::Etcd);
    let found = outcomes(Kind::Orlop);
    let differences = transcript::differences(&expected, &found);
    assert!(differences.is_empty(), "\n{differences}");
}

fn check_one(script: &str) {
    check(script, &Options::default());
}

#[test]
fn reads_and_writes() {
    check_one(include_str!("store_clients/kv.txt"));
}

#[test]
fn transactions() {
    check_one(include_str!("store_clients/txn.txt"));
}

#[test]
fn watches() {
    check_one(include_str!("store_clients/watch.txt"));
}

#[test]
fn leases() {
    check_one(include_str!("store_clients/lease.txt"));
}

#[test]
fn maintenance() {
    check_one(include_str!("store_clients/maintenance.txt"));
}

#[test]
fn locks_and_elections() {
    check_one(include_str!("store_clients/concurrency.txt"));
}

#[test]
fn the_gateway() {
    check_one(include_str!("store_clients/gateway.txt"));
}

#[test]
fn three_members() {
    let options = Options {
        members: 3,
        ..Options::default()
    };
    check(include_str!("store_clients/members.txt"), &options);
}

/// What the program on the crate etcd-client prints of this part, and its exit code in brackets.
fn client_library(program: &Path, site: &Site, part: &str) -> String {
    let mut command = Command::new(program);
    let endpoint = site.cluster.members[0].client_url();
    let takes = Duration::from_secs(15);
    transcript::finish_usually_in(takes, command.args([endpoint, part]), "").unwrap()
}

#[test]
fn the_client_library_for_rust() {
    let program = xtask::etcd_client::program().unwrap();
    let outcomes = |kind: Kind| -> Vec<Outcome> {
        let site = Site::one(kind);
        let text = client_library(&program, &site, "everything");
        assert!(text.ends_with("[0]"), "{}: {text}", kind.name());
        let text = Normal::new(&site.cluster, site.directory.path()).text(&text);
        let outcome = |line: &str| {
            let (step, text) = line.split_once(": ").unwrap_or((line, ""));
            Outcome {
                step: step.to_owned(),
                text: text.to_owned(),
            }
        };
        text.lines().map(outcome).collect()
    };
    // Most of the time they wait, for leases to end and members to be known.
    let (expected, found) = std::thread::scope(|scope| {
        let found = scope.spawn(|| outcomes(Kind::Orlop));
        (outcomes(Kind::Etcd), found.join())
    });
    let found = found.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let differences = transcript::differences(&expected, &found);
    assert!(differences.is_empty(), "\n{differences}");
    assert!(expected.len() > 300, "only {} lines", expected.len());
}

/// Etcd serves locks and elections as well. Clients that build them on leases and transactions, as etcdctl does, find what
/// they need; others are told that there is no such service, and do not wait.
#[test]
fn the_server_has_no_locks_and_elections_of_its_own() {
    let program = xtask::etcd_client::program().unwrap();
    let site = Site::one(Kind::Orlop);
    let text = client_library(&program, &site, "locks");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 8, "{text}");
    assert_eq!(lines[7], "[0]", "{text}");
    for line in &lines[..7] {
        assert!(line.ends_with(": Unimplemented"), "{text}");
    }
}

#[test]
fn mutual_tls() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = issue(directory.path());
    let options = Options {
        members: 3,
        certificates: Some(certificates.clone()),
        ..Options::default()
    };
    let site = Site::new(Kind::Orlop, &options);
    site.ok(&["put", "a", "1"]);
    assert_eq!(site.ok(&["get", "a"]), "a\n1");
    // Without a certificate there is no answer, with one of another CA neither.
    let stranger = tempfile::tempdir().unwrap();
    let other = issue(stranger.path());
    for flags in [
        vec![format!("--cacert={}", certificates.authority.display())],
        vec![
            format!("--cacert={}", certificates.authority.display()),
            format!("--cert={}", other.certificate.display()),
            format!("--key={}", other.key.display()),
        ],
    ] {
        let mut client = site.client();
        client.flags = flags;
        client
            .flags
            .extend(["--dial-timeout=1s".into(), "--command-timeout=2s".into()]);
        let mut command = transcript::etcdctl_command(&client).unwrap();
        let text = transcript::finish(command.args(["get", "a"]), "").unwrap();
        assert!(!text.ends_with("[0]"), "{text}");
        assert!(!text.contains("a\n1"), "{text}");
    }
}

/// One CA, and one certificate of it that serves for all.
fn issue(directory: &Path) -> Certificates {
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    };
    let write = |name: &str, text: String| -> PathBuf {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    leaf.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let certificate = leaf.signed_by(&key, &issuer).unwrap();
    Certificates {
        authority: write("ca.pem", authority_certificate.pem()),
        certificate: write("certificate.pem", certificate.pem()),
        key: write("key.pem", key.serialize_pem()),
    }
}

#[test]
fn a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("unix://{}", directory.path().join("store.sock").display());
    let options = Options {
        flags: vec!["--listen-client-urls".into(), url.clone()],
        ..Options::default()
    };
    let site = Site::new(Kind::Orlop, &options);
    site.ok(&["put", "a", "1"]);
    let mut command = Command::new(xtask::peers::etcd().unwrap().join("etcdctl"));
    let text = transcript::finish(command.args(["--endpoints", &url, "get", "a"]), "").unwrap();
    assert_eq!(text, "a\n1\n[0]");
}

#[test]
fn a_mirror_in_both_directions() {
    let (etcd, ours) = (Site::one(Kind::Etcd), Site::one(Kind::Orlop));
    for (from, to) in [(&etcd, &ours), (&ours, &etcd)] {
        let name = from.cluster.members[0].client_url();
        let before = format!("before {name}");
        from.ok(&["put", &before, "1"]);
        let mut command = transcript::etcdctl_command(&from.client()).unwrap();
        let target = to.cluster.endpoints()[0].replace("http://", "");
        let mirror = command.args(["make-mirror", &target]);
        let mut mirror = orlop_tests::guard::Guarded::start(mirror).unwrap();
        let arrives = |key: &str| {
            eventually(&format!("{key} on the other side"), SPREADS, || {
                Ok((to.ok(&["get", key, "--print-value-only"]) == "1").then_some(()))
            })
            .unwrap();
        };
        arrives(&before);
        let during = format!("during {name}");
        from.ok(&["put", &during, "1"]);
        arrives(&during);
        from.ok(&["del", &during]);
        eventually("the delete on the other side", SPREADS, || {
            Ok(to.ok(&["get", &during]).is_empty().then_some(()))
        })
        .unwrap();
        mirror.kill().unwrap();
    }
}

#[test]
fn leadership_is_given_to_whom_one_says() {
    let site = Site::three(Kind::Orlop);
    let leader = |site: &Site| -> u64 {
        let status = site.json(&["endpoint", "status"]);
        status[0]["Status"]["leader"].as_u64().unwrap()
    };
    let before = leader(&site);
    let status = site.json(&["endpoint", "status"]);
    let of = |wanted: bool| {
        status.as_array().unwrap().iter().find(|member| {
            (member["Status"]["header"]["member_id"].as_u64() == Some(before)) == wanted
        })
    };
    let endpoint = of(true).unwrap()["Endpoint"].as_str().unwrap();
    let follower = of(false).unwrap();
    let to = follower["Status"]["header"]["member_id"].as_u64().unwrap();
    // Only the leader can be asked.
    let asked = follower["Endpoint"].as_str().unwrap();
    let text = site.ctl_at(asked, &["move-leader", &format!("{to:x}")]);
    assert!(text.contains("no leader endpoint given at"), "{text}");
    site.ok_at(endpoint, &["move-leader", &format!("{to:x}")]);
    assert_eq!(leader(&site), to);
    site.ok(&["put", "a", "1"]);
}

#[test]
fn a_member_comes_as_a_learner_and_goes() {
    let mut site = Site::three(Kind::Orlop);
    for number in 0..50 {
        site.ok(&["put", &format!("k{number}"), "v"]);
    }
    let endpoints = site.cluster.endpoints().join(",");
    let peer = site.cluster.prepare_member().unwrap().peer_url().to_owned();
    let text = site.ok_at(
        &endpoints,
        &["member", "add", "m4", "--learner", "--peer-urls", &peer],
    );
    let id = text.split(' ').nth(1).unwrap().to_owned();
    site.cluster.members[3].start().unwrap();
    let promoted = eventually("a learner that has caught up", ELECTS, || {
        let text = site.ctl_at(&endpoints, &["member", "promote", &id]);
        Ok(text.ends_with("[0]").then_some(text))
    })
    .unwrap();
    assert!(
        promoted.contains(&format!("Member {id} promoted")),
        "{promoted}"
    );
    site.wait_healthy();
    let members = site.ok_at(&endpoints, &["member", "list"]);
    assert!(
        members.contains(&format!("{id}, started, m4, {peer}")),
        "{members}"
    );
    let alone = site.cluster.members[3].client_url().to_owned();
    assert_eq!(
        site.ok_at(&alone, &["get", "k49", "--print-value-only"]),
        "v"
    );
    site.ok_at(&endpoints, &["member", "remove", &id]);
    let members = site.ok_at(&endpoints, &["member", "list"]);
    assert_eq!(members.lines().count(), 3, "{members}");
}

#[test]
fn users_and_roles_are_refused() {
    let site = Site::one(Kind::Orlop);
    for words in [
        &["user", "add", "x", "--new-user-password", "y"][..],
        &["user", "list"],
        &["user", "get", "x"],
        &["user", "delete", "x"],
        &["role", "add", "r"],
        &["role", "list"],
        &["role", "get", "r"],
        &["auth", "enable"],
    ] {
        let text = site.ctl(words);
        assert!(text.ends_with("[1]"), "{words:?}: {text}");
        assert!(
            text.contains("etcdserver: authentication is not enabled"),
            "{words:?}: {text}"
        );
    }
    assert!(
        site.ok(&["auth", "status"])
            .contains("Authentication Status: false")
    );
    site.ok(&["put", "a", "1"]);
}

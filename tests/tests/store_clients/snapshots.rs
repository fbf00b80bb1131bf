//! Snapshots and copies, from one program to the other and back.
//!
//! ```text
//!   ours ── etcdctl snapshot save ──> file ── orlop store snapshot restore ──> ours
//!                                       └──── etcdutl: refuses it
//!   etcd ── etcdctl snapshot save ──> file ── etcdutl snapshot restore ──> etcd ── orlop store copy ──> ours
//!   ours ── orlop store copy ──> etcd ── etcdctl snapshot save ──> file ── etcdutl snapshot status
//! ```

use super::{Site, succeeded};
use orlop_tests::programs;
use orlop_tests::store::cluster::Member;
use orlop_tests::store::{Kind, transcript};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Added to a restored revision, if nothing else is asked for.
const BUMP: u64 = 1_000_000_000;
const KEYS: u64 = 250;
const LEASES: u64 = 3;

fn etcdutl(words: &[&str]) -> String {
    let mut command = Command::new(xtask::peers::etcd().unwrap().join("etcdutl"));
    transcript::finish(command.args(words), "").unwrap()
}

fn store(words: &[&str]) -> String {
    let mut command = Command::new(programs::built("orlop").unwrap());
    transcript::finish(command.arg("store").args(words), "").unwrap()
}

fn store_ok(words: &[&str]) -> String {
    succeeded(words, &store(words))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Words that make of `file` the data of this member, alone in a new cluster: the same for both programs.
fn restore_words(file: &str, member: &Member) -> Vec<String> {
    [
        "snapshot",
        "restore",
        file,
        "--name",
        &member.name,
        "--data-dir",
        member.data().to_str().unwrap(),
        "--initial-cluster",
        &format!("{}={}", member.name, member.peer_url()),
        "--initial-advertise-peer-urls",
        member.peer_url(),
    ]
    .map(str::to_owned)
    .to_vec()
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// Keys in order, some of them with a lease.
fn fill(site: &Site) {
    for number in 0..LEASES {
        let granted = site.ok(&["lease", "grant", "1000"]);
        let lease = granted.split(' ').nth(1).unwrap();
        site.ok(&["put", &format!("leased/{number}"), "v", "--lease", lease]);
    }
    let puts: String = (LEASES..KEYS)
        .map(|number| format!("put key/{number:04} value-{number}\n"))
        .collect();
    // A transaction may have 128 operations.
    for puts in puts.lines().collect::<Vec<_>>().chunks(100) {
        let input = format!("\n{}\n\n\n", puts.join("\n"));
        let mut command = transcript::etcdctl_command(&site.client()).unwrap();
        let text = transcript::finish(command.arg("txn"), &input).unwrap();
        succeeded(&["txn"], &text);
    }
}

/// All keys with their values, and how many leases there are.
fn content(site: &Site) -> (String, usize) {
    let leases = site.json(&["lease", "list"]);
    let leases = leases["leases"].as_array().map_or(0, Vec::len);
    (site.ok(&["get", "", "--prefix"]), leases)
}

fn save(site: &Site, name: &str) -> PathBuf {
    let file = site.directory.path().join(name);
    let text = site.ok(&["snapshot", "save", file.to_str().unwrap()]);
    assert!(text.contains("Snapshot saved at"), "{text}");
    file
}

fn copy(from: &Site, to: &Site) -> String {
    let of = |site: &Site| site.cluster.members[0].client_url().to_owned();
    store_ok(&["copy", "--from", &of(from), "--to", &of(to)])
}

#[test]
fn what_etcdctl_saves_begins_a_new_cluster() {
    let site = Site::one(Kind::Orlop);
    fill(&site);
    site.ok(&["del", "key/0100"]);
    let before = site.json(&["get", "key/0200"]);
    let revision = before["header"]["revision"].as_u64().unwrap();
    let file = save(&site, "ours.snapshot");
    let file = file.to_str().unwrap();
    let status = json(&store_ok(&["snapshot", "status", file, "-w", "json"]));
    assert_eq!(status["revision"], revision);
    // The deleted one is there twice: as it was, and that it is gone.
    assert_eq!(status["totalKey"], KEYS + 1);
    assert_eq!(status["totalSize"], std::fs::metadata(file).unwrap().len());
    let hash = status["hash"].as_str().unwrap();
    let expect = format!(
        "{}, {revision}, {}, {}",
        &hash[..8],
        KEYS + 1,
        status["totalSize"]
    );
    assert_eq!(store_ok(&["snapshot", "status", file]), expect);

    let restored = Site::with_data(Kind::Orlop, |member| {
        let text = store_ok(&words(&restore_words(file, member)));
        let told = format!("at revision {}", revision + BUMP);
        assert!(text.contains("Restored") && text.ends_with(&told), "{text}");
        // What is there is not written over.
        let again = store(&words(&restore_words(file, member)));
        assert!(again.ends_with("[1]"), "{again}");
    });
    assert_eq!(content(&restored), content(&site));
    let after = restored.json(&["get", "key/0200"]);
    let header = |answer: &Value, name: &str| answer["header"][name].as_u64().unwrap();
    assert!(header(&after, "revision") >= revision + BUMP, "{after}");
    assert_ne!(header(&after, "cluster_id"), header(&before, "cluster_id"));
    // No revision is served twice: history before is gone.
    let past = restored.ctl(&["get", "key/0200", "--rev", &revision.to_string()]);
    assert!(past.contains("has been compacted"), "{past}");
    restored.ok(&["put", "after", "1"]);
}

/// Our bytes are ours. etcdutl 3.5 says so of `status` in one line; of `restore` in a panic of its own, which leaves a directory that
/// etcd does not start from.
#[test]
fn etcdutl_refuses_a_snapshot_of_ours() {
    let site = Site::one(Kind::Orlop);
    site.ok(&["put", "a", "1"]);
    let file = save(&site, "ours.snapshot");
    let bytes = std::fs::read(&file).unwrap();
    let name = file.to_str().unwrap();
    let status = etcdutl(&["snapshot", "status", name]);
    assert_eq!(status, "Error: invalid database\n[1]");
    let directory = tempfile::tempdir().unwrap();
    let options = orlop_tests::store::Options::default();
    let cluster =
        orlop_tests::store::Cluster::prepare(Kind::Etcd, directory.path(), &options).unwrap();
    let member = &cluster.members[0];
    let restored = etcdutl(&words(&restore_words(name, member)));
    assert!(restored.contains("failed to open database"), "{restored}");
    assert!(restored.ends_with("[2]"), "{restored}");
    // It may not be gone by accident, nor start.
    let mut command = Kind::Etcd.command().unwrap();
    command.arg("--data-dir").arg(member.data());
    command.args(["--listen-client-urls", member.client_url()]);
    command.args(["--advertise-client-urls", member.client_url()]);
    command.args(["--listen-peer-urls", member.peer_url()]);
    let started = transcript::finish(&mut command, "").unwrap();
    assert!(started.contains("invalid database"), "{started}");
    assert!(!started.ends_with("[0]"), "{started}");
    assert_eq!(std::fs::read(&file).unwrap(), bytes, "it was only read");
}

/// The way from a backup of etcd to us: restore it into an etcd, and copy from that.
#[test]
fn a_backup_of_etcd_is_imported() {
    let site = Site::one(Kind::Etcd);
    fill(&site);
    let file = save(&site, "etcd.snapshot");
    let name = file.to_str().unwrap();
    // Ours does not take it for one of ours.
    let status = store(&["snapshot", "status", name]);
    assert!(status.contains("no snapshot of this store"), "{status}");
    assert!(status.ends_with("[1]"), "{status}");
    let backup = Site::with_data(Kind::Etcd, |member| {
        let text = etcdutl(&words(&restore_words(name, member)));
        assert!(text.ends_with("[0]"), "{text}");
    });
    let ours = Site::one(Kind::Orlop);
    let told = format!("Copied {KEYS} keys and {LEASES} leases, as of revision");
    for _ in 0..2 {
        // Again is the same again.
        let text = copy(&backup, &ours);
        assert!(text.starts_with(&told), "{text}");
        assert_eq!(content(&ours), content(&site));
    }
}

/// And back: what etcdutl counts in a backup of the etcd that was copied to.
#[test]
fn keys_are_exported_to_etcd() {
    let ours = Site::one(Kind::Orlop);
    fill(&ours);
    let etcd = Site::one(Kind::Etcd);
    // It counts etcd's own records too.
    let before = counted(&save(&etcd, "before.snapshot"));
    copy(&ours, &etcd);
    assert_eq!(content(&etcd), content(&ours));
    let after = counted(&save(&etcd, "after.snapshot"));
    assert_eq!(after - before, KEYS + LEASES);
}

fn counted(file: &Path) -> u64 {
    let words = ["snapshot", "status", file.to_str().unwrap(), "-w", "json"];
    let text = etcdutl(&words);
    json(&succeeded(&words, &text))["totalKey"]
        .as_u64()
        .unwrap()
}

#[test]
fn copy_tells_its_flags() {
    let text = store_ok(&["copy", "--help"]);
    for flag in [
        "--from", "--to", "--prefix", "--cacert", "--cert", "--key", "--help",
    ] {
        assert!(
            text.contains(&format!("{flag} ")) || text.contains(&format!("{flag}\n")),
            "{flag}: {text}"
        );
    }
}

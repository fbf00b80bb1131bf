//! Command lines, and what is said of them.

use super::*;
use clap::Parser as _;

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn check(line: &str) -> Result<Checked, String> {
    let words = std::iter::once("store").chain(line.split_whitespace());
    let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
    line.args.check().map_err(|error| error.to_string())
}

#[track_caller]
fn refuse(line: &str, expect: &str) {
    let error = check(line).expect_err("refused");
    assert!(error.contains(expect), "{error}");
}

#[test]
fn defaults_are_etcds() {
    let checked = check("").unwrap();
    assert_eq!(checked.data_dir, PathBuf::from("default.etcd"));
    let here = |port| SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(checked.clients, [Endpoint::Plain(here(2379))]);
    assert_eq!(checked.peers, [Endpoint::Plain(here(2380))]);
    let member = ("default".to_owned(), "http://localhost:2380".to_owned());
    assert_eq!(checked.member.initial_cluster, [member]);
    assert_eq!(checked.member.quota_bytes, 2 << 30);
    assert_eq!(checked.limits.request_bytes, 3 << 19);
    assert_eq!(checked.limits.lease_seconds_min, 2);
}

#[test]
fn a_member_of_three_with_certificates() {
    let checked = check(
        "--name a --data-dir /d --listen-client-urls https://10.0.0.1:2379,unix:///run/store.sock \
         --advertise-client-urls https://10.0.0.1:2379 --listen-peer-urls https://[fd00::1]:2380 \
         --initial-advertise-peer-urls https://a.test:2380 \
         --initial-cluster a=https://a.test:2380,b=https://b.test:2380,c=https://c.test:2380 \
         --cert-file c --key-file k --trusted-ca-file t --client-cert-auth \
         --peer-cert-file pc --peer-key-file pk --peer-trusted-ca-file pt --peer-client-cert-auth=true \
         --initial-cluster-state existing --election-timeout 5000 --quota-backend-bytes -1",
    )
    .unwrap();
    assert_eq!(
        checked.clients,
        [
            Endpoint::Tls(SocketAddr::from(([10, 0, 0, 1], 2379))),
            Endpoint::Unix("/run/store.sock".into()),
        ]
    );
    assert_eq!(checked.member.initial_cluster.len(), 3);
    assert_eq!(checked.member.cluster_state, ClusterState::Existing);
    assert_eq!(checked.member.quota_bytes, u64::MAX);
    assert_eq!(checked.limits.lease_seconds_min, 8);
    assert_eq!(checked.client_tls.unwrap().key, PathBuf::from("k"));
    assert_eq!(checked.member.peer_certificates, checked.peer_tls);
    assert_eq!(checked.peer_tls.unwrap().trusted, PathBuf::from("pt"));
}

#[test]
fn what_cannot_work_is_refused_with_its_reason() {
    refuse(
        "--listen-client-urls http://127.0.0.1:1",
        "--advertise-client-urls is required",
    );
    let listen = |url| format!("--advertise-client-urls http://a:1 --listen-client-urls {url}");
    refuse(&listen("http://10.0.0.1:2379"), "loopback only");
    refuse(&listen("http://0.0.0.0:2379"), "loopback only");
    refuse(
        &listen("http://a.test:2379"),
        "expected IP in URL for binding",
    );
    refuse(&listen("127.0.0.1:2379"), "not a URL");
    refuse(&listen("ftp://127.0.0.1:2379"), "the scheme must be");
    refuse(
        &listen("http://127.0.0.1:2379/a"),
        "nothing but scheme, host and port",
    );
    refuse(&listen("unix://a/b"), "unix:///PATH");
    refuse(&listen("https://127.0.0.1:2379"), "https needs --cert-file");
    refuse(
        &(listen("https://127.0.0.1:2379") + " --client-cert-auth=false"),
        "--client-cert-auth=false",
    );
    refuse(
        "--advertise-client-urls http://0.0.0.0:1",
        "nobody can connect",
    );
    refuse(
        "--listen-peer-urls https://127.0.0.1:1",
        "https needs --peer-cert-file",
    );
    refuse(
        "--initial-cluster b=http://localhost:2380",
        "couldn't find local name",
    );
    refuse(
        "--initial-cluster default=http://localhost:1",
        "missing from --initial-cluster",
    );
    refuse(
        "--initial-cluster default=http://localhost:2380,default=http://localhost:1",
        "missing from --initial-advertise-peer-urls",
    );
    refuse("--initial-cluster default", "is not NAME=URL");
    refuse(
        "--initial-advertise-peer-urls http://10.0.0.1:2380",
        "for loopback only: use https",
    );
    refuse(
        "--initial-cluster default=http://localhost:2380,b=http://b.test:2380",
        "for loopback only: use https",
    );
    refuse(
        "--initial-cluster default=http://localhost:2380,b=https://b.test:2380",
        "https needs --peer-cert-file",
    );
    refuse("--heartbeat-interval 300", "at least as 5 times");
    refuse("--election-timeout 60000", "too long");
    refuse("--heartbeat-interval 0", "must be >0");
    refuse("--max-txn-ops 0", "--max-txn-ops");
    refuse("--enable-v2", "unexpected argument");
}

#[test]
fn retention_is_read_as_etcd_reads_it() {
    let kept = |flags: &str| check(flags).map(|checked| checked.member.auto_compaction);
    assert_eq!(kept(""), Ok(Policy::Off));
    let hours = Policy::Periodic(Duration::from_secs(3 * 3600));
    assert_eq!(kept("--auto-compaction-retention 3"), Ok(hours));
    assert_eq!(kept("--auto-compaction-retention 2h60m"), Ok(hours));
    let revisions = "--auto-compaction-mode revision --auto-compaction-retention 1000";
    assert_eq!(kept(revisions), Ok(Policy::Revisions(1000)));
    refuse("--auto-compaction-retention=-1", "must not be below zero");
    refuse("--auto-compaction-retention soon", "no time such as");
    refuse(
        "--auto-compaction-mode revision --auto-compaction-retention 1h",
        "must be a number of revisions",
    );
    refuse("--experimental-corrupt-check-time x", "no time such as");
}

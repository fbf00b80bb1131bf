//! What a member tells Prometheus: every value moves when what it is about does.

use crate::cluster::{Node, cluster, leading, wait};
use etcd_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest,
    RequestOp, TxnRequest, WatchCreateRequest, WatchRequest, request_op::Request,
    watch_request::RequestUnion,
};
use orlop_store::{executor::member::MemberMetrics, planner::command::Command};
use prometheus_client::{encoding::text::encode, registry::Registry};
use std::collections::BTreeMap;

/// The sum of all values of each name, whatever their labels.
fn scrape(node: &Node) -> BTreeMap<String, f64> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(MemberMetrics(node.member().clone())));
    let mut text = String::new();
    encode(&mut text, &registry).expect("text");
    let mut values = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        let name = name.split('{').next().expect("a name").to_owned();
        *values.entry(name).or_default() += value.parse::<f64>().expect("a number");
    }
    values
}

fn propose(node: &Node, command: Command) {
    let done = node.run(node.member().propose(command));
    done.expect("carried out");
}

fn put(key: &str, lease: i64) -> PutRequest {
    PutRequest {
        key: key.to_owned().into(),
        value: "value".into(),
        lease,
        ..PutRequest::default()
    }
}

#[test]
fn every_metric_is_moved() {
    let mut nodes: [Node; 3] = cluster(|settings| settings.checkpoint_entries = 5);
    let leader = leading(&nodes);
    let node = &nodes[leader];
    let before = scrape(node);
    propose(
        node,
        Command::LeaseGrant(LeaseGrantRequest { id: 7, ttl: 600 }),
    );
    propose(node, Command::Put(put("a", 7)));
    propose(node, Command::Put(put("b", 0)));
    let revoke = LeaseRevokeRequest { id: 7 };
    propose(node, Command::LeaseRevoke(revoke));
    let delete = DeleteRangeRequest {
        key: "b".into(),
        ..DeleteRangeRequest::default()
    };
    propose(node, Command::DeleteRange(delete));
    let transaction = TxnRequest {
        success: vec![RequestOp {
            request: Some(Request::RequestPut(put("c", 0))),
        }],
        ..TxnRequest::default()
    };
    propose(node, Command::Transaction(transaction));
    let compact = CompactionRequest {
        revision: 3,
        physical: false,
    };
    propose(node, Command::Compact(compact));
    let stream = node.member().watch();
    let create = WatchCreateRequest {
        key: "c".into(),
        ..WatchCreateRequest::default()
    };
    node.run(async {
        let request = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        stream.request(request).await;
        stream.next().await.expect("it is created");
    });
    // Nobody reads the stream, so that what comes makes the watch fall behind.
    let large = "x".repeat(1024 * 1024);
    for _ in 0..12 {
        node.put("c", &large);
    }
    let grown = |name: &str| {
        wait(name, || {
            let now = scrape(node);
            let (now, before) = (now.get(name), before.get(name));
            now.expect("it is there") > before.unwrap_or(&0.0)
        });
    };
    for name in [
        "etcd_mvcc_put_total",
        "etcd_mvcc_delete_total",
        "etcd_mvcc_txn_total",
        "etcd_debugging_lease_granted_total",
        "etcd_debugging_lease_revoked_total",
        "etcd_server_proposals_committed_total",
        "etcd_debugging_mvcc_keys_total",
        "etcd_debugging_mvcc_compact_revision",
        "etcd_debugging_mvcc_watch_stream_total",
        "etcd_debugging_mvcc_watcher_total",
        "etcd_debugging_mvcc_slow_watcher_total",
        "etcd_disk_wal_fsync_duration_seconds_count",
        "etcd_disk_wal_fsync_duration_seconds_sum",
        "etcd_disk_backend_commit_duration_seconds_count",
        "etcd_network_peer_round_trip_time_seconds_count",
        "etcd_network_peer_round_trip_time_seconds_sum",
    ] {
        grown(name);
    }
    let leaders = scrape(node)["etcd_server_leader_changes_seen_total"];
    assert!(leaders >= 1.0, "{leaders}");
    // Without a quorum, proposals and reads wait, and fail.
    for (other, node) in nodes.iter_mut().enumerate() {
        if other != leader {
            node.kill();
        }
    }
    let node = &nodes[leader];
    let before = scrape(node);
    assert!(node.try_put("d", "1").is_err());
    assert!(node.run(node.member().linearize()).is_err());
    let after = scrape(node);
    for name in [
        "etcd_server_proposals_failed_total",
        "etcd_server_read_indexes_failed_total",
    ] {
        assert!(after[name] > before[name], "{name}");
    }
    let pending = async {
        let put = node.member().propose(Command::Put(put("e", 0)));
        let look = async {
            while scrape(node)["etcd_server_proposals_pending"] < 1.0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = put => panic!("there is no quorum"),
            () = look => {}
        }
    };
    node.run(pending);
}

//! What a cluster holds, carried over and compared: snapshots that begin new clusters, and members that differ.

use crate::cluster::{Node, cluster, leading, wait};
use etcd_proto::{
    errors::Refusal,
    etcdserverpb::{
        AlarmType, RangeRequest, WatchCreateRequest, WatchRequest, watch_request::RequestUnion,
    },
};
use orlop_store::{
    executor::{
        disk::Directory,
        member::{MemberError, RestoreError, restore},
        records::{CacheBytes, Commit, RecordFile},
        snapshot_file::SnapshotFile,
    },
    planner::{records::Change, revision::Revision, state::ReadError},
};
use std::{fs::File, io::Write, path::Path, time::Duration};
use tokio_stream::StreamExt;

const BUMP: i64 = 1000;

/// Saves a snapshot of this member.
fn save(node: &Node, path: &Path) {
    let mut file = File::create(path).expect("a file");
    node.run(async {
        let mut blobs = node.member().snapshot().await.expect("a snapshot");
        while let Some(blob) = blobs.next().await {
            file.write_all(&blob.expect("whole")).expect("written");
        }
    });
}

fn open(path: &Path) -> SnapshotFile {
    let file = File::open(path).expect("it is there");
    SnapshotFile::open(file).expect("a snapshot")
}

#[test]
fn a_snapshot_begins_a_new_cluster() {
    let [old] = cluster(|_| {});
    for number in 0..300 {
        old.put(&format!("key {number}"), &format!("value {number}"));
    }
    let last = old.put("key 7", "changed");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("snapshot");
    save(&old, &path);
    // What comes after the snapshot is not in it, but clients may have seen its revision.
    let lost = old.put("later", "lost");

    let mut nodes: [Node; 2] = cluster(|_| {});
    let identities = nodes.each_mut().map(|node| {
        node.stop();
        std::fs::remove_dir_all(node.data()).expect("removed");
        let mut file = open(&path);
        file.verify().expect("as it was written");
        let restored = restore(&mut file, &node.data(), &node.settings, BUMP).expect("restored");
        assert_eq!(restored.revision, last + BUMP);
        assert_eq!(restored.records, 301);
        restored
    });
    assert_eq!(identities[0].cluster_id, identities[1].cluster_id);
    assert_ne!(identities[0].cluster_id, old.member().cluster_id());
    for node in &mut nodes {
        node.start();
    }
    for (node, identity) in nodes.iter().zip(identities) {
        node.ready();
        assert_eq!(node.member().id(), identity.member_id);
        assert_eq!(node.value("key 7").as_deref(), Some("changed"));
        assert_eq!(node.value("key 299").as_deref(), Some("value 299"));
        assert_eq!(node.get("later"), None);
    }
    let next = nodes[0].put("later", "anew");
    assert!(next > lost, "{next} was not served before");
    // Who knows a revision of the old cluster learns that it is gone.
    let request = RangeRequest {
        key: "key 7".into(),
        revision: lost,
        ..RangeRequest::default()
    };
    let read = nodes[0]
        .member()
        .read(|state, records| state.range(&request, records));
    assert!(matches!(
        read.expect("a good disk"),
        Err(ReadError::Refused(Refusal::Compacted))
    ));
    let stream = nodes[0].member().watch();
    let create = WatchCreateRequest {
        key: "key 7".into(),
        start_revision: lost,
        ..WatchCreateRequest::default()
    };
    let watch = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    };
    nodes[0].run(async {
        stream.request(watch).await;
        assert!(stream.next().await.expect("it runs").created);
        let cancelled = stream.next().await.expect("it runs");
        assert!(cancelled.canceled);
        assert_eq!(cancelled.compact_revision, last + BUMP);
    });
}

#[test]
fn a_member_is_not_restored_over_anything() {
    let [node] = cluster(|_| {});
    node.put("a", "1");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("snapshot");
    save(&node, &path);
    let refused = restore(&mut open(&path), &node.data(), &node.settings, BUMP);
    assert!(
        matches!(refused, Err(RestoreError::Exists(_))),
        "{refused:?}"
    );
    let refused = restore(
        &mut open(&path),
        &directory.path().join("new"),
        &node.settings,
        -1,
    );
    assert!(
        matches!(refused, Err(RestoreError::Bump { .. })),
        "{refused:?}"
    );
    assert!(!directory.path().join("new").exists());
}

/// Gives a record of a stopped member another value, behind its back.
fn corrupt(node: &Node, revision: i64) {
    let disk = Directory::open(&node.data()).expect("its directory");
    let cache = CacheBytes {
        pages: 1024 * 1024,
        records: 0,
    };
    let file = RecordFile::open(&disk, cache).expect("its records");
    let (state, applied) = file.restore().expect("whole");
    let pair = node_pair(&file, revision);
    let change = Change {
        revision: Revision {
            main: revision,
            sub: 0,
        },
        record: etcd_proto::mvccpb::KeyValue {
            value: "something else".into(),
            ..pair
        },
        previous: None,
    };
    file.commit(Commit {
        changes: &[change],
        bookkeeping: &[],
        dropped: &[],
        revision: state.revision(),
        applied: &applied.expect("it has applied something"),
    });
    file.write_durably(|| Ok(())).expect("written");
}

fn node_pair(file: &RecordFile, revision: i64) -> etcd_proto::mvccpb::KeyValue {
    use orlop_store::planner::records::Records;
    let revision = Revision {
        main: revision,
        sub: 0,
    };
    file.reader().get(revision).expect("a record")
}

#[test]
fn a_member_that_holds_other_data_is_named_and_ends_writes() {
    let mut nodes: [Node; 3] = cluster(|settings| {
        settings.corruption_check = Some(Duration::from_millis(200));
    });
    let leader = leading(&nodes);
    let damaged = (leader + 1) % 3;
    let revision = nodes[leader].put("a", "1");
    nodes[leader].put("b", "2");
    let alarms = |node: &Node| node.member().status().expect("a status").alarms;
    wait("it has applied both", || nodes[damaged].get("b").is_some());
    assert!(alarms(&nodes[leader]).is_empty());
    let id = nodes[damaged].member().id();
    nodes[damaged].stop();
    corrupt(&nodes[damaged], revision);
    nodes[damaged].start();
    nodes[damaged].ready();
    wait("somebody raises the alarm", || {
        !alarms(&nodes[damaged]).is_empty()
    });
    let raised: Vec<_> = alarms(&nodes[damaged]).into_iter().collect();
    assert_eq!(raised.len(), 1);
    assert_eq!(raised[0].member, id);
    assert_eq!(raised[0].kind, i32::from(AlarmType::Corrupt));
    let put = nodes[damaged].try_put("c", "3");
    assert!(
        matches!(put, Err(MemberError::Refused(Refusal::Corrupt))),
        "{put:?}"
    );
}

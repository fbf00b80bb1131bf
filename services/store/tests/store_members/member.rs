//! Members on real files and loopback: what was acknowledged stays, whoever is killed.
//!
//! A member that is killed loses its runtime in mid-air, and its files are left as they are; so what the kernel has it keeps. Power
//! cuts are simulated elsewhere.

use crate::cluster::{Node, PATIENCE, cluster, leading, wait};
use etcd_proto::{
    errors::Refusal,
    etcdserverpb::{
        CompactionRequest, LeaseGrantRequest, PutRequest, WatchCreateRequest, WatchRequest,
        watch_request::RequestUnion,
    },
};
use orlop_store::{
    executor::member::{ClusterState, Member, MemberError},
    planner::command::Command,
};
use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

#[test]
fn one_member_keeps_what_it_acknowledged() {
    let [mut node] = cluster(|_| {});
    let id = node.member().id();
    assert_eq!(node.put("a", "1"), 2);
    assert_eq!(node.put("a", "2"), 3);
    let before = node.get("a");
    node.stop();
    node.start();
    node.ready();
    assert_eq!(node.member().id(), id);
    assert_eq!(node.get("a"), before);
    assert_eq!(node.put("b", "3"), 4);
    node.kill();
    node.start();
    node.ready();
    assert_eq!(node.get("a"), before);
    assert_eq!(node.value("b").as_deref(), Some("3"));
    assert_eq!(node.put("c", "4"), 5);
}

#[test]
fn a_log_that_is_purged_by_checkpoints_loses_nothing() {
    let [mut node] = cluster(|settings| {
        settings.checkpoint_entries = 20;
        settings.log_entries_kept = 3;
    });
    for round in 0..3 {
        for number in 0..50 {
            node.put(&format!("{round}/{number}"), "value");
        }
        node.run(node.member().linearize()).expect("it leads");
        wait("the log is purged", || {
            node.member().status().expect("a status").purged_index > round * 50 + 10
        });
        node.kill();
        node.start();
        node.ready();
        for number in 0..50 {
            let key = format!("{round}/{number}");
            assert!(node.get(&key).is_some(), "{key}");
        }
    }
}

#[test]
fn a_directory_has_one_member() {
    let [mut node] = cluster(|_| {});
    let (runtime, member) = node.running.take().expect("it runs");
    let second = runtime.block_on(Member::open(
        &node.data(),
        node.settings.clone(),
        Vec::new(),
    ));
    let error = second.err().expect("refused");
    assert!(
        error.to_string().starts_with("another process uses "),
        "{error}"
    );
    drop(member);
}

#[test]
fn three_members_survive_their_leader() {
    let mut nodes: [Node; 3] = cluster(|_| {});
    let leader = leading(&nodes);
    let follower = (leader + 1) % 3;
    // Through a follower, which then has it itself.
    nodes[follower].put("a", "1");
    assert_eq!(nodes[follower].value("a").as_deref(), Some("1"));
    nodes[leader].put("b", "2");
    nodes[leader].kill();
    let put = || nodes[follower].try_put("c", "3");
    wait("the two that are left go on", || put().is_ok());
    nodes[leader].start();
    nodes[leader].ready();
    for key in ["a", "b", "c"] {
        assert!(nodes[leader].get(key).is_some(), "{key}, by the log");
    }
    let revisions = || {
        nodes
            .iter()
            .map(|node| node.member().status().expect("a status").standing.revision)
    };
    wait("all agree", || {
        let first = revisions().next();
        revisions().all(|revision| Some(revision) == first)
    });
}

#[test]
fn a_member_that_missed_too_much_gets_a_snapshot() {
    let mut nodes: [Node; 3] = cluster(|settings| {
        settings.checkpoint_entries = 50;
        settings.log_entries_kept = 5;
    });
    let leader = leading(&nodes);
    let behind = (leader + 1) % 3;
    nodes[leader].put("first", "1");
    wait("the follower has it", || {
        nodes[behind].get("first").is_some()
    });
    let missed_from = nodes[behind].member().status().expect("a status").log_index;
    nodes[behind].kill();
    for number in 0..200 {
        nodes[leader].put(&format!("key {number}"), &"x".repeat(4000));
    }
    let lease = LeaseGrantRequest { ttl: 1000, id: 77 };
    let granted = nodes[leader].member().propose(Command::LeaseGrant(lease));
    nodes[leader].run(granted).expect("granted");
    wait("what it missed is purged", || {
        nodes[leader]
            .member()
            .status()
            .expect("a status")
            .purged_index
            > missed_from + 10
    });
    nodes[behind].start();
    nodes[behind].ready();
    for number in 0..200 {
        let key = format!("key {number}");
        assert!(nodes[behind].get(&key).is_some(), "{key}");
    }
    let has_lease = nodes[behind]
        .member()
        .read(|state, _| state.leases().contains(77));
    assert!(has_lease.expect("a disk"));
    // What came as a snapshot is there after a crash too, and the log goes on behind it.
    nodes[leader].put("after", "2");
    wait("it goes on", || nodes[behind].get("after").is_some());
    nodes[behind].kill();
    nodes[behind].start();
    nodes[behind].ready();
    assert!(nodes[behind].get("key 199").is_some());
    assert!(nodes[behind].get("after").is_some());
}

#[test]
fn a_leader_alone_answers_no_linearizable_read() {
    let mut nodes: [Node; 3] =
        cluster(|settings| settings.request_timeout = Duration::from_secs(2));
    let leader = leading(&nodes);
    nodes[leader].put("a", "1");
    for node in [(leader + 1) % 3, (leader + 2) % 3] {
        nodes[node].kill();
    }
    let read = nodes[leader].run(nodes[leader].member().linearize());
    assert!(
        matches!(read, Err(MemberError::Timeout | MemberError::NoLeader)),
        "{read:?}"
    );
    let put = nodes[leader].try_put("b", "2");
    assert!(put.is_err(), "{put:?}");
    // A serializable read is still answered.
    assert_eq!(nodes[leader].value("a").as_deref(), Some("1"));
}

#[test]
fn leadership_is_given_away() {
    let mut nodes: [Node; 3] = cluster(|_| {});
    let leader = leading(&nodes);
    let to = (leader + 1) % 3;
    let id = nodes[to].member().id();
    let moved = nodes[to].run(nodes[to].member().move_leader(id));
    assert!(matches!(
        moved,
        Err(MemberError::Refused(Refusal::NotLeader))
    ));
    // Who has it already keeps it, and takes proposals.
    let own = nodes[leader].member().id();
    let kept = nodes[leader].run(nodes[leader].member().move_leader(own));
    kept.expect("nothing to do");
    nodes[leader].put("before", "1");
    let moved = nodes[leader].run(nodes[leader].member().move_leader(id));
    moved.expect("moved");
    wait("it leads", || nodes[to].leader() == id);
    nodes[to].stop();
    let rest = leading(&nodes);
    assert_ne!(rest, to);
    nodes[rest].put("a", "1");
}

#[test]
fn members_come_and_go() {
    let nodes: [Node; 1] = cluster(|_| {});
    let mut second = Node::new("late");
    let mut all = nodes[0].settings.initial_cluster.clone();
    all.push(("late".to_owned(), second.url()));
    second.settings.initial_cluster = all;
    second.settings.cluster_state = ClusterState::Existing;
    second.settings.client_urls = vec!["http://127.0.0.1:2379".to_owned()];
    // Nobody has told the cluster of it.
    let early = second.try_start();
    assert!(
        matches!(&early, Err(MemberError::Configuration(text)) if text.contains("knows no member")),
        "{early:?}"
    );
    nodes[0].put("a", "1");
    let add = nodes[0].member().add_member(vec![second.url()], true);
    let (added, members) = nodes[0].run(add).expect("added");
    assert!(added.is_learner && added.name.is_empty());
    assert_eq!(members.len(), 2);
    let again = nodes[0].run(nodes[0].member().add_member(vec![second.url()], false));
    assert!(matches!(
        again,
        Err(MemberError::Refused(Refusal::PeerUrlExists))
    ));
    second.start();
    second.ready();
    assert_eq!(second.member().id(), added.id);
    assert_eq!(second.value("a").as_deref(), Some("1"));
    assert!(
        second
            .member()
            .status()
            .expect("a status")
            .standing
            .is_learner
    );
    wait("it tells its name", || {
        let members = nodes[0].member().members();
        members.iter().any(|member| {
            member.name == "late" && member.client_urls == second.settings.client_urls
        })
    });
    wait("it has caught up, and is promoted", || {
        match nodes[0].run(nodes[0].member().promote_member(added.id)) {
            Ok(members) => {
                assert!(members.iter().all(|member| !member.is_learner));
                true
            }
            // The leader has yet to hear how far it is.
            Err(MemberError::Refused(Refusal::LearnerNotReady)) => false,
            Err(error) => panic!("{error:?}"),
        }
    });
    wait("it has a vote", || {
        !second
            .member()
            .status()
            .expect("a status")
            .standing
            .is_learner
    });
    second.put("b", "2");
    let removed = nodes[0].run(nodes[0].member().remove_member(added.id));
    assert_eq!(removed.expect("removed").len(), 1);
    second.kill();
    nodes[0].put("c", "3");
    let unknown = nodes[0].run(nodes[0].member().remove_member(added.id));
    assert!(matches!(
        unknown,
        Err(MemberError::Refused(Refusal::MemberNotFound))
    ));
}

/// A stream of entries that was opened before openraft's pause was over made six thousand attempts a second.
#[test]
fn a_member_that_is_gone_is_called_a_few_times_a_second() {
    let nodes: [Node; 1] = cluster(|_| {});
    let door = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let url = format!("http://{}", door.local_addr().expect("an address"));
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    thread::spawn(move || {
        // Whoever comes is sent away.
        for _caller in door.incoming() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let add = nodes[0].member().add_member(vec![url], true);
    nodes[0].run(add).expect("added");
    wait("it is called", || calls.load(Ordering::Relaxed) > 0);
    let (begun, before) = (Instant::now(), calls.load(Ordering::Relaxed));
    let called = || calls.load(Ordering::Relaxed) - before;
    wait("it is called again", || called() >= 20);
    // In a second there are twenty signs of life and five attempts to send entries.
    let took = begun.elapsed();
    assert!(
        took > Duration::from_millis(200),
        "{} calls in {took:?}",
        called()
    );
    nodes[0].put("a", "1");
}

#[test]
fn a_lease_ends_by_itself_and_lives_while_it_is_renewed() {
    let nodes: [Node; 3] = cluster(|_| {});
    let leader = leading(&nodes);
    let follower = &nodes[(leader + 1) % 3];
    for (id, key) in [(1, "left"), (2, "renewed")] {
        let lease = LeaseGrantRequest { ttl: 2, id };
        let granted = follower.run(follower.member().propose(Command::LeaseGrant(lease)));
        granted.expect("granted");
        let put = PutRequest {
            key: key.into(),
            lease: id,
            ..PutRequest::default()
        };
        let put = follower.run(follower.member().propose(Command::Put(put)));
        put.expect("put");
    }
    wait("the one that nobody renews ends", || {
        let renewed = follower.run(follower.member().renew_lease(2));
        assert_eq!(renewed.expect("it lives"), 2);
        follower.get("left").is_none()
    });
    assert!(follower.get("renewed").is_some());
    let (granted, left) = follower
        .run(follower.member().lease_remaining(2))
        .expect("it lives");
    assert!(granted == 2 && left <= Duration::from_secs(2), "{left:?}");
    let gone = follower.run(follower.member().renew_lease(1));
    assert!(matches!(
        gone,
        Err(MemberError::Refused(Refusal::LeaseNotFound))
    ));
    wait("the other ends too", || follower.get("renewed").is_none());
}

#[test]
fn a_used_up_quota_refuses_puts_and_nothing_else() {
    let [node] = cluster(|settings| settings.quota_bytes = 3 * 1024 * 1024);
    let mut refused = None;
    for number in 0..1000 {
        if let Err(error) = node.try_put(&format!("{number}"), &"x".repeat(50_000)) {
            refused = Some(error);
            break;
        }
    }
    let refused = refused.expect("the quota is used up");
    assert!(
        matches!(refused, MemberError::Refused(Refusal::NoSpace)),
        "{refused:?}"
    );
    assert_eq!(node.member().status().expect("a status").alarms.len(), 1);
    let compact = CompactionRequest {
        revision: 10,
        physical: true,
    };
    let compacted = node.run(node.member().propose(Command::Compact(compact)));
    compacted.expect("compaction goes through");
}

#[test]
fn a_watch_is_told_of_what_was_and_what_comes() {
    let nodes: [Node; 3] = cluster(|_| {});
    let leader = leading(&nodes);
    let follower = &nodes[(leader + 1) % 3];
    nodes[leader].put("a", "1");
    wait("the follower has it", || follower.get("a").is_some());
    let stream = follower.member().watch();
    let create = WatchCreateRequest {
        key: "a".into(),
        start_revision: 2,
        ..WatchCreateRequest::default()
    };
    let request = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    };
    let next = || {
        let response = async { tokio::time::timeout(PATIENCE, stream.next()).await };
        follower.run(response).expect("in time").expect("it runs")
    };
    follower.run(stream.request(request));
    assert!(next().created);
    nodes[leader].put("a", "2");
    let mut values = Vec::new();
    while values.len() < 2 {
        for event in next().events {
            values.push(event.kv.expect("a pair").value);
        }
    }
    assert_eq!(values, ["1", "2"]);
}

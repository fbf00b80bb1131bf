//! The services as etcd's clients see them: generated clients over the real services and the real state machine.

pub(crate) mod local;

use super::{Api, Limits, RequestBody, Services};
use crate::executor::calls::Calls;
use etcd_proto::{
    errors::Refusal,
    etcdserverpb::{
        self as pb, auth_client::AuthClient, cluster_client::ClusterClient, kv_client::KvClient,
        lease_client::LeaseClient, maintenance_client::MaintenanceClient,
        watch_client::WatchClient, watch_request::RequestUnion,
    },
};
use local::{CLUSTER, Local, MEMBER};
use std::{convert::Infallible, future::Future, time::Duration};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Code, Request, Status, Streaming, body::Body};
use tower::service_fn;

/// Ten times what anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn services(store: &Local) -> Services<Local> {
    let limits = Limits {
        request_bytes: 10_000,
        leaderless_max: Duration::from_millis(60),
        ..Limits::default()
    };
    Services::new(Api::new(store.clone(), limits), Calls::default())
}

/// A client of a service of this store.
macro_rules! client {
    ($client:ident, $store:expr) => {{
        let services = services($store);
        $client::new(service_fn(move |request: hyper::Request<Body>| {
            let services = services.clone();
            async move { Ok::<_, Infallible>(services.call(request.map(RequestBody::Memory)).await) }
        }))
    }};
}

pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, test)
            .await
            .expect("the test ends in time");
    });
}

fn put(key: &'static str, value: &'static str) -> pb::PutRequest {
    pb::PutRequest {
        key: key.into(),
        value: value.into(),
        ..pb::PutRequest::default()
    }
}

fn get(key: &'static str) -> pb::RangeRequest {
    pb::RangeRequest {
        key: key.into(),
        ..pb::RangeRequest::default()
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, Status>, refusal: Refusal) {
    let status = result.expect_err("a refusal");
    assert_eq!(
        (status.code(), status.message()),
        (refusal.code(), refusal.text())
    );
}

#[test]
fn keys_are_put_read_changed_and_forgotten() {
    run(async {
        let mut kv = client!(KvClient, &Local::default());
        let header = kv.put(put("a", "1")).await.unwrap().into_inner().header;
        let expect = pb::ResponseHeader {
            cluster_id: CLUSTER,
            member_id: MEMBER,
            revision: 2,
            raft_term: 2,
        };
        assert_eq!(header, Some(expect));
        kv.put(put("a", "2")).await.unwrap();
        let answer = kv.range(get("a")).await.unwrap().into_inner();
        assert_eq!((answer.count, &*answer.kvs[0].value), (1, &b"2"[..]));
        let branch = |request| {
            vec![pb::RequestOp {
                request: Some(request),
            }]
        };
        let transaction = pb::TxnRequest {
            success: branch(pb::request_op::Request::RequestDeleteRange(
                pb::DeleteRangeRequest {
                    key: "a".into(),
                    ..pb::DeleteRangeRequest::default()
                },
            )),
            ..pb::TxnRequest::default()
        };
        let answer = kv.txn(transaction).await.unwrap().into_inner();
        assert!(answer.succeeded);
        assert_eq!(answer.header.unwrap().revision, 4);
        let reading = pb::TxnRequest {
            success: branch(pb::request_op::Request::RequestRange(get("a"))),
            ..pb::TxnRequest::default()
        };
        let answer = kv.txn(reading).await.unwrap().into_inner();
        // It made no revision.
        assert_eq!(answer.header.unwrap().revision, 4);
        let compaction = pb::CompactionRequest {
            revision: 4,
            physical: false,
        };
        kv.compact(compaction).await.unwrap();
        let old = pb::RangeRequest {
            revision: 2,
            ..get("a")
        };
        refused(kv.range(old).await, Refusal::Compacted);
    });
}

#[test]
fn requests_are_bounded_and_checked_before_they_are_proposed() {
    run(async {
        let mut kv = client!(KvClient, &Local::default());
        refused(kv.put(put("", "1")).await, Refusal::EmptyKey);
        refused(kv.range(get("")).await, Refusal::EmptyKey);
        let large = |bytes: usize| pb::PutRequest {
            key: "a".into(),
            value: vec![0; bytes].into(),
            ..pb::PutRequest::default()
        };
        kv.put(large(9_900)).await.unwrap();
        refused(kv.put(large(10_001)).await, Refusal::RequestTooLarge);
        let beyond = kv.put(large(10_000 + Limits::ENVELOPE_BYTES)).await;
        assert_eq!(beyond.unwrap_err().code(), Code::OutOfRange);
        let guard = pb::Compare {
            key: "a".into(),
            ..pb::Compare::default()
        };
        let many = pb::TxnRequest {
            compare: vec![guard; 129],
            ..pb::TxnRequest::default()
        };
        refused(kv.txn(many).await, Refusal::TooManyOperations);
    });
}

#[test]
fn without_a_leader_only_serializable_reads_are_answered() {
    run(async {
        let store = Local::default();
        let mut kv = client!(KvClient, &store);
        store.lose_leader(true);
        refused(kv.put(put("a", "1")).await, Refusal::NoLeader);
        refused(kv.range(get("a")).await, Refusal::NoLeader);
        let serializable = pb::RangeRequest {
            serializable: true,
            ..get("a")
        };
        kv.range(serializable.clone()).await.unwrap();
        let mut insisting = Request::new(serializable);
        insisting
            .metadata_mut()
            .insert("hasleader", "true".parse().unwrap());
        refused(kv.range(insisting).await, Refusal::NoLeader);
        let mut maintenance = client!(MaintenanceClient, &store);
        let status = maintenance.status(pb::StatusRequest {}).await.unwrap();
        assert_eq!(status.into_inner().errors, [Refusal::NoLeader.text()]);
    });
}

#[test]
fn a_learner_answers_serializable_reads_and_status() {
    run(async {
        let store = Local::default();
        store.become_learner();
        let mut kv = client!(KvClient, &store);
        refused(kv.range(get("a")).await, Refusal::NotSupportedForLearner);
        refused(kv.put(put("a", "1")).await, Refusal::NotSupportedForLearner);
        let serializable = pb::RangeRequest {
            serializable: true,
            ..get("a")
        };
        kv.range(serializable).await.unwrap();
        let mut maintenance = client!(MaintenanceClient, &store);
        let status = maintenance.status(pb::StatusRequest {}).await.unwrap();
        assert!(status.into_inner().is_learner);
    });
}

/// A watch stream: where requests go, and what comes.
async fn open(
    store: &Local,
    insisting: bool,
) -> (mpsc::Sender<pb::WatchRequest>, Streaming<pb::WatchResponse>) {
    let (requests, stream) = mpsc::channel(8);
    let mut request = Request::new(ReceiverStream::new(stream));
    if insisting {
        let yes = "true".parse().unwrap();
        request.metadata_mut().insert("hasleader", yes);
    }
    let mut client = client!(WatchClient, store);
    let responses = client.watch(request).await.unwrap().into_inner();
    (requests, responses)
}

fn ask(union: RequestUnion) -> pb::WatchRequest {
    pb::WatchRequest {
        request_union: Some(union),
    }
}

fn watch(key: &'static str, start_revision: i64) -> pb::WatchRequest {
    ask(RequestUnion::CreateRequest(pb::WatchCreateRequest {
        key: key.into(),
        start_revision,
        ..pb::WatchCreateRequest::default()
    }))
}

#[test]
fn many_watches_share_a_stream() {
    run(async {
        let store = Local::default();
        let mut kv = client!(KvClient, &store);
        kv.put(put("a", "1")).await.unwrap();
        let (requests, mut responses) = open(&store, false).await;
        let mut next = async || responses.next().await.unwrap().unwrap();
        requests.send(watch("a", 2)).await.unwrap();
        let created = next().await;
        assert!(created.created && !created.canceled);
        assert_eq!(created.header.unwrap().member_id, MEMBER);
        let first = next().await;
        assert_eq!((first.watch_id, first.events.len()), (0, 1));
        requests.send(watch("b", 0)).await.unwrap();
        assert_eq!(next().await.watch_id, 1);
        kv.put(put("b", "2")).await.unwrap();
        let second = next().await;
        assert_eq!((second.watch_id, second.header.unwrap().revision), (1, 3));
        let progress = RequestUnion::ProgressRequest(pb::WatchProgressRequest {});
        requests.send(ask(progress)).await.unwrap();
        let progress = next().await;
        assert_eq!((progress.watch_id, progress.events.len()), (-1, 0));
        assert_eq!(progress.header.unwrap().revision, 3);
        let cancel = RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id: 1 });
        requests.send(ask(cancel)).await.unwrap();
        let canceled = next().await;
        assert!(canceled.canceled && canceled.watch_id == 1);
        // Whoever sends no more goes on listening.
        drop(requests);
        kv.put(put("a", "3")).await.unwrap();
        assert_eq!(next().await.watch_id, 0);
    });
}

#[test]
fn a_watch_of_compacted_history_says_where_history_begins() {
    run(async {
        let store = Local::default();
        let mut kv = client!(KvClient, &store);
        for value in ["1", "2", "3"] {
            kv.put(put("a", value)).await.unwrap();
        }
        let compaction = pb::CompactionRequest {
            revision: 3,
            physical: false,
        };
        kv.compact(compaction).await.unwrap();
        let (requests, mut responses) = open(&store, false).await;
        requests.send(watch("a", 2)).await.unwrap();
        assert!(responses.next().await.unwrap().unwrap().created);
        let canceled = responses.next().await.unwrap().unwrap();
        assert!(canceled.canceled);
        assert_eq!(canceled.compact_revision, 3);
        assert_eq!(canceled.cancel_reason, Refusal::Compacted.text());
    });
}

#[test]
fn a_stream_that_insists_on_a_leader_ends_without_one() {
    run(async {
        let store = Local::default();
        let (requests, mut responses) = open(&store, true).await;
        requests.send(watch("a", 0)).await.unwrap();
        assert!(responses.next().await.unwrap().unwrap().created);
        store.lose_leader(true);
        refused(responses.next().await.unwrap(), Refusal::NoLeader);
    });
}

#[test]
fn a_slow_client_loses_nothing() {
    run(async {
        let store = Local::default();
        let mut kv = client!(KvClient, &store);
        let (requests, mut responses) = open(&store, false).await;
        requests.send(watch("a", 0)).await.unwrap();
        assert!(responses.next().await.unwrap().unwrap().created);
        // More than may wait for a stream, which takes nothing meanwhile.
        let puts = i64::try_from(2 * crate::planner::watch::QUEUE_BYTES_MAX / 9_000).unwrap();
        let large = pb::PutRequest {
            key: "a".into(),
            value: vec![1; 9_000].into(),
            ..pb::PutRequest::default()
        };
        for _ in 0..puts {
            kv.put(large.clone()).await.unwrap();
        }
        let mut seen = 1;
        while seen <= puts {
            for event in responses.next().await.unwrap().unwrap().events {
                seen += 1;
                assert_eq!(event.kv.unwrap().mod_revision, seen);
            }
        }
    });
}

#[test]
fn leases_are_granted_kept_alive_listed_and_revoked() {
    run(async {
        let store = Local::default();
        let mut lease = client!(LeaseClient, &store);
        let grant = |ttl, id| pb::LeaseGrantRequest { ttl, id };
        let granted = lease.lease_grant(grant(60, 7)).await.unwrap().into_inner();
        assert_eq!((granted.id, granted.ttl), (7, 60));
        refused(lease.lease_grant(grant(60, 7)).await, Refusal::LeaseExists);
        refused(
            lease.lease_grant(grant(9_000_000_001, 8)).await,
            Refusal::LeaseTimeToLiveTooLarge,
        );
        let chosen = lease.lease_grant(grant(0, 0)).await.unwrap().into_inner();
        // No shorter than an election lets anybody renew it.
        assert!(chosen.id > 0 && chosen.ttl == 2);
        let mut kv = client!(KvClient, &store);
        let leased = pb::PutRequest {
            lease: 7,
            ..put("a", "1")
        };
        kv.put(leased).await.unwrap();
        let about = |id| pb::LeaseTimeToLiveRequest { id, keys: true };
        let told = lease.lease_time_to_live(about(7)).await.unwrap();
        let told = told.into_inner();
        assert_eq!((told.granted_ttl, told.keys), (60, vec!["a".into()]));
        let told = lease.lease_time_to_live(about(9)).await.unwrap();
        assert_eq!(told.into_inner().ttl, -1);
        let all = lease.lease_leases(pb::LeaseLeasesRequest {}).await.unwrap();
        assert_eq!(all.into_inner().leases.len(), 2);
        let renewals = [7, 9, 7].map(|id| pb::LeaseKeepAliveRequest { id });
        let renewals = tokio_stream::iter(renewals);
        let answers = lease.lease_keep_alive(renewals).await.unwrap().into_inner();
        let answers: Vec<_> = answers.map(|answer| answer.unwrap().ttl).collect().await;
        // A lease that is no more ends nothing for the others.
        assert_eq!(answers, [60, 0, 60]);
        let revoke = pb::LeaseRevokeRequest { id: 7 };
        lease.lease_revoke(revoke).await.unwrap();
        assert_eq!(kv.range(get("a")).await.unwrap().into_inner().count, 0);
        refused(lease.lease_revoke(revoke).await, Refusal::LeaseNotFound);
    });
}

#[test]
fn maintenance() {
    run(async {
        let store = Local::default();
        let mut client = client!(MaintenanceClient, &store);
        let mut kv = client!(KvClient, &store);
        let hash = async |client: &mut MaintenanceClient<_>, revision| {
            let request = pb::HashKvRequest { revision };
            client
                .hash_kv(request)
                .await
                .map(tonic::Response::into_inner)
        };
        for value in ["1", "2"] {
            kv.put(put("a", value)).await.unwrap();
        }
        let newest = hash(&mut client, 0).await.unwrap();
        assert_eq!(newest.hash_revision, 3);
        kv.put(put("a", "3")).await.unwrap();
        assert_ne!(hash(&mut client, 0).await.unwrap().hash, newest.hash);
        assert_eq!(hash(&mut client, 3).await.unwrap().hash, newest.hash);
        refused(hash(&mut client, 5).await, Refusal::FutureRevision);
        let alarm = |action: pb::alarm_request::AlarmAction| pb::AlarmRequest {
            action: action.into(),
            member_id: MEMBER,
            alarm: pb::AlarmType::Nospace.into(),
        };
        let activate = alarm(pb::alarm_request::AlarmAction::Activate);
        client.alarm(activate).await.unwrap();
        refused(kv.put(put("b", "1")).await, Refusal::NoSpace);
        let status = client.status(pb::StatusRequest {}).await.unwrap();
        let expect = format!("memberID:{MEMBER} alarm:NOSPACE ");
        assert_eq!(status.into_inner().errors, [expect]);
        let deactivate = alarm(pb::alarm_request::AlarmAction::Deactivate);
        client.alarm(deactivate).await.unwrap();
        kv.put(put("b", "1")).await.unwrap();
        let to = |target_id| pb::MoveLeaderRequest { target_id };
        refused(
            client.move_leader(to(1)).await,
            Refusal::BadLeaderTransferee,
        );
        client.move_leader(to(MEMBER)).await.unwrap();
        client.defragment(pb::DefragmentRequest {}).await.unwrap();
        let downgrade = |version: &str| pb::DowngradeRequest {
            version: version.to_owned(),
            ..pb::DowngradeRequest::default()
        };
        refused(
            client.downgrade(downgrade("3.4.0")).await,
            Refusal::InvalidDowngradeTargetVersion,
        );
        refused(
            client.downgrade(downgrade("old")).await,
            Refusal::WrongDowngradeVersionFormat,
        );
    });
}

#[test]
fn members_and_authentication() {
    run(async {
        let store = Local::default();
        let mut cluster = client!(ClusterClient, &store);
        let list = pb::MemberListRequest { linearizable: true };
        let members = cluster
            .member_list(list)
            .await
            .unwrap()
            .into_inner()
            .members;
        assert_eq!(members[0].id, MEMBER);
        let bad = pb::MemberAddRequest {
            peer_urls: vec!["nowhere".into()],
            is_learner: false,
        };
        refused(cluster.member_add(bad).await, Refusal::MemberBadUrls);
        let mut auth = client!(AuthClient, &store);
        let status = auth.auth_status(pb::AuthStatusRequest {}).await.unwrap();
        assert!(!status.into_inner().enabled);
        refused(
            auth.user_list(pb::AuthUserListRequest {}).await,
            Refusal::AuthNotEnabled,
        );
    });
}

//! The state machine: stories that read like etcd's documentation, and agreement with a naive model.

mod model;
mod properties;

use super::*;
use crate::planner::hash::Hash;
use etcd_proto::{
    etcdserverpb::{
        Compare, DeleteRangeRequest, LeaseCheckpoint, PutRequest, RangeRequest, RangeResponse,
        RequestOp, TxnRequest,
        compare::{CompareTarget, TargetUnion},
        request_op::Request,
        response_op::Response,
    },
    mvccpb::KeyValue,
    prost::Message,
};
use std::collections::BTreeMap;

/// A state with its disk.
#[derive(Default)]
struct Store {
    state: State,
    records: BTreeMap<Revision, KeyValue>,
    kept: KeptSoFar,
}

#[derive(Default)]
struct KeptSoFar {
    compacted: Option<i64>,
    leases: BTreeMap<i64, KeptLease>,
    alarms: BTreeSet<Alarm>,
}

impl Store {
    fn apply(&mut self, command: &Command) -> Result<Reply, Refusal> {
        let before = self.state.revision();
        let applied = self
            .state
            .apply(command, &self.records)
            .expect("records in memory");
        for (sub, change) in applied.changes.iter().enumerate() {
            let sub = u32::try_from(sub).expect("few");
            let main = before + 1;
            assert_eq!(change.revision, Revision { main, sub });
            self.records.insert(change.revision, change.record.clone());
        }
        let moved = i64::from(!applied.changes.is_empty());
        assert_eq!(self.state.revision(), before + moved);
        for bookkeeping in applied.bookkeeping {
            match bookkeeping {
                Bookkeeping::Compacted(revision) => self.kept.compacted = Some(revision),
                Bookkeeping::Lease(id, Some(lease)) => {
                    self.kept.leases.insert(id, lease);
                }
                Bookkeeping::Lease(id, None) => {
                    self.kept.leases.remove(&id);
                }
                Bookkeeping::Alarms(alarms) => self.kept.alarms = alarms,
            }
        }
        applied.reply
    }

    /// Deletes what compaction dropped, some keys at a time.
    fn compact_records(&mut self, keys_max: usize) {
        let mut cursor = None;
        loop {
            let mut dropped = Vec::new();
            cursor = self
                .state
                .compact(cursor.as_deref(), keys_max, &mut dropped);
            for revision in dropped {
                assert!(self.records.remove(&revision).is_some(), "{revision}");
            }
            if cursor.is_none() {
                break;
            }
        }
    }

    /// What a member has that starts from this disk.
    fn restarted(&self) -> State {
        let mut index = Restore::default();
        for (revision, record) in &self.records {
            add_record(&mut index, *revision, record);
        }
        let leases = self.kept.leases.iter();
        let kept = Kept {
            revision: self.state.revision(),
            compacted: self.kept.compacted.unwrap_or(NEVER_COMPACTED),
            leases: leases.map(|(id, lease)| (*id, *lease)).collect(),
            alarms: self.kept.alarms.clone(),
        };
        State::restore(kept, index.finish())
    }

    fn hash(&self) -> u32 {
        let mut hash = Hash::begin(&self.state, 0).expect("newest");
        for (revision, record) in &self.records {
            assert!(hash.add(&self.state, *revision, record));
        }
        hash.finish(&self.state).expect("nothing between").hash
    }

    fn put(&mut self, key: &'static str, value: &'static str) -> i64 {
        let reply = self.apply(&Command::Put(put(key, value)));
        let Ok(Reply::Put(response)) = reply else {
            panic!("put {key}: {reply:?}");
        };
        response.header.expect("always").revision
    }

    fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
        let told = |error| match error {
            ReadError::Refused(refusal) => refusal,
            ReadError::Storage(error) => panic!("{error}"),
        };
        let answer = self.state.range(request, &self.records).map_err(told);
        let encoded = self.state.range_encoded(request, &self.records);
        let encoded = encoded.map_err(told).map(|encoded| {
            let bytes = encoded.encode_to_vec();
            RangeResponse::decode(bytes.as_slice()).expect("the same message")
        });
        assert_eq!(encoded, answer);
        answer
    }

    /// "key=value@mod" of every pair at a revision.
    fn list(&self, revision: i64) -> Result<Vec<String>, Refusal> {
        let response = self.range(&RangeRequest { revision, ..all() })?;
        Ok(response.kvs.iter().map(show).collect())
    }
}

fn show(pair: &KeyValue) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{}={}@{}",
        text(&pair.key),
        text(&pair.value),
        pair.mod_revision
    )
}

fn all() -> RangeRequest {
    RangeRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        ..RangeRequest::default()
    }
}

fn put(key: &'static str, value: &'static str) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: value.into(),
        ..PutRequest::default()
    }
}

fn delete(key: &'static str) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: key.into(),
        prev_kv: true,
        ..DeleteRangeRequest::default()
    }
}

fn operation(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

fn guard(key: &'static str, target: CompareTarget, operand: TargetUnion) -> Compare {
    Compare {
        key: key.into(),
        target: target.into(),
        target_union: Some(operand),
        ..Compare::default()
    }
}

#[test]
fn a_fresh_store_is_at_revision_one() {
    let mut store = Store::default();
    assert_eq!(store.state.revision(), 1);
    assert_eq!(store.put("a", "1"), 2);
    let nothing = store.apply(&Command::DeleteRange(delete("b")));
    let Ok(Reply::DeleteRange(response)) = nothing else {
        panic!("{nothing:?}");
    };
    assert_eq!((response.deleted, response.header), (0, header(2)));
}

#[test]
fn history_stays_readable_until_it_is_compacted() {
    let mut store = Store::default();
    store.put("a", "1");
    store.put("a", "2");
    store
        .apply(&Command::DeleteRange(delete("a")))
        .expect("deleted");
    store.put("a", "3");
    assert_eq!(store.list(2), Ok(vec!["a=1@2".into()]));
    assert_eq!(store.list(4), Ok(vec![]));
    assert_eq!(store.list(0), Ok(vec!["a=3@5".into()]));
    assert_eq!(store.list(6), Err(Refusal::FutureRevision));
    let compact = |revision| {
        Command::Compact(CompactionRequest {
            revision,
            physical: false,
        })
    };
    assert_eq!(store.apply(&compact(6)), Err(Refusal::FutureRevision));
    store.apply(&compact(3)).expect("compacted");
    assert_eq!(store.apply(&compact(3)), Err(Refusal::Compacted));
    assert_eq!(store.list(2), Err(Refusal::Compacted));
    assert_eq!(store.list(3), Ok(vec!["a=2@3".into()]));
}

#[test]
fn the_revision_survives_compaction_of_everything() {
    let mut store = Store::default();
    store.put("a", "1");
    store
        .apply(&Command::DeleteRange(delete("a")))
        .expect("deleted");
    store.put("b", "1");
    store
        .apply(&Command::DeleteRange(delete("b")))
        .expect("deleted");
    let compact = CompactionRequest {
        revision: 5,
        physical: true,
    };
    store.apply(&Command::Compact(compact)).expect("compacted");
    store.compact_records(1);
    assert_eq!(
        store.records.len(),
        1,
        "the delete at the compacted revision"
    );
    assert_eq!(store.restarted().revision(), 5);
}

#[test]
fn a_transaction_is_one_revision() {
    let mut store = Store::default();
    store.put("a", "1");
    store.put("b", "1");
    let request = TxnRequest {
        compare: vec![guard("a", CompareTarget::Mod, TargetUnion::ModRevision(2))],
        success: vec![
            operation(Request::RequestPut(put("a", "2"))),
            operation(Request::RequestRange(all())),
            operation(Request::RequestDeleteRange(delete("b"))),
            operation(Request::RequestPut(put("c", "1"))),
            operation(Request::RequestRange(RangeRequest {
                revision: 3,
                ..all()
            })),
        ],
        failure: vec![],
    };
    let Ok(Reply::Transaction(response)) = store.apply(&Command::Transaction(request.clone()))
    else {
        panic!("refused");
    };
    assert!(response.succeeded);
    assert_eq!(response.header, header(4));
    let lists: Vec<Vec<String>> = response
        .responses
        .iter()
        .filter_map(|response| match &response.response {
            Some(Response::ResponseRange(range)) => {
                assert_eq!(range.header, header(4));
                Some(range.kvs.iter().map(show).collect())
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        lists[0],
        ["a=2@4", "b=1@3"],
        "a read sees what came before it"
    );
    assert_eq!(
        lists[1],
        ["a=1@2", "b=1@3"],
        "an earlier revision does not change"
    );
    let revisions: Vec<_> = store.records.keys().map(ToString::to_string).collect();
    assert_eq!(revisions, ["2.0", "3.0", "4.0", "4.1", "4.2"]);
    let Ok(Reply::Transaction(response)) = store.apply(&Command::Transaction(request)) else {
        panic!("refused");
    };
    assert!(!response.succeeded, "the guard does not hold any more");
    assert_eq!(response.header, header(4), "and nothing was written");
}

#[test]
fn a_refused_transaction_changes_nothing() {
    let mut store = Store::default();
    store.put("a", "1");
    let check = |store: &mut Store, second: Request, expect| {
        let request = TxnRequest {
            success: vec![
                operation(Request::RequestPut(put("a", "2"))),
                operation(second),
            ],
            ..TxnRequest::default()
        };
        assert_eq!(store.apply(&Command::Transaction(request)), Err(expect));
        assert_eq!(store.list(0), Ok(vec!["a=1@2".into()]));
    };
    let leased = PutRequest {
        lease: 9,
        ..put("b", "1")
    };
    check(
        &mut store,
        Request::RequestPut(leased),
        Refusal::LeaseNotFound,
    );
    let kept = PutRequest {
        ignore_value: true,
        ..put("b", "")
    };
    check(&mut store, Request::RequestPut(kept), Refusal::KeyNotFound);
    let future = RangeRequest {
        revision: 3,
        ..all()
    };
    check(
        &mut store,
        Request::RequestRange(future),
        Refusal::FutureRevision,
    );
}

#[test]
fn guards_of_inner_transactions_do_not_see_their_own_writes() {
    let mut store = Store::default();
    let inner = TxnRequest {
        compare: vec![guard("a", CompareTarget::Version, TargetUnion::Version(0))],
        success: vec![operation(Request::RequestPut(put("b", "absent")))],
        failure: vec![operation(Request::RequestPut(put("b", "present")))],
    };
    let request = TxnRequest {
        success: vec![
            operation(Request::RequestPut(put("a", "1"))),
            operation(Request::RequestTxn(inner)),
        ],
        ..TxnRequest::default()
    };
    store
        .apply(&Command::Transaction(request))
        .expect("applied");
    assert_eq!(store.list(0), Ok(vec!["a=1@2".into(), "b=absent@2".into()]));
}

#[test]
fn a_guard_on_a_missing_key_compares_zeros_but_no_value() {
    let mut store = Store::default();
    let mut check = |guard: Compare, expect: bool| {
        let request = TxnRequest {
            compare: vec![guard.clone()],
            ..TxnRequest::default()
        };
        let Ok(Reply::Transaction(response)) = store.apply(&Command::Transaction(request)) else {
            panic!("refused");
        };
        assert_eq!(response.succeeded, expect, "{guard:?}");
    };
    check(
        guard("a", CompareTarget::Create, TargetUnion::CreateRevision(0)),
        true,
    );
    check(
        guard("a", CompareTarget::Lease, TargetUnion::Lease(0)),
        true,
    );
    check(
        guard("a", CompareTarget::Value, TargetUnion::Value("".into())),
        false,
    );
    check(
        guard("a", CompareTarget::Version, TargetUnion::Lease(5)),
        true,
    );
    let unknown = Compare {
        target: 99,
        result: 99,
        ..guard("a", CompareTarget::Mod, TargetUnion::ModRevision(5))
    };
    check(unknown, true);
}

#[test]
fn a_lease_takes_its_keys_with_it_at_one_revision() {
    let mut store = Store::default();
    let grant = Command::LeaseGrant(LeaseGrantRequest { ttl: 60, id: 7 });
    store.apply(&grant).expect("granted");
    assert_eq!(store.apply(&grant), Err(Refusal::LeaseExists));
    for key in ["b", "a", "c"] {
        let leased = PutRequest {
            lease: 7,
            ..put(key, "1")
        };
        store.apply(&Command::Put(leased)).expect("put");
    }
    store.put("c", "without the lease");
    let checkpoint = LeaseCheckpoint {
        id: 7,
        remaining_ttl: 30,
    };
    let checkpoint = Command::LeaseCheckpoint(LeaseCheckpointRequest {
        checkpoints: vec![checkpoint],
    });
    store.apply(&checkpoint).expect("noted");
    let restarted = store.restarted();
    let lease = restarted.leases().get(7).expect("kept");
    assert_eq!(lease.keys().collect::<Vec<_>>(), [b"a", b"b"]);
    assert_eq!(lease.life(), 30);
    let revoke = Command::LeaseRevoke(LeaseRevokeRequest { id: 7 });
    assert!(matches!(
        store.apply(&revoke),
        Ok(Reply::LeaseRevoke(response)) if response.header == header(6)
    ));
    assert_eq!(store.list(0), Ok(vec!["c=without the lease@5".into()]));
    assert_eq!(store.apply(&revoke), Err(Refusal::LeaseNotFound));
    assert_eq!(store.restarted().leases().iter().count(), 0);
    let too_long = LeaseGrantRequest {
        ttl: TIME_TO_LIVE_MAX + 1,
        id: 8,
    };
    assert_eq!(
        store.apply(&Command::LeaseGrant(too_long)),
        Err(Refusal::LeaseTimeToLiveTooLarge)
    );
}

#[test]
fn a_full_store_still_deletes_and_compacts() {
    let mut store = Store::default();
    store.put("a", "1");
    store.put("a", "2");
    let alarm = |action: AlarmAction, kind: AlarmType| {
        Command::Alarm(AlarmRequest {
            action: action.into(),
            member_id: 5,
            alarm: kind.into(),
        })
    };
    let raise = alarm(AlarmAction::Activate, AlarmType::Nospace);
    store.apply(&raise).expect("raised");
    assert_eq!(
        store.apply(&Command::Put(put("a", "3"))),
        Err(Refusal::NoSpace)
    );
    let grant = Command::LeaseGrant(LeaseGrantRequest { ttl: 60, id: 7 });
    assert_eq!(store.apply(&grant), Err(Refusal::NoSpace));
    let writes = TxnRequest {
        failure: vec![operation(Request::RequestPut(put("a", "3")))],
        ..TxnRequest::default()
    };
    assert_eq!(
        store.apply(&Command::Transaction(writes)),
        Err(Refusal::NoSpace)
    );
    let compact = CompactionRequest {
        revision: 3,
        physical: false,
    };
    store.apply(&Command::Compact(compact)).expect("compacted");
    store
        .apply(&Command::DeleteRange(delete("a")))
        .expect("deleted");
    assert_eq!(store.restarted().alarms(), store.state.alarms());
    let clear = alarm(AlarmAction::Deactivate, AlarmType::Nospace);
    assert!(matches!(
        store.apply(&clear),
        Ok(Reply::Alarm(response)) if response.alarms.len() == 1
    ));
    store.put("a", "3");
    let corrupt = alarm(AlarmAction::Activate, AlarmType::Corrupt);
    store.apply(&corrupt).expect("raised");
    assert_eq!(
        store.apply(&Command::DeleteRange(delete("a"))),
        Err(Refusal::Corrupt)
    );
    assert_eq!(store.list(0), Err(Refusal::Corrupt));
    let get = alarm(AlarmAction::Get, AlarmType::None);
    assert!(matches!(
        store.apply(&get),
        Ok(Reply::Alarm(response)) if response.alarms.len() == 1
    ));
}

#[test]
fn a_member_that_has_not_compacted_its_records_yet_has_the_same_hash() {
    let (mut slow, mut fast) = (Store::default(), Store::default());
    for store in [&mut slow, &mut fast] {
        store.put("a", "1");
        store.put("a", "2");
        store
            .apply(&Command::DeleteRange(delete("a")))
            .expect("deleted");
        store.put("b", "1");
        let compact = CompactionRequest {
            revision: 5,
            physical: false,
        };
        store.apply(&Command::Compact(compact)).expect("compacted");
    }
    fast.compact_records(1);
    assert!(fast.records.len() < slow.records.len());
    assert_eq!(slow.hash(), fast.hash());
    fast.put("b", "2");
    assert_ne!(slow.hash(), fast.hash());
}

#[test]
fn a_record_that_is_gone_stops_the_member() {
    let mut store = Store::default();
    store.put("a", "1");
    store.records.clear();
    let error = store.state.range(&all(), &store.records);
    assert!(
        matches!(&error, Err(ReadError::Storage(StorageError::Missing { revision })) if revision.main == 2),
        "{error:?}"
    );
}

//! Random commands: the state answers as the naive model does, at every revision, before and after compaction of the
//! records and restart.

use super::{super::*, Store, model::Model};
use crate::planner::check;
use bytes::Bytes;
use etcd_proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
    compare::{CompareTarget, TargetUnion},
    request_op::Request,
};
use proptest::prelude::*;

fn key() -> impl Strategy<Value = Bytes> {
    prop_oneof!["[a-d]", "[a-b][a-b]"].prop_map(Bytes::from)
}

fn range_end() -> impl Strategy<Value = Bytes> {
    prop_oneof![Just(Bytes::new()), Just(Bytes::from_static(b"\0")), key()]
}

fn put() -> impl Strategy<Value = PutRequest> {
    (key(), "[x-z]{0,2}", 0..3_i64, any::<(bool, bool, bool)>()).prop_map(
        |(key, value, lease, (prev_kv, ignore_value, ignore_lease))| PutRequest {
            key,
            value: if ignore_value {
                Bytes::new()
            } else {
                value.into()
            },
            lease: if ignore_lease { 0 } else { lease },
            prev_kv,
            ignore_value,
            ignore_lease,
        },
    )
}

fn delete() -> impl Strategy<Value = DeleteRangeRequest> {
    (key(), range_end(), any::<bool>()).prop_map(|(key, range_end, prev_kv)| DeleteRangeRequest {
        key,
        range_end,
        prev_kv,
    })
}

fn range() -> impl Strategy<Value = RangeRequest> {
    let revisions = prop_oneof![4 => Just(0), 1 => 0..20_i64];
    (
        (
            key(),
            range_end(),
            0..4_i64,
            prop_oneof![Just(0), 0..20_i64],
        ),
        (0..3_i32, 0..5_i32),
        any::<(bool, bool)>(),
        [
            revisions.clone().boxed(),
            revisions.clone().boxed(),
            revisions.clone().boxed(),
            revisions.boxed(),
        ],
    )
        .prop_map(
            |(
                (key, range_end, limit, revision),
                (sort_order, sort_target),
                (keys_only, count_only),
                bounds,
            )| {
                RangeRequest {
                    key,
                    range_end,
                    limit,
                    revision,
                    sort_order,
                    sort_target,
                    serializable: false,
                    keys_only,
                    count_only,
                    min_mod_revision: bounds[0],
                    max_mod_revision: bounds[1],
                    min_create_revision: bounds[2],
                    max_create_revision: bounds[3],
                }
            },
        )
}

fn guard() -> impl Strategy<Value = Compare> {
    let operand = prop_oneof![
        (0..4_i64).prop_map(|version| (CompareTarget::Version, TargetUnion::Version(version))),
        (0..9_i64)
            .prop_map(|revision| (CompareTarget::Create, TargetUnion::CreateRevision(revision))),
        (0..9_i64).prop_map(|revision| (CompareTarget::Mod, TargetUnion::ModRevision(revision))),
        (0..3_i64).prop_map(|lease| (CompareTarget::Lease, TargetUnion::Lease(lease))),
        "[x-z]{0,2}".prop_map(|value| (CompareTarget::Value, TargetUnion::Value(value.into()))),
    ];
    (key(), range_end(), 0..4_i32, operand).prop_map(
        |(key, range_end, result, (target, operand))| Compare {
            result,
            target: target.into(),
            key,
            range_end,
            target_union: Some(operand),
        },
    )
}

fn transaction() -> impl Strategy<Value = TxnRequest> {
    let leaf = prop_oneof![
        put().prop_map(Request::RequestPut),
        delete().prop_map(Request::RequestDeleteRange),
        range().prop_map(Request::RequestRange),
    ];
    let guards = || proptest::collection::vec(guard(), 0..2);
    let branch = |operation: BoxedStrategy<Request>| {
        let operation = operation.prop_map(|request| RequestOp {
            request: Some(request),
        });
        proptest::collection::vec(operation, 0..4)
    };
    let inner = (
        guards(),
        branch(leaf.clone().boxed()),
        branch(leaf.clone().boxed()),
    )
        .prop_map(|(compare, success, failure)| {
            Request::RequestTxn(TxnRequest {
                compare,
                success,
                failure,
            })
        });
    let operation = prop_oneof![4 => leaf, 1 => inner].boxed();
    (guards(), branch(operation.clone()), branch(operation)).prop_map(
        |(compare, success, failure)| TxnRequest {
            compare,
            success,
            failure,
        },
    )
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => put().prop_map(Command::Put),
        2 => delete().prop_map(Command::DeleteRange),
        4 => transaction().prop_map(Command::Transaction),
        1 => (-1..20_i64).prop_map(|revision| Command::Compact(CompactionRequest {
            revision,
            physical: false,
        })),
        1 => (1..3_i64, 1..9_i64)
            .prop_map(|(id, ttl)| Command::LeaseGrant(LeaseGrantRequest { ttl, id })),
        1 => (1..3_i64).prop_map(|id| Command::LeaseRevoke(LeaseRevokeRequest { id })),
    ]
}

/// Every revision reads the same from the state and from the model.
fn same_history(state: &State, store: &Store, model: &Model) -> Result<(), TestCaseError> {
    for revision in 0..=model.revision() {
        let request = RangeRequest {
            revision,
            ..super::all()
        };
        let actual = match state.range(&request, &store.records) {
            Ok(response) => Ok(response),
            Err(ReadError::Refused(refusal)) => Err(refusal),
            Err(ReadError::Storage(error)) => return Err(TestCaseError::fail(error.to_string())),
        };
        prop_assert_eq!(actual, model.range(&request), "at {}", revision);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_state_answers_as_the_model(
        commands in proptest::collection::vec((command(), range(), any::<bool>()), 1..40)
    ) {
        let (mut store, mut lazy, mut model) = (Store::default(), Store::default(), Model::new());
        for (command, request, compact) in commands {
            if let Command::Transaction(transaction) = &command
                && check::transaction(transaction, check::TRANSACTION_OPERATIONS_MAX).is_err()
            {
                continue;
            }
            let expect = model.apply(&command);
            let command = Command::decode(command.encode()).expect("own encoding");
            prop_assert_eq!(&store.apply(&command), &expect, "{:?}", command);
            prop_assert_eq!(&lazy.apply(&command), &expect);
            prop_assert_eq!(store.state.revision(), model.revision());
            prop_assert_eq!(store.range(&request), model.range(&request), "{:?}", request);
            if compact {
                store.compact_records(2);
            }
        }
        same_history(&store.state, &store, &model)?;
        same_history(&lazy.state, &lazy, &model)?;
        prop_assert_eq!(store.hash(), lazy.hash(), "however far compaction has come");
        let restarted = store.restarted();
        prop_assert_eq!(restarted.revision(), store.state.revision());
        same_history(&restarted, &store, &model)?;
        let leases = |state: &State| -> Vec<_> {
            state.leases().iter().map(|(id, lease)| (id, lease.clone())).collect()
        };
        prop_assert_eq!(leases(&restarted), leases(&store.state));
    }

    /// The records of every revision since compaction are all there: what a watch is told from.
    #[test]
    fn changes_since_the_compacted_revision_are_kept(
        commands in proptest::collection::vec(command(), 1..40)
    ) {
        let mut store = Store::default();
        let mut all = std::collections::BTreeMap::new();
        for command in commands {
            let _ = store.apply(&command);
            all.extend(store.records.clone());
            store.compact_records(3);
        }
        let from = Revision { main: store.state.compacted().max(0), sub: 0 };
        let kept: Vec<_> = store.records.range(from..).collect();
        let expect: Vec<_> = all.range(from..).collect();
        prop_assert_eq!(kept, expect);
    }
}

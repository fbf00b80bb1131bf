//! Requests and the refusal that each gets.

use super::*;
use etcd_proto::etcdserverpb::Compare;
use proptest::prelude::*;

fn put_operation(key: &'static str) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestPut(PutRequest {
            key: key.into(),
            ..PutRequest::default()
        })),
    }
}

fn delete(key: &'static str, range_end: &'static str) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestDeleteRange(DeleteRangeRequest {
            key: key.into(),
            range_end: range_end.into(),
            prev_kv: false,
        })),
    }
}

fn inner(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestTxn(TxnRequest {
            compare: Vec::new(),
            success,
            failure,
        })),
    }
}

fn check(success: Vec<RequestOp>, expect: Result<(), Refusal>) {
    let request = TxnRequest {
        success,
        ..TxnRequest::default()
    };
    assert_eq!(transaction(&request, 4), expect, "{request:?}");
}

#[test]
fn a_key_is_written_once() {
    check(vec![put_operation("a"), put_operation("b")], Ok(()));
    check(
        vec![put_operation("a"), put_operation("a")],
        Err(Refusal::DuplicateKey),
    );
    check(
        vec![put_operation("b"), delete("a", "c")],
        Err(Refusal::DuplicateKey),
    );
    check(vec![delete("a", ""), delete("a", "c")], Ok(()));
    check(vec![put_operation("c"), delete("a", "c")], Ok(()));
    check(
        vec![put_operation("c"), delete("a", "\0")],
        Err(Refusal::DuplicateKey),
    );
}

#[test]
fn inner_branches_exclude_each_other() {
    check(
        vec![inner(vec![put_operation("a")], vec![put_operation("a")])],
        Ok(()),
    );
    check(
        vec![inner(vec![put_operation("a")], vec![delete("a", "")])],
        Ok(()),
    );
    check(
        vec![
            inner(vec![put_operation("a")], vec![]),
            inner(vec![], vec![put_operation("a")]),
        ],
        Err(Refusal::DuplicateKey),
    );
    check(
        vec![inner(vec![put_operation("a")], vec![]), put_operation("a")],
        Err(Refusal::DuplicateKey),
    );
    check(
        vec![inner(vec![delete("a", "")], vec![]), put_operation("a")],
        Err(Refusal::DuplicateKey),
    );
    check(
        vec![
            inner(vec![put_operation("a")], vec![]),
            inner(vec![delete("a", "")], vec![]),
        ],
        Ok(()),
    );
    check(
        vec![
            inner(vec![delete("a", "")], vec![]),
            inner(vec![put_operation("a")], vec![]),
        ],
        Err(Refusal::DuplicateKey),
    );
}

#[test]
fn an_inner_transaction_shares_its_parents_operations() {
    let keys = ["a", "b", "c", "d", "e"];
    check(
        keys[..4].iter().map(|key| put_operation(key)).collect(),
        Ok(()),
    );
    check(
        keys.iter().map(|key| put_operation(key)).collect(),
        Err(Refusal::TooManyOperations),
    );
    let three = || keys[..3].iter().map(|key| put_operation(key)).collect();
    check(vec![inner(three(), vec![])], Ok(()));
    check(
        vec![inner(three(), vec![]), put_operation("x")],
        Err(Refusal::TooManyOperations),
    );
}

#[test]
fn what_is_missing_or_too_much_is_named() {
    check(vec![RequestOp::default()], Err(Refusal::KeyNotFound));
    check(vec![put_operation("")], Err(Refusal::EmptyKey));
    let guarded = TxnRequest {
        compare: vec![Compare::default()],
        ..TxnRequest::default()
    };
    assert_eq!(transaction(&guarded, 4), Err(Refusal::EmptyKey));
    let odd = PutRequest {
        key: "a".into(),
        value: "b".into(),
        lease: 1,
        ignore_value: true,
        ignore_lease: true,
        prev_kv: false,
    };
    assert_eq!(put(&odd), Err(Refusal::ValueProvided));
    let odd = PutRequest {
        value: "".into(),
        ..odd
    };
    assert_eq!(put(&odd), Err(Refusal::LeaseProvided));
    let sorted = RangeRequest {
        key: "a".into(),
        sort_target: 9,
        ..RangeRequest::default()
    };
    assert_eq!(range(&sorted), Err(Refusal::InvalidSortOption));
    assert_eq!(
        delete_range(&DeleteRangeRequest::default()),
        Err(Refusal::EmptyKey)
    );
}

#[test]
fn what_a_transaction_does_is_seen_through_its_branches() {
    let request = |operation| TxnRequest {
        failure: vec![inner(vec![operation], vec![])],
        ..TxnRequest::default()
    };
    assert!(takes_space(&request(put_operation("a"))));
    assert!(!takes_space(&request(delete("a", ""))));
    assert!(!is_read_only(&request(delete("a", ""))));
    let read = |serializable| RequestOp {
        request: Some(Request::RequestRange(RangeRequest {
            key: "a".into(),
            serializable,
            ..RangeRequest::default()
        })),
    };
    assert!(is_read_only(&request(read(false))));
    assert!(is_serializable(&request(read(true))));
    assert!(!is_serializable(&request(read(false))));
}

proptest! {
    /// Joined ranges delete what the ranges delete one by one.
    #[test]
    fn joined_ranges_delete_the_same(
        ranges in proptest::collection::vec(("[a-e]{1,2}", "[a-e\\x00]{0,2}"), 0..8),
        keys in proptest::collection::vec("[a-e]{1,3}", 1..20),
    ) {
        let ranges: Vec<_> = ranges
            .iter()
            .map(|(key, end)| KeyRange::new(key.as_bytes(), end.as_bytes()))
            .collect();
        let mut all = Written::default();
        for range in &ranges {
            all.delete(*range);
        }
        for key in &keys {
            let expect = ranges.iter().any(|range| range.contains(key.as_bytes()));
            prop_assert_eq!(all.deletes(key.as_bytes()), expect, "{} in {:?}", key, ranges);
        }
    }
}

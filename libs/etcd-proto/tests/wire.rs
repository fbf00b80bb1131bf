//! Known encodings: what etcd's own clients put on the wire, written down by hand from field numbers.

use orlop_etcd_proto::{
    etcdserverpb::{
        Compare, LeaseGrantResponse, Member, MemberListResponse, PutRequest, RangeRequest,
        RequestOp, ResponseHeader, TxnRequest, WatchCreateRequest, WatchRequest, WatchResponse,
        compare::{CompareResult, CompareTarget, TargetUnion},
        kv_client::KvClient,
        kv_server,
        range_request::{SortOrder, SortTarget},
        request_op::Request,
        watch_create_request::FilterType,
        watch_request::RequestUnion,
    },
    mvccpb::{Event, KeyValue, event::EventType},
    prost::Message,
};

/// Encodes to these bytes, and back.
fn check<M: Message + Default + PartialEq + std::fmt::Debug>(message: &M, wire: &[u8]) {
    assert_eq!(message.encode_to_vec(), wire, "{message:?}");
    assert_eq!(&M::decode(wire).expect("valid"), message);
}

#[test]
fn a_range_with_every_option() {
    check(
        &RangeRequest {
            key: "a".into(),
            range_end: "b".into(),
            limit: 500,
            revision: 7,
            sort_order: SortOrder::Descend.into(),
            sort_target: SortTarget::Mod.into(),
            serializable: true,
            keys_only: true,
            count_only: true,
            min_mod_revision: 1,
            max_mod_revision: 2,
            min_create_revision: 3,
            max_create_revision: 4,
        },
        b"\x0a\x01a\x12\x01b\x18\xf4\x03\x20\x07\x28\x02\x30\x03\x38\x01\x40\x01\x48\x01\x50\x01\x58\x02\x60\x03\x68\x04",
    );
}

#[test]
fn a_transaction_as_a_kubernetes_api_server_sends_it() {
    let guard = Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: "k".into(),
        range_end: "".into(),
        target_union: Some(TargetUnion::ModRevision(9)),
    };
    check(
        &TxnRequest {
            compare: vec![guard],
            success: vec![RequestOp {
                request: Some(Request::RequestPut(PutRequest {
                    key: "k".into(),
                    value: "v".into(),
                    lease: 1,
                    ..PutRequest::default()
                })),
            }],
            failure: vec![RequestOp {
                request: Some(Request::RequestRange(RangeRequest {
                    key: "k".into(),
                    ..RangeRequest::default()
                })),
            }],
        },
        b"\x0a\x07\x10\x02\x1a\x01k\x30\x09\x12\x0a\x12\x08\x0a\x01k\x12\x01v\x18\x01\x1a\x05\x0a\x03\x0a\x01k",
    );
}

#[test]
fn a_comparison_with_zero_still_names_its_field() {
    check(
        &Compare {
            target_union: Some(TargetUnion::CreateRevision(0)),
            target: CompareTarget::Create.into(),
            result: CompareResult::NotEqual.into(),
            key: "k".into(),
            range_end: "l".into(),
        },
        b"\x08\x03\x10\x01\x1a\x01k\x28\x00\x82\x04\x01l",
    );
}

#[test]
fn a_watch_and_its_events() {
    check(
        &WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(WatchCreateRequest {
                key: "a".into(),
                range_end: "b".into(),
                start_revision: 3,
                progress_notify: true,
                filters: vec![FilterType::Noput.into(), FilterType::Nodelete.into()],
                prev_kv: true,
                watch_id: 5,
                fragment: true,
            })),
        },
        b"\x0a\x14\x0a\x01a\x12\x01b\x18\x03\x20\x01\x2a\x02\x00\x01\x30\x01\x38\x05\x40\x01",
    );
    check(
        &WatchResponse {
            header: Some(ResponseHeader {
                revision: 3,
                ..ResponseHeader::default()
            }),
            watch_id: 5,
            events: vec![Event {
                r#type: EventType::Delete.into(),
                kv: Some(KeyValue {
                    key: "a".into(),
                    mod_revision: 3,
                    ..KeyValue::default()
                }),
                prev_kv: None,
            }],
            ..WatchResponse::default()
        },
        b"\x0a\x02\x18\x03\x10\x05\x5a\x09\x08\x01\x12\x05\x0a\x01a\x18\x03",
    );
    // A stream's progress notice carries watch -1: ten bytes of two's complement.
    check(
        &WatchResponse {
            watch_id: -1,
            ..WatchResponse::default()
        },
        b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    );
}

#[test]
fn leases_and_members() {
    check(
        &LeaseGrantResponse {
            header: None,
            id: 2,
            ttl: 60,
            error: String::new(),
        },
        b"\x10\x02\x18\x3c",
    );
    check(
        &MemberListResponse {
            header: None,
            members: vec![Member {
                id: 1,
                name: "a".into(),
                peer_urls: vec!["p".into()],
                client_urls: vec!["c".into()],
                is_learner: true,
            }],
        },
        b"\x12\x0d\x08\x01\x12\x01a\x1a\x01p\x22\x01c\x28\x01",
    );
}

#[test]
fn values_share_the_buffer_they_came_in() {
    let wire = bytes::Bytes::from(
        PutRequest {
            key: "a".into(),
            value: vec![7; 4096].into(),
            ..PutRequest::default()
        }
        .encode_to_vec(),
    );
    let put = PutRequest::decode(wire.clone()).expect("valid");
    assert!(wire.as_ptr_range().contains(&put.value.as_ptr()));
}

#[test]
fn the_services_are_named_as_etcd_names_them() {
    assert_eq!(kv_server::SERVICE_NAME, "etcdserverpb.KV");
    // The client's name is generated from the service's, as other programs write it.
    let _: Option<KvClient<()>> = None;
}

//! Between etcd's JSON and protobuf, by the messages' descriptors: bytes are base64, numbers of 64 bits are strings,
//! what has its default is left out.

use prost_reflect::{
    DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions, prost::Message as _,
};
use serde_json::{Value, json};
use tonic::{Code, Status};

/// A message of this kind as protobuf.
///
/// # Errors
/// INVALID_ARGUMENT: it is not such a message. Fields that it does not have are refused, as etcd does.
pub fn to_protobuf(kind: &MessageDescriptor, value: Value) -> Result<Vec<u8>, Status> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    DynamicMessage::deserialize_with_options(kind.clone(), value, &options)
        .map(|message| message.encode_to_vec())
        .map_err(|error| Status::invalid_argument(format!("{}: {error}", kind.name())))
}

/// A message of this kind as JSON.
///
/// # Errors
/// INTERNAL: our own services sent something else.
pub fn from_protobuf(kind: &MessageDescriptor, bytes: &[u8]) -> Result<Value, Status> {
    let internal = |error: String| Status::internal(format!("{}: {error}", kind.name()));
    let message =
        DynamicMessage::decode(kind.clone(), bytes).map_err(|error| internal(error.to_string()))?;
    message
        .serialize_with_options(
            serde_json::value::Serializer,
            &SerializeOptions::new()
                .stringify_64_bit_integers(true)
                .skip_default_fields(true),
        )
        .map_err(|error| internal(error.to_string()))
}

/// The body of a call that failed.
pub(super) fn error(status: &Status) -> Value {
    json!({
        "error": status.message(),
        "code": i32::from(status.code()),
        "message": status.message(),
    })
}

/// The line of a stream that failed after it had begun.
pub(super) fn stream_error(status: &Status) -> Value {
    let code = http_code(status.code());
    json!({"error": {
        "grpc_code": i32::from(status.code()),
        "http_code": code.as_u16(),
        "message": status.message(),
        "http_status": code.canonical_reason().unwrap_or_default(),
    }})
}

/// The HTTP status of a gRPC code (gRPC gateway: `runtime.HTTPStatusFromCode`).
pub(super) fn http_code(code: Code) -> hyper::StatusCode {
    use hyper::StatusCode as Http;
    match code {
        Code::Ok => Http::OK,
        Code::Cancelled => Http::REQUEST_TIMEOUT,
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => Http::BAD_REQUEST,
        Code::DeadlineExceeded => Http::GATEWAY_TIMEOUT,
        Code::NotFound => Http::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => Http::CONFLICT,
        Code::PermissionDenied => Http::FORBIDDEN,
        Code::Unauthenticated => Http::UNAUTHORIZED,
        Code::ResourceExhausted => Http::TOO_MANY_REQUESTS,
        Code::Unimplemented => Http::NOT_IMPLEMENTED,
        Code::Unavailable => Http::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => Http::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::descriptors;
    use etcd_proto::{etcdserverpb as pb, prost::Message};

    fn kinds(service: &str, method: &str) -> (MessageDescriptor, MessageDescriptor) {
        let method = descriptors::method(service, method).expect("a method");
        (method.input(), method.output())
    }

    #[test]
    fn a_request_as_etcd_documents_it() {
        let (put, _) = kinds("etcdserverpb.KV", "Put");
        let json = json!({"key": "Zm9v", "value": "YmFy", "lease": "7", "prev_kv": true});
        let expect = pb::PutRequest {
            key: "foo".into(),
            value: "bar".into(),
            lease: 7,
            prev_kv: true,
            ..pb::PutRequest::default()
        };
        assert_eq!(to_protobuf(&put, json).unwrap(), expect.encode_to_vec());
    }

    #[test]
    fn a_response_as_etcd_writes_it() {
        let (_, range) = kinds("etcdserverpb.KV", "Range");
        let response = pb::RangeResponse {
            header: Some(pb::ResponseHeader {
                cluster_id: u64::MAX,
                revision: 2,
                ..pb::ResponseHeader::default()
            }),
            kvs: vec![etcd_proto::mvccpb::KeyValue {
                key: "foo".into(),
                create_revision: 2,
                mod_revision: 2,
                version: 1,
                value: "bar".into(),
                lease: 0,
            }],
            more: false,
            count: 1,
        };
        let expect = json!({
            "header": {"cluster_id": "18446744073709551615", "revision": "2"},
            "kvs": [{"key": "Zm9v", "create_revision": "2", "mod_revision": "2", "version": "1", "value": "YmFy"}],
            "count": "1",
        });
        let json = from_protobuf(&range, &response.encode_to_vec()).unwrap();
        assert_eq!(json, expect);
    }

    #[test]
    fn names_are_the_published_ones() {
        let (_, list) = kinds("etcdserverpb.Cluster", "MemberList");
        let response = pb::MemberListResponse {
            header: None,
            members: vec![pb::Member {
                id: 1,
                peer_urls: vec!["http://a:1".into()],
                is_learner: true,
                ..pb::Member::default()
            }],
        };
        let expect =
            json!({"members": [{"ID": "1", "peerURLs": ["http://a:1"], "isLearner": true}]});
        let json = from_protobuf(&list, &response.encode_to_vec()).unwrap();
        assert_eq!(json, expect);
        let (_, grant) = kinds("etcdserverpb.Lease", "LeaseTimeToLive");
        let response = pb::LeaseTimeToLiveResponse {
            ttl: -1,
            granted_ttl: 3,
            ..pb::LeaseTimeToLiveResponse::default()
        };
        let json = from_protobuf(&grant, &response.encode_to_vec()).unwrap();
        assert_eq!(json, json!({"TTL": "-1", "grantedTTL": "3"}));
    }

    #[test]
    fn what_is_no_such_message_is_refused() {
        let (put, _) = kinds("etcdserverpb.KV", "Put");
        let check = |json: Value| {
            let status = to_protobuf(&put, json.clone()).unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{json}");
        };
        check(json!({"keys": "Zm9v"}));
        check(json!({"key": "not base64!"}));
        check(json!({"lease": "x"}));
        check(json!([]));
        check(json!("key"));
    }
}

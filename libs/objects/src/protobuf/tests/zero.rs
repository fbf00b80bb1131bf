//! What a client means by each thing that may stand in a message.

use super::*;
use crate::protobuf::{envelope, watch_frame};
use crate::schema::GroupVersionKind;
use serde_json::json;

const SERVICE_PORT: &str = "io.k8s.api.core.v1.ServicePort";
const SECURITY: &str = "io.k8s.api.core.v1.PodSecurityContext";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const PROPS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

fn check(of: &str, bytes: &[u8], expect: &Value) {
    assert_eq!(message(of, bytes).as_ref(), Ok(expect), "{bytes:02x?}");
}

#[test]
fn zeros_of_fields() {
    // name "" and nodePort 0 are absence, port 0 is required, targetPort is a message.
    check(
        SERVICE_PORT,
        b"\x0a\0\x18\0\x22\x06\x08\0\x10\0\x1a\0\x28\0",
        &json!({"port": 0, "targetPort": 0}),
    );
    // A pointer: 0 is root.
    check(
        SECURITY,
        b"\x10\0\x18\0",
        &json!({"runAsUser": 0, "runAsNonRoot": false}),
    );
    // The last one stands, also where it is absence.
    check(SERVICE_PORT, b"\x28\x05\x28\0", &json!({}));
}

#[test]
fn times_and_their_absence() {
    check(META, b"\x42\0", &json!({}));
    check(
        META,
        b"\x42\x04\x08\0\x10\0",
        &json!({"creationTimestamp": "1970-01-01T00:00:00Z"}),
    );
    let go_zero = b"\x42\x0d\x08\x80\x92\xb8\xc3\x98\xfe\xff\xff\xff\x01\x10\0";
    check(META, go_zero, &json!({}));
}

#[test]
fn lists_packed_and_not_are_one() {
    let expect = json!({"supplementalGroups": [1, 2, 300]});
    check(SECURITY, b"\x20\x01\x20\x02\x20\xac\x02", &expect);
    check(SECURITY, b"\x22\x04\x01\x02\xac\x02", &expect);
    check(SECURITY, b"\x20\x01\x22\x03\x02\xac\x02", &expect);
    check(SECURITY, b"\x22\0", &json!({}));
}

#[test]
fn a_message_that_is_there_twice_counts_twice() {
    let first = b"\x0a\x03\x0a\x01a";
    let second = b"\x0a\x03\x1a\x01b";
    let both = [&first[..], second].concat();
    check(
        "io.k8s.api.core.v1.Pod",
        &both,
        &json!({"metadata": {"name": "a", "namespace": "b"}}),
    );
}

#[test]
fn entries_of_maps_may_lack_both() {
    check(META, b"\x5a\0", &json!({"labels": {"": ""}}));
    check(
        META,
        b"\x5a\x06\x12\x01v\x0a\x01k",
        &json!({"labels": {"k": "v"}}),
    );
    check(
        "io.k8s.api.core.v1.ResourceRequirements",
        b"\x0a\x05\x0a\x03cpu",
        &json!({"limits": {"cpu": "0"}}),
    );
}

#[test]
fn unknown_fields_are_passed_over() {
    check(
        META,
        b"\xf8\x07\x01\xfa\x07\x01x\xf9\x07\0\0\0\0\0\0\0\0\xfd\x07\0\0\0\0\x0a\x01a",
        &json!({"name": "a"}),
    );
}

#[test]
fn schemas_or_something_else() {
    // items: {1: schema}, {2: schema}{2: schema}; additionalProperties: {1: true}, {1: 1, 2: schema}
    check(PROPS, b"\xc2\x01\x02\x0a\0", &json!({"items": {}}));
    check(
        PROPS,
        b"\xc2\x01\x04\x12\0\x12\0",
        &json!({"items": [{}, {}]}),
    );
    check(PROPS, b"\xc2\x01\0", &json!({}));
    check(
        PROPS,
        b"\xf2\x01\x02\x08\x01",
        &json!({"additionalProperties": true}),
    );
    check(
        PROPS,
        b"\xf2\x01\0",
        &json!({"additionalProperties": false}),
    );
    check(
        PROPS,
        b"\xf2\x01\x04\x08\x01\x12\0",
        &json!({"additionalProperties": {}}),
    );
    // default: raw JSON; null is absence in a field, and a value in a list.
    check(PROPS, b"\x42\x07\x0a\x05[1.5]", &json!({"default": [1.5]}));
    check(PROPS, b"\x42\x06\x0a\x04null", &json!({}));
    check(PROPS, b"\xa2\x01\x06\x0a\x04null", &json!({"enum": [null]}));
    // maximum: 3 and 0.5
    check(PROPS, b"\x49\0\0\0\0\0\0\x08\x40", &json!({"maximum": 3}));
    check(PROPS, b"\x49\0\0\0\0\0\0\xe0\x3f", &json!({"maximum": 0.5}));
}

#[test]
fn what_an_envelope_leaves_out_the_request_says() {
    let default = GroupVersionKind {
        group: "apps".into(),
        version: "v1".into(),
        kind: "Deployment".into(),
    };
    let decode = |api_version, kind, default| {
        Messages::builtin().decode(&envelope(api_version, kind, &[]), default)
    };
    let found = decode("", "", Some(&default)).unwrap();
    assert_eq!(
        found.value,
        json!({"apiVersion": "apps/v1", "kind": "Deployment"})
    );
    let found = decode("apps/v1", "DeleteOptions", Some(&default)).unwrap();
    assert_eq!(
        found.value,
        json!({"apiVersion": "apps/v1", "kind": "DeleteOptions"})
    );
    assert_eq!(decode("v1", "", None), Err(ProtobufError::NoKind));
    assert_eq!(decode("", "Pod", None), Err(ProtobufError::NoVersion));
    let error = decode("example.com/v1", "Thing", None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no kind \"Thing\" is registered for version \"example.com/v1\" in protobuf"
    );
}

#[test]
fn lists_are_put_together_from_messages() {
    let messages = Messages::builtin();
    let pod = id("io.k8s.api.core.v1.Pod");
    let items: Vec<Vec<u8>> = ["a", "b"]
        .map(|name| {
            messages
                .encode_message(pod, &json!({"metadata": {"name": name}}))
                .unwrap()
        })
        .into();
    let list = json!({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "7"}});
    let bytes = messages
        .encode_list(&list, items.iter().map(Vec::as_slice))
        .unwrap();
    let mut expect = list;
    expect["items"] = json!([{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]);
    assert_eq!(messages.decode(&bytes, None).unwrap().value, expect);
    assert_eq!(messages.encode(&expect).unwrap(), bytes);
    let none = json!({"apiVersion": "v1", "kind": "Pod"});
    assert!(messages.encode_list(&none, []).is_err());
}

#[test]
fn an_event_of_a_watch_holds_an_object_in_its_envelope() {
    let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}});
    let bytes = Messages::builtin().encode(&object).unwrap();
    let frame = watch_frame("MODIFIED", &bytes).unwrap();
    let (length, rest) = frame.split_at(4);
    assert_eq!(
        u32::from_be_bytes(length.try_into().unwrap()) as usize,
        rest.len()
    );
    let of = "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent";
    check(of, rest, &json!({"type": "MODIFIED", "object": object}));
}

#[test]
fn what_has_no_message_is_not_encoded() {
    let check = |object: Value, expect: &str| {
        let error = Messages::builtin().encode(&object).unwrap_err();
        assert_eq!(error.to_string(), expect);
    };
    check(json!([]), "a value without apiVersion and kind");
    check(
        json!({"kind": "Pod"}),
        "a value without apiVersion and kind",
    );
    check(
        json!({"apiVersion": "example.com/v1", "kind": "Thing"}),
        "Thing of example.com/v1 has no form in protobuf",
    );
    check(
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "Table"}),
        "Table of meta.k8s.io/v1 has no form in protobuf",
    );
    check(
        json!({"apiVersion": "v1", "kind": "Pod", "spec": {"priority": 1_u64 << 40}}),
        "io.k8s.api.core.v1.Pod.spec.priority: not a number of 32 bits",
    );
    check(
        json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "?"}}),
        "io.k8s.api.core.v1.Secret.data: illegal base64 data at input byte 0",
    );
}

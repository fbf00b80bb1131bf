//! What Go's clients of the Kubernetes API send.

use objects::decode::{self, FieldValidation, MAX_DEPTH, Target};
use objects::protobuf::Messages;
use objects::schema::Schemas;
use serde_json::{Value, json};

/// The types that bare messages are tried as.
const TYPES: [&str; 2] = [
    "io.k8s.api.core.v1.Pod",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
];

/// An object that is taken comes back from its own bytes, and JSON takes the value of a message as it is.
pub(crate) fn object(bytes: &[u8]) {
    let messages = Messages::builtin();
    if let Ok(found) = messages.decode(bytes, None) {
        assert!(depth(&found.value) <= MAX_DEPTH + 1);
        let written = messages
            .encode(&found.value)
            .expect("what was decoded is encoded");
        let again = messages
            .decode(&written, None)
            .expect("what is written is an object");
        assert_eq!(again, found);
    }
    let schemas = Schemas::builtin();
    for name in TYPES {
        let id = schemas.find(name).expect("a built-in type");
        if let Ok(value) = messages.decode_message(id, bytes) {
            let target = Target::Type(schemas, id);
            let again = decode::value(value.clone(), target, FieldValidation::Strict)
                .expect("JSON takes what protobuf gave");
            assert_eq!(again.value, value);
        }
    }
}

/// Objects in their envelopes, and the bare messages of the first two.
pub(crate) fn objects() -> Vec<Vec<u8>> {
    let messages = Messages::builtin();
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "labels": {"a": "b"}, "creationTimestamp": "2024-05-01T10:00:00Z"},
        "spec": {
            "containers": [{
                "name": "c",
                "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "500m"}},
                "livenessProbe": {"httpGet": {"port": "http"}},
            }],
            "securityContext": {"runAsUser": 0, "supplementalGroups": [1, 70_000]},
            "volumes": [{"name": "v", "secret": {"defaultMode": 0}}],
        },
    });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "spec": {"versions": [{"schema": {"openAPIV3Schema": {
            "properties": {"a": {"items": {"maximum": 1.5}}, "b": {"additionalProperties": true}},
            "default": {"a": [null]},
        }}}]},
    });
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "aGk="}});
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"extra": {"a": ["b", "c"]}},
    });
    let all = [pod, definition, secret, review];
    let encoded = all
        .iter()
        .map(|object| messages.encode(object).expect("a built-in kind"));
    let bare = all.iter().zip(TYPES).map(|(object, name)| {
        let id = Schemas::builtin().find(name).expect("a built-in type");
        messages.encode_message(id, object).expect("of this type")
    });
    encoded.chain(bare).collect()
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

//! What clients of the Kubernetes API send, and what the store gives back.

use objects::decode::{self, DecodeError, Decoded, FieldValidation, MAX_DEPTH, Target};
use objects::encode::{encode, splice};
use objects::schema::Schemas;
use serde_json::Value;

/// JSON: what a type has taken it takes again, as the same, and with nothing to say about it; so it is with any object.
pub(crate) fn json(bytes: &[u8]) {
    for target in targets() {
        settled(decode::json(bytes, target, FieldValidation::Warn), target);
        let ignored = decode::json(bytes, target, FieldValidation::Ignore);
        let strict = decode::json(bytes, target, FieldValidation::Strict);
        consistent(ignored, strict);
    }
}

/// YAML: the same, and what JSON takes is YAML of the same meaning, or is refused.
pub(crate) fn yaml(bytes: &[u8]) {
    for target in targets() {
        settled(decode::yaml(bytes, target, FieldValidation::Warn), target);
        let ignored = decode::yaml(bytes, target, FieldValidation::Ignore);
        let strict = decode::yaml(bytes, target, FieldValidation::Strict);
        consistent(ignored, strict);
    }
}

/// Stored bytes: where they are an object with metadata, the result is that object with the new resourceVersion.
pub(crate) fn spliced(bytes: &[u8]) {
    let result = splice(bytes, 42);
    let Ok(Decoded { value, warnings }) = decode::json(bytes, Target::Any, FieldValidation::Warn)
    else {
        return;
    };
    // Of a key that is there twice, the scan sees the first and a parser the last.
    if !warnings.is_empty() || !bytes.trim_ascii_start().starts_with(b"{") {
        return;
    }
    let mut expect = value;
    match expect.get_mut("metadata") {
        None | Some(Value::Null) => expect["metadata"] = serde_json::json!({}),
        Some(Value::Object(_)) => {}
        Some(_) => {
            assert!(result.is_err(), "metadata that is no object is refused");
            return;
        }
    }
    expect["metadata"]["resourceVersion"] = "42".into();
    let found = result.expect("an object with metadata is taken");
    assert_eq!(parsed(&found), expect);
    let again = splice(&encode(&expect), 42).expect("what we encode is taken");
    assert_eq!(parsed(&again), expect);
}

fn targets() -> [Target<'static>; 3] {
    let schemas = Schemas::builtin();
    let of = |name: &str| {
        let id = schemas.find(name).expect("a built-in type");
        Target::Type(schemas, id)
    };
    [
        Target::Any,
        of("io.k8s.api.core.v1.Pod"),
        of("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"),
    ]
}

fn settled(first: Result<Decoded, DecodeError>, target: Target<'_>) {
    let Ok(Decoded { value, warnings }) = first else {
        return;
    };
    assert!(warnings.len() <= 100 && value.is_object());
    assert!(depth(&value) <= MAX_DEPTH + 1);
    let again = decode::value(value.clone(), target, FieldValidation::Strict)
        .expect("what was taken is taken again");
    assert_eq!(again.value, value);
}

/// Strictness refuses, and changes nothing else.
fn consistent(ignored: Result<Decoded, DecodeError>, strict: Result<Decoded, DecodeError>) {
    match (ignored, strict) {
        (Ok(ignored), Ok(strict)) => assert_eq!(ignored, strict),
        (Ok(_), Err(DecodeError::Strict(texts))) => assert!(!texts.is_empty()),
        (Err(ignored), Err(strict)) => assert_eq!(ignored, strict),
        (ignored, strict) => panic!("{ignored:?} is {strict:?} when strict"),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON stays JSON")
}

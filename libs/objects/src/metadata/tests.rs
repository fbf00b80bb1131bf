//! Objects with something wrong in their metadata, and what is said of it.

use super::*;
use crate::field::{ErrorList, Path};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Checks that the errors begin with these.
#[track_caller]
fn expect(errors: &ErrorList, expect: &[&str]) {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let fits = texts.len() == expect.len()
        && texts
            .iter()
            .zip(expect)
            .all(|(text, expect)| text.starts_with(expect));
    assert!(fits, "found {texts:#?}\nexpected {expect:#?}");
}

/// Checks what is wrong with an object's metadata when it is created in a namespace.
#[track_caller]
fn create(metadata: Value, errors: &[&str]) {
    let object = json!({ "metadata": metadata });
    let path = Path::new("metadata");
    expect(
        &validate_create(&object, Scope::Namespaced, NameRule::Subdomain, &path),
        errors,
    );
}

/// Checks what is wrong with a change of one field.
#[track_caller]
fn update(name: &str, new: Value, old: Value, errors: &[&str]) {
    let object = |value: Value| {
        let mut object = json!({"metadata": {"name": "a", "uid": "u", "resourceVersion": "1"}});
        object["metadata"][name] = value;
        object
    };
    let path = Path::new("metadata");
    expect(&validate_update(&object(new), &object(old), &path), errors);
}

#[test]
fn names_and_namespaces() {
    create(json!({"name": "a", "namespace": "default"}), &[]);
    create(
        json!({}),
        &[
            "metadata.name: Required value: name or generateName is required",
            "metadata.namespace: Required value",
        ],
    );
    create(
        json!({"name": "a-bcdfg", "generateName": "a-", "namespace": "n"}),
        &[],
    );
    create(
        json!({"name": "-", "generateName": "A-", "namespace": "a.b", "generation": -1}),
        &[
            "metadata.name: Invalid value: \"-\": a lowercase RFC 1123 subdomain",
            "metadata.namespace: Invalid value: \"a.b\": must not contain dots",
            "metadata.generation: Invalid value: -1: must be greater than or equal to 0",
        ],
    );
    let object = json!({"metadata": {"name": "a", "namespace": "b"}});
    let path = Path::new("metadata");
    expect(
        &validate_create(&object, Scope::Cluster, NameRule::PathSegment, &path),
        &["metadata.namespace: Forbidden: not allowed on this type"],
    );
}

#[test]
fn labels_annotations_and_finalizers() {
    create(
        json!({"name": "a", "namespace": "n", "labels": {"-": "a b"}, "annotations": {"UPPER.io/A": "", "-": ""},
                  "finalizers": ["x y", "orphan", "foregroundDeletion"]}),
        &[
            "metadata.labels: Invalid value: \"-\": name part must consist of",
            "metadata.labels: Invalid value: \"a b\": a valid label must be",
            "metadata.annotations: Invalid value: \"-\": name part must consist of",
            "metadata.finalizers: Invalid value: \"x y\": name part must consist of",
            "metadata.finalizers: Invalid value: [\"x y\",\"orphan\",\"foregroundDeletion\"]: finalizer orphan and foregroundDeletion cannot be both set",
        ],
    );
    let annotations = |bytes: usize| json!({"name": "a", "namespace": "n", "annotations": {"a": "x".repeat(bytes)}});
    create(annotations(ANNOTATIONS_BYTES_MAX - 1), &[]);
    create(
        annotations(ANNOTATIONS_BYTES_MAX),
        &["metadata.annotations: Too long: may not be more than 262144 bytes"],
    );
    let path = Path::new("f");
    expect(
        &validate_builtin_finalizers(["a/b", "orphan", "mine"], &path),
        &[
            "f[2]: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified",
        ],
    );
    assert_eq!(finalizer_warnings(["a/b", "mine"], &path).len(), 1);
}

#[test]
fn owners() {
    let owner = |name: &str| json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": "u", "controller": true});
    let with = |owners: Value| json!({"name": "a", "namespace": "n", "ownerReferences": owners});
    create(with(json!([owner("x")])), &[]);
    let message = "metadata.ownerReferences: Invalid value: [{\"apiVersion\":\"v1\",";
    create(with(json!([owner("x"), owner("y")])), &[message]);
    create(
        with(json!([{"apiVersion": "apps/", "name": "x"}])),
        &[
            "metadata.ownerReferences.apiVersion: Invalid value: \"apps/\": version must not be empty",
            "metadata.ownerReferences.kind: Invalid value: \"\": must not be empty",
            "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty",
        ],
    );
    create(
        with(json!([{"apiVersion": "v1", "kind": "Event", "name": "x", "uid": "u"}])),
        &[
            "metadata.ownerReferences: Invalid value: {\"apiVersion\":\"v1\",\"kind\":\"Event\",\"name\":\"x\",\"uid\":\"u\"}: /v1, Kind=Event is disallowed",
        ],
    );
}

#[test]
fn managed_fields() {
    create(
        json!({"name": "a", "namespace": "n", "managedFields": [
        {"operation": "Update", "fieldsType": "FieldsV1", "manager": "m"},
        {"operation": "Merge", "fieldsType": "V2", "manager": "a\u{7}"},
        {"operation": "Apply", "manager": "m".repeat(129), "subresource": "s".repeat(257)}]}),
        &[
            "metadata.managedFields[1].operation: Invalid value: \"Merge\": must be `Apply` or `Update`",
            "metadata.managedFields[1].fieldsType: Invalid value: \"V2\": must be `FieldsV1`",
            "metadata.managedFields[1].manager: Invalid value: \"a\\a\": invalid character U+0007 (at position 1)",
            "metadata.managedFields[2].manager: Too long: may not be more than 128 bytes",
            "metadata.managedFields[2].subresource: Too long: may not be more than 256 bytes",
        ],
    );
}

#[test]
fn what_may_not_change() {
    update("labels", json!({"a": "b"}), json!({}), &[]);
    update(
        "name",
        json!("b"),
        json!("a"),
        &["metadata.name: Invalid value: \"b\": field is immutable"],
    );
    update(
        "uid",
        json!("v"),
        json!("u"),
        &["metadata.uid: Invalid value: \"v\": field is immutable"],
    );
    update(
        "resourceVersion",
        json!(""),
        json!("1"),
        &["metadata.resourceVersion: Invalid value: \"\": must be specified for an update"],
    );
    update(
        "generation",
        json!(1),
        json!(2),
        &["metadata.generation: Invalid value: 1: must not be decremented"],
    );
    let time = json!("2024-05-01T10:00:00Z");
    update(
        "creationTimestamp",
        json!(null),
        time.clone(),
        &["metadata.creationTimestamp: Invalid value: null: field is immutable"],
    );
    update(
        "deletionTimestamp",
        time,
        json!(null),
        &[
            "metadata.deletionTimestamp: Invalid value: \"2024-05-01T10:00:00Z\": field is immutable",
        ],
    );
    let object = |finalizers: &[&str]| {
        json!({"metadata": {"name": "a", "resourceVersion": "1",
        "deletionTimestamp": "2024-05-01T10:00:00Z", "finalizers": finalizers}})
    };
    let path = Path::new("metadata");
    expect(
        &validate_update(&object(&["x", "z", "y"]), &object(&["x"]), &path),
        &[
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"y\", \"z\"}",
        ],
    );
    expect(&validate_update(&object(&[]), &object(&["x"]), &path), &[]);
}

#[test]
fn what_a_client_leaves_out_is_as_it_was() {
    let old = json!({"metadata": {"name": "a", "uid": "u", "creationTimestamp": "1", "deletionTimestamp": "2",
                                  "deletionGracePeriodSeconds": 3}});
    let mut object = json!({"metadata": {"name": "a", "creationTimestamp": "9"}});
    carry_over(&mut object, &old);
    assert_eq!(object, old);
    let mut object =
        json!({"metadata": {"name": "a", "uid": "v", "deletionGracePeriodSeconds": 4}});
    carry_over(&mut object, &old);
    assert_eq!(object["metadata"]["uid"], "v");
    assert_eq!(object["metadata"]["deletionGracePeriodSeconds"], 4);
}

#[test]
fn reading() {
    let object = json!({"metadata": {"name": "a", "labels": {"k": "v"}, "generation": 2, "uid": null,
        "ownerReferences": [{"name": "x"}, {"name": "y", "controller": true}]}});
    let metadata = Metadata::of(&object);
    assert_eq!(
        (metadata.name(), metadata.uid(), metadata.generation()),
        ("a", "", 2)
    );
    assert_eq!(
        (metadata.label("k"), metadata.annotation("k")),
        (Some("v"), None)
    );
    assert_eq!(
        metadata
            .controller()
            .and_then(|owner| owner["name"].as_str()),
        Some("y")
    );
    assert_eq!(Metadata::of(&json!(1)).name(), "");
    let mut none = Value::Null;
    edit(&mut none).insert("name".to_owned(), "a".into());
    assert_eq!(none, json!({"metadata": {"name": "a"}}));
}

proptest! {
    #[test]
    fn generated_names_are_labels(base in "[a-z][a-z0-9-]{0,80}", random: u64) {
        let name = generate_name(&base, random);
        prop_assert!(NameRule::Label.check(&name, false).is_empty());
        prop_assert_eq!(name.len(), base.len().min(58) + SUFFIX_BYTES);
    }

    #[test]
    fn a_base_that_is_taken_gives_a_name_that_is(base in "[a-z0-9][a-z0-9-]{0,57}", random: u64) {
        if NameRule::Label.check(&base, true).is_empty() {
            prop_assert!(NameRule::Label.check(&generate_name(&base, random), false).is_empty());
        }
    }
}

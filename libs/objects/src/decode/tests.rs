//! What a client sends, and what it gets back.

use super::*;
use proptest::prelude::*;
use serde_json::json as j;

fn target(kind: &str) -> Target<'static> {
    let schemas = Schemas::builtin();
    let find = |package: &str| schemas.find(&format!("io.k8s.{package}.{kind}"));
    match [
        "api.core.v1",
        "api.apps.v1",
        "apimachinery.pkg.apis.meta.v1",
        "api.coordination.v1",
    ]
    .into_iter()
    .find_map(find)
    {
        Some(id) => Target::Type(schemas, id),
        None => panic!("{kind} is no built-in type"),
    }
}

/// JSON is refused with this text.
fn refused(kind: &str, body: &str, expect: &str) {
    match json(body.as_bytes(), target(kind), FieldValidation::Strict) {
        Ok(decoded) => panic!("{body} is taken: {decoded:?}"),
        Err(error) => assert_eq!(error.to_string(), expect, "{body}"),
    }
}

/// JSON is taken, and is then this value.
fn taken(kind: &str, body: &str, expect: &Value) {
    match json(body.as_bytes(), target(kind), FieldValidation::Strict) {
        Ok(decoded) => assert_eq!(&decoded.value, expect, "{body}"),
        Err(error) => panic!("{body}: {error}"),
    }
}

#[test]
fn unknown_fields_have_their_paths() {
    refused(
        "Pod",
        r#"{"spec":{"containers":[{"name":"a"},{"name":"b","foo":1}]},"bar":{"x":1}}"#,
        r#"strict decoding error: unknown field "spec.containers[1].foo", unknown field "bar""#,
    );
    refused(
        "Pod",
        r#"{"metadata":{"Name":"a"},"spec":{"a\"b\n":1}}"#,
        r#"strict decoding error: unknown field "metadata.Name", unknown field "spec.a\"b\n""#,
    );
    refused(
        "ResourceRequirements",
        r#"{"limits":{"cpu":"1","cpu":"2"}}"#,
        r#"strict decoding error: duplicate field "limits.cpu""#,
    );
}

#[test]
fn duplicate_fields_have_their_paths_and_are_named_once() {
    refused(
        "Pod",
        r#"{"metadata":{"name":"a","name":"b","name":"c","labels":null,"labels":{}}}"#,
        r#"strict decoding error: duplicate field "metadata.name", duplicate field "metadata.labels""#,
    );
}

/// The mistakes that upstream's own test of field validation makes, all in one body.
#[test]
fn one_body_with_all_mistakes() {
    let body = r#"{"metadata":{"name":"a","name":"b","meta":1},"spec":{"one":1,"two":1,"two":2,"paused":true,"paused":false,
        "template":{"spec":{"containers":[{"name":"c","nested":1,"imagePullPolicy":"Always","imagePullPolicy":"Never"}]}}}}"#;
    refused(
        "Deployment",
        body,
        r#"strict decoding error: duplicate field "metadata.name", unknown field "metadata.meta", unknown field "spec.one", unknown field "spec.two", duplicate field "spec.paused", unknown field "spec.template.spec.containers[0].nested", duplicate field "spec.template.spec.containers[0].imagePullPolicy""#,
    );
    // In YAML, repeated keys come first, and what is unknown in the order of its keys.
    let text = b"metadata:
  name: a
  name: b
  meta: 1
spec:
  two: 1
  two: 2
  one: 1
  template: {spec: {containers: [{nested: 1}]}}
";
    let deployment = target("Deployment");
    let error = yaml(text, deployment, FieldValidation::Strict).unwrap_err();
    assert_eq!(
        error.to_string(),
        "strict decoding error: yaml: unmarshal errors:
  line 3: key \"name\" already set in map
  line 7: key \"two\" already set in map, unknown field \"metadata.meta\", unknown field \"spec.one\", \
         unknown field \"spec.template.spec.containers[0].nested\", unknown field \"spec.two\""
    );
    let warned = yaml(text, deployment, FieldValidation::Warn).unwrap();
    assert_eq!(
        warned.warnings,
        [
            r#"line 3: key "name" already set in map"#,
            r#"line 7: key "two" already set in map"#,
            r#"unknown field "metadata.meta""#,
            r#"unknown field "spec.one""#,
            r#"unknown field "spec.template.spec.containers[0].nested""#,
            r#"unknown field "spec.two""#,
        ]
    );
}

#[test]
fn of_unknown_fields_a_hundred_are_named() {
    let fields: Vec<String> = (0..300).map(|i| format!("\"f{i}\":0")).collect();
    let body = format!("{{{}}}", fields.join(","));
    match json(body.as_bytes(), target("Pod"), FieldValidation::Strict) {
        Err(DecodeError::Strict(texts)) => assert_eq!(texts.len(), 100),
        other => panic!("{other:?}"),
    }
}

#[test]
fn texts_about_long_paths_are_bounded() {
    let key = "k".repeat(100_000);
    let fields: Vec<String> = (0..99).map(|i| format!("\"f{i}\":0")).collect();
    let body = format!(
        "{{\"{key}\":{{\"items\":[{{\"x\":{{\"a\":1,\"a\":2}}}}],{}}}}}",
        fields.join(",")
    );
    let _ = json(body.as_bytes(), Target::Any, FieldValidation::Strict);
    let pairs: Vec<String> = (0..99).map(|i| format!("\"f{i}\":0,\"f{i}\":1")).collect();
    let body = format!("{{\"{key}\":{{{}}}}}", pairs.join(","));
    match json(body.as_bytes(), Target::Any, FieldValidation::Strict) {
        Err(DecodeError::Strict(texts)) => {
            assert!(texts.iter().map(String::len).sum::<usize>() < 512 << 10);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn validation_says_what_is_done() {
    let body = br#"{"metadata":{"name":"a","name":"b"},"foo":1}"#;
    let expect = j!({"metadata": {"name": "b"}});
    let ignored = json(body, target("Pod"), FieldValidation::Ignore).unwrap();
    assert_eq!((&ignored.value, ignored.warnings.len()), (&expect, 0));
    let warned = json(body, target("Pod"), FieldValidation::Warn).unwrap();
    assert_eq!(warned.value, expect);
    assert_eq!(
        warned.warnings,
        [
            r#"duplicate field "metadata.name""#,
            r#"unknown field "foo""#
        ]
    );
}

#[test]
fn wrong_types_are_named_as_in_go() {
    let check =
        |kind, body, expect: &str| refused(kind, body, &format!("json: cannot unmarshal {expect}"));
    check(
        "Service",
        r#"{"spec":{"ports":[{"port":"80"}]}}"#,
        "string into Go struct field ServicePort.spec.ports.port of type int32",
    );
    check(
        "Deployment",
        r#"{"spec":{"replicas":3000000000}}"#,
        "number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
    );
    check(
        "Deployment",
        r#"{"spec":{"replicas":1.5}}"#,
        "number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
    );
    check(
        "Pod",
        r#"{"metadata":{"name":5}}"#,
        "number into Go struct field ObjectMeta.metadata.name of type string",
    );
    check(
        "Pod",
        r#"{"metadata":{"labels":["a"]}}"#,
        "array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
    );
    check(
        "Pod",
        r#"{"metadata":{"labels":{"a":true}}}"#,
        "bool into Go struct field ObjectMeta.metadata.labels of type string",
    );
    check(
        "Pod",
        r#"{"spec":[]}"#,
        "array into Go struct field Pod.spec of type v1.PodSpec",
    );
    check(
        "Pod",
        r#"{"spec":{"containers":{}}}"#,
        "object into Go struct field PodSpec.spec.containers of type []v1.Container",
    );
    check(
        "Pod",
        r#"{"spec":{"hostNetwork":"true"}}"#,
        "string into Go struct field PodSpec.spec.hostNetwork of type bool",
    );
    check("Pod", "[]", "array into Go value of type v1.Pod");
    check(
        "Pod",
        r#"{"metadata":{"generation":9223372036854775808}}"#,
        "number 9223372036854775808 into Go struct field ObjectMeta.metadata.generation of type int64",
    );
    // The first of many, and before whatever is unknown.
    check(
        "Pod",
        r#"{"foo":1,"spec":{"nodeName":1,"hostname":2}}"#,
        "number into Go struct field PodSpec.spec.nodeName of type string",
    );
}

#[test]
fn scalars_with_a_grammar() {
    taken(
        "ResourceRequirements",
        r#"{"limits":{"cpu":2,"memory":"1Gi","x":1.5,"y":null}}"#,
        &j!({"limits": {"cpu": "2", "memory": "1Gi", "x": "1500m", "y": "0"}}),
    );
    refused(
        "ResourceRequirements",
        r#"{"limits":{"cpu":true}}"#,
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    );
    taken(
        "ServicePort",
        r#"{"port":1,"targetPort":"web"}"#,
        &j!({"port": 1, "targetPort": "web"}),
    );
    refused(
        "ServicePort",
        r#"{"targetPort":4294967296}"#,
        "json: cannot unmarshal number 4294967296 into Go struct field ServicePort.targetPort of type int32",
    );
    refused(
        "Secret",
        r#"{"data":{"a":"!"}}"#,
        "illegal base64 data at input byte 0",
    );
    refused(
        "Pod",
        r#"{"metadata":{"creationTimestamp":"now"}}"#,
        r#"parsing time "now" as "2006-01-02T15:04:05Z07:00": cannot parse "now" as "2006""#,
    );
    refused(
        "Lease",
        r#"{"spec":{"renewTime":"2024-01-01T00:00:00Z"}}"#,
        r#"parsing time "2024-01-01T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000""#,
    );
}

#[test]
fn null_is_absence_and_in_lists_and_maps_it_is_zero() {
    taken(
        "Pod",
        r#"{"metadata":{"creationTimestamp":null,"labels":{"a":null}},"spec":{"containers":[{"args":["x",null]},null]},"status":null}"#,
        &j!({"metadata": {"labels": {"a": ""}}, "spec": {"containers": [{"args": ["x", ""]}, {}]}}),
    );
    taken("Pod", "null", &j!({}));
}

#[test]
fn what_is_no_json_says_where() {
    refused(
        "Pod",
        "",
        "json: EOF while parsing a value at line 1 column 0",
    );
    refused(
        "Pod",
        "{} x",
        "json: trailing characters at line 1 column 4",
    );
    // Syntax comes before types.
    refused(
        "Pod",
        r#"{"spec":5,"x":}"#,
        "json: expected value at line 1 column 15",
    );
    let deep = "[".repeat(10_000);
    let error = json(deep.as_bytes(), Target::Any, FieldValidation::Ignore).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("json: nested more than 128 levels deep"),
        "{error}"
    );
    for body in [
        &b"{\"metadata\":{\"name\":\"\xff\"}}"[..],
        b"{\"metadata\":{\"name\":\"\\ud800\"}}",
    ] {
        assert!(matches!(
            json(body, target("Pod"), FieldValidation::Ignore),
            Err(DecodeError::Json(_))
        ));
    }
    assert!(json(b"{\"a\":1e999}", Target::Any, FieldValidation::Ignore).is_err());
}

#[test]
fn any_object() {
    let body = br#"{"spec":{"a":[{"b":1,"b":2}],"n":null}}"#;
    let found = json(body, Target::Any, FieldValidation::Warn).unwrap();
    assert_eq!(found.value, j!({"spec": {"a": [{"b": 2}], "n": null}}));
    assert_eq!(found.warnings, [r#"duplicate field "spec.a[0].b""#]);
    assert_eq!(
        json(b"[]", Target::Any, FieldValidation::Strict)
            .unwrap_err()
            .to_string(),
        "json: cannot unmarshal array into Go value of type map[string]interface {}"
    );
}

#[test]
fn a_value_is_checked_like_a_body() {
    let error = value(
        j!({"spec": {"foo": 1}}),
        target("Pod"),
        FieldValidation::Strict,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"strict decoding error: unknown field "spec.foo""#
    );
}

/// YAML is this value.
fn means(text: &str, expect: &Value) {
    match yaml(text.as_bytes(), Target::Any, FieldValidation::Strict) {
        Ok(decoded) => assert_eq!(&decoded.value, expect, "{text}"),
        Err(error) => panic!("{text}: {error}"),
    }
}

/// YAML is refused with a text that holds this one.
fn refused_yaml(text: &str, expect: &str) {
    match yaml(text.as_bytes(), target("Pod"), FieldValidation::Strict) {
        Ok(decoded) => panic!("{text} is taken: {decoded:?}"),
        Err(error) => assert!(error.to_string().contains(expect), "{text}: {error}"),
    }
}

#[test]
fn plain_yaml_scalars_mean_what_yaml_1_1_has_them_mean() {
    means(
        "{a: yes, b: 'yes', c: off, d: y, e: NO, f: truth, g: ~, h: null}",
        &j!({"a": true, "b": "yes", "c": false, "d": true, "e": false, "f": "truth", "g": null, "h": null}),
    );
    means(
        "{a: 0777, b: 0o17, c: 0x1F, d: 1_000, e: 08, f: 0b11, g: +5, h: -0}",
        &j!({"a": 511, "b": 15, "c": 31, "d": 1000, "e": 8, "f": 3, "g": 5, "h": 0}),
    );
    means(
        "{a: 1.0, b: 1e3, c: .5, d: 1.5e, e: 2024-01-01, f: 12:30:45, g: 1.2.3, h: -a}",
        &j!({"a": 1, "b": 1000, "c": 0.5, "d": "1.5e", "e": "2024-01-01", "f": "12:30:45", "g": "1.2.3", "h": "-a"}),
    );
    means(
        "{on: 1, 2: x, 3.5: y1}",
        &j!({"true": 1, "2": "x", "3.5": "y1"}),
    );
    means("{a: !!str 1, b: !!int 2}", &j!({"a": "1", "b": 2}));
    refused_yaml("{spec: {x: .inf}}", "unknown field");
    assert!(yaml(b"a: .nan", Target::Any, FieldValidation::Ignore).is_err());
}

#[test]
fn yaml_anchors_and_merges() {
    means(
        "{base: &b {x: 1, z: 2}, more: {<<: *b, w: 3}, again: *b, two: {<<: [{x: 5}, *b]}}",
        &j!({"base": {"x": 1, "z": 2}, "more": {"x": 1, "z": 2, "w": 3}, "again": {"x": 1, "z": 2}, "two": {"x": 5, "z": 2}}),
    );
    let text = b"{base: &b {x: 1}, more: {<<: *b, x: 3}}";
    let found = yaml(text, Target::Any, FieldValidation::Warn).unwrap();
    assert_eq!(found.value, j!({"base": {"x": 1}, "more": {"x": 3}}));
    // As upstream: to its strict decoder, what was merged is already set.
    assert_eq!(found.warnings.len(), 1);
    refused_yaml(
        "<<: 1",
        "map merge requires map or sequence of maps as the value",
    );
}

#[test]
fn yaml_goes_the_same_way_as_json() {
    refused_yaml(
        "spec:\n  containers:\n  - name: a\n    foo: 1\n",
        r#"strict decoding error: unknown field "spec.containers[0].foo""#,
    );
    refused_yaml(
        "metadata:\n  name: a\n  name: b\nfoo: 1\n",
        "strict decoding error: yaml: unmarshal errors:\n  line 3: key \"name\" already set in map, unknown field \"foo\"",
    );
    refused_yaml(
        "metadata: {name: 5}",
        "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string",
    );
}

#[test]
fn yaml_that_is_wrong_or_too_much() {
    refused_yaml("a: 1\n---\nb: 2\n", "yaml: line 3: more than one document");
    assert!(
        yaml(
            b"---\nkind: Pod\n---\n",
            target("Pod"),
            FieldValidation::Strict
        )
        .is_ok()
    );
    refused_yaml("a: [", "yaml: line ");
    refused_yaml("a: *b", "unknown anchor");
    refused_yaml("a: &a [*a]", "yaml: line 1: ");
    refused_yaml("? [a]\n: b", "a key is a list or a mapping");
    refused_yaml(&"[".repeat(1000), "nested more than 128 levels deep");
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let previous = vec![format!("*a{}", i - 1); 10].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{previous}]\n"));
    }
    refused_yaml(&bomb, "document contains excessive aliasing");
    let chain: String = (0..300)
        .map(|i| format!("a{}: &a{} [*a{i}]\n", i + 1, i + 1))
        .collect();
    refused_yaml(
        &format!("a0: &a0 [x]\n{chain}"),
        "nested more than 128 levels deep",
    );
}

/// Values of JSON, not deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-zA-Z0-9 \"'\\\\é:#-]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z.]{1,6}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Any object passes through unchanged where nothing is known of it, as JSON and as YAML (JSON is YAML).
    #[test]
    fn any_object_stays_as_it_is(inner in any_json()) {
        let body = j!({ "spec": inner });
        let bytes = body.to_string().into_bytes();
        let decoded = json(&bytes, Target::Any, FieldValidation::Strict).unwrap();
        prop_assert_eq!(&decoded.value, &body);
        let decoded = yaml(&bytes, Target::Any, FieldValidation::Strict).unwrap();
        prop_assert_eq!(&decoded.value, &body);
    }

    /// What a type has taken, it takes again, as the same.
    #[test]
    fn decoding_is_idempotent(labels in any_json(), spec in any_json(), status in any_json()) {
        let body = j!({"metadata": {"labels": labels}, "spec": spec, "status": status}).to_string();
        if let Ok(once) = json(body.as_bytes(), target("Pod"), FieldValidation::Ignore) {
            let again = value(once.value.clone(), target("Pod"), FieldValidation::Strict).unwrap();
            prop_assert_eq!(again.value, once.value);
        }
    }

    /// Whatever the bytes, there is an answer.
    #[test]
    fn any_bytes_get_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = json(&bytes, target("Pod"), FieldValidation::Strict);
        let _ = yaml(&bytes, target("Pod"), FieldValidation::Strict);
    }
}

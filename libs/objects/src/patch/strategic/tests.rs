//! Strategic merge patches by example: the behaviour that the public documents and test tables of upstream describe.

use super::*;
use crate::schema::{Field, Kind, List, Object, Patch};
use proptest::prelude::*;
use serde_json::json;

/// A type with a field of each sort, nested so deep.
fn item(depth: usize) -> Schema {
    let of = |kind: Kind| Schema {
        kind,
        ..Schema::default()
    };
    let list = |items: Schema, patch: Patch| Schema {
        kind: Kind::Array(Box::new(items), List::default()),
        patch,
        ..Schema::default()
    };
    let merged = |key: Option<&str>| Patch {
        merge: true,
        merge_key: key.map(Into::into),
        ..Patch::default()
    };
    let mut fields = vec![
        ("name", of(Kind::String)),
        ("value", of(Kind::String)),
        ("other", of(Kind::String)),
        ("mergingIntList", list(of(Kind::Integer), merged(None))),
        (
            "nonMergingIntList",
            list(of(Kind::Integer), Patch::default()),
        ),
        (
            "simpleMap",
            of(Kind::Map(Box::new(of(Kind::String)), false)),
        ),
    ];
    if depth > 0 {
        fields.push(("mergingList", list(item(depth - 1), merged(Some("name")))));
        fields.push(("keylessList", list(item(depth - 1), merged(None))));
        fields.push(("nonMergingList", list(item(depth - 1), Patch::default())));
        fields.push(("retainKeysMap", item(depth - 1)));
    }
    let fields = fields.into_iter().map(|(name, schema)| {
        let field = Field {
            schema,
            ..Field::default()
        };
        (Box::from(name), field)
    });
    of(Kind::Object(Box::new(Object {
        fields: fields.collect(),
        ..Object::default()
    })))
}

fn apply(original: Value, patch: Value) -> Result<Value, PatchError> {
    strategic(&Schemas::default(), &item(3), original, patch)
}

/// Checks what comes out, and that the patch changes nothing when it is applied again.
#[track_caller]
fn check(original: Value, patch: Value, expect: Value) {
    assert_eq!(apply(original, patch.clone()), Ok(expect.clone()));
    assert_eq!(apply(expect.clone(), patch), Ok(expect), "applied again");
}

/// Checks the message.
#[track_caller]
fn refuse(original: Value, patch: Value, expect: &str) {
    let error = apply(original, patch).expect_err(expect);
    assert!(error.to_string().starts_with(expect), "{error}");
}

/// Items with these names.
fn names(names: &[&str]) -> Value {
    names.iter().map(|name| json!({ "name": name })).collect()
}

#[test]
fn fields_and_maps() {
    check(
        json!({"name": "a", "value": "b"}),
        json!({"value": null, "other": "c"}),
        json!({"name": "a", "other": "c"}),
    );
    check(
        json!({"simpleMap": {"a": "1", "b": "2"}}),
        json!({"simpleMap": {"a": null, "c": "3"}}),
        json!({"simpleMap": {"b": "2", "c": "3"}}),
    );
    check(
        json!({"simpleMap": {"a": "1"}}),
        json!({"simpleMap": {"$patch": "delete"}}),
        json!({"simpleMap": {}}),
    );
    check(
        json!({"simpleMap": {"a": "1"}}),
        json!({"simpleMap": {"$patch": "replace", "b": "2"}}),
        json!({"simpleMap": {"b": "2"}}),
    );
    check(
        json!({"name": "a"}),
        json!({"$patch": "replace", "other": "b"}),
        json!({"other": "b"}),
    );
    check(
        json!({"name": "a"}),
        json!({"$patch": "replace"}),
        json!({}),
    );
    check(
        json!({"simpleMap": "no map"}),
        json!({"simpleMap": {"a": "1", "b": null}}),
        json!({"simpleMap": {"a": "1"}}),
    );
    check(
        json!({"nobodyKnows": {"a": 1}}),
        json!({"nobodyKnows": {"b": [1]}}),
        json!({"nobodyKnows": {"a": 1, "b": [1]}}),
    );
}

#[test]
fn lists_of_scalars() {
    let list = |items: &[i32]| json!({ "mergingIntList": items });
    check(list(&[1, 2]), list(&[2, 3]), list(&[1, 2, 3]));
    check(list(&[]), list(&[]), list(&[]));
    check(list(&[1, 2, 3]), list(&[3, 1, 2]), list(&[3, 1, 2]));
    check(list(&[1, 2, 3]), list(&[3, 1]), list(&[2, 3, 1]));
    check(
        json!({"nonMergingIntList": [1, 2]}),
        json!({"nonMergingIntList": [3]}),
        json!({"nonMergingIntList": [3]}),
    );
    check(
        list(&[1, 2, 3, 2]),
        json!({"$deleteFromPrimitiveList/mergingIntList": [2, 9]}),
        list(&[1, 3]),
    );
    check(
        json!({}),
        json!({"$deleteFromPrimitiveList/mergingIntList": [2]}),
        json!({}),
    );
    check(
        list(&[1, 2, 3]),
        json!({"$deleteFromPrimitiveList/mergingIntList": [2], "mergingIntList": [4], "$setElementOrder/mergingIntList": [4, 3, 1]}),
        list(&[4, 3, 1]),
    );
    check(
        list(&[1, 3]),
        json!({"$setElementOrder/mergingIntList": [3, 2, 1]}),
        list(&[3, 1]),
    );
}

#[test]
fn lists_of_objects() {
    let list = |items: Value| json!({ "mergingList": items });
    check(
        list(json!([{"name": "1"}, {"name": "2", "value": "b"}, {"name": "3"}])),
        list(
            json!([{"name": "3", "value": "c"}, {"name": "1", "value": "a"}, {"name": "2", "other": "x"}]),
        ),
        list(
            json!([{"name": "3", "value": "c"}, {"name": "1", "value": "a"}, {"name": "2", "value": "b", "other": "x"}]),
        ),
    );
    check(
        list(json!([{"name": "1"}, {"name": "2", "value": "b"}, {"name": "3"}])),
        list(json!([{"name": "3", "value": "c"}, {"name": "1", "value": "a"}])),
        list(
            json!([{"name": "2", "value": "b"}, {"name": "3", "value": "c"}, {"name": "1", "value": "a"}]),
        ),
    );
    check(
        list(names(&["1", "2"])),
        list(names(&["3"])),
        list(names(&["3", "1", "2"])),
    );
    check(
        list(names(&["1", "2"])),
        list(json!([{"$patch": "replace"}])),
        list(json!([])),
    );
    check(
        list(names(&["1"])),
        list(json!([{"name": "2"}, {"$patch": "replace"}])),
        list(names(&["2"])),
    );
    check(
        list(
            json!([{"name": "1"}, {"name": "1"}, {"name": "2", "value": "a"}, {"name": "3"}, {"name": "3"}]),
        ),
        list(json!([{"name": "1", "$patch": "delete"}, {"name": "3", "$patch": "delete"}])),
        list(json!([{"name": "2", "value": "a"}])),
    );
    check(
        list(json!([{"name": "1", "mergingList": [{"name": "a", "value": "x"}, {"name": "b"}]}])),
        list(
            json!([{"name": "1", "mergingList": [{"name": "b", "$patch": "delete"}, {"name": "a", "value": null}, {"name": "c"}]}]),
        ),
        list(json!([{"name": "1", "mergingList": [{"name": "a"}, {"name": "c"}]}])),
    );
    check(
        json!({"nonMergingList": names(&["1"])}),
        json!({"nonMergingList": names(&["2"])}),
        json!({"nonMergingList": names(&["2"])}),
    );
    // What is new comes first, as nothing on the server says where; and it has no directives and no nulls in it.
    check(
        json!({}),
        json!({"mergingList": [{"name": "1", "value": null}, {"name": "2", "$patch": "delete"}], "$setElementOrder/mergingList": names(&["1"])}),
        list(names(&["1"])),
    );
    check(
        list(names(&["1"])),
        list(json!([{"name": "2", "value": null}])),
        list(names(&["2", "1"])),
    );
}

#[test]
fn the_order_of_a_list() {
    check(
        json!({"mergingList": names(&["1", "3"])}),
        json!({"$setElementOrder/mergingList": names(&["3", "2", "1"]),
               "mergingList": [{"name": "3", "value": "3"}, {"name": "1", "value": "1"}]}),
        json!({"mergingList": [{"name": "3", "value": "3"}, {"name": "1", "value": "1"}]}),
    );
    // Items that only the server has stay where they were among the others.
    check(
        json!({"mergingList": names(&["1", "2", "3", "4"])}),
        json!({"$setElementOrder/mergingList": names(&["4", "1", "5"]), "mergingList": names(&["5"])}),
        json!({"mergingList": names(&["2", "3", "4", "1", "5"])}),
    );
    check(
        json!({"mergingList": names(&["a", "b"])}),
        json!({"$setElementOrder/mergingList": names(&["b"]), "mergingList": [{"name": "a", "$patch": "delete"}]}),
        json!({"mergingList": names(&["b"])}),
    );
    check(
        json!({}),
        json!({"$setElementOrder/mergingList": names(&["1"])}),
        json!({}),
    );
    refuse(
        json!({"mergingList": names(&["1", "2", "3"])}),
        json!({"$setElementOrder/mergingList": names(&["1", "2", "3"]), "mergingList": names(&["3", "1"])}),
        "The order in patch list:\n[map[name:3] map[name:1]]\n doesn't match $setElementOrder list:\n[map[name:1] map[name:2] map[name:3]]\n",
    );
}

#[test]
fn the_keys_of_an_object() {
    check(
        json!({"retainKeysMap": {"name": "a", "value": "b", "simpleMap": {"x": "1"}}}),
        json!({"retainKeysMap": {"$retainKeys": ["name", "other"], "other": "c"}}),
        json!({"retainKeysMap": {"name": "a", "other": "c"}}),
    );
    check(
        json!({}),
        json!({"retainKeysMap": {"$retainKeys": ["name"], "name": "a"}}),
        json!({"retainKeysMap": {"name": "a"}}),
    );
    let format = "invalid patch format of retainKeys";
    refuse(
        json!({}),
        json!({"$retainKeys": ["name"], "other": "c"}),
        format,
    );
    refuse(json!({}), json!({"$retainKeys": "name"}), format);
}

#[test]
fn what_is_refused() {
    let list = || json!({"mergingList": names(&["1"])});
    refuse(
        list(),
        json!({"mergingList": [{"value": "a"}]}),
        "map: map[value:a] does not contain declared merge key: name",
    );
    refuse(
        list(),
        json!({"mergingList": [{"$patch": "delete"}]}),
        "map: map[$patch:delete] does not contain declared merge key: name",
    );
    refuse(
        json!({"mergingList": [{"value": "a"}]}),
        list(),
        "map: map[value:a] does not contain declared merge key: name",
    );
    refuse(
        list(),
        json!({"mergingList": [{"name": "1", "$patch": "merge"}]}),
        "merging lists cannot yet be specified in the patch",
    );
    refuse(
        list(),
        json!({"mergingList": [{"name": "1", "$patch": "burn"}]}),
        "unknown patch type: burn in map: map[$patch:burn name:1]",
    );
    refuse(
        json!({}),
        json!({"$patch": "burn", "name": "a"}),
        "unknown patch type: burn in map: map[$patch:burn name:a]",
    );
    refuse(
        list(),
        json!({"mergingList": ["1"]}),
        "list element types are not identical: [[map[name:1]] [1]]",
    );
    refuse(
        json!({"mergingIntList": [1]}),
        json!({"mergingIntList": [[1]]}),
        "lists of lists are not supported",
    );
    refuse(
        json!({"keylessList": names(&["1"])}),
        json!({"keylessList": names(&["1"])}),
        "cannot merge lists without merge key for type struct",
    );
    refuse(
        json!({}),
        json!({"$deleteFromPrimitiveList": [1]}),
        "invalid patch format of primitive list",
    );
    refuse(
        json!({}),
        json!({"$setElementOrder": [1]}),
        "invalid patch format of setElementOrder list",
    );
    refuse(
        json!({}),
        json!({"$setElementOrder/mergingList": {}}),
        "expected a []interface {}, but received a map[string]interface {}",
    );
    refuse(json!({}), json!([]), "invalid JSON document");
    let error = apply(list(), json!({"mergingList": [{}]})).expect_err("no key");
    assert_eq!(
        (error.status().code, error.status().message.as_str()),
        (400, "map: map[] does not contain declared merge key: name")
    );
}

#[test]
fn long_lists_are_merged_in_linear_time() {
    let many = |from: usize| -> Value {
        (from..from + 30_000)
            .map(|n| json!({"name": n.to_string(), "value": "v"}))
            .collect()
    };
    let merged = apply(
        json!({"mergingList": many(0)}),
        json!({"mergingList": many(15_000)}),
    );
    let merged = merged.unwrap_or_default();
    assert_eq!(merged["mergingList"].as_array().map(Vec::len), Some(45_000));
}

/// Objects of the type; lists of objects have each name once.
fn objects(nulls: bool) -> impl Strategy<Value = Value> {
    let text = move || {
        let one = "[xy]".prop_map(Value::from);
        if nulls {
            prop_oneof![3 => one, 1 => Just(Value::Null)].boxed()
        } else {
            one.boxed()
        }
    };
    let leaf = (
        prop::option::of(text()),
        prop::option::of(prop::collection::btree_map("[ab]", text(), 0..3)),
        prop::option::of(prop::collection::btree_set(0..4_i32, 0..4)),
    )
        .prop_map(|(value, map, ints)| {
            let mut fields = Map::new();
            fields.extend(value.map(|value| ("value".to_owned(), value)));
            fields.extend(map.map(|map| {
                (
                    "simpleMap".to_owned(),
                    Value::Object(map.into_iter().collect()),
                )
            }));
            fields
                .extend(ints.map(|ints| ("mergingIntList".to_owned(), ints.into_iter().collect())));
            Value::Object(fields)
        });
    leaf.prop_recursive(2, 12, 3, |inner| {
        (
            inner.clone(),
            prop::collection::btree_map("[abc]", inner, 0..4),
        )
            .prop_map(|(mut object, items)| {
                let items = items.into_iter().map(|(name, mut item)| {
                    item["name"] = name.into();
                    item
                });
                object["mergingList"] = items.collect();
                object
            })
    })
}

proptest! {
    #[test]
    fn a_patch_twice_is_a_patch_once(original in objects(false), patch in objects(true)) {
        let once = apply(original, patch.clone());
        prop_assert!(once.is_ok());
        let once = once.unwrap_or_default();
        prop_assert_eq!(apply(once.clone(), patch), Ok(once));
    }

    #[test]
    fn an_empty_patch_changes_nothing(original in objects(false)) {
        prop_assert_eq!(apply(original.clone(), json!({})), Ok(original));
    }

    #[test]
    fn a_patch_of_nothing_is_what_it_sets(patch in objects(false)) {
        prop_assert_eq!(apply(json!({}), patch.clone()), Ok(patch));
    }
}

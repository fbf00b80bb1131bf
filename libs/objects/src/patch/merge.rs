//! Merge patches (RFC 7386): a patch looks like the object, null removes, and a list is replaced whole.

use serde_json::{Map, Value};

use super::PatchError;

/// The object with a merge patch applied.
///
/// # Errors
/// When the patch is no JSON object: an API object cannot become anything else.
pub fn merge(object: Value, patch: Value) -> Result<Value, PatchError> {
    if !patch.is_object() {
        return Err(PatchError::Malformed("Invalid JSON Patch".to_owned()));
    }
    Ok(merge_value(object, patch))
}

fn merge_value(target: Value, patch: Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch;
    };
    let mut fields = match target {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(&name);
            continue;
        }
        let old = fields.remove(&name).unwrap_or(Value::Null);
        fields.insert(name, merge_value(old, value));
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// The examples of RFC 7386, appendix A.
    #[test]
    fn examples_of_the_rfc() {
        let check = |target: Value, patch: Value, expect: Value| {
            assert_eq!(merge_value(target, patch), expect);
        };
        check(json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"}));
        check(
            json!({"a": "b"}),
            json!({"b": "c"}),
            json!({"a": "b", "b": "c"}),
        );
        check(json!({"a": "b"}), json!({"a": null}), json!({}));
        check(
            json!({"a": "b", "b": "c"}),
            json!({"a": null}),
            json!({"b": "c"}),
        );
        check(json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"}));
        check(json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]}));
        check(
            json!({"a": {"b": "c"}}),
            json!({"a": {"b": "d", "c": null}}),
            json!({"a": {"b": "d"}}),
        );
        check(
            json!({"a": [{"b": "c"}]}),
            json!({"a": [1]}),
            json!({"a": [1]}),
        );
        check(json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"]));
        check(json!({"a": "b"}), json!(["c"]), json!(["c"]));
        check(json!({"a": "foo"}), json!(null), json!(null));
        check(json!({"a": "foo"}), json!("bar"), json!("bar"));
        check(
            json!({"e": null}),
            json!({"a": 1}),
            json!({"e": null, "a": 1}),
        );
        check(
            json!([1, 2]),
            json!({"a": "b", "c": null}),
            json!({"a": "b"}),
        );
        check(
            json!({}),
            json!({"a": {"bb": {"ccc": null}}}),
            json!({"a": {"bb": {}}}),
        );
    }

    #[test]
    fn an_object_stays_one() {
        let error = merge(json!({}), json!([1])).expect_err("a list is no patch");
        assert_eq!(error.status().code, 400);
        assert_eq!(error.to_string(), "Invalid JSON Patch");
    }

    /// Values of a few names, so that they meet.
    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            Just(json!(1)),
            Just(json!("x")),
            Just(json!([1]))
        ];
        leaf.prop_recursive(3, 16, 3, |inner| {
            prop::collection::btree_map("[abc]", inner, 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect()))
        })
    }

    /// The patch from one value without nulls to another.
    fn diff(old: &Value, new: &Value) -> Value {
        let (Value::Object(old), Value::Object(new)) = (old, new) else {
            return new.clone();
        };
        let mut patch: Map<String, Value> = Map::new();
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            patch.insert(name.clone(), Value::Null);
        }
        for (name, value) in new {
            let old = old.get(name).unwrap_or(&Value::Null);
            if old != value {
                patch.insert(name.clone(), diff(old, value));
            }
        }
        Value::Object(patch)
    }

    proptest! {
        #[test]
        fn a_patch_twice_is_a_patch_once(target in values(), patch in values()) {
            let once = merge_value(target, patch.clone());
            prop_assert_eq!(merge_value(once.clone(), patch), once);
        }

        #[test]
        fn a_difference_leads_from_one_to_the_other(old in values(), new in values()) {
            let old = merge_value(json!({}), old);
            let new = merge_value(json!({}), new);
            let patch = diff(&old, &new);
            prop_assert_eq!(merge_value(old, patch), new);
        }
    }
}

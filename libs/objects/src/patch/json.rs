//! JSON patches (RFC 6902): a list of operations, done one after the other or not at all.
//!
//! The operations themselves are the `json-patch` crate's. Here are the bounds: on their number, on what copies
//! add, and on the depth that moves and copies build up.

use json_patch::PatchOperation;
use serde_json::Value;

use super::{COPIED_BYTES_MAX, DEPTH_MAX, OPERATIONS_MAX, PatchError};
use crate::go::type_name;

/// Most times that the depth of the whole object is measured: an estimate mostly does.
const MEASURED_MAX: usize = 100;

/// The object with a JSON patch applied.
///
/// # Errors
/// When the patch is no list of operations, an operation does not fit the object (and a `test` fails), or a bound is met.
pub fn json(mut object: Value, patch: Value) -> Result<Value, PatchError> {
    let operations = match patch {
        Value::Array(operations) => operations,
        Value::Null => return Ok(object),
        other => {
            let kind = json_type(&other);
            let message =
                format!("json: cannot unmarshal {kind} into Go value of type jsonpatch.Patch");
            return Err(PatchError::Malformed(message));
        }
    };
    if operations.len() > OPERATIONS_MAX {
        return Err(PatchError::TooManyOperations(operations.len()));
    }
    if let Some(other) = operations.iter().find(|operation| !operation.is_object()) {
        let kind = json_type(other);
        let message =
            format!("json: cannot unmarshal {kind} into Go value of type jsonpatch.Operation");
        return Err(PatchError::Malformed(message));
    }
    let mut limits = Limits {
        copied: 0,
        depth: depth(&object),
        measured: 0,
    };
    for (index, operation) in operations.into_iter().enumerate() {
        let at = |error: String| PatchError::DoesNotApply(format!("operation {index}: {error}"));
        let operation: PatchOperation =
            serde_json::from_value(operation).map_err(|error| at(error.to_string()))?;
        if finds_nothing(&object, &operation) {
            continue;
        }
        limits.before(&object, &operation).map_err(at)?;
        // On an error the object is dropped, so that nothing has to be undone.
        json_patch::patch_unsafe(&mut object, std::slice::from_ref(&operation))
            .map_err(|error| at(error.to_string()))?;
        limits.after(&object).map_err(at)?;
    }
    Ok(object)
}

/// Whether a test wants null where there is no such field. RFC 6902 has it fail; upstream takes the two for the same, and
/// clients count on it: so does kube-rs add an object's first finalizer.
fn finds_nothing(object: &Value, operation: &PatchOperation) -> bool {
    let PatchOperation::Test(test) = operation else {
        return false;
    };
    let parent = test.path.parent();
    test.value.is_null()
        && object.pointer(test.path.as_str()).is_none()
        && parent.is_some_and(|parent| {
            object
                .pointer(parent.as_str())
                .is_some_and(Value::is_object)
        })
}

/// What the operations so far have added.
struct Limits {
    /// Bytes that were copied.
    copied: usize,
    /// The object is at most so deep.
    depth: usize,
    /// How often it was measured.
    measured: usize,
}

impl Limits {
    /// What an operation will add.
    fn before(&mut self, object: &Value, operation: &PatchOperation) -> Result<(), String> {
        let under = operation.path().count();
        let added = match operation {
            PatchOperation::Add(add) => depth(&add.value),
            PatchOperation::Replace(replace) => depth(&replace.value),
            PatchOperation::Copy(copy) => {
                self.copied += object.pointer(copy.from.as_str()).map_or(0, size);
                if self.copied > COPIED_BYTES_MAX {
                    return Err(format!("copies of more than {COPIED_BYTES_MAX} bytes"));
                }
                self.depth.saturating_sub(copy.from.count())
            }
            PatchOperation::Move(moved) => self.depth.saturating_sub(moved.from.count()),
            PatchOperation::Remove(_) | PatchOperation::Test(_) => 0,
        };
        self.depth = self.depth.max(under + added);
        Ok(())
    }

    /// Measures when the estimate is beyond the bound. One operation at most doubles the depth, so that an object
    /// never gets deeper than twice the bound.
    fn after(&mut self, object: &Value) -> Result<(), String> {
        if self.depth <= DEPTH_MAX {
            return Ok(());
        }
        self.measured += 1;
        if self.measured > MEASURED_MAX {
            return Err(format!(
                "more than {MEASURED_MAX} moves and copies of deep values"
            ));
        }
        self.depth = depth(object);
        if self.depth > DEPTH_MAX {
            return Err(format!("nested more than {DEPTH_MAX} levels deep"));
        }
        Ok(())
    }
}

/// How deep a value nests; a scalar not at all.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// About how many bytes a value has as JSON.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| size(item) + 1).sum::<usize>(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| name.len() + 4 + size(value);
            2 + fields.iter().map(field).sum::<usize>()
        }
    }
}

/// The type's name in JSON, as Go's decoder says it.
fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Number(_) => "number",
        other => type_name(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// Checks the patched object, or the code of the answer.
    #[track_caller]
    fn check(object: Value, patch: Value, expect: Result<Value, u16>) {
        let found = super::json(object, patch).map_err(|error| error.status().code);
        assert_eq!(found, expect);
    }

    #[test]
    fn operations() {
        let object = json!({"a": [1, 2], "b": {"c/d": 1}});
        check(object.clone(), json!([]), Ok(object.clone()));
        check(object.clone(), json!(null), Ok(object.clone()));
        check(
            object.clone(),
            json!([{"op": "test", "path": "/a/0", "value": 1}, {"op": "add", "path": "/a/-", "value": 3},
                   {"op": "remove", "path": "/b/c~1d"}, {"op": "replace", "path": "/a/0", "value": 0},
                   {"op": "copy", "from": "/a", "path": "/x"}, {"op": "move", "from": "/b", "path": "/y"}]),
            Ok(json!({"a": [0, 2, 3], "x": [0, 2, 3], "y": {}})),
        );
        for wrong in [
            json!([{"op": "remove", "path": "/z"}]),
            json!([{"op": "replace", "path": "/z", "value": 1}]),
            json!([{"op": "test", "path": "/a/0", "value": 2}]),
            json!([{"op": "add", "path": "/z/z", "value": 1}]),
            json!([{"op": "add", "path": "/a/9", "value": 1}]),
            json!([{"op": "jump", "path": "/a"}]),
            json!([{"op": "add", "path": "a", "value": 1}]),
        ] {
            check(object.clone(), wrong, Err(422));
        }
        check(object.clone(), json!({"op": "remove"}), Err(400));
        check(object, json!(["remove"]), Err(400));
    }

    #[test]
    fn bounds() {
        let test = json!({"op": "test", "path": "/a", "value": 1});
        let object = json!({"a": 1});
        check(
            object.clone(),
            Value::Array(vec![test.clone(); OPERATIONS_MAX]),
            Ok(object.clone()),
        );
        let many = Value::Array(vec![test; OPERATIONS_MAX + 1]);
        check(object.clone(), many.clone(), Err(413));
        let error = super::json(object, many).expect_err("too many");
        assert_eq!(
            error.status().message,
            "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
        );
        let copy = json!({"op": "copy", "from": "/a", "path": "/a/-"});
        check(
            json!({"a": ["x".repeat(1_000)]}),
            Value::Array(vec![copy; 20]),
            Err(422),
        );
        // Each pair of operations nests the object one deeper.
        let nest = |times: usize| {
            let pair = [
                json!({"op": "move", "from": "/a", "path": "/b/x"}),
                json!({"op": "move", "from": "/b", "path": "/a"}),
            ];
            let make = json!({"op": "add", "path": "/b", "value": {}});
            let steps = (0..times).flat_map(|_| [make.clone(), pair[0].clone(), pair[1].clone()]);
            Value::Array(steps.collect())
        };
        assert!(super::json(json!({"a": 1}), nest(100)).is_ok());
        check(json!({"a": 1}), nest(200), Err(422));
        check(json!({"a": 1}), nest(3_000), Err(422));
    }

    #[test]
    fn a_test_for_null_holds_where_nothing_is() {
        let first = |path: &str| json!([{"op": "test", "path": path, "value": null}]);
        let object = json!({"a": {"b": 1, "n": null}, "c": [1]});
        for path in ["/x", "/a/x", "/a/n"] {
            check(object.clone(), first(path), Ok(object.clone()));
        }
        for path in ["/a", "/a/b", "/x/y", "/c/1", "/a/b/c"] {
            check(object.clone(), first(path), Err(422));
        }
    }

    proptest! {
        #[test]
        fn no_patch_breaks_the_reader(ops in prop::collection::vec(("(add|remove|replace|move|copy|test)", "(/[ab0-]){0,4}", "(/[ab0]){0,4}", 0..3), 0..12)) {
            let patch: Vec<Value> = ops.into_iter().map(|(op, path, from, value)| {
                let value = match value { 0 => json!({}), 1 => json!([1, {"a": 2}]), _ => json!("x") };
                json!({"op": op, "path": path, "from": from, "value": value})
            }).collect();
            if let Ok(patched) = super::json(json!({"a": {"b": [1, 2]}, "b": []}), patch.into()) {
                prop_assert!(depth(&patched) <= DEPTH_MAX);
            }
        }
    }
}

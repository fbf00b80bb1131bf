//! Fields of features that are off in 1.35 unless an administrator turns them on, which nobody can here.
//!
//! Upstream drops such a field from what a client sends, silently, unless the stored object has one of the feature's fields
//! already: then an update keeps all of them. Features that are on, or that became part of the API, need no entry. The
//! gates are those of the published list of feature gates for 1.35.

use serde_json::{Map, Value};

/// The fields of one feature, by their paths below a spec, a status or an object.
///
/// ```text
///   volumes[].projected.sources[].podCertificate      []: of each item
///   devices[].capacity{}.requestPolicy                {}: of each value of a map
/// ```
pub(crate) type Feature = &'static [&'static str];

/// Drops the features' fields from `new`, unless `old` (null at a create) has one of the same feature.
pub(crate) fn drop(features: &[Feature], new: &mut Value, old: &Value) {
    for fields in features {
        if !in_use(fields, old) {
            for path in *fields {
                remove(new, path);
            }
        }
    }
}

/// Whether a value has a field of the feature: not null, and no empty list.
pub(crate) fn in_use(fields: &[&str], value: &Value) -> bool {
    fields.iter().any(|path| has(value, path))
}

/// What comes next on a path.
enum Step<'a> {
    /// The field itself.
    Last(&'a str),
    /// An object, and the rest.
    Field(&'a str, &'a str),
    /// A list, and the rest below each item.
    Items(&'a str, &'a str),
    /// A map, and the rest below each value.
    Values(&'a str, &'a str),
}

fn step(path: &str) -> Step<'_> {
    let Some((name, rest)) = path.split_once('.') else {
        return Step::Last(path);
    };
    if let Some(name) = name.strip_suffix("[]") {
        Step::Items(name, rest)
    } else if let Some(name) = name.strip_suffix("{}") {
        Step::Values(name, rest)
    } else {
        Step::Field(name, rest)
    }
}

fn has(value: &Value, path: &str) -> bool {
    let field = |name: &str| value.get(name);
    match step(path) {
        Step::Last(name) => field(name).is_some_and(|found| {
            !found.is_null() && found.as_array().is_none_or(|list| !list.is_empty())
        }),
        Step::Field(name, rest) => field(name).is_some_and(|inner| has(inner, rest)),
        Step::Items(name, rest) => {
            let items = field(name).and_then(Value::as_array).into_iter().flatten();
            items.into_iter().any(|item| has(item, rest))
        }
        Step::Values(name, rest) => {
            let map = field(name).and_then(Value::as_object);
            map.into_iter()
                .flat_map(Map::values)
                .any(|one| has(one, rest))
        }
    }
}

fn remove(value: &mut Value, path: &str) {
    match step(path) {
        Step::Last(name) => {
            if let Some(fields) = value.as_object_mut() {
                fields.remove(name);
            }
        }
        Step::Field(name, rest) => {
            if let Some(inner) = value.get_mut(name) {
                remove(inner, rest);
            }
        }
        Step::Items(name, rest) => {
            let items = value.get_mut(name).and_then(Value::as_array_mut);
            for item in items.into_iter().flatten() {
                remove(item, rest);
            }
        }
        Step::Values(name, rest) => {
            let map = value.get_mut(name).and_then(Value::as_object_mut);
            for one in map.into_iter().flat_map(Map::values_mut) {
                remove(one, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FEATURES: &[Feature] = &[&["a[].b", "c"], &["d{}.e"]];

    #[track_caller]
    fn check(mut new: Value, old: Value, expect: Value) {
        drop(FEATURES, &mut new, &old);
        assert_eq!(new, expect);
    }

    #[test]
    fn fields_go_unless_their_feature_is_in_use() {
        let all = json!({"a": [{"b": 1, "x": 2}], "c": 3, "d": {"k": {"e": 4, "x": 5}}});
        let none = json!({"a": [{"x": 2}], "d": {"k": {"x": 5}}});
        check(all.clone(), Value::Null, none.clone());
        check(all.clone(), json!({"a": [{}], "c": []}), none);
        check(
            all.clone(),
            json!({"c": false}),
            json!({"a": [{"b": 1, "x": 2}], "c": 3, "d": {"k": {"x": 5}}}),
        );
        check(
            all.clone(),
            json!({"d": {"other": {"e": ""}}}),
            json!({"a": [{"x": 2}], "d": {"k": {"e": 4, "x": 5}}}),
        );
        check(all.clone(), all.clone(), all);
    }

    #[test]
    fn what_has_another_shape_stays() {
        for value in [json!(null), json!({"a": 1, "d": []}), json!([1])] {
            check(value.clone(), Value::Null, value);
        }
    }
}

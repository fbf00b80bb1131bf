//! Reading and filling in fields of objects. What is absent, null or of another type than asked for reads as empty, and
//! is left alone by what fills in.

use serde_json::{Map, Value};

/// A field that is there.
pub(crate) fn get<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).filter(|value| !value.is_null())
}

/// What is at a path of fields; null where nothing is.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    let mut value = value;
    for name in path {
        value = value.get(name).unwrap_or(&Value::Null);
    }
    value
}

/// A text, empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    maybe_text(value, name).unwrap_or_default()
}

/// A text that is there; it may be empty.
pub(crate) fn maybe_text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

/// A whole number.
pub(crate) fn int(value: &Value, name: &str) -> Option<i64> {
    value.get(name).and_then(Value::as_i64)
}

/// True or false.
pub(crate) fn flag(value: &Value, name: &str) -> Option<bool> {
    value.get(name).and_then(Value::as_bool)
}

/// A list's items.
pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    let list = value.get(name).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// A list of texts.
pub(crate) fn texts<'a>(value: &'a Value, name: &str) -> Vec<&'a str> {
    list(value, name).iter().filter_map(Value::as_str).collect()
}

/// A map's entries.
pub(crate) fn map<'a>(value: &'a Value, name: &str) -> Option<&'a Map<String, Value>> {
    value.get(name).and_then(Value::as_object)
}

/// An annotation of an object.
pub(crate) fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    maybe_text(at(object, &["metadata", "annotations"]), name)
}

/// The object's name.
pub(crate) fn name(object: &Value) -> &str {
    text(at(object, &["metadata"]), "name")
}

/// Whether two values mean the same: what is absent, null or empty is the same as each other.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let held = |key: &String| same(&a[key], b.get(key).unwrap_or(&Value::Null));
            let extra = |(key, value): (&String, &Value)| a.contains_key(key) || is_empty(value);
            a.keys().all(held) && b.iter().all(extra)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (a, b) => a == b || (is_empty(a) && is_empty(b)),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        _ => false,
    }
}

/// Whether a field means the same in two objects.
pub(crate) fn same_field(a: &Value, b: &Value, name: &str) -> bool {
    same(at(a, &[name]), at(b, &[name]))
}

/// What is at a path of fields, to be changed.
pub(crate) fn at_mut<'a>(value: &'a mut Value, path: &[&str]) -> Option<&'a mut Value> {
    let mut value = value;
    for name in path {
        value = value.get_mut(name)?;
    }
    Some(value)
}

/// A list's items, to be changed.
pub(crate) fn items_mut<'a>(value: &'a mut Value, name: &str) -> &'a mut [Value] {
    let list = value.get_mut(name).and_then(Value::as_array_mut);
    list.map_or(&mut [], Vec::as_mut_slice)
}

/// The object that a field holds, made where it is absent; none where something else is there.
pub(crate) fn child<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    let field = value.as_object_mut()?.entry(name).or_insert(Value::Null);
    if field.is_null() {
        *field = Value::Object(Map::new());
    }
    Some(field).filter(|field| field.is_object())
}

/// Fills in a field that is absent.
pub(crate) fn fill(value: &mut Value, name: &str, default: impl Into<Value>) {
    if let Value::Object(fields) = value {
        let field = fields.entry(name).or_insert(Value::Null);
        if field.is_null() {
            *field = default.into();
        }
    }
}

/// Fills in a field that is absent, an empty text, nothing in number, or an empty list.
pub(crate) fn fill_empty(value: &mut Value, name: &str, default: impl Into<Value>) {
    let empty = match value.get(name) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Number(number)) => number.as_i64() == Some(0),
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    };
    if empty {
        set(value, name, default);
    }
}

/// Sets a field of an object.
pub(crate) fn set(value: &mut Value, name: &str, to: impl Into<Value>) {
    if let Value::Object(fields) = value {
        fields.insert(name.to_owned(), to.into());
    }
}

/// Takes a field away.
pub(crate) fn remove(value: &mut Value, name: &str) -> Option<Value> {
    value.as_object_mut()?.remove(name)
}

/// Makes a field what it is in another object.
pub(crate) fn copy(to: &mut Value, from: &Value, name: &str) {
    match from.get(name) {
        Some(field) => set(to, name, field.clone()),
        None => {
            remove(to, name);
        }
    }
}

/// A status that has these numbers, zero where they are absent: upstream never leaves them out, and some clients need them.
pub(crate) fn fill_status(object: &mut Value, names: &[&str]) {
    if let Some(status) = child(object, "status") {
        for name in names {
            fill(status, name, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn absent_and_empty_are_the_same() {
        let check = |a: Value, b: Value, expect: bool| {
            assert_eq!(same(&a, &b), expect, "{a} {b}");
            assert_eq!(same(&b, &a), expect, "{b} {a}");
        };
        check(json!({"a": null, "b": 1}), json!({"b": 1, "c": []}), true);
        check(json!({"a": {"b": []}}), json!({}), true);
        check(json!([1, {}]), json!([1, null]), true);
        check(json!({"a": 0}), json!({}), false);
        check(json!([1]), json!([1, 2]), false);
        check(json!(""), json!(null), false);
    }

    #[test]
    fn what_is_there_is_not_filled_in() {
        let mut object = json!({"a": 1, "b": null, "c": "", "d": [], "e": 0});
        for name in ["a", "b", "f"] {
            fill(&mut object, name, 5);
        }
        for name in ["c", "d", "e"] {
            fill_empty(&mut object, name, 5);
        }
        let expect = json!({"a": 1, "b": 5, "c": 5, "d": 5, "e": 5, "f": 5});
        assert_eq!(object, expect);
        assert!(child(&mut object, "a").is_none());
        assert!(child(&mut object, "g").is_some());
        fill(&mut json!(3), "a", 5);
    }
}

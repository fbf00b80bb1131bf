//! Reading and writing an object's fields, whatever is there.
//!
//! Rules run behind a decoder that has refused wrong types, and must not fall over when it has not: a field of another type is an
//! absent one. JSON's null is absence, as it is for Go's decoder.

use objects::quantity::Quantity;
use serde_json::{Map, Value};

/// What stands where nothing does.
static NOTHING: Value = Value::Null;

/// The fields of an object.
pub trait Fields {
    /// A field that is there.
    fn field(&self, name: &str) -> Option<&Value>;
    /// A field; null where it is absent, so that a chain of these needs no questions.
    fn part(&self, name: &str) -> &Value {
        self.field(name).unwrap_or(&NOTHING)
    }
    /// Whether a field is there.
    fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }
    /// A text; empty where it is absent.
    fn text(&self, name: &str) -> &str {
        self.part(name).as_str().unwrap_or_default()
    }
    /// A whole number.
    fn whole(&self, name: &str) -> Option<i64> {
        self.part(name).as_i64()
    }
    /// Whether a field is true.
    fn flag(&self, name: &str) -> bool {
        self.part(name).as_bool().unwrap_or_default()
    }
    /// The items of a list; none where it is absent.
    fn items(&self, name: &str) -> &[Value] {
        self.part(name).as_array().map_or(&[], Vec::as_slice)
    }
    /// The texts of a list of texts.
    fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.items(name)
            .iter()
            .map(|item| item.as_str().unwrap_or_default())
    }
    /// The keys and values of a map; none where it is absent.
    fn entries(&self, name: &str) -> impl Iterator<Item = (&str, &Value)> {
        let entries = self.part(name).as_object().into_iter().flatten();
        entries.map(|(key, value)| (key.as_str(), value))
    }
    /// How many entries a map has.
    fn count(&self, name: &str) -> usize {
        self.part(name).as_object().map_or(0, Map::len)
    }
    /// A quantity of a resource list.
    fn quantity(&self, name: &str) -> Option<Quantity> {
        Quantity::from_value(self.field(name)?).ok()
    }

    /// A field that is there, to write to.
    fn field_mut(&mut self, name: &str) -> Option<&mut Value>;
    /// A field that is an object; it is made where it is absent. None where the whole is no object.
    fn object_mut(&mut self, name: &str) -> Option<&mut Value>;
    /// The items of a list; none where it is absent.
    fn items_mut(&mut self, name: &str) -> &mut [Value] {
        match self.field_mut(name) {
            Some(Value::Array(items)) => items,
            _ => &mut [],
        }
    }
    /// Sets a field.
    fn set(&mut self, name: &str, value: impl Into<Value>);
    /// Sets a field that is absent: what upstream has a pointer for.
    fn set_absent(&mut self, name: &str, value: impl Into<Value>) {
        if !self.has(name) {
            self.set(name, value);
        }
    }
    /// Sets a field that is absent or that says nothing (an empty text, 0): what upstream has no pointer for.
    fn set_empty(&mut self, name: &str, value: impl Into<Value>) {
        if is_zero(self.part(name)) {
            self.set(name, value);
        }
    }
    /// Takes a field away.
    fn remove(&mut self, name: &str) -> Option<Value>;
    /// Gives a field the value that another object has, or takes it away.
    fn copy_from(&mut self, other: &Value, name: &str) {
        match other.field(name) {
            Some(value) => self.set(name, value.clone()),
            None => {
                self.remove(name);
            }
        }
    }
}

impl Fields for Value {
    fn field(&self, name: &str) -> Option<&Value> {
        self.get(name).filter(|value| !value.is_null())
    }

    fn field_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.get_mut(name).filter(|value| !value.is_null())
    }

    fn object_mut(&mut self, name: &str) -> Option<&mut Value> {
        let value = self.as_object_mut()?.entry(name).or_insert(Value::Null);
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
        value.is_object().then_some(value)
    }

    fn set(&mut self, name: &str, value: impl Into<Value>) {
        if let Some(fields) = self.as_object_mut() {
            fields.insert(name.to_owned(), value.into());
        }
    }

    fn remove(&mut self, name: &str) -> Option<Value> {
        self.as_object_mut()?.remove(name)
    }
}

/// Whether a scalar says nothing: absent, an empty text, 0, false.
#[must_use]
pub fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    }
}

/// Fields that upstream has pointers for, where absence is not the same as an empty text, 0, false or an object without fields.
const POINTERS: &[&str] = &[
    "activeDeadlineSeconds",
    "allocateLoadBalancerNodePorts",
    "allowPrivilegeEscalation",
    "automountServiceAccountToken",
    "defaultMode",
    "enableServiceLinks",
    "expirationSeconds",
    "fsGroup",
    "hostUsers",
    "immutable",
    "labelSelector",
    "mode",
    "namespaceSelector",
    "optional",
    "priority",
    "privileged",
    "procMount",
    "readOnlyRootFilesystem",
    "replicas",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "selector",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "storageClassName",
    "terminationGracePeriodSeconds",
    "tolerationSeconds",
    "volumeAttributesClassName",
];

/// Whether two values mean the same, as `apiequality.Semantic` has it after Go's decoder: what is absent and what is empty or zero
/// are alike, but for fields that upstream has pointers for. Quantities are compared as the texts that defaulting has made of them.
#[must_use]
pub fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => one.keys().chain(other.keys()).all(|name| {
            let (one, other) = (one.get(name), other.get(name));
            if POINTERS.contains(&name.as_str()) && is_absent(one) != is_absent(other) {
                return false;
            }
            same(one.unwrap_or(&NOTHING), other.unwrap_or(&NOTHING))
        }),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (one, other) => one == other || (is_empty(one) && is_empty(other)),
    }
}

fn is_absent(value: Option<&Value>) -> bool {
    value.is_none_or(Value::is_null)
}

/// Whether a value of any type says nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.iter().all(|(name, value)| {
            is_empty(value) && (value.is_null() || !POINTERS.contains(&name.as_str()))
        }),
        scalar => is_zero(scalar),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_has_another_type_is_absent() {
        let object = json!({"a": 1, "b": null, "c": "x", "d": ["y", 2], "e": {"k": "500m"}});
        assert_eq!(object.text("a"), "");
        assert_eq!(object.text("c"), "x");
        assert!(!object.has("b"));
        assert_eq!(object.texts("d").collect::<Vec<_>>(), ["y", ""]);
        assert!(object.items("e").is_empty());
        assert_eq!(object.part("e").text("k"), "500m");
        assert_eq!(object.part("z").part("y").whole("x"), None);
        let mut text = json!("no object");
        text.set("a", 1);
        assert!(text.object_mut("a").is_none());
        assert_eq!(text, json!("no object"));
    }

    #[test]
    fn sameness_forgives_what_says_nothing() {
        assert!(same(&json!({"a": []}), &json!({"b": "", "c": 0})));
        assert!(same(&json!({"resources": {}}), &json!({})));
        assert!(!same(&json!({"labelSelector": {}}), &json!({})));
        assert!(!same(&json!({"s": {"hostUsers": false}}), &json!({})));
        assert!(!same(&json!({"a": [1]}), &json!({"a": [2]})));
    }
}

//! What an answer is about, and the fields that it is written with.

use serde_json::{Map, Value};

/// One reason among several, often of one field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cause {
    /// For programs: `FieldValueInvalid`. May be empty.
    pub reason: String,
    /// For people.
    pub message: String,
    /// A path in the object, or empty.
    pub field: String,
}

/// What an answer is about. Empty fields are not written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// The object's name; for a server timeout, the operation.
    pub name: String,
    /// API group.
    pub group: String,
    /// The resource in plural, or the kind of an invalid object.
    pub kind: String,
    /// The object's UID.
    pub uid: String,
    /// Several reasons.
    pub causes: Vec<Cause>,
    /// How long to wait before another try; zero is none.
    pub retry_after_seconds: u32,
}

impl Details {
    pub(super) fn to_value(&self) -> Value {
        let mut object = Map::new();
        put(&mut object, "name", &self.name);
        put(&mut object, "group", &self.group);
        put(&mut object, "kind", &self.kind);
        put(&mut object, "uid", &self.uid);
        if !self.causes.is_empty() {
            let causes: Vec<Value> = self.causes.iter().map(Cause::to_value).collect();
            object.insert("causes".to_owned(), causes.into());
        }
        if self.retry_after_seconds != 0 {
            object.insert(
                "retryAfterSeconds".to_owned(),
                self.retry_after_seconds.into(),
            );
        }
        object.into()
    }

    pub(super) fn from_value(object: &Value) -> Self {
        let causes = object.get("causes").and_then(Value::as_array);
        Details {
            name: text(object, "name"),
            group: text(object, "group"),
            kind: text(object, "kind"),
            uid: text(object, "uid"),
            causes: causes
                .into_iter()
                .flatten()
                .map(Cause::from_value)
                .collect(),
            retry_after_seconds: number(object, "retryAfterSeconds").try_into().unwrap_or(0),
        }
    }
}

impl Cause {
    pub(super) fn to_value(&self) -> Value {
        let mut object = Map::new();
        put(&mut object, "reason", &self.reason);
        put(&mut object, "message", &self.message);
        put(&mut object, "field", &self.field);
        object.into()
    }

    pub(super) fn from_value(object: &Value) -> Self {
        Cause {
            reason: text(object, "reason"),
            message: text(object, "message"),
            field: text(object, "field"),
        }
    }
}

/// Writes a text unless it is empty.
pub(super) fn put(object: &mut Map<String, Value>, name: &str, value: &str) {
    if !value.is_empty() {
        object.insert(name.to_owned(), value.into());
    }
}

/// A text that is there, or the empty one.
pub(super) fn text(object: &Value, name: &str) -> String {
    let value = object.get(name).and_then(Value::as_str);
    value.unwrap_or_default().to_owned()
}

/// A number that is there, or zero.
pub(super) fn number(object: &Value, name: &str) -> u64 {
    object.get(name).and_then(Value::as_u64).unwrap_or(0)
}

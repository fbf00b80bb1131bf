//! What is a type's own: everything that a schema does not say.
//!
//! ```text
//!   create:  defaults ─> prepare_create ─> validate ─> stored
//!   update:  defaults ─> prepare_update ─> validate, validate_update ─> stored
//!   status:  defaults ─> spec of what is there ─> prepare_status ─> validate_status ─> stored
//! ```
//!
//! Rules are pure: an object is a value, mistakes are collected, nothing is looked up. What needs other objects (a namespace that
//! must be there, addresses) is the server's.

use objects::field::ErrorList;
use serde_json::Value;

/// A type's rules. Those that it has none of are [`Rules::NONE`]'s.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Fills in what the schema's own defaults cannot say. Done twice, it does nothing the second time.
    pub defaults: fn(&mut Value),
    /// Drops what a create may not set (a status), and sets what it must have.
    pub prepare_create: fn(&mut Value),
    /// The same for an update, given what is there. Status and generation are done for all types alike.
    pub prepare_update: fn(&mut Value, &Value),
    /// The same for an update of the status.
    pub prepare_status: fn(&mut Value, &Value),
    /// Mistakes in an object by itself, but for its metadata.
    pub validate: fn(&Value, &mut ErrorList),
    /// Mistakes in what an update changes: new, old.
    pub validate_update: fn(&Value, &Value, &mut ErrorList),
    /// Mistakes in what an update of the status changes: new, old.
    pub validate_status: fn(&Value, &Value, &mut ErrorList),
    /// What a client should be told of a write that is done nevertheless: new, and old for an update.
    pub warnings: fn(&Value, Option<&Value>) -> Vec<String>,
    /// How names are checked.
    pub name: NameRule,
    /// Of `kubectl get`, name and age too.
    pub columns: &'static [Column],
    /// Fields that a field selector may name, besides `metadata.name` and `metadata.namespace`.
    pub selectable: &'static [Selectable],
}

/// The grammar of a type's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// Labels with dots between them, 253 bytes.
    DnsSubdomain,
    /// One label of 63 bytes.
    DnsLabel,
    /// One label that does not begin with a digit.
    Dns1035Label,
    /// What can be a segment of a path.
    PathSegment,
}

/// A column of `kubectl get`.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Such as `Ready`.
    pub name: &'static str,
    /// Of OpenAPI: `string`, `integer`, `number`, `boolean`, `date`.
    pub kind: &'static str,
    /// Of OpenAPI, or `name`; empty for none.
    pub format: &'static str,
    /// What it says, for people.
    pub description: &'static str,
    /// 0: always; 1: with `-o wide`.
    pub priority: i32,
    /// What stands there: the object, and seconds since 1970.
    pub cell: fn(&Value, i64) -> Value,
}

/// A field that a field selector may name.
#[derive(Debug, Clone, Copy)]
pub struct Selectable {
    /// Its path, with dots.
    pub field: &'static str,
    /// What it is where it is absent.
    pub absent: &'static str,
}

/// The column that each table begins with.
pub const NAME: Column = Column {
    name: "Name",
    kind: "string",
    format: "name",
    description: "Name must be unique within a namespace.",
    priority: 0,
    cell: |object, _| {
        object
            .pointer("/metadata/name")
            .cloned()
            .unwrap_or_default()
    },
};

/// How long ago it was made.
pub const AGE: Column = Column {
    name: "Age",
    kind: "string",
    format: "",
    description: "When the object was made.",
    priority: 0,
    cell: |object, now| age(object.pointer("/metadata/creationTimestamp"), now),
};

/// How long ago a time was, as `kubectl get` tells it; `<unknown>` where there is none.
#[must_use]
pub fn age(time: Option<&Value>, now: i64) -> Value {
    let time = time
        .and_then(Value::as_str)
        .and_then(|text| text.parse::<jiff::Timestamp>().ok());
    match time {
        Some(time) => objects::table::human_duration(now - time.as_second()).into(),
        None => "<unknown>".into(),
    }
}

impl Rules {
    /// No rules.
    pub const NONE: Self = Self {
        defaults: |_| (),
        prepare_create: |_| (),
        prepare_update: |_, _| (),
        prepare_status: |_, _| (),
        validate: |_, _| (),
        validate_update: |_, _, _| (),
        validate_status: |_, _, _| (),
        warnings: |_, _| Vec::new(),
        name: NameRule::DnsSubdomain,
        columns: &[NAME, AGE],
        selectable: &[],
    };
}

impl Selectable {
    /// A field that is empty where it is absent.
    #[must_use]
    pub const fn new(field: &'static str) -> Self {
        Self { field, absent: "" }
    }
}

//! What is a type's own: everything that a schema does not say.
//!
//! ```text
//!   create:  defaults ─> prepare_create ─> (name, addresses, ports) ─> validate, validate_create ─> stored
//!   update:  defaults ─> status of what is there ─> prepare_update ─> (addresses, ports) ─> validate, validate_update ─> stored
//!   status:  defaults ─> spec of what is there ─> prepare_status ─> validate_status ─> stored
//! ```
//!
//! What is in brackets is the server's, and done before validation: a Service that needs a port for health checks must have one by
//! then. For a type with a `status` subresource (see [`Resource::status`](crate::resources::Resource::status)) the server drops the
//! status of a create before `prepare_create`, which may set one again (a pod's phase), and puts the stored one into an update.
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
    /// Mistakes that are none in an update.
    pub validate_create: fn(&Value, &mut ErrorList),
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
        Some(time) => human(now - time.as_second()).into(),
        None => "<unknown>".into(),
    }
}

/// Seconds in the form of upstream's `HumanDuration`: two units at most, the second only while it matters.
fn human(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |unit: i64, name: char, next: i64, next_name: char| {
        let (first, second) = (seconds / unit, seconds % unit / next);
        if second == 0 {
            format!("{first}{name}")
        } else {
            format!("{first}{name}{second}{next_name}")
        }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        _ if seconds < 2 * MINUTE => format!("{seconds}s"),
        _ if seconds < 10 * MINUTE => two(MINUTE, 'm', 1, 's'),
        _ if seconds < 3 * HOUR => format!("{}m", seconds / MINUTE),
        _ if seconds < 8 * HOUR => two(HOUR, 'h', MINUTE, 'm'),
        _ if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        _ if seconds < 8 * DAY => two(DAY, 'd', HOUR, 'h'),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => two(YEAR, 'y', DAY, 'd'),
        _ => format!("{}y", seconds / YEAR),
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
        validate_create: |_, _| (),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        let check = |seconds: i64, expect: &str| assert_eq!(human(seconds), expect);
        check(-2, "<invalid>");
        check(-1, "0s");
        check(119, "119s");
        check(120, "2m");
        check(125, "2m5s");
        check(10 * 60 + 5, "10m");
        check(3 * 3600 + 60, "3h1m");
        check(47 * 3600, "47h");
        check(49 * 3600, "2d1h");
        check(30 * 86_400, "30d");
        check(800 * 86_400, "2y70d");
        check(3650 * 86_400, "10y");
        assert_eq!(
            age(Some(&"2026-11-30T00:00:00Z".into()), 1_796_000_000),
            "4h53m"
        );
        assert_eq!(age(Some(&1.into()), 0), "<unknown>");
        assert_eq!(age(None, 0), "<unknown>");
    }
}

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

use objects::{field::ErrorList, metadata::NameRule};
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
        defaults: none::change,
        prepare_create: none::change,
        prepare_update: none::change_from,
        prepare_status: none::change_from,
        validate: none::validate,
        validate_update: none::validate_from,
        validate_status: none::validate_from,
        warnings: none::warn,
        name: NameRule::Subdomain,
        columns: &[NAME, AGE],
        selectable: &[],
    };

    /// Has defaults that its schema does not say.
    #[must_use]
    pub fn has_defaults(&self) -> bool {
        !std::ptr::fn_addr_eq(self.defaults, Self::NONE.defaults)
    }

    /// Finds mistakes in an object by itself.
    #[must_use]
    pub fn has_validation(&self) -> bool {
        !std::ptr::fn_addr_eq(self.validate, Self::NONE.validate)
    }

    /// Finds mistakes in what an update changes.
    #[must_use]
    pub fn has_update_validation(&self) -> bool {
        !std::ptr::fn_addr_eq(self.validate_update, Self::NONE.validate_update)
    }

    /// Finds mistakes in what an update of the status changes.
    #[must_use]
    pub fn has_status_validation(&self) -> bool {
        !std::ptr::fn_addr_eq(self.validate_status, Self::NONE.validate_status)
    }

    /// Warns of writes.
    #[must_use]
    pub fn has_warnings(&self) -> bool {
        !std::ptr::fn_addr_eq(self.warnings, Self::NONE.warnings)
    }
}

/// What [`Rules::NONE`] does. Functions that are compiled once, and not closures, so that their addresses tell them from a
/// type's own; a type's function that does nothing may have the same address, and is none either.
mod none {
    use super::{ErrorList, Value};

    #[inline(never)]
    pub(super) fn change(_: &mut Value) {}

    #[inline(never)]
    pub(super) fn change_from(_: &mut Value, _: &Value) {}

    #[inline(never)]
    pub(super) fn validate(_: &Value, _: &mut ErrorList) {}

    #[inline(never)]
    pub(super) fn validate_from(_: &Value, _: &Value, _: &mut ErrorList) {}

    #[inline(never)]
    pub(super) fn warn(_: &Value, _: Option<&Value>) -> Vec<String> {
        Vec::new()
    }
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
    use objects::field::{FieldError, Path};

    fn mistake() -> FieldError {
        FieldError::required(&Path::new("spec"), "")
    }

    #[test]
    fn rules_tell_what_they_have() {
        let has = |rules: &Rules| {
            [
                rules.has_defaults(),
                rules.has_validation(),
                rules.has_update_validation(),
                rules.has_status_validation(),
                rules.has_warnings(),
            ]
        };
        assert_eq!(has(&Rules::NONE), [false; 5]);
        let all = Rules {
            defaults: |object| object["a"] = 1.into(),
            validate: |_, errors| errors.push(mistake()),
            validate_update: |_, _, errors| errors.push(mistake()),
            validate_status: |_, _, errors| errors.push(mistake()),
            warnings: |_, _| vec!["no".to_owned()],
            ..Rules::NONE
        };
        assert_eq!(has(&all), [true; 5]);
    }

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
            "53m"
        );
        assert_eq!(age(Some(&1.into()), 0), "<unknown>");
        assert_eq!(age(None, 0), "<unknown>");
    }
}

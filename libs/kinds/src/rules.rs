//! What is a type's own: everything that a schema does not say.
//!
//! ```text
//!   create:  defaults ─> status dropped ─> prepare_create ─> (addresses) ─> validate, validate_create ─> stored
//!   update:  defaults ─> status of what is there ─> prepare_update ─> (addresses) ─> validate, validate_update ─> stored
//!   status:  defaults ─> all but the status of what is there ─> prepare_status ─> validate_status ─> stored
//! ```
//!
//! What is done for all types alike is the server's, in this order and before the type's own step: names and the UID are given,
//! metadata is brought to what a client may set, a resource with a status loses the client's (a create, but for
//! [`Rules::status_on_create`]) or keeps the stored one (an update), and one with a generation gets 1, or one more when something
//! else than metadata or status changed.
//! A `prepare_create` therefore may set a first status, and sees `metadata.uid`. Addresses and ports of Services are given out
//! before validation, which asks for a port for health checks where one is needed.
//!
//! Rules are pure: an object is a value, mistakes are collected, nothing is looked up. What needs other objects (a namespace that
//! must be there, addresses) is the server's. Types of fields are those of the schema; a field of another type reads as
//! absent, and no rule ever panics.

use objects::{
    field::ErrorList,
    metadata::NameRule,
    time::{Duration, human_duration},
};
use serde_json::Value;

/// A type's rules. Those that it has none of are [`Rules::NONE`]'s.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Fills in what the schema's own defaults cannot say. Done twice, it does nothing the second time.
    pub defaults: fn(&mut Value),
    /// A create may set the status: a kubelet says what its node has when it registers it.
    pub status_on_create: bool,
    /// Drops what a create may not set but for the status, which is gone already, and sets what the object must have.
    pub prepare_create: fn(&mut Value),
    /// The same for an update: new, old.
    pub prepare_update: fn(&mut Value, &Value),
    /// The same for an update of the status: new, whose spec is the old one's, and old.
    pub prepare_status: fn(&mut Value, &Value),
    /// Mistakes in an object by itself, but for its metadata: at a create and at an update.
    pub validate: fn(&Value, &mut ErrorList),
    /// Mistakes that only a create is refused for: what was stored may keep them.
    pub validate_create: fn(&Value, &mut ErrorList),
    /// Mistakes in what an update changes: new, old.
    pub validate_update: fn(&Value, &Value, &mut ErrorList),
    /// Mistakes in a status and in what its update changes: new, old.
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

/// When it was made: of the types that upstream has no columns for.
pub const CREATED_AT: Column = Column {
    name: "Created At",
    kind: "date",
    format: "",
    description: "When the object was made.",
    priority: 0,
    cell: |object, _| {
        object
            .pointer("/metadata/creationTimestamp")
            .cloned()
            .unwrap_or_default()
    },
};

/// How long ago a time was, as `kubectl get` tells it; `<unknown>` where there is none.
#[must_use]
pub fn age(time: Option<&Value>, now: i64) -> Value {
    let time = time
        .and_then(Value::as_str)
        .and_then(|text| text.parse::<jiff::Timestamp>().ok());
    match time {
        Some(time) => {
            let span = Duration::from_secs(now.saturating_sub(time.as_second()));
            human_duration(span).into()
        }
        None => "<unknown>".into(),
    }
}

impl Column {
    /// A column that is always shown.
    #[must_use]
    pub const fn new(
        name: &'static str,
        kind: &'static str,
        description: &'static str,
        cell: fn(&Value, i64) -> Value,
    ) -> Self {
        Self {
            name,
            kind,
            format: "",
            description,
            priority: 0,
            cell,
        }
    }

    /// Shown with `-o wide` alone.
    #[must_use]
    pub const fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }

    /// With a format of OpenAPI.
    #[must_use]
    pub const fn format(mut self, format: &'static str) -> Self {
        self.format = format;
        self
    }
}

impl Rules {
    /// No rules.
    pub const NONE: Self = Self {
        defaults: none::change,
        prepare_create: none::change,
        status_on_create: false,
        prepare_update: none::change_from,
        prepare_status: none::change_from,
        validate: none::validate,
        validate_create: none::validate,
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

    /// Finds mistakes in an object by itself, if only in a new one.
    #[must_use]
    pub fn has_validation(&self) -> bool {
        !std::ptr::fn_addr_eq(self.validate, Self::NONE.validate)
            || !std::ptr::fn_addr_eq(self.validate_create, Self::NONE.validate_create)
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
        let at_create = Rules {
            validate_create: |_, errors| errors.push(mistake()),
            ..Rules::NONE
        };
        assert!(at_create.has_validation());
    }

    #[test]
    fn names() {
        let check = |rule: NameRule, name: &str, expect: bool| {
            assert_eq!(rule.check(name, false).is_empty(), expect, "{name}");
        };
        check(NameRule::Subdomain, "a.b", true);
        check(NameRule::Label, "a.b", false);
        check(NameRule::Label1035, "1a", false);
        check(NameRule::PathSegment, "system:a", true);
        assert!(NameRule::Subdomain.check("a-", true).is_empty());
    }

    #[test]
    fn ages() {
        assert_eq!(
            age(Some(&"2026-11-30T00:00:00Z".into()), 1_796_000_000),
            "53m"
        );
        assert_eq!(age(Some(&1.into()), 0), "<unknown>");
        assert_eq!(age(None, 0), "<unknown>");
    }
}

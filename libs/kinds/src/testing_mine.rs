//! What the tests of types have in common: an object goes through a type's rules as the server sends it, and what comes out is told
//! in one line for each mistake.

use objects::field::ErrorList;
use proptest::prelude::*;
use serde_json::{Map, Value};

use crate::{rules::Rules, value::Fields};

/// An object with parts of it changed, as by a merge patch: null takes away.
pub(crate) fn merged(mut base: Value, change: Value) -> Value {
    let Value::Object(change) = change else {
        return change;
    };
    if !base.is_object() {
        base = Value::Object(Map::new());
    }
    for (name, value) in change {
        match value {
            Value::Null => {
                base.remove(&name);
            }
            value => {
                let old = base.remove(&name).unwrap_or(Value::Null);
                base.set(&name, merged(old, value));
            }
        }
    }
    base
}

fn told(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// A create: what is wrong with the object.
#[track_caller]
pub(crate) fn check(rules: &Rules, mut object: Value, expect: &[&str]) {
    (rules.defaults)(&mut object);
    (rules.prepare_create)(&mut object);
    let mut errors = ErrorList::default();
    (rules.validate)(&object, &mut errors);
    (rules.validate_create)(&object, &mut errors);
    assert_eq!(told(&errors), expect, "{object}");
}

/// What defaults and preparation make of an object that is created.
pub(crate) fn created(rules: &Rules, mut object: Value) -> Value {
    (rules.defaults)(&mut object);
    (rules.prepare_create)(&mut object);
    object
}

/// An update of what is there: what is wrong with it.
#[track_caller]
pub(crate) fn check_update(rules: &Rules, mut old: Value, mut new: Value, expect: &[&str]) {
    (rules.defaults)(&mut old);
    (rules.defaults)(&mut new);
    (rules.prepare_update)(&mut new, &old);
    let mut errors = ErrorList::default();
    (rules.validate)(&new, &mut errors);
    (rules.validate_update)(&new, &old, &mut errors);
    assert_eq!(told(&errors), expect, "{new}");
}

/// An update of the status: what is wrong with it.
#[track_caller]
pub(crate) fn check_status(rules: &Rules, mut old: Value, mut new: Value, expect: &[&str]) {
    (rules.defaults)(&mut old);
    (rules.defaults)(&mut new);
    (rules.prepare_status)(&mut new, &old);
    let mut errors = ErrorList::default();
    (rules.validate_status)(&new, &old, &mut errors);
    assert_eq!(told(&errors), expect, "{new}");
}

/// The cells of an object's row, at the beginning of time.
pub(crate) fn cells(rules: &Rules, object: &Value) -> Value {
    let cells = rules.columns.iter().map(|column| (column.cell)(object, 0));
    Value::Array(cells.collect())
}

/// Any JSON value whose objects have names from a list, so that rules find what they look for.
fn any_value(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![any::<i64>(), -2_i64..70_000].prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![
            Just(String::new()),
            prop::sample::select(names).prop_map(str::to_owned),
            "[ -~]{0,12}",
            "\\PC{0,6}",
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(7, 96, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(names), inner), 0..6).prop_map(|fields| {
                let fields = fields.into_iter();
                Value::Object(
                    fields
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

/// Two values of any shape, to be taken for an object and its past.
pub(crate) fn any_objects(names: &'static [&'static str]) -> impl Strategy<Value = (Value, Value)> {
    (any_value(names), any_value(names))
}

/// Sends two values through all of a type's rules: nothing may fall over, and what defaults have done they do not do again.
pub(crate) fn survive(
    rules: &Rules,
    (mut new, mut old): (Value, Value),
) -> Result<(), TestCaseError> {
    let mut errors = ErrorList::default();
    for object in [&mut new, &mut old] {
        (rules.validate)(object, &mut errors);
        (rules.defaults)(object);
        let once = object.clone();
        (rules.defaults)(object);
        prop_assert_eq!(&once, &*object);
    }
    (rules.prepare_create)(&mut old.clone());
    for prepare in [rules.prepare_update, rules.prepare_status] {
        let mut new = new.clone();
        prepare(&mut new, &old);
        (rules.validate)(&new, &mut errors);
        (rules.validate_create)(&new, &mut errors);
        (rules.validate_update)(&new, &old, &mut errors);
        (rules.validate_status)(&new, &old, &mut errors);
        let _ = (rules.warnings)(&new, None);
        let _ = (rules.warnings)(&new, Some(&old));
        for column in rules.columns {
            let _ = (column.cell)(&new, 1_800_000_000);
        }
    }
    let _ = errors.message();
    Ok(())
}

//! The steps of a write as the server takes them, for the tests of rules.

use objects::field::ErrorList;
use proptest::prelude::*;
use serde_json::{Map, Value};

use crate::{rules::Rules, value::Fields};

/// An object as a create leaves it.
pub(crate) fn created(rules: &Rules, object: &Value) -> Value {
    let mut object = object.clone();
    (rules.defaults)(&mut object);
    if !rules.status_on_create {
        object.remove("status");
    }
    (rules.prepare_create)(&mut object);
    object
}

/// What is wrong with an object that is created: the beginnings of the texts, in any order.
#[track_caller]
pub(crate) fn check_create(rules: &Rules, object: &Value, expect: &[&str]) {
    let object = created(rules, object);
    let mut errors = ErrorList::default();
    (rules.validate)(&object, &mut errors);
    (rules.validate_create)(&object, &mut errors);
    compare(&errors, expect);
}

/// What is wrong with an object whose fields are kept even where their features are off, as those of one that has them already.
#[track_caller]
pub(crate) fn check_kept(rules: &Rules, object: &Value, expect: &[&str]) {
    let mut object = object.clone();
    (rules.defaults)(&mut object);
    let old = object.clone();
    (rules.prepare_update)(&mut object, &old);
    let mut errors = ErrorList::default();
    (rules.validate)(&object, &mut errors);
    (rules.validate_create)(&object, &mut errors);
    compare(&errors, expect);
}

/// What is wrong with an update. Both objects are brought to the form of stored ones first.
#[track_caller]
pub(crate) fn check_update(rules: &Rules, old: &Value, new: &Value, expect: &[&str]) {
    let (mut old, mut new) = (old.clone(), new.clone());
    (rules.defaults)(&mut old);
    (rules.defaults)(&mut new);
    (rules.prepare_update)(&mut new, &old);
    let mut errors = ErrorList::default();
    (rules.validate)(&new, &mut errors);
    (rules.validate_update)(&new, &old, &mut errors);
    compare(&errors, expect);
}

/// What is wrong with an update of the status.
#[track_caller]
pub(crate) fn check_status(rules: &Rules, old: &Value, new: &Value, expect: &[&str]) {
    let mut new = new.clone();
    (rules.prepare_status)(&mut new, old);
    let mut errors = ErrorList::default();
    (rules.validate_status)(&new, old, &mut errors);
    compare(&errors, expect);
}

/// The row of an object in a table, at a time in seconds since 1970.
pub(crate) fn row(rules: &Rules, object: &Value, now: i64) -> Vec<Value> {
    let columns = rules.columns.iter();
    columns.map(|column| (column.cell)(object, now)).collect()
}

/// Each error begins as one of the expected texts, and there are no more of one than of the other.
#[track_caller]
pub(crate) fn compare(errors: &ErrorList, expect: &[&str]) {
    let mut texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let all = texts.join("\n");
    for expect in expect {
        let found = texts.iter().position(|text| text.starts_with(expect));
        let Some(found) = found else {
            panic!("not found: {expect}\nin:\n{all}");
        };
        texts.remove(found);
    }
    assert!(texts.is_empty(), "not expected:\n{}", texts.join("\n"));
}

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

/// The cells of an object's row, at the beginning of time.
pub(crate) fn cells(rules: &Rules, object: &Value) -> Value {
    Value::Array(row(rules, object, 0))
}

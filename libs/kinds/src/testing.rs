//! The steps of a write as the server takes them, for the tests of rules.

use objects::field::ErrorList;
use serde_json::Value;

use crate::rules::Rules;

/// An object as a create leaves it.
pub(crate) fn created(rules: &Rules, object: &Value) -> Value {
    let mut object = object.clone();
    (rules.defaults)(&mut object);
    if let Value::Object(fields) = &mut object {
        fields.remove("status");
    }
    (rules.prepare_create)(&mut object);
    object
}

/// What is wrong with an object that is created: the beginnings of the texts, in any order.
pub(crate) fn check_create(rules: &Rules, object: &Value, expect: &[&str]) {
    let object = created(rules, object);
    let mut errors = ErrorList::default();
    (rules.validate)(&object, &mut errors);
    (rules.validate_create)(&object, &mut errors);
    compare(&errors, expect);
}

/// What is wrong with an update. Both objects are brought to the form of stored ones first.
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

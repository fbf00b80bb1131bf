//! Rules of the group's types.

pub mod flow_schema;
mod policy_rule;
pub mod priority_level;

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;
use std::collections::BTreeSet;

use crate::value::Fields;

/// Conditions of a status: each has a type of its own.
fn conditions(object: &Value, errors: &mut ErrorList) {
    let path = Path::new("status");
    let path = path.child("conditions");
    let mut seen = BTreeSet::new();
    for (index, condition) in object.part("status").items("conditions").iter().enumerate() {
        let kind = condition.text("type");
        let path = path.index(index);
        let path = path.child("type");
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(&path, kind));
        }
        if kind.is_empty() {
            errors.push(FieldError::required(&path, "must not be empty"));
        }
    }
}

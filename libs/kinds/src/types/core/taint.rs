//! Taints of nodes, and tolerations of them.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use crate::{
    check::value::{one_of, qualified, required_one_of},
    value::Fields,
};

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Mistakes in a pod's tolerations.
pub fn validate_tolerations(tolerations: &[Value], path: &Path<'_>, errors: &mut ErrorList) {
    for (index, toleration) in tolerations.iter().enumerate() {
        let path = path.index(index);
        let (key, operator) = (toleration.text("key"), toleration.text("operator"));
        let (value, effect) = (toleration.text("value"), toleration.text("effect"));
        let operator_path = path.child("operator");
        if !key.is_empty() {
            qualified(key, &path.child("key"), errors);
        } else if operator != "Exists" {
            let message = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(FieldError::invalid(&operator_path, operator, message));
        }
        if toleration.has("tolerationSeconds") && effect != "NoExecute" {
            let message = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(FieldError::invalid(&path.child("effect"), effect, message));
        }
        match operator {
            "Equal" | "" => {
                let messages = names::label_value(value);
                if !messages.is_empty() {
                    errors.push(FieldError::invalid(
                        &operator_path,
                        value,
                        messages.join(";"),
                    ));
                }
            }
            "Exists" if !value.is_empty() => {
                let message = "value must be empty when `operator` is 'Exists'";
                errors.push(FieldError::invalid(&operator_path, value, message));
            }
            "Exists" => (),
            other => one_of(other, &["Equal", "Exists"], &operator_path, errors),
        }
        if !effect.is_empty() {
            one_of(effect, EFFECTS, &path.child("effect"), errors);
        }
    }
}

/// Mistakes in a node's taints.
pub fn validate_taints(taints: &[Value], path: &Path<'_>, errors: &mut ErrorList) {
    let mut seen = BTreeSet::new();
    for (index, taint) in taints.iter().enumerate() {
        let path = path.index(index);
        let (key, value, effect) = (taint.text("key"), taint.text("value"), taint.text("effect"));
        qualified(key, &path.child("key"), errors);
        let messages = names::label_value(value);
        if !messages.is_empty() {
            errors.push(FieldError::invalid(
                &path.child("value"),
                value,
                messages.join(";"),
            ));
        }
        required_one_of(effect, EFFECTS, &path.child("effect"), errors);
        if !seen.insert((key, effect)) {
            let mut error = FieldError::duplicate(&path, taint.clone());
            "taints must be unique by key and effect pair".clone_into(&mut error.detail);
            errors.push(error);
        }
    }
}

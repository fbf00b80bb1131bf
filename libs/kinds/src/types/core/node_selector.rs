//! Selectors of nodes, of pods and of persistent volumes.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use crate::{
    check::value::{qualified, subdomain},
    value::Fields,
};

/// Mistakes in a selector, which has at least one term.
pub fn validate(selector: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("nodeSelectorTerms");
    let terms = selector.items("nodeSelectorTerms");
    if terms.is_empty() {
        let message = "must have at least one node selector term";
        errors.push(FieldError::required(&path, message));
    }
    for (index, term) in terms.iter().enumerate() {
        validate_term(term, false, &path.index(index), errors);
    }
}

/// Mistakes in a term; of what is only preferred, values need not be values of labels.
pub fn validate_term(term: &Value, preferred: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let list = path.child("matchExpressions");
    for (index, requirement) in term.items("matchExpressions").iter().enumerate() {
        of_label(requirement, preferred, &list.index(index), errors);
    }
    let list = path.child("matchFields");
    for (index, requirement) in term.items("matchFields").iter().enumerate() {
        of_field(requirement, &list.index(index), errors);
    }
}

fn of_label(requirement: &Value, preferred: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let values = requirement.items("values");
    let values_path = path.child("values");
    match requirement.text("operator") {
        "In" | "NotIn" if values.is_empty() => {
            let message = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(&values_path, message));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&values_path, message));
        }
        "Gt" | "Lt" if values.len() != 1 => {
            let message = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.push(FieldError::required(&values_path, message));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => (),
        other => {
            let message = "not a valid selector operator";
            errors.push(FieldError::invalid(&path.child("operator"), other, message));
        }
    }
    qualified(requirement.text("key"), &path.child("key"), errors);
    if !preferred {
        for (index, value) in requirement.texts("values").enumerate() {
            errors.push_invalid(&values_path.index(index), value, names::label_value(value));
        }
    }
}

fn of_field(requirement: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let values_path = path.child("values");
    match requirement.text("operator") {
        "In" | "NotIn" => {
            if requirement.items("values").len() != 1 {
                let message = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                errors.push(FieldError::required(&values_path, message));
            }
        }
        other => {
            let message = "not a valid selector operator";
            errors.push(FieldError::invalid(&path.child("operator"), other, message));
        }
    }
    let key = requirement.text("key");
    if key == "metadata.name" {
        for (index, value) in requirement.texts("values").enumerate() {
            subdomain(value, &values_path.index(index), errors);
        }
    } else {
        let message = "not a valid field selector key";
        errors.push(FieldError::invalid(&path.child("key"), key, message));
    }
}

//! Reviews of access: may someone do something.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use crate::{check, rules::Rules, value::Fields};

/// Of anyone.
pub const SUBJECT: Rules = Rules {
    validate: |review, errors| {
        validate(review, true, errors);
        metadata(review, false, errors);
    },
    columns: &[],
    ..Rules::NONE
};

/// Of oneself.
pub const SELF: Rules = Rules {
    validate: |review, errors| {
        validate(review, false, errors);
        metadata(review, false, errors);
    },
    columns: &[],
    ..Rules::NONE
};

/// Of anyone in one namespace.
pub const LOCAL: Rules = Rules {
    validate: |review, errors| {
        validate(review, true, errors);
        metadata(review, true, errors);
        local(review, errors);
    },
    columns: &[],
    ..Rules::NONE
};

fn validate(review: &Value, of_others: bool, errors: &mut ErrorList) {
    let (spec, path) = (review.part("spec"), Path::new("spec"));
    let resource = spec.field("resourceAttributes");
    match (resource, spec.field("nonResourceAttributes")) {
        (Some(_), Some(other)) => {
            let path = path.child("nonResourceAttributes");
            let message = "cannot be specified in combination with resourceAttributes";
            errors.push(FieldError::invalid(&path, other.clone(), message));
        }
        (None, None) => {
            let path = path.child("resourceAttributes");
            let message =
                "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            errors.push(FieldError::invalid(&path, Value::Null, message));
        }
        _ => {}
    }
    if of_others && spec.text("user").is_empty() && spec.items("groups").is_empty() {
        let message = "at least one of user or group must be specified";
        errors.push(FieldError::invalid(&path.child("user"), "", message));
    }
    if let Some(attributes) = resource {
        let path = path.child("resourceAttributes");
        for field in ["fieldSelector", "labelSelector"] {
            if let Some(selector) = attributes.field(field) {
                selector_attributes(
                    selector,
                    field == "labelSelector",
                    &path.child(field),
                    errors,
                );
            }
        }
    }
}

fn selector_attributes(selector: &Value, of_labels: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let raw = selector.text("rawSelector");
    let requirements = selector.items("requirements");
    if !raw.is_empty() && !requirements.is_empty() {
        let message = "may not specified at the same time as requirements";
        errors.push(FieldError::invalid(
            &path.child("rawSelector"),
            raw,
            message,
        ));
    }
    let requirements_path = path.child("requirements");
    if raw.is_empty() && requirements.is_empty() {
        let message = format!("when {path} is specified, requirements or rawSelector is required");
        errors.push(FieldError::required(&requirements_path, message));
    }
    for (index, one) in requirements.iter().enumerate() {
        requirement(one, of_labels, &requirements_path.index(index), errors);
    }
}

/// Operators that nobody knows pass: newer clients may have them.
fn requirement(requirement: &Value, of_labels: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let (key, key_path) = (requirement.text("key"), path.child("key"));
    if of_labels {
        errors.push_invalid(&key_path, key, names::qualified_name(key));
    } else if key.is_empty() {
        errors.push(FieldError::required(&key_path, "must be specified"));
    }
    let values_path = path.child("values");
    let none = requirement.items("values").is_empty();
    match requirement.text("operator") {
        "In" | "NotIn" if none => {
            let message = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(&values_path, message));
        }
        "Exists" | "DoesNotExist" if !none => {
            let message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&values_path, message));
        }
        _ => {}
    }
    if of_labels {
        for (index, value) in requirement.texts("values").enumerate() {
            errors.push_invalid(&values_path.index(index), value, names::label_value(value));
        }
    }
}

/// A review has no metadata, but for the namespace of a local one. What the server gives to everything that is created does
/// not count.
fn metadata(review: &Value, is_local: bool, errors: &mut ErrorList) {
    const GIVEN: [&str; 4] = ["managedFields", "creationTimestamp", "uid", "generation"];
    let metadata = review.part("metadata");
    let said = metadata
        .as_object()
        .into_iter()
        .flatten()
        .any(|(field, value)| {
            let empty =
                value.is_null() || *value == "" || *value == Value::Object(Default::default());
            let allowed = GIVEN.contains(&field.as_str()) || (is_local && field == "namespace");
            !allowed && !empty
        });
    if said {
        let message = if is_local {
            "must be empty except for namespace"
        } else {
            "must be empty"
        };
        let path = Path::new("metadata");
        errors.push(FieldError::invalid(&path, metadata.clone(), message));
    }
}

fn local(review: &Value, errors: &mut ErrorList) {
    let spec = review.part("spec");
    let namespace = review.part("metadata").text("namespace");
    if let Some(attributes) = spec.field("resourceAttributes")
        && attributes.text("namespace") != namespace
    {
        let path = Path::new("spec.resourceAttributes.namespace");
        let shown = attributes.text("namespace");
        errors.push(FieldError::invalid(
            &path,
            shown,
            "must match metadata.namespace",
        ));
    }
    if spec.has("nonResourceAttributes") {
        let path = Path::new("spec.nonResourceAttributes");
        let shown = check::shown(spec, "nonResourceAttributes");
        let message = "disallowed on this kind of request";
        errors.push(FieldError::invalid(&path, shown, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_create;
    use serde_json::json;

    #[test]
    fn of_anyone() {
        let check = |object: Value, expect: &[&str]| check_create(&SUBJECT, &object, expect);
        check(
            json!({"spec": {"user": "u", "resourceAttributes": {"verb": "get"}}}),
            &[],
        );
        check(
            json!({"spec": {"groups": ["g"], "nonResourceAttributes": {"path": "/"}}}),
            &[],
        );
        check(
            json!({"metadata": {"name": "n"}}),
            &[
                "spec.resourceAttributes: Invalid value: null: exactly one of",
                "spec.user: Invalid value: \"\": at least one of user or group must be specified",
                "metadata: Invalid value: {\"name\":\"n\"}: must be empty",
            ],
        );
        check(
            json!({"spec": {"user": "u", "nonResourceAttributes": {}, "resourceAttributes": {
                "fieldSelector": {}, "labelSelector": {"rawSelector": "a", "requirements": [
                    {"key": "-", "operator": "In", "values": ["-"]}, {"key": "a", "operator": "NotIn"}, {"key": "a", "operator": "Exists", "values": ["b"]}, {"key": "a", "operator": "New"}]}}}}),
            &[
                "spec.nonResourceAttributes: Invalid value: {}: cannot be specified in combination with resourceAttributes",
                "spec.resourceAttributes.fieldSelector.requirements: Required value: when spec.resourceAttributes.fieldSelector is specified",
                "spec.resourceAttributes.labelSelector.rawSelector: Invalid value: \"a\": may not specified",
                "spec.resourceAttributes.labelSelector.requirements[0].key: Invalid value: \"-\"",
                "spec.resourceAttributes.labelSelector.requirements[0].values[0]: Invalid value: \"-\"",
                "spec.resourceAttributes.labelSelector.requirements[1].values: Required value",
                "spec.resourceAttributes.labelSelector.requirements[2].values: Forbidden",
            ],
        );
    }

    #[test]
    fn of_oneself_and_in_a_namespace() {
        check_create(
            &SELF,
            &json!({"metadata": {"creationTimestamp": null}, "spec": {"resourceAttributes": {}}}),
            &[],
        );
        let local = json!({"metadata": {"namespace": "a"}, "spec": {"user": "u", "resourceAttributes": {"namespace": "b"}}});
        let expect = "spec.resourceAttributes.namespace: Invalid value: \"b\": must match metadata.namespace";
        check_create(&LOCAL, &local, &[expect]);
        let other = json!({"metadata": {"namespace": "a"}, "spec": {"user": "u", "nonResourceAttributes": {}}});
        let expect =
            "spec.nonResourceAttributes: Invalid value: {}: disallowed on this kind of request";
        check_create(&LOCAL, &other, &[expect]);
    }
}

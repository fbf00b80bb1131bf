//! Ingress classes.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use super::ingress_backend;
use crate::{
    cells, check,
    rules::{AGE, Column, NAME, Rules},
    value::Fields,
};

/// Most bytes of a controller's name.
const CONTROLLER_MAX: usize = 250;

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    validate,
    validate_update,
    columns: &[
        NAME,
        Column::new("Controller", "string", "Who serves the class.", |o, _| {
            o.part("spec").text("controller").into()
        }),
        Column::new(
            "Parameters",
            "string",
            "An object that says more.",
            parameters_shown,
        ),
        AGE,
    ],
    ..Rules::NONE
};

fn defaults(class: &mut Value) {
    let spec = class.field_mut("spec");
    if let Some(parameters) = spec.and_then(|spec| spec.field_mut("parameters")) {
        parameters.set_absent("scope", "Cluster");
    }
}

fn validate(class: &Value, errors: &mut ErrorList) {
    let (spec, path) = (class.part("spec"), Path::new("spec"));
    let (controller, controller_path) = (spec.text("controller"), path.child("controller"));
    if controller.len() > CONTROLLER_MAX {
        errors.push(FieldError::too_long(&controller_path, CONTROLLER_MAX));
    }
    check::domain_prefixed_path(controller, &controller_path, errors);
    if let Some(reference) = spec.field("parameters") {
        parameters(reference, &path.child("parameters"), errors);
    }
}

fn parameters(reference: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    ingress_backend::reference(reference, path, errors);
    let Some(scope) = reference.part("scope").as_str() else {
        errors.push(FieldError::required(&path.child("scope"), ""));
        return;
    };
    let namespace = reference.part("namespace").as_str();
    let namespace_path = path.child("namespace");
    match (scope, namespace) {
        ("Namespace", None) => {
            let message = "`parameters.scope` is set to 'Namespace'";
            errors.push(FieldError::required(&namespace_path, message));
        }
        ("Namespace", Some(namespace)) => {
            let wrong = names::dns1123_label(namespace);
            errors.push_invalid(&namespace_path, namespace, wrong);
        }
        ("Cluster", Some(_)) => {
            let message = "`parameters.scope` is set to 'Cluster'";
            errors.push(FieldError::forbidden(&namespace_path, message));
        }
        ("Cluster", None) => {}
        _ => check::one_of(reference, "scope", &["Cluster", "Namespace"], path, errors),
    }
}

fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let path = Path::new("spec");
    check::immutable(
        new.part("spec"),
        old.part("spec"),
        "controller",
        &path,
        errors,
    );
}

fn parameters_shown(class: &Value, _: i64) -> Value {
    let Some(reference) = class.part("spec").field("parameters") else {
        return cells::NONE.into();
    };
    let (kind, name) = (reference.text("kind"), reference.text("name"));
    match reference.part("apiGroup").as_str() {
        Some(group) => format!("{kind}.{group}/{name}").into(),
        None => format!("{kind}/{name}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_update, row};
    use serde_json::json;

    #[test]
    fn writes() {
        let class = |parameters: Value| json!({"metadata": {"name": "c"}, "spec": {"controller": "acme.io/a", "parameters": parameters}});
        let check = |parameters: Value, expect: &[&str]| {
            check_create(&RULES, &class(parameters), expect);
        };
        check(Value::Null, &[]);
        check(json!({"kind": "K", "name": "n"}), &[]);
        check(
            json!({"kind": "K", "name": "n", "scope": "Namespace"}),
            &[
                "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
            ],
        );
        check(
            json!({"kind": "K", "name": "n", "namespace": "a"}),
            &["spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"],
        );
        check(
            json!({"scope": "x"}),
            &[
                "spec.parameters.kind: Required value: kind is required",
                "spec.parameters.name: Required value: name is required",
                "spec.parameters.scope: Unsupported value: \"x\": supported values: \"Cluster\", \"Namespace\"",
            ],
        );
        check_create(
            &RULES,
            &json!({"spec": {"controller": "a".repeat(251)}}),
            &[
                "spec.controller: Too long: may not be more than 250 bytes",
                "spec.controller: Invalid value: \"aaa",
            ],
        );
        let mut other = class(Value::Null);
        other["spec"]["controller"] = json!("acme.io/b");
        let expect = ["spec.controller: Invalid value: \"acme.io/b\": field is immutable"];
        check_update(&RULES, &class(Value::Null), &other, &expect);
        let object = class(json!({"kind": "K", "name": "n", "apiGroup": "g"}));
        let expect = json!(["c", "acme.io/a", "K.g/n", "<unknown>"]);
        assert_eq!(Value::from(row(&RULES, &object, 0)), expect);
    }
}

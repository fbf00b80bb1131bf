//! Resource quotas: how much a namespace may have of everything together.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use super::resource_list::{
    self, amounts, is_standard_quota, validate_amount, validate_quota_name,
};
use crate::{
    check::IMMUTABLE,
    rules::{AGE, Column, NAME, Rules},
    value::Fields,
};

/// Scopes that are there or not.
const PLAIN_SCOPES: &[&str] = &[
    "BestEffort",
    "NotBestEffort",
    "Terminating",
    "NotTerminating",
    "CrossNamespacePodAffinity",
];

const COMPUTE: &[&str] = &[
    "cpu",
    "memory",
    "limits.cpu",
    "limits.memory",
    "requests.cpu",
    "requests.memory",
];

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults: |quota| {
        for (part, lists) in [("spec", &["hard"][..]), ("status", &["hard", "used"])] {
            if let Some(part) = quota.field_mut(part) {
                for list in lists {
                    resource_list::field_defaults(part, list);
                }
            }
        }
    },
    validate,
    validate_update,
    validate_status: |quota, _, errors| {
        let path = Path::new("status");
        for list in ["hard", "used"] {
            self::amounts_of(quota.part("status"), list, &path, errors);
        }
    },
    columns: &[
        NAME,
        Column::new(
            "Request",
            "string",
            "What is used and what there may be.",
            |quota, _| shown(quota, false).into(),
        ),
        Column::new("Limit", "string", "The same of limits.", |quota, _| {
            shown(quota, true).into()
        }),
        AGE,
    ],
    ..Rules::NONE
};

fn amounts_of(part: &Value, list: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child(list);
    for (name, amount) in amounts(part, list) {
        validate_quota_name(name, &path.key(name), errors);
        validate_amount(name, &amount, &path.key(name), errors);
    }
}

fn validate(quota: &Value, errors: &mut ErrorList) {
    let (spec, path) = (quota.part("spec"), Path::new("spec"));
    amounts_of(spec, "hard", &path, errors);
    let names: Vec<&str> = spec.entries("hard").map(|(name, _)| name).collect();
    let list = path.child("scopes");
    let shown = spec.items("scopes").to_vec();
    for scope in spec.texts("scopes") {
        if !is_scope(scope) {
            errors.push(FieldError::invalid(
                &list,
                shown.clone(),
                "unsupported scope",
            ));
        }
        for _ in names
            .iter()
            .filter(|name| is_standard_quota(name) && !goes_with(scope, name))
        {
            let message = "unsupported scope applied to resource";
            errors.push(FieldError::invalid(&list, shown.clone(), message));
        }
    }
    conflicts(spec.texts("scopes").collect(), &shown, &list, errors);
    if spec.has("scopeSelector") {
        selector(spec, &names, &path.child("scopeSelector"), errors);
    }
}

fn is_scope(scope: &str) -> bool {
    PLAIN_SCOPES.contains(&scope) || matches!(scope, "PriorityClass" | "VolumeAttributesClass")
}

/// Whether a resource can be counted of the objects of a scope alone.
fn goes_with(scope: &str, resource: &str) -> bool {
    match scope {
        "BestEffort" => resource == "pods",
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => resource == "pods" || COMPUTE.contains(&resource),
        "VolumeAttributesClass" => {
            matches!(resource, "persistentvolumeclaims" | "requests.storage")
        }
        _ => true,
    }
}

/// Scopes that have nothing in common.
fn conflicts(scopes: BTreeSet<&str>, shown: &[Value], path: &Path<'_>, errors: &mut ErrorList) {
    for (one, other) in [
        ("BestEffort", "NotBestEffort"),
        ("Terminating", "NotTerminating"),
    ] {
        if scopes.contains(one) && scopes.contains(other) {
            errors.push(FieldError::invalid(
                path,
                shown.to_vec(),
                "conflicting scopes",
            ));
        }
    }
}

fn selector(spec: &Value, names: &[&str], path: &Path<'_>, errors: &mut ErrorList) {
    let selector = spec.part("scopeSelector");
    // Upstream names all of these by their list.
    let list = path.child("matchExpressions");
    let expressions = selector.items("matchExpressions");
    for expression in expressions {
        let (scope, operator) = (expression.text("scopeName"), expression.text("operator"));
        if !is_scope(scope) {
            errors.push(FieldError::invalid(
                &list.child("scopeName"),
                scope,
                "unsupported scope",
            ));
        }
        for _ in names
            .iter()
            .filter(|name| is_standard_quota(name) && !goes_with(scope, name))
        {
            let message = "unsupported scope applied to resource";
            errors.push(FieldError::invalid(&list, selector.clone(), message));
        }
        if PLAIN_SCOPES.contains(&scope) && operator != "Exists" {
            let message = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.push(FieldError::invalid(
                &list.child("operator"),
                operator,
                message,
            ));
        }
        let (values, values_path) = (expression.items("values"), list.child("values"));
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let message = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.push(FieldError::required(&values_path, message));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let message = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.push(FieldError::invalid(&values_path, values.to_vec(), message));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => (),
            other => {
                let message = "not a valid selector operator";
                errors.push(FieldError::invalid(&list.child("operator"), other, message));
            }
        }
    }
    let scopes = expressions
        .iter()
        .map(|expression| expression.text("scopeName"));
    conflicts(scopes.collect(), spec.items("scopes"), &list, errors);
}

fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let scopes = |quota: &'_ Value| -> BTreeSet<String> {
        quota
            .part("spec")
            .texts("scopes")
            .map(str::to_owned)
            .collect()
    };
    if scopes(new) != scopes(old) {
        let spec = Path::new("spec");
        let shown = new.part("spec").items("scopes").to_vec();
        errors.push(FieldError::invalid(&spec.child("scopes"), shown, IMMUTABLE));
    }
}

/// `requests.cpu: 1/4, pods: 2/10`, of limits or of all else.
fn shown(quota: &Value, of_limits: bool) -> String {
    let status = quota.part("status");
    let texts = amounts(status, "hard").into_iter();
    let texts = texts.filter(|(name, _)| name.starts_with("limits.") == of_limits);
    let texts: Vec<String> = texts
        .map(|(name, hard)| {
            let used = status.part("used").quantity(name).unwrap_or_default();
            format!("{name}: {used}/{hard}")
        })
        .collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, check_create, check_update};
    use serde_json::json;

    fn quota(spec: Value) -> Value {
        json!({"metadata": {"name": "q"}, "spec": spec})
    }

    #[test]
    fn mistakes() {
        let check = |spec: Value, expect: &[&str]| check_create(&RULES, &quota(spec), expect);
        check(
            json!({"hard": {"cpu": "1", "count/deployments.apps": "2", "requests.example.com/gpu": "1"}}),
            &[],
        );
        check(
            json!({"hard": {"bananas": "1", "pods": "1500m"}}),
            &[
                r#"spec.hard[bananas]: Invalid value: "bananas": must be a standard resource type or fully qualified"#,
                r#"spec.hard[bananas]: Invalid value: "bananas": must be a standard resource for quota"#,
                r#"spec.hard[pods]: Invalid value: "1500m": must be an integer"#,
            ],
        );
        check(
            json!({"hard": {"secrets": "1"}, "scopes": ["BestEffort", "NotBestEffort"]}),
            &[
                r#"spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: unsupported scope applied to resource"#,
                r#"spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: unsupported scope applied to resource"#,
                r#"spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes"#,
            ],
        );
        check(
            json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}}),
            &[
                "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            ],
        );
        check_update(
            &RULES,
            &quota(json!({})),
            &quota(json!({"scopes": ["Terminating"]})),
            &[r#"spec.scopes: Invalid value: ["Terminating"]: field is immutable"#],
        );
    }

    #[test]
    fn rows() {
        let quota = json!({"metadata": {"name": "q"}, "status": {
            "hard": {"pods": "10", "limits.cpu": "2", "requests.cpu": "1"}, "used": {"pods": "3", "requests.cpu": "500m"},
        }});
        assert_eq!(
            cells(&RULES, &quota),
            json!([
                "q",
                "pods: 3/10, requests.cpu: 500m/1",
                "limits.cpu: 0/2",
                "<unknown>"
            ])
        );
    }
}

//! Pod disruption budgets: how many pods may be away at once.

use objects::field::{ErrorList, FieldError, Path};
use objects::metadata::NameRule;
use serde_json::Value;

use crate::{
    cells, check,
    rules::{AGE, Column, NAME, Rules},
    status,
    value::Fields,
};

/// Numbers that a status always has.
const NUMBERS: &[&str] = &[
    "disruptionsAllowed",
    "currentHealthy",
    "desiredHealthy",
    "expectedPods",
];

/// What is this type's own.
pub const RULES: Rules = Rules {
    prepare_create: |budget| status::fill(budget, NUMBERS),
    prepare_status: |budget, _| status::fill(budget, NUMBERS),
    validate,
    validate_status,
    // Upstream has no rule but the one that all names keep.
    name: NameRule::PathSegment,
    columns: &[
        NAME,
        Column::new("Min Available", "string", "Pods that must stay.", |o, _| {
            bound(o, "minAvailable")
        }),
        Column::new(
            "Max Unavailable",
            "string",
            "Pods that may be away.",
            |o, _| bound(o, "maxUnavailable"),
        ),
        Column::new(
            "Allowed Disruptions",
            "integer",
            "Pods that may go now.",
            |o, _| cells::number(o.part("status"), "disruptionsAllowed"),
        ),
        AGE,
    ],
    ..Rules::NONE
};

fn validate(budget: &Value, errors: &mut ErrorList) {
    let (spec, path) = (budget.part("spec"), Path::new("spec"));
    if spec.has("minAvailable") && spec.has("maxUnavailable") {
        let message = "minAvailable and maxUnavailable cannot be both set";
        errors.push(FieldError::invalid(&path, spec.clone(), message));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        if let Some(bound) = spec.field(field) {
            check::int_or_percent(bound, &path.child(field), errors);
            check::at_most_100_percent(bound, &path.child(field), errors);
        }
    }
    check::label_selector(spec, "selector", &path, errors);
    if spec.has("unhealthyPodEvictionPolicy") {
        let known = ["AlwaysAllow", "IfHealthyBudget"];
        check::one_of(spec, "unhealthyPodEvictionPolicy", &known, &path, errors);
    }
}

fn validate_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    let (status, path) = (new.part("status"), Path::new("status"));
    check::conditions(status, &path, errors);
    check::non_negative(status, NUMBERS, &path, errors);
}

fn bound(budget: &Value, field: &str) -> Value {
    match budget.part("spec").field(field) {
        Some(bound) => cells::int_or_text(bound).into(),
        None => "N/A".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_status, row};
    use serde_json::json;

    #[test]
    fn writes() {
        let check = |spec: Value, expect: &[&str]| {
            check_create(&RULES, &json!({"spec": spec}), expect);
        };
        check(json!({"minAvailable": "50%", "selector": {}}), &[]);
        check(
            json!({"minAvailable": 1, "maxUnavailable": "101%"}),
            &[
                "spec: Invalid value: {\"maxUnavailable\":\"101%\",\"minAvailable\":1}: minAvailable and maxUnavailable cannot be both set",
                "spec.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
            ],
        );
        check(
            json!({"minAvailable": -1, "unhealthyPodEvictionPolicy": "x"}),
            &[
                "spec.minAvailable: Invalid value: -1: must be greater than or equal to 0",
                "spec.unhealthyPodEvictionPolicy: Unsupported value: \"x\": supported values: \"AlwaysAllow\", \"IfHealthyBudget\"",
            ],
        );
        check(
            json!({"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
            &["spec.selector.matchExpressions[0].values: Required value"],
        );
    }

    #[test]
    fn statuses() {
        let condition = json!({"type": "A", "status": "True", "reason": "R", "lastTransitionTime": "2026-11-30T00:00:00Z"});
        let mut wrong = condition.clone();
        wrong.set("status", "x");
        wrong.set("reason", "");
        let status = json!({"status": {"currentHealthy": -1, "conditions": [condition, wrong]}});
        check_status(
            &RULES,
            &json!({}),
            &status,
            &[
                "status.conditions[1].type: Duplicate value: \"A\"",
                "status.conditions[1].status: Unsupported value: \"x\": supported values: \"False\", \"True\", \"Unknown\"",
                "status.conditions[1].reason: Required value: must be set",
                "status.currentHealthy: Invalid value: -1",
            ],
        );
    }

    #[test]
    fn rows() {
        let object = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 2}, "status": {"disruptionsAllowed": 1}});
        let expect = json!(["b", "2", "N/A", 1, "<unknown>"]);
        assert_eq!(Value::from(row(&RULES, &object, 0)), expect);
    }
}

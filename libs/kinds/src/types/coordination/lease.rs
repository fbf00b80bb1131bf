//! Leases: who holds what, and until when.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use crate::{
    disabled::{self, Feature},
    rules::{AGE, Column, NAME, Rules},
    value::Fields,
};

/// What is this type's own.
pub const RULES: Rules = Rules {
    prepare_create: |lease| drop_coordination(lease, &Value::Null),
    prepare_update: drop_coordination,
    validate,
    columns: &[
        NAME,
        Column::new("Holder", "string", "Who holds it.", |o, _| {
            o.part("spec").text("holderIdentity").into()
        }),
        AGE,
    ],
    ..Rules::NONE
};

/// CoordinatedLeaderElection: beta, off. Upstream keeps each of the two fields by itself.
const DISABLED: &[Feature] = &[&["strategy"], &["preferredHolder"]];

fn drop_coordination(new: &mut Value, old: &Value) {
    if let Some(spec) = new.field_mut("spec") {
        disabled::drop(DISABLED, spec, old.part("spec"));
    }
}

fn validate(lease: &Value, errors: &mut ErrorList) {
    let (spec, path) = (lease.part("spec"), Path::new("spec"));
    if let Some(seconds) = spec
        .whole("leaseDurationSeconds")
        .filter(|seconds| *seconds <= 0)
    {
        let path = path.child("leaseDurationSeconds");
        errors.push(FieldError::invalid(
            &path,
            seconds,
            "must be greater than 0",
        ));
    }
    if let Some(count) = spec.whole("leaseTransitions").filter(|count| *count < 0) {
        let path = path.child("leaseTransitions");
        let message = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path, count, message));
    }
    let strategy = spec.text("strategy");
    if spec.has("strategy") {
        // Upstream names the field twice.
        let path = path.child("strategy");
        let path = path.child("strategy");
        if strategy.contains('/') {
            errors.push_invalid(&path, strategy, names::qualified_name(strategy));
        } else if strategy != "OldestEmulationVersion" {
            let known = ["OldestEmulationVersion"];
            errors.push(FieldError::not_supported(&path, strategy, &known));
        }
    }
    if !spec.text("preferredHolder").is_empty() && strategy.is_empty() {
        let path = path.child("preferredHolder");
        let message = "may only be specified if `strategy` is defined";
        errors.push(FieldError::forbidden(&path, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_update, created, row};
    use serde_json::json;

    #[test]
    fn writes() {
        let lease = |spec: Value| json!({"metadata": {"name": "l"}, "spec": spec});
        check_create(&RULES, &lease(json!({"leaseDurationSeconds": 40})), &[]);
        check_create(
            &RULES,
            &lease(json!({"leaseDurationSeconds": 0, "leaseTransitions": -1})),
            &[
                "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
                "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
            ],
        );
        let coordinated = lease(json!({"strategy": "x", "preferredHolder": "a"}));
        assert_eq!(*created(&RULES, &coordinated).part("spec"), json!({}));
        check_update(
            &RULES,
            &coordinated,
            &lease(json!({"strategy": "", "preferredHolder": "a"})),
            &[
                "spec.strategy.strategy: Unsupported value: \"\": supported values: \"OldestEmulationVersion\"",
                "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined",
            ],
        );
        let object = lease(json!({"holderIdentity": "me"}));
        let expect = json!(["l", "me", "<unknown>"]);
        assert_eq!(Value::from(row(&RULES, &object, 0)), expect);
    }
}

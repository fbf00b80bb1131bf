//! Horizontal pod autoscalers in the version that is stored.

use objects::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

use super::metrics;
use crate::{
    cells, check,
    rules::{AGE, Column, NAME, Rules},
    status,
    value::Fields,
};

/// Longest period of a policy, in seconds.
const PERIOD_MAX: i64 = 1800;
/// Longest window in which an autoscaler looks back, in seconds.
const WINDOW_MAX: i64 = 3600;
/// Percentage of the requested CPU time that is aimed at where nothing is said.
pub(super) const CPU_UTILIZATION: i64 = 80;

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    prepare_create,
    prepare_status: |object, _| status::fill(object, &["desiredReplicas"]),
    validate,
    validate_create,
    validate_update,
    validate_status,
    columns: &[
        NAME,
        Column::new("Reference", "string", "What is scaled.", |o, _| {
            reference(o).into()
        }),
        Column::new(
            "Targets",
            "string",
            "Metrics: what is, and what is wanted.",
            |o, _| {
                metrics::shown(
                    o.part("spec").items("metrics"),
                    o.part("status").items("currentMetrics"),
                )
                .into()
            },
        ),
        Column::new("MinPods", "string", "Fewest pods.", |o, _| {
            min_pods(o).into()
        }),
        Column::new("MaxPods", "string", "Most pods.", |o, _| {
            cells::number(o.part("spec"), "maxReplicas")
        }),
        Column::new("Replicas", "string", "Pods that are there.", |o, _| {
            cells::number(o.part("status"), "currentReplicas")
        }),
        AGE,
    ],
    ..Rules::NONE
};

/// What is scaled.
pub(super) fn reference(object: &Value) -> String {
    let target = object.part("spec").part("scaleTargetRef");
    format!("{}/{}", target.text("kind"), target.text("name"))
}

/// Fewest pods.
pub(super) fn min_pods(object: &Value) -> String {
    let number = object.part("spec").whole("minReplicas");
    number.map_or(cells::UNSET.to_owned(), |number| number.to_string())
}

fn defaults(object: &mut Value) {
    let Some(spec) = object.object_mut("spec") else {
        return;
    };
    spec.set_absent("minReplicas", 1);
    if spec.items("metrics").is_empty() {
        spec.set("metrics", json!([cpu_metric(CPU_UTILIZATION)]));
    }
    if let Some(behavior) = spec.field_mut("behavior") {
        let fastest = json!([
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15}]);
        if let Some(up) = behavior.object_mut("scaleUp") {
            up.set_absent("stabilizationWindowSeconds", 0);
            up.set_absent("selectPolicy", "Max");
            up.set_absent("policies", fastest);
        }
        if let Some(down) = behavior.object_mut("scaleDown") {
            down.set_absent("selectPolicy", "Max");
            let all = json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]);
            down.set_absent("policies", all);
        }
    }
}

/// The metric of a share of the requested CPU time.
pub(super) fn cpu_metric(percent: i64) -> Value {
    let target = json!({"type": "Utilization", "averageUtilization": percent});
    json!({"type": "Resource", "resource": {"name": "cpu", "target": target}})
}

fn prepare_create(object: &mut Value) {
    status::fill(object, &["desiredReplicas"]);
}

fn validate(object: &Value, errors: &mut ErrorList) {
    let (spec, path) = (object.part("spec"), Path::new("spec"));
    let max = spec.whole("maxReplicas").unwrap_or(0);
    let max_path = path.child("maxReplicas");
    if max < 1 {
        errors.push(FieldError::invalid(
            &max_path,
            max,
            "must be greater than 0",
        ));
    }
    if spec.whole("minReplicas").is_some_and(|min| max < min) {
        let message = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid(&max_path, max, message));
    }
    metrics::reference(
        spec.part("scaleTargetRef"),
        &path.child("scaleTargetRef"),
        errors,
    );
    metrics::validate(spec, &path, errors);
    let path = path.child("behavior");
    for direction in ["scaleUp", "scaleDown"] {
        if let Some(rules) = spec.part("behavior").field(direction) {
            behavior(rules, &path.child(direction), errors);
        }
    }
}

fn replicas(object: &Value, least: i64, errors: &mut ErrorList) {
    let min = object.part("spec").whole("minReplicas");
    if let Some(min) = min.filter(|min| *min < least) {
        let path = Path::new("spec");
        let message = format!("must be greater than or equal to {least}");
        errors.push(FieldError::invalid(
            &path.child("minReplicas"),
            min,
            message,
        ));
    }
}

fn validate_create(object: &Value, errors: &mut ErrorList) {
    replicas(object, 1, errors);
    target_version(object, errors);
}

/// What is scaled is in a group, but for the one type of the core group that scales.
fn target_version(object: &Value, errors: &mut ErrorList) {
    let target = object.part("spec").part("scaleTargetRef");
    let may_be_core = target.text("kind") == "ReplicationController";
    let path = Path::new("spec");
    metrics::api_version(target, may_be_core, &path.child("scaleTargetRef"), errors);
}

/// No pods at all are behind a gate upstream, but for what has them already.
pub(super) fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let none = old.part("spec").whole("minReplicas") == Some(0);
    replicas(new, i64::from(!none), errors);
    let target = |object: &Value| {
        let target = object.part("spec").part("scaleTargetRef");
        (
            target.part("kind").clone(),
            target.part("apiVersion").clone(),
        )
    };
    if target(new) != target(old) {
        target_version(new, errors);
    }
}

fn behavior(rules: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let window_path = path.child("stabilizationWindowSeconds");
    if let Some(window) = rules.whole("stabilizationWindowSeconds") {
        if window < 0 {
            let message = "must be greater than or equal to zero";
            errors.push(FieldError::invalid(&window_path, window, message));
        }
        if window > WINDOW_MAX {
            let message = format!("must be less than or equal to {WINDOW_MAX}");
            errors.push(FieldError::invalid(&window_path, window, message));
        }
    }
    if rules.has("selectPolicy") {
        let known = ["Disabled", "Max", "Min"];
        check::one_of(rules, "selectPolicy", &known, path, errors);
    }
    let policies = rules.items("policies");
    let policies_path = path.child("policies");
    if policies.is_empty() {
        let message = "must specify at least one Policy";
        errors.push(FieldError::required(&policies_path, message));
    }
    for (index, policy) in policies.iter().enumerate() {
        scaling_policy(policy, &policies_path.index(index), errors);
    }
    check::non_negative_quantity(rules.part("tolerance"), &path.child("tolerance"), errors);
}

fn scaling_policy(policy: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    check::one_of(policy, "type", &["Percent", "Pods"], path, errors);
    for field in ["value", "periodSeconds"] {
        let number = policy.whole(field).unwrap_or(0);
        if number <= 0 {
            let message = "must be greater than zero";
            errors.push(FieldError::invalid(&path.child(field), number, message));
        }
    }
    if let Some(period) = policy
        .whole("periodSeconds")
        .filter(|period| *period > PERIOD_MAX)
    {
        let message = format!("must be less than or equal to {PERIOD_MAX}");
        let path = path.child("periodSeconds");
        errors.push(FieldError::invalid(&path, period, message));
    }
}

/// Mistakes in a status of either version.
pub(super) fn validate_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    let path = Path::new("status");
    let numbers = ["currentReplicas", "desiredReplicas"];
    check::non_negative(new.part("status"), &numbers, &path, errors);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_status, check_update, created, row};

    fn scaler(spec: Value) -> Value {
        let mut object = json!({"metadata": {"name": "h"}, "spec": {"maxReplicas": 5,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
        for (field, value) in spec.as_object().expect("fields") {
            object["spec"].set(field, value.clone());
        }
        object
    }

    #[test]
    fn what_is_not_said() {
        let spec = created(&RULES, &scaler(json!({"behavior": {}})))
            .part("spec")
            .clone();
        assert_eq!(spec.whole("minReplicas"), Some(1));
        assert_eq!(*spec.part("metrics"), json!([cpu_metric(80)]));
        let behavior = json!({
            "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [
                {"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]},
            "scaleDown": {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}});
        assert_eq!(*spec.part("behavior"), behavior);
    }

    #[test]
    fn creates() {
        let check = |spec: Value, expect: &[&str]| check_create(&RULES, &scaler(spec), expect);
        check(json!({}), &[]);
        check(
            json!({"minReplicas": 0}),
            &[
                "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
                "spec.metrics: Forbidden: must specify at least one Object or External metric",
            ],
        );
        check(
            json!({"maxReplicas": 0}),
            &[
                "spec.maxReplicas: Invalid value: 0: must be greater than 0",
                "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
            ],
        );
        check(
            json!({"scaleTargetRef": {"name": "a/b", "apiVersion": "a/b/c"}}),
            &[
                "spec.scaleTargetRef.kind: Required value",
                "spec.scaleTargetRef.name: Invalid value: \"a/b\": may not contain '/'",
                "spec.scaleTargetRef.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
            ],
        );
        check(
            json!({"behavior": {"scaleUp": {"stabilizationWindowSeconds": 3601, "selectPolicy": "x", "tolerance": "-1",
                "policies": [{"type": "x", "value": 0, "periodSeconds": 1801}]}, "scaleDown": {"policies": []}}}),
            &[
                "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
                "spec.behavior.scaleUp.selectPolicy: Unsupported value: \"x\": supported values: \"Disabled\", \"Max\", \"Min\"",
                "spec.behavior.scaleUp.tolerance: Invalid value: \"-1\"",
                "spec.behavior.scaleUp.policies[0].type: Unsupported value: \"x\": supported values: \"Percent\", \"Pods\"",
                "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero",
                "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
                "spec.behavior.scaleDown.policies: Required value: must specify at least one Policy",
            ],
        );
    }

    #[test]
    fn sources() {
        let check = |metric: Value, expect: &[&str]| {
            check_create(&RULES, &scaler(json!({"metrics": [metric]})), expect);
        };
        check(
            json!({"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "1"}}}),
            &[],
        );
        check(
            json!({}),
            &[
                "spec.metrics[0].type: Required value: must specify a metric source type",
                "spec.metrics[0].type: Unsupported value: \"\": supported values: \"ContainerResource\"",
                "spec.metrics[0].type: Unsupported value",
            ],
        );
        check(
            json!({"type": "Resource", "pods": {"metric": {}, "target": {"type": "x", "value": "0"}}}),
            &[
                "spec.metrics[0].pods.metric.name: Required value: must specify a metric name",
                "spec.metrics[0].pods.target.type: Invalid value: \"x\": must be either Utilization, Value, or AverageValue",
                "spec.metrics[0].pods.target.value: Invalid value: \"0\": must be positive",
                "spec.metrics[0].pods.target.averageValue: Required value: must specify a positive target averageValue",
                "spec.metrics[0].resource: Required value: must populate information for the given metric source",
            ],
        );
        check(
            json!({"type": "ContainerResource", "containerResource": {"target": {"type": "Utilization", "averageUtilization": 0, "averageValue": "1"}},
                "external": {"metric": {"name": "m"}, "target": {"type": "Value", "value": "1", "averageValue": "1"}}}),
            &[
                "spec.metrics[0].external.target.value: Forbidden: may not set both",
                "spec.metrics[0].external: Forbidden: must populate the given metric source only",
            ],
        );
        check(
            json!({"type": "Object", "object": {"describedObject": {"kind": "K", "name": "n"}, "metric": {"name": "m"}, "target": {"type": "Value"}}}),
            &[
                "spec.metrics[0].object.target.averageValue: Required value: must set either a target value or averageValue",
            ],
        );
    }

    #[test]
    fn updates() {
        let zero = scaler(
            json!({"minReplicas": 0, "metrics": [{"type": "External", "external": {
            "metric": {"name": "m"}, "target": {"type": "Value", "value": "1"}}}]}),
        );
        check_update(&RULES, &zero, &zero, &[]);
        let mut one = zero.clone();
        one["spec"]["minReplicas"] = json!(1);
        let expect = ["spec.minReplicas: Invalid value: 0"];
        check_update(&RULES, &one, &zero, &expect);
        let status = json!({"status": {"currentReplicas": -1}});
        check_status(
            &RULES,
            &json!({}),
            &status,
            &["status.currentReplicas: Invalid value: -1"],
        );
    }

    #[test]
    fn rows() {
        let mut object = scaler(json!({"minReplicas": 2, "metrics": [cpu_metric(50),
            {"type": "Pods", "pods": {"target": {"averageValue": "1500m"}}}, {"type": "x"}]}));
        object["status"] = json!({"currentReplicas": 3, "currentMetrics": [
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40}}}]});
        let cells = row(&RULES, &object, 0);
        let expect = json!([
            "h",
            "Deployment/web",
            "cpu: 40%/50%, <unknown>/1500m + 1 more...",
            "2",
            5,
            3,
            "<unknown>"
        ]);
        assert_eq!(Value::from(cells), expect);
    }
}

//! Horizontal pod autoscalers in the older version, whose only metric is CPU time.

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use super::{metrics, v2, version};
use crate::{
    cells,
    resources::{Conversion, Kind},
    rules::{AGE, Column, NAME, Rules},
    status,
    value::Fields,
};

/// What is this type's own. Everything else is checked in the stored version, which the server converts to first.
pub const RULES: Rules = Rules {
    defaults,
    prepare_create: |object| status::fill(object, NUMBERS),
    prepare_status: |object, _| status::fill(object, NUMBERS),
    validate,
    validate_create: |object, errors| (v2::RULES.validate_create)(object, errors),
    validate_update: v2::validate_update,
    validate_status: v2::validate_status,
    columns: &[
        NAME,
        Column::new("Reference", "string", "What is scaled.", |o, _| {
            v2::reference(o).into()
        }),
        Column::new(
            "Targets",
            "string",
            "Metrics: what is, and what is wanted.",
            |o, _| targets(o),
        ),
        Column::new("MinPods", "string", "Fewest pods.", |o, _| {
            v2::min_pods(o).into()
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

/// Numbers that a status always has.
const NUMBERS: &[&str] = &["currentReplicas", "desiredReplicas"];

/// Between this version and the one that is stored.
pub const CONVERSION: Conversion = Conversion {
    stored: Kind {
        group: "autoscaling",
        version: "v2",
        kind: "HorizontalPodAutoscaler",
    },
    from_stored: version::to_v1,
    to_stored: version::to_v2,
};

/// A target of CPU time is filled in by the conversion, which knows of all metrics.
fn defaults(object: &mut Value) {
    if let Some(spec) = object.object_mut("spec") {
        spec.set_absent("minReplicas", 1);
    }
}

fn validate(object: &Value, errors: &mut ErrorList) {
    let mut stored = object.clone();
    version::to_v2(&mut stored);
    (v2::RULES.validate)(&stored, errors);
    // What the fields say in their own version.
    let percent = object.part("spec").whole("targetCPUUtilizationPercentage");
    if let Some(percent) = percent.filter(|percent| *percent < 1) {
        let path = Path::new("spec");
        let path = path.child("targetCPUUtilizationPercentage");
        errors.push(FieldError::invalid(
            &path,
            percent,
            "must be greater than 0",
        ));
    }
}

fn targets(object: &Value) -> Value {
    let mut stored = object.clone();
    if object.text("apiVersion") != "autoscaling/v2" {
        version::to_v2(&mut stored);
    }
    let metrics = stored.part("spec").items("metrics");
    metrics::shown(metrics, stored.part("status").items("currentMetrics")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, created, row};
    use serde_json::json;

    fn scaler(percent: Value) -> Value {
        json!({"apiVersion": "autoscaling/v1", "metadata": {"name": "h"}, "spec": {"maxReplicas": 5,
            "targetCPUUtilizationPercentage": percent, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}})
    }

    #[test]
    fn creates() {
        let object = created(&RULES, &scaler(Value::Null));
        assert_eq!(object.part("spec").whole("minReplicas"), Some(1));
        let status = json!({"currentReplicas": 0, "desiredReplicas": 0});
        assert_eq!(*object.part("status"), status);
        check_create(&RULES, &scaler(json!(50)), &[]);
        check_create(
            &RULES,
            &scaler(json!(0)),
            &[
                "spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
                "spec.targetCPUUtilizationPercentage: Invalid value: 0: must be greater than 0",
            ],
        );
    }

    #[test]
    fn rows() {
        let mut object = scaler(json!(50));
        object["status"] = json!({"currentReplicas": 2, "currentCPUUtilizationPercentage": 30});
        let expect = json!([
            "h",
            "Deployment/web",
            "cpu: 30%/50%",
            "<unset>",
            5,
            2,
            "<unknown>"
        ]);
        assert_eq!(Value::from(row(&RULES, &object, 0)), expect);
    }
}

//! Replica sets.

use objects::field::{ErrorList, Path};
use serde_json::Value;

use super::{
    columns::{CONTAINERS, IMAGES, SELECTOR},
    workload,
};
use crate::{
    cells, check,
    rules::{AGE, Column, NAME, Rules, Selectable},
    status,
    value::Fields,
};

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    prepare_create: |set| {
        status::fill(set, &["replicas"]);
        workload::drop_at_create(set);
    },
    prepare_update: workload::drop_disabled,
    prepare_status: |set, _| status::fill(set, &["replicas"]),
    validate,
    validate_update: workload::selector_immutable,
    validate_status,
    warnings: workload::template_warnings,
    columns: &[
        NAME,
        Column::new("Desired", "integer", "Pods that are wanted.", |o, _| {
            cells::number(o.part("spec"), "replicas")
        }),
        Column::new("Current", "integer", "Pods that are there.", |o, _| {
            cells::number(o.part("status"), "replicas")
        }),
        Column::new("Ready", "integer", "Pods that are ready.", |o, _| {
            cells::number(o.part("status"), "readyReplicas")
        }),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    selectable: &[Selectable {
        field: "status.replicas",
        absent: "0",
    }],
    ..Rules::NONE
};

fn defaults(set: &mut Value) {
    if let Some(spec) = set.object_mut("spec") {
        spec.set_absent("replicas", 1);
        workload::template_defaults(spec);
    }
}

fn validate(set: &Value, errors: &mut ErrorList) {
    let (spec, path) = (set.part("spec"), Path::new("spec"));
    check::non_negative(spec, &["replicas", "minReadySeconds"], &path, errors);
    // Upstream's word here is that of deployments.
    workload::selector(spec, "deployment", &path, errors);
    workload::replicated(spec, &path, errors);
}

fn validate_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    let (status, path) = (new.part("status"), Path::new("status"));
    let counts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
    let numbers = ["replicas", "observedGeneration", "terminatingReplicas"];
    check::non_negative(status, &counts, &path, errors);
    check::non_negative(status, &numbers, &path, errors);
    workload::replica_counts(status, &counts, "readyReplicas", &path, errors);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_status, check_update, created, row};
    use serde_json::json;

    fn web(replicas: Value, labels: Value) -> Value {
        json!({"metadata": {"name": "web"}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
    }

    #[test]
    fn creates() {
        let labels = || json!({"app": "web"});
        let object = created(&RULES, &web(Value::Null, labels()));
        assert_eq!(object.part("spec").whole("replicas"), Some(1));
        assert_eq!(*object.part("status"), json!({"replicas": 0}));
        check_create(&RULES, &web(json!(0), labels()), &[]);
        check_create(
            &RULES,
            &web(json!(-1), json!({"app": "db"})),
            &[
                "spec.replicas: Invalid value: -1",
                "spec.template.metadata.labels: Invalid value",
            ],
        );
        check_create(
            &RULES,
            &json!({"spec": {"selector": {}}}),
            &[
                "spec.selector: Invalid value: {}: empty selector is invalid for deployment",
                "spec.template.spec.containers: Required value",
            ],
        );
    }

    #[test]
    fn updates() {
        let labels = json!({"app": "web", "x": "y"});
        let mut new = web(json!(1), labels.clone());
        new["spec"]["selector"]["matchLabels"]["x"] = json!("y");
        let expect = ["spec.selector: Invalid value"];
        check_update(&RULES, &web(json!(1), labels), &new, &expect);
        check_status(
            &RULES,
            &json!({}),
            &json!({"status": {"replicas": 1, "fullyLabeledReplicas": 2, "observedGeneration": -1}}),
            &[
                "status.fullyLabeledReplicas: Invalid value: 2: cannot be greater than status.replicas",
                "status.observedGeneration: Invalid value: -1",
            ],
        );
    }

    #[test]
    fn rows() {
        let cells = row(&RULES, &web(json!(2), json!({})), 0);
        let expect = json!(["web", 2, 0, 0, "<unknown>", "c", "i", "app=web"]);
        assert_eq!(Value::from(cells), expect);
    }
}

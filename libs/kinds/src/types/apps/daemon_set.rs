//! Daemon sets.

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use super::{
    columns::{CONTAINERS, IMAGES, SELECTOR},
    workload,
};
use crate::{
    cells, check,
    rules::{AGE, Column, NAME, Rules},
    status,
    types::core::pod::template,
    value::{Fields, same},
};

/// The generation of the template is a field upstream, and an annotation of this version.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// Numbers that a status always has.
const NUMBERS: &[&str] = &[
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
];

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    prepare_create,
    prepare_update,
    prepare_status: |set, _| status::fill(set, NUMBERS),
    validate,
    validate_update: workload::selector_immutable,
    validate_status,
    // Upstream counts changes of the template alone.
    warnings: |new, old| {
        let template = |set: &Value| set.part("spec").part("template").clone();
        match old {
            Some(old) if same(&template(new), &template(old)) => Vec::new(),
            _ => workload::template_warnings(new, None),
        }
    },
    columns: &[
        NAME,
        Column::new(
            "Desired",
            "integer",
            "Nodes that should run a pod.",
            |o, _| cells::number(o.part("status"), "desiredNumberScheduled"),
        ),
        Column::new(
            "Current",
            "integer",
            "Nodes that run a pod and should.",
            |o, _| cells::number(o.part("status"), "currentNumberScheduled"),
        ),
        Column::new("Ready", "integer", "Nodes whose pod is ready.", |o, _| {
            cells::number(o.part("status"), "numberReady")
        }),
        Column::new(
            "Up-to-date",
            "integer",
            "Nodes with a pod of the newest template.",
            |o, _| cells::number(o.part("status"), "updatedNumberScheduled"),
        ),
        Column::new(
            "Available",
            "integer",
            "Nodes whose pod has been ready long enough.",
            |o, _| cells::number(o.part("status"), "numberAvailable"),
        ),
        Column::new(
            "Node Selector",
            "string",
            "Labels of the nodes that are meant.",
            |o, _| {
                let pod = o.part("spec").part("template").part("spec");
                cells::labels(pod.part("nodeSelector").as_object())
            },
        ),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    ..Rules::NONE
};

fn defaults(set: &mut Value) {
    let Some(spec) = set.object_mut("spec") else {
        return;
    };
    spec.set_absent("revisionHistoryLimit", 10);
    if let Some(strategy) = spec.object_mut("updateStrategy") {
        strategy.set_empty("type", "RollingUpdate");
        if strategy.text("type") == "RollingUpdate"
            && let Some(rolling) = strategy.object_mut("rollingUpdate")
        {
            rolling.set_absent("maxUnavailable", 1);
            rolling.set_absent("maxSurge", 0);
        }
    }
    workload::template_defaults(spec);
}

fn prepare_create(set: &mut Value) {
    status::fill(set, NUMBERS);
    workload::drop_at_create(set);
    let generation = template_generation(set).max(1);
    set_template_generation(set, generation);
}

fn prepare_update(new: &mut Value, old: &Value) {
    workload::drop_disabled(new, old);
    let changed = !same(
        new.part("spec").part("template"),
        old.part("spec").part("template"),
    );
    let generation = template_generation(old).saturating_add(i64::from(changed));
    set_template_generation(new, generation);
}

fn template_generation(set: &Value) -> i64 {
    let annotations = set.part("metadata").part("annotations");
    annotations.text(TEMPLATE_GENERATION).parse().unwrap_or(0)
}

fn set_template_generation(set: &mut Value, generation: i64) {
    let metadata = set.object_mut("metadata");
    if let Some(annotations) = metadata.and_then(|metadata| metadata.object_mut("annotations")) {
        annotations.set(TEMPLATE_GENERATION, generation.to_string());
    }
}

fn validate(set: &Value, errors: &mut ErrorList) {
    let (spec, path) = (set.part("spec"), Path::new("spec"));
    check::label_selector(spec, "selector", &path, errors);
    workload::matches(spec, None, &path, errors);
    workload::not_empty(spec, "daemonset", &path, errors);
    template::validate(spec.part("template"), &path.child("template"), errors);
    workload::runs_always(spec, "DaemonSet", &path, errors);
    let numbers = ["minReadySeconds", "revisionHistoryLimit"];
    check::non_negative(spec, &numbers, &path, errors);
    let strategy = spec.part("updateStrategy");
    let path = path.child("updateStrategy");
    match (strategy.text("type"), strategy.field("rollingUpdate")) {
        ("OnDelete", _) => {}
        ("RollingUpdate", None) => {
            errors.push(FieldError::required(&path.child("rollingUpdate"), ""));
        }
        ("RollingUpdate", Some(rolling)) => {
            rolling_update(rolling, &path.child("rollingUpdate"), errors);
        }
        _ => {
            let known = ["RollingUpdate", "OnDelete"];
            errors.push(FieldError::not_supported(&path, strategy.clone(), &known));
        }
    }
}

fn rolling_update(rolling: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let surge_path = path.child("maxSurge");
    let unavailable_path = path.child("maxUnavailable");
    let (unavailable, surge) = (rolling.part("maxUnavailable"), rolling.part("maxSurge"));
    for (value, path) in [(unavailable, &unavailable_path), (surge, &surge_path)] {
        check::int_or_percent(value, path, errors);
        check::at_most_100_percent(value, path, errors);
    }
    let has_unavailable = check::int_or_percent_value(unavailable) != 0;
    let has_surge = check::int_or_percent_value(surge) != 0;
    if has_unavailable && has_surge {
        let message = "may not be set when maxUnavailable is non-zero";
        errors.push(FieldError::invalid(&surge_path, surge.clone(), message));
    }
    if !has_unavailable && !has_surge {
        let message = "cannot be 0 when maxSurge is 0";
        errors.push(FieldError::required(&unavailable_path, message));
    }
}

fn validate_status(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (status, path) = (new.part("status"), Path::new("status"));
    let numbers = [
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ];
    check::non_negative(status, NUMBERS, &path, errors);
    check::non_negative(status, &numbers, &path, errors);
    let old = old.part("status");
    check::not_decremented(status, old, "collisionCount", &path, errors);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_status, check_update, created, row};
    use serde_json::json;

    fn agent(strategy: Value) -> Value {
        json!({"metadata": {"name": "agent"}, "spec": {"selector": {"matchLabels": {"app": "agent"}}, "updateStrategy": strategy,
            "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
    }

    #[test]
    fn what_is_not_said() {
        let object = created(&RULES, &agent(Value::Null));
        let strategy =
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}});
        assert_eq!(*object.part("spec").part("updateStrategy"), strategy);
        assert_eq!(object.part("spec").whole("revisionHistoryLimit"), Some(10));
        assert_eq!(template_generation(&object), 1);
        assert_eq!(object.part("status").whole("numberReady"), Some(0));
    }

    #[test]
    fn creates() {
        let check = |strategy: Value, expect: &[&str]| {
            check_create(&RULES, &agent(strategy), expect);
        };
        check(Value::Null, &[]);
        check(json!({"type": "OnDelete"}), &[]);
        check(
            json!({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": "10%"}}),
            &[],
        );
        check(
            json!({"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}),
            &[
                "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
            ],
        );
        check(
            json!({"rollingUpdate": {"maxUnavailable": 0}}),
            &[
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
            ],
        );
        check(
            json!({"rollingUpdate": {"maxUnavailable": "101%"}}),
            &[
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
            ],
        );
        check(
            json!({"type": "x"}),
            &[
                "spec.updateStrategy: Unsupported value: {\"type\":\"x\"}: supported values: \"RollingUpdate\", \"OnDelete\"",
            ],
        );
    }

    #[test]
    fn updates_count_the_template() {
        let old = created(&RULES, &agent(Value::Null));
        let mut new = old.clone();
        (RULES.prepare_update)(&mut new, &old);
        assert_eq!(template_generation(&new), 1);
        new["spec"]["template"]["spec"]["nodeName"] = json!("n");
        (RULES.prepare_update)(&mut new, &old);
        assert_eq!(template_generation(&new), 2);
        new["spec"]["selector"] = json!({"matchLabels": {"app": "agent", "a": "b"}});
        new["spec"]["template"]["metadata"]["labels"]["a"] = json!("b");
        let expect = ["spec.selector: Invalid value"];
        check_update(&RULES, &old, &new, &expect);
        let status = json!({"status": {"numberReady": -1, "collisionCount": 1}});
        let expect = ["status.numberReady: Invalid value: -1"];
        check_status(&RULES, &json!({}), &status, &expect);
    }

    #[test]
    fn rows() {
        let cells = row(&RULES, &agent(Value::Null), 0);
        let expect = json!([
            "agent",
            0,
            0,
            0,
            0,
            0,
            "<none>",
            "<unknown>",
            "c",
            "i",
            "app=agent"
        ]);
        assert_eq!(Value::from(cells), expect);
    }
}

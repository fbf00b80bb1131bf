//! Deployments.

use objects::field::{ErrorList, FieldError, Path};
use objects::selector::LabelSelector;
use serde_json::Value;

use super::{
    columns::{CONTAINERS, IMAGES},
    workload,
};
use crate::{
    cells, check,
    rules::{AGE, Column, NAME, Rules},
    status,
    value::Fields,
};

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    prepare_create: |deployment| {
        status::ensure(deployment);
        workload::drop_at_create(deployment);
    },
    prepare_update: workload::drop_disabled,
    validate,
    validate_update: workload::selector_immutable,
    validate_status,
    warnings: workload::template_warnings,
    columns: &[
        NAME,
        Column::new(
            "Ready",
            "string",
            "Pods that are ready, of those wanted.",
            ready,
        ),
        Column::new(
            "Up-to-date",
            "string",
            "Pods of the newest template.",
            |o, _| cells::number(o.part("status"), "updatedReplicas"),
        ),
        Column::new(
            "Available",
            "string",
            "Pods that have been ready long enough.",
            |o, _| cells::number(o.part("status"), "availableReplicas"),
        ),
        AGE,
        CONTAINERS,
        IMAGES,
        Column::new(
            "Selector",
            "string",
            "Labels of the pods that are meant.",
            selector,
        )
        .wide(),
    ],
    ..Rules::NONE
};

fn defaults(deployment: &mut Value) {
    let Some(spec) = deployment.object_mut("spec") else {
        return;
    };
    spec.set_absent("replicas", 1);
    spec.set_absent("revisionHistoryLimit", 10);
    spec.set_absent("progressDeadlineSeconds", 600);
    if let Some(strategy) = spec.object_mut("strategy") {
        strategy.set_empty("type", "RollingUpdate");
        if strategy.text("type") == "RollingUpdate"
            && let Some(rolling) = strategy.object_mut("rollingUpdate")
        {
            rolling.set_absent("maxUnavailable", "25%");
            rolling.set_absent("maxSurge", "25%");
        }
    }
    workload::template_defaults(spec);
}

fn validate(deployment: &Value, errors: &mut ErrorList) {
    let (spec, path) = (deployment.part("spec"), Path::new("spec"));
    let numbers = [
        "replicas",
        "minReadySeconds",
        "revisionHistoryLimit",
        "progressDeadlineSeconds",
    ];
    check::non_negative(spec, &numbers, &path, errors);
    workload::selector(spec, "deployment", &path, errors);
    workload::replicated(spec, &path, errors);
    strategy(spec.part("strategy"), &path.child("strategy"), errors);
    if let Some(deadline) = spec.whole("progressDeadlineSeconds")
        && deadline <= spec.whole("minReadySeconds").unwrap_or(0)
    {
        let path = path.child("progressDeadlineSeconds");
        let message = "must be greater than minReadySeconds";
        errors.push(FieldError::invalid(&path, deadline, message));
    }
}

fn strategy(strategy: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let rolling = strategy.field("rollingUpdate");
    let rolling_path = path.child("rollingUpdate");
    match (strategy.text("type"), rolling) {
        ("Recreate", None) => {}
        ("Recreate", Some(_)) => {
            let message = "may not be specified when strategy `type` is 'Recreate'";
            errors.push(FieldError::forbidden(&rolling_path, message));
        }
        ("RollingUpdate", None) => {
            let message = "this should be defaulted and never be nil";
            errors.push(FieldError::required(&rolling_path, message));
        }
        ("RollingUpdate", Some(rolling)) => rolling_update(rolling, &rolling_path, errors),
        _ => {
            let known = ["Recreate", "RollingUpdate"];
            errors.push(FieldError::not_supported(path, strategy.clone(), &known));
        }
    }
}

fn rolling_update(rolling: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (unavailable, surge) = (rolling.part("maxUnavailable"), rolling.part("maxSurge"));
    let unavailable_path = path.child("maxUnavailable");
    check::int_or_percent(unavailable, &unavailable_path, errors);
    check::int_or_percent(surge, &path.child("maxSurge"), errors);
    if check::int_or_percent_value(unavailable) == 0 && check::int_or_percent_value(surge) == 0 {
        let message = "may not be 0 when `maxSurge` is 0";
        let shown = unavailable.clone();
        errors.push(FieldError::invalid(&unavailable_path, shown, message));
    }
    check::at_most_100_percent(unavailable, &unavailable_path, errors);
}

fn validate_status(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (status, path) = (new.part("status"), Path::new("status"));
    let numbers = [
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "collisionCount",
    ];
    check::non_negative(status, &numbers, &path, errors);
    let counts = ["updatedReplicas", "readyReplicas", "availableReplicas"];
    workload::replica_counts(status, &counts, "readyReplicas", &path, errors);
    let old = old.part("status");
    check::not_decremented(status, old, "collisionCount", &path, errors);
}

fn ready(deployment: &Value, _: i64) -> Value {
    let ready = deployment.part("status").whole("readyReplicas");
    let wanted = deployment.part("spec").whole("replicas");
    format!("{}/{}", ready.unwrap_or(0), wanted.unwrap_or(0)).into()
}

fn selector(deployment: &Value, _: i64) -> Value {
    match LabelSelector::from_object(deployment.part("spec").field("selector")) {
        Ok(selector) => selector.to_string().into(),
        Err(_) => "<invalid>".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_status, check_update, created, row};
    use serde_json::json;

    pub(super) fn web() -> Value {
        json!({"metadata": {"name": "web", "namespace": "a", "creationTimestamp": "2026-11-30T00:00:00Z"}, "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}}})
    }

    fn with(path: &str, value: Value) -> Value {
        let mut object = web();
        let (parent, field) = path.rsplit_once('/').expect("a path");
        object.pointer_mut(parent).expect("there").set(field, value);
        object
    }

    #[test]
    fn what_is_not_said() {
        let spec = created(&RULES, &web()).part("spec").clone();
        assert_eq!(spec.whole("replicas"), Some(1));
        assert_eq!(spec.whole("revisionHistoryLimit"), Some(10));
        assert_eq!(spec.whole("progressDeadlineSeconds"), Some(600));
        let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}});
        assert_eq!(*spec.part("strategy"), strategy);
        let recreate = created(&RULES, &with("/spec/strategy", json!({"type": "Recreate"})));
        let strategy = recreate.part("spec").part("strategy");
        assert_eq!(*strategy, json!({"type": "Recreate"}));
    }

    #[test]
    fn creates() {
        let check = |object: &Value, expect: &[&str]| check_create(&RULES, object, expect);
        check(&web(), &[]);
        check(
            &with("/spec/replicas", json!(-1)),
            &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
        );
        check(
            &with("/spec/selector", Value::Null),
            &[
                "spec.selector: Required value",
                "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`",
            ],
        );
        check(
            &with("/spec/selector", json!({})),
            &["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
        );
        check(
            &with("/spec/selector/matchLabels", json!({"app": "db"})),
            &["spec.template.metadata.labels: Invalid value"],
        );
        check(
            &with("/spec/template/spec/restartPolicy", json!("Never")),
            &[
                "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
            ],
        );
        check(
            &with("/spec/template/spec/activeDeadlineSeconds", json!(5)),
            &[
                "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported",
            ],
        );
    }

    #[test]
    fn strategies() {
        let check = |object: &Value, expect: &[&str]| check_create(&RULES, object, expect);
        check(
            &with("/spec/strategy", json!({"type": "Other"})),
            &[
                "spec.strategy: Unsupported value: {\"type\":\"Other\"}: supported values: \"Recreate\", \"RollingUpdate\"",
            ],
        );
        check(
            &with(
                "/spec/strategy",
                json!({"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}),
            ),
            &[
                "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
            ],
        );
        check(
            &with(
                "/spec/strategy",
                json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}),
            ),
            &[
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0",
            ],
        );
        check(
            &with(
                "/spec/strategy",
                json!({"rollingUpdate": {"maxSurge": "x", "maxUnavailable": "110%"}}),
            ),
            &[
                "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"x\": a valid percent string must be",
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"110%\": must not be greater than 100%",
            ],
        );
        check(
            &with("/spec/minReadySeconds", json!(600)),
            &[
                "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
            ],
        );
    }

    #[test]
    fn updates() {
        check_update(&RULES, &web(), &with("/spec/replicas", json!(3)), &[]);
        let mut other = with("/spec/selector/matchLabels", json!({"x": "y"}));
        other["spec"]["template"]["metadata"]["labels"] = json!({"x": "y"});
        let expect =
            "spec.selector: Invalid value: {\"matchLabels\":{\"x\":\"y\"}}: field is immutable";
        check_update(&RULES, &web(), &other, &[expect]);
    }

    #[test]
    fn statuses() {
        let check = |old: Value, new: Value, expect: &[&str]| {
            check_status(
                &RULES,
                &json!({"status": old}),
                &json!({"status": new}),
                expect,
            );
        };
        check(
            json!({}),
            json!({"replicas": 2, "readyReplicas": 2, "availableReplicas": 1}),
            &[],
        );
        check(
            json!({"collisionCount": 2}),
            json!({"replicas": 1, "readyReplicas": 2, "availableReplicas": 3, "collisionCount": 1}),
            &[
                "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas",
                "status.collisionCount: Invalid value: 1: cannot be decremented",
            ],
        );
        check(
            json!({"collisionCount": 2}),
            json!({}),
            &["status.collisionCount: Invalid value: 0: cannot be decremented"],
        );
    }

    #[test]
    fn rows() {
        let mut object = with("/spec/replicas", json!(3));
        object.set(
            "status",
            json!({"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1}),
        );
        let cells = row(&RULES, &object, 1_795_996_800 + 120);
        assert_eq!(
            Value::from(cells),
            json!(["web", "2/3", 3, 1, "2m", "c", "i:1", "app=web"])
        );
    }
}

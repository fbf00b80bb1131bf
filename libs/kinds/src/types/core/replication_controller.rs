//! Replication controllers, which replica sets have taken the place of.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use objects::selector::LabelSelector;
use serde_json::Value;

use super::pod::template;
use crate::{
    cells, check,
    check::value::non_negative,
    rules::{AGE, Column, NAME, Rules, Selectable},
    status,
    value::{Fields, same},
};

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    prepare_create: |controller| {
        status::ensure(controller);
        status::fill(controller, &["replicas"]);
        drop_disabled(controller, &Value::Null);
    },
    prepare_update: drop_disabled,
    validate,
    validate_status,
    warnings,
    columns: &[
        NAME,
        Column::new(
            "Desired",
            "integer",
            "How many pods there are to be.",
            |controller, _| cells::number(controller.part("spec"), "replicas"),
        ),
        Column::new(
            "Current",
            "integer",
            "How many pods there are.",
            |controller, _| cells::number(controller.part("status"), "replicas"),
        ),
        Column::new(
            "Ready",
            "integer",
            "How many pods are ready.",
            |controller, _| cells::number(controller.part("status"), "readyReplicas"),
        ),
        AGE,
        Column::new(
            "Containers",
            "string",
            "The names of its pods' containers.",
            |controller, _| cells::container_names(pod(controller)),
        )
        .wide(),
        Column::new(
            "Images",
            "string",
            "The images of its pods' containers.",
            |controller, _| cells::container_images(pod(controller)),
        )
        .wide(),
        Column::new(
            "Selector",
            "string",
            "The labels of its pods.",
            |controller, _| cells::labels(controller.part("spec").part("selector").as_object()),
        )
        .wide(),
    ],
    selectable: &[Selectable {
        field: "status.replicas",
        absent: "0",
    }],
    ..Rules::NONE
};

fn drop_disabled(new: &mut Value, old: &Value) {
    if let Some(spec) = new.field_mut("spec") {
        template::drop_disabled(spec, old.part("spec"));
    }
}

fn pod(controller: &Value) -> &Value {
    controller.part("spec").part("template").part("spec")
}

/// Labels are those of the template, where nothing else is said.
fn defaults(controller: &mut Value) {
    let Some(spec) = controller.object_mut("spec") else {
        return;
    };
    spec.set_absent("replicas", 1);
    let labels = spec
        .part("template")
        .part("metadata")
        .field("labels")
        .cloned();
    if let Some(template) = spec.field_mut("template") {
        template::defaults(template);
    }
    let Some(labels) = labels.filter(Value::is_object) else {
        return;
    };
    if spec.count("selector") == 0 {
        spec.set("selector", labels.clone());
    }
    if let Some(metadata) = controller.object_mut("metadata")
        && metadata.count("labels") == 0
    {
        metadata.set("labels", labels);
    }
}

fn validate(controller: &Value, errors: &mut ErrorList) {
    let (spec, path) = (controller.part("spec"), Path::new("spec"));
    non_negative(
        spec.whole("minReadySeconds"),
        &path.child("minReadySeconds"),
        errors,
    );
    if spec.count("selector") == 0 {
        errors.push(FieldError::required(&path.child("selector"), ""));
    }
    non_negative(spec.whole("replicas"), &path.child("replicas"), errors);
    let template_path = path.child("template");
    let Some(template) = spec.field("template") else {
        errors.push(FieldError::required(&template_path, ""));
        return;
    };
    let labels = template.part("metadata").part("labels");
    let selector = spec
        .entries("selector")
        .map(|(key, value)| (key, value.as_str().unwrap_or_default()));
    if spec.count("selector") > 0
        && !LabelSelector::from_pairs(selector).matches(labels.as_object())
    {
        let metadata = template_path.child("metadata");
        let message = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(
            &metadata.child("labels"),
            labels.clone(),
            message,
        ));
    }
    template::validate(template, &template_path, errors);
    let (pod, pod_path) = (template.part("spec"), template_path.child("spec"));
    let policy = pod.text("restartPolicy");
    if policy != "Always" {
        let path = pod_path.child("restartPolicy");
        errors.push(FieldError::not_supported(&path, policy, &["Always"]));
    }
    if pod.has("activeDeadlineSeconds") {
        let message = "activeDeadlineSeconds in ReplicationController is not Supported";
        errors.push(FieldError::forbidden(
            &pod_path.child("activeDeadlineSeconds"),
            message,
        ));
    }
}

fn validate_status(controller: &Value, _: &Value, errors: &mut ErrorList) {
    let (status, path) = (controller.part("status"), Path::new("status"));
    let counts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
    check::non_negative(status, &["replicas"], &path, errors);
    check::non_negative(status, &counts, &path, errors);
    check::non_negative(status, &["observedGeneration"], &path, errors);
    let message = "cannot be greater than status.replicas";
    check::at_most(status, &counts, "replicas", message, &path, errors);
    let message = "cannot be greater than readyReplicas";
    check::at_most(
        status,
        &["availableReplicas"],
        "readyReplicas",
        message,
        &path,
        errors,
    );
}

fn warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    let template = new.part("spec").part("template");
    let unchanged = |old: &Value| same(new.part("spec"), old.part("spec"));
    if old.is_some_and(unchanged) || template.is_null() {
        return warnings;
    }
    let messages = names::dns1123_label(new.part("metadata").text("name"));
    if old.is_none() && !messages.is_empty() {
        let messages = messages.join(" ");
        warnings.push(format!("metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{messages}]"));
    }
    // Upstream's path has no `spec`.
    warnings.extend(template::warnings(template, &Path::new("template")));
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, check_create, check_status, created, merged};
    use serde_json::json;

    fn controller(spec: Value) -> Value {
        let base = json!({
            "metadata": {"name": "r"},
            "spec": {"template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "x:1"}]},
            }},
        });
        merged(base, json!({ "spec": spec }))
    }

    #[test]
    fn what_is_not_said_is_filled_in() {
        let made = created(&RULES, &controller(json!({})));
        assert_eq!(made["spec"]["selector"], json!({"a": "b"}));
        assert_eq!(made["metadata"]["labels"], json!({"a": "b"}));
        assert_eq!(
            (&made["spec"]["replicas"], &made["status"]),
            (&json!(1), &json!({"replicas": 0}))
        );
        assert_eq!(
            cells(&RULES, &made),
            json!(["r", 1, 0, 0, "<unknown>", "c", "x:1", "a=b"])
        );
    }

    #[test]
    fn mistakes() {
        let check = |spec: Value, expect: &[&str]| check_create(&RULES, &controller(spec), expect);
        check(json!({}), &[]);
        check(
            json!({"template": null}),
            &[
                "spec.selector: Required value",
                "spec.template: Required value",
            ],
        );
        check(
            json!({"replicas": -1}),
            &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
        );
        check(
            json!({"selector": {"a": "c"}}),
            &[
                r#"spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`"#,
            ],
        );
        check(
            json!({"template": {"spec": {"restartPolicy": "Never"}}}),
            &[
                r#"spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always""#,
            ],
        );
        check_status(
            &RULES,
            &json!({}),
            &json!({"status": {"replicas": 1, "readyReplicas": 2, "availableReplicas": -1}}),
            &[
                "status.availableReplicas: Invalid value: -1: must be greater than or equal to 0",
                "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
            ],
        );
    }
}

//! Runtime classes: what runs a pod's containers.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::{Value, json};

use crate::{
    check,
    rules::{AGE, Column, NAME, Rules},
    types::core::{
        pod::deprecated,
        resource_list::{self, Of, validate_requirements},
        taint,
    },
    value::Fields,
};

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    validate,
    validate_update,
    warnings,
    columns: &[
        NAME,
        Column::new(
            "Handler",
            "string",
            "The runtime's configuration.",
            |o, _| o.text("handler").into(),
        ),
        AGE,
    ],
    ..Rules::NONE
};

fn defaults(class: &mut Value) {
    let overhead = class.field_mut("overhead");
    if let Some(amounts) = overhead.and_then(|overhead| overhead.field_mut("podFixed")) {
        resource_list::defaults(amounts);
    }
}

fn validate(class: &Value, errors: &mut ErrorList) {
    let handler = class.text("handler");
    let path = Path::new("handler");
    errors.push_invalid(&path, handler, names::dns1123_label(handler));
    // As the limits of a container, which upstream makes of them.
    if let Some(overhead) = class.part("overhead").field("podFixed") {
        let limits = json!({ "limits": overhead });
        let path = Path::new("overhead");
        validate_requirements(&limits, Of::Container, &BTreeSet::new(), &path, errors);
    }
    let (scheduling, path) = (class.part("scheduling"), Path::new("scheduling"));
    check::labels(scheduling, "nodeSelector", &path, errors);
    let tolerations = scheduling.items("tolerations");
    taint::validate_tolerations(tolerations, &path.child("tolerations"), errors);
}

fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    if new.text("handler") != old.text("handler") {
        let path = Path::new("handler");
        errors.push(FieldError::invalid(
            &path,
            new.text("handler"),
            check::IMMUTABLE,
        ));
    }
}

fn warnings(class: &Value, _: Option<&Value>) -> Vec<String> {
    let selector = class.part("scheduling").entries("nodeSelector");
    let messages = selector.filter_map(|(key, _)| deprecated::label(key));
    messages
        .map(|message| format!("scheduling.nodeSelector: {message}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_update, row};

    #[test]
    fn writes() {
        let class = json!({"metadata": {"name": "r"}, "handler": "runsc", "overhead": {"podFixed": {"cpu": "0.25"}},
            "scheduling": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "k", "operator": "Exists"}]}});
        check_create(&RULES, &class, &[]);
        check_create(
            &RULES,
            &json!({"handler": "a.b", "overhead": {"podFixed": {"cpu": "-1", "disk": "1"}}, "scheduling": {"nodeSelector": {"-": ""},
                "tolerations": [{}, {"key": "k", "tolerationSeconds": 5}, {"key": "k", "operator": "x", "effect": "y"},
                    {"key": "k", "operator": "Exists", "value": "v"}]}}),
            &[
                "handler: Invalid value: \"a.b\": must not contain dots",
                "overhead.limits[cpu]: Invalid value: \"-1\"",
                "overhead.limits[disk]: Invalid value: \"disk\": must be a standard resource type or fully qualified",
                "overhead.limits[disk]: Invalid value: \"disk\": must be a standard resource for containers",
                "scheduling.nodeSelector: Invalid value: \"-\"",
                "scheduling.tolerations[0].operator: Invalid value: \"\": operator must be Exists when `key` is empty",
                "scheduling.tolerations[1].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set",
                "scheduling.tolerations[2].operator: Unsupported value: \"x\": supported values: \"Equal\", \"Exists\"",
                "scheduling.tolerations[2].effect: Unsupported value: \"y\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
                "scheduling.tolerations[3].operator: Invalid value: \"v\": value must be empty when",
            ],
        );
        let mut other = class.clone();
        other["handler"] = json!("kata");
        let expect = ["handler: Invalid value: \"kata\": field is immutable"];
        check_update(&RULES, &class, &other, &expect);
        let old =
            json!({"scheduling": {"nodeSelector": {"beta.kubernetes.io/os": "linux", "a": "b"}}});
        let expect =
            ["scheduling.nodeSelector: deprecated since v1.14; use \"kubernetes.io/os\" instead"];
        assert_eq!((RULES.warnings)(&old, None), expect);
        let expect = json!(["r", "runsc", "<unknown>"]);
        assert_eq!(Value::from(row(&RULES, &class, 0)), expect);
    }
}

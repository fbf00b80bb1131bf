//! Priority classes.

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use crate::{
    cells, check,
    rules::{AGE, Column, NAME, Rules},
    value::Fields,
};

/// What the names of the system's classes begin with.
const SYSTEM_PREFIX: &str = "system-";
/// The highest priority that is not the system's.
const HIGHEST_OF_USERS: i64 = 1_000_000_000;
/// The system's classes, none of which is the default.
const SYSTEM: [(&str, i64); 2] = [
    ("system-node-critical", 2 * HIGHEST_OF_USERS + 1_000),
    ("system-cluster-critical", 2 * HIGHEST_OF_USERS),
];

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults: |class| class.set_absent("preemptionPolicy", "PreemptLowerPriority"),
    validate,
    validate_update,
    columns: &[
        NAME,
        Column::new("Value", "integer", "The priority of its pods.", |o, _| {
            cells::number(o, "value")
        }),
        Column::new(
            "Global-Default",
            "boolean",
            "Whether pods have it that name none.",
            |o, _| o.flag("globalDefault").into(),
        ),
        AGE,
        Column::new(
            "PreemptionPolicy",
            "string",
            "Whether its pods take others' places.",
            |o, _| o.text("preemptionPolicy").into(),
        ),
    ],
    ..Rules::NONE
};

fn validate(class: &Value, errors: &mut ErrorList) {
    let name = class.part("metadata").text("name");
    let value = class.whole("value").unwrap_or(0);
    if name.starts_with(SYSTEM_PREFIX) {
        if let Some(error) = system_mistake(name, value, class.flag("globalDefault")) {
            let message = format!(
                "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {error}"
            );
            let path = Path::new("metadata");
            errors.push(FieldError::forbidden(&path.child("name"), message));
        }
    } else if value > HIGHEST_OF_USERS {
        let message =
            format!("maximum allowed value of a user defined priority is {HIGHEST_OF_USERS}");
        errors.push(FieldError::forbidden(&Path::new("value"), message));
    }
    if let Some(policy) = class.part("preemptionPolicy").as_str() {
        let path = Path::new("preemptionPolicy");
        match policy {
            "PreemptLowerPriority" | "Never" => {}
            "" => errors.push(FieldError::required(&path, "")),
            _ => {
                let known = ["PreemptLowerPriority", "Never"];
                errors.push(FieldError::not_supported(&path, policy, &known));
            }
        }
    }
}

fn system_mistake(name: &str, value: i64, default: bool) -> Option<String> {
    let Some((_, expected)) = SYSTEM.iter().find(|(known, _)| *known == name) else {
        return Some(format!("{name} is not a known system priority class"));
    };
    if value != *expected {
        return Some(format!("value of {name} PriorityClass must be {expected}"));
    }
    default.then(|| format!("globalDefault of {name} PriorityClass must be false"))
}

fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    if new.whole("value").unwrap_or(0) != old.whole("value").unwrap_or(0) {
        let message = "may not be changed in an update.";
        errors.push(FieldError::forbidden(&Path::new("value"), message));
    }
    let (new_policy, old_policy) = (new.field("preemptionPolicy"), old.field("preemptionPolicy"));
    if new_policy != old_policy {
        let shown = check::shown(new, "preemptionPolicy");
        let path = Path::new("preemptionPolicy");
        errors.push(FieldError::invalid(&path, shown, check::IMMUTABLE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_update, created, row};
    use serde_json::json;

    #[test]
    fn writes() {
        let class = |name: &str, value: i64| json!({"metadata": {"name": name}, "value": value});
        let check = |object: Value, expect: &[&str]| check_create(&RULES, &object, expect);
        check(class("high", 1_000_000_000), &[]);
        check(class("system-node-critical", 2_000_001_000), &[]);
        check(
            class("high", 1_000_000_001),
            &["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
        );
        check(
            class("system-x", 1),
            &[
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a known system priority class",
            ],
        );
        check(
            class("system-cluster-critical", 1),
            &[
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: value of system-cluster-critical PriorityClass must be 2000000000",
            ],
        );
        let mut never = class("a", 1);
        never.set("preemptionPolicy", "x");
        check(
            never.clone(),
            &[
                "preemptionPolicy: Unsupported value: \"x\": supported values: \"PreemptLowerPriority\", \"Never\"",
            ],
        );
        never.set("preemptionPolicy", "Never");
        check_update(
            &RULES,
            &class("a", 2),
            &never,
            &[
                "value: Forbidden: may not be changed in an update.",
                "preemptionPolicy: Invalid value: \"Never\": field is immutable",
            ],
        );
        let cells = row(&RULES, &created(&RULES, &class("a", 5)), 0);
        let expect = json!(["a", 5, false, "<unknown>", "PreemptLowerPriority"]);
        assert_eq!(Value::from(cells), expect);
    }
}

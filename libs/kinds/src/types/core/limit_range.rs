//! Limit ranges: what containers, pods and claims of a namespace may ask for, and do where they do not say.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use objects::quantity::{Format, Quantity};
use serde_json::{Value, json};

use super::resource_list::{self, is_overcommit_allowed, validate_container_name, validate_name};
use crate::{
    check::value::qualified,
    rules::{CREATED_AT, NAME, Rules},
    value::Fields,
};

/// The lists of a limit.
const LISTS: [&str; 5] = [
    "max",
    "min",
    "default",
    "defaultRequest",
    "maxLimitRequestRatio",
];

/// Beyond this an amount has no thousandths in 64 bits.
const MILLI_MAX: i64 = i64::MAX / 1000;

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    validate,
    columns: &[NAME, CREATED_AT],
    ..Rules::NONE
};

fn defaults(range: &mut Value) {
    let Some(spec) = range.field_mut("spec") else {
        return;
    };
    for limit in spec.items_mut("limits") {
        if limit.text("type") == "Container" {
            // What is not said follows from what is: limits from the most, requests from limits and from the least.
            for (from, to) in [
                ("max", "default"),
                ("default", "defaultRequest"),
                ("min", "defaultRequest"),
            ] {
                inherit(limit, from, to);
            }
        }
        for list in LISTS {
            resource_list::field_defaults(limit, list);
        }
    }
}

fn inherit(limit: &mut Value, from: &str, to: &str) {
    let amounts: Vec<(String, Value)> = limit
        .entries(from)
        .map(|(name, amount)| (name.to_owned(), amount.clone()))
        .collect();
    if amounts.is_empty() {
        return;
    }
    if let Some(list) = limit.object_mut(to) {
        for (name, amount) in amounts {
            list.set_absent(&name, amount);
        }
    }
}

fn validate(range: &Value, errors: &mut ErrorList) {
    let spec = Path::new("spec");
    let list = spec.child("limits");
    let mut kinds = BTreeSet::new();
    for (index, limit) in range.part("spec").items("limits").iter().enumerate() {
        let path = list.index(index);
        let (kind, kind_path) = (limit.text("type"), path.child("type"));
        kind_name(kind, &kind_path, errors);
        if !kinds.insert(kind) {
            errors.push(FieldError::duplicate(&kind_path, kind));
        }
        self::limit(limit, kind, &path, errors);
    }
}

fn kind_name(kind: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let before = errors.len();
    qualified(kind, path, errors);
    let standard = matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim");
    if errors.len() == before && !kind.contains('/') && !standard {
        let message = "must be a standard limit type or fully qualified";
        errors.push(FieldError::invalid(path, kind, message));
    }
}

fn limit(limit: &Value, kind: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let mut names = BTreeSet::new();
    for list in LISTS {
        if kind == "Pod" && list.starts_with("default") {
            if limit.count(list) > 0 {
                let message = "may not be specified when `type` is 'Pod'";
                errors.push(FieldError::forbidden(&path.child(list), message));
            }
            continue;
        }
        let path = path.child(list);
        for (name, _) in limit.entries(list) {
            names.insert(name);
            if matches!(kind, "Pod" | "Container") {
                validate_container_name(name, &path.key(name), errors);
            } else {
                validate_name(name, &path.key(name), errors);
            }
        }
    }
    let has_storage = |list: &str| limit.part(list).has("storage");
    if kind == "PersistentVolumeClaim" && !has_storage("min") && !has_storage("max") {
        let message =
            "either minimum or maximum storage value is required, but neither was provided";
        errors.push(FieldError::required(&path.child("limits"), message));
    }
    let of_pod = json!({"max": limit.part("max"), "min": limit.part("min"), "maxLimitRequestRatio": limit.part("maxLimitRequestRatio")});
    let compared = if kind == "Pod" { &of_pod } else { limit };
    for name in names {
        order(compared, name, path, errors);
        ratio(compared, name, &path.child("maxLimitRequestRatio"), errors);
    }
}

/// The least, what is asked for, what is allowed and the most, in this order.
fn order(limit: &Value, name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    // What may not exceed what, where the mistake is, which of the two is shown, and how they are called.
    let pairs = [
        ("min", "max", "min", true, ["min value", "max value"]),
        (
            "min",
            "defaultRequest",
            "defaultRequest",
            false,
            ["min value", "default request value"],
        ),
        (
            "defaultRequest",
            "max",
            "defaultRequest",
            true,
            ["default request value", "max value"],
        ),
        (
            "defaultRequest",
            "default",
            "defaultRequest",
            true,
            ["default request value", "default limit value"],
        ),
        (
            "min",
            "default",
            "default",
            true,
            ["min value", "default value"],
        ),
        (
            "default",
            "max",
            "default",
            false,
            ["default value", "max value"],
        ),
    ];
    let of = |list: &str| limit.part(list).quantity(name);
    for (lower, upper, list, shows_lower, [lower_text, upper_text]) in pairs {
        if let (Some(lower), Some(upper)) = (of(lower), of(upper))
            && lower > upper
        {
            let message = format!("{lower_text} {lower} is greater than {upper_text} {upper}");
            let shown = if shows_lower { lower } else { upper };
            let list = path.child(list);
            errors.push(FieldError::invalid(
                &list.key(name),
                shown.to_string(),
                message,
            ));
        }
    }
    if let (Some(default), Some(request)) = (of("default"), of("defaultRequest"))
        && default != request
        && !is_overcommit_allowed(name)
    {
        let message = format!(
            "default value {default} must equal to defaultRequest value {request} in {name}"
        );
        let list = path.child("defaultRequest");
        errors.push(FieldError::invalid(
            &list.key(name),
            request.to_string(),
            message,
        ));
    }
}

/// How far a limit may be above a request: not less than once, and not more than the least and the most allow.
fn ratio(limit: &Value, name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let of = |list: &str| limit.part(list).quantity(name);
    let Some(ratio) = of("maxLimitRequestRatio") else {
        return;
    };
    if ratio < Quantity::new(1, Format::DecimalSi) {
        let message = format!("ratio {ratio} is less than 1");
        errors.push(FieldError::invalid(
            &path.key(name),
            ratio.to_string(),
            message,
        ));
    }
    let (Some(min), Some(max)) = (of("min"), of("max")) else {
        return;
    };
    let fine = [&ratio, &min, &max]
        .iter()
        .all(|amount| amount.value() < MILLI_MAX);
    let number = |amount: &Quantity| {
        if fine {
            amount.approximate()
        } else {
            Quantity::new(amount.value(), Format::DecimalSi).approximate()
        }
    };
    let most = number(&max) / number(&min);
    if number(&ratio) > most {
        let message = format!("ratio {ratio} is greater than max/min = {most:.6}");
        errors.push(FieldError::invalid(
            &path.key(name),
            ratio.to_string(),
            message,
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, check_create, created};

    fn range(limit: Value) -> Value {
        json!({"metadata": {"name": "r"}, "spec": {"limits": [limit]}})
    }

    #[test]
    fn what_is_not_said_follows() {
        let made = created(
            &RULES,
            &range(
                json!({"type": "Container", "max": {"cpu": "2", "memory": "1Gi"}, "min": {"cpu": "0.1", "a.b/c": "1"}, "default": {"cpu": "1"}}),
            ),
        );
        let limit = &made["spec"]["limits"][0];
        assert_eq!(limit["default"], json!({"cpu": "1", "memory": "1Gi"}));
        assert_eq!(
            limit["defaultRequest"],
            json!({"cpu": "1", "memory": "1Gi", "a.b/c": "1"})
        );
        assert_eq!(limit["min"]["cpu"], "100m");
    }

    #[test]
    fn mistakes() {
        let check = |limit: Value, expect: &[&str]| check_create(&RULES, &range(limit), expect);
        check(
            json!({"type": "Pod", "max": {"cpu": "1"}, "min": {"cpu": "100m"}}),
            &[],
        );
        check(
            json!({"type": "Thing"}),
            &[
                r#"spec.limits[0].type: Invalid value: "Thing": must be a standard limit type or fully qualified"#,
            ],
        );
        check(
            json!({"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}, "default": {"cpu": "1"}}),
            &[
                "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
                r#"spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1"#,
            ],
        );
        check(
            json!({"type": "Container", "default": {"cpu": "2"}, "max": {"cpu": "1"}, "defaultRequest": {"cpu": "500m"}}),
            &[
                r#"spec.limits[0].default[cpu]: Invalid value: "1": default value 2 is greater than max value 1"#,
            ],
        );
        check(
            json!({"type": "PersistentVolumeClaim"}),
            &[
                "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
            ],
        );
        check(
            json!({"type": "Pod", "min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "3"}}),
            &[
                r#"spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000"#,
            ],
        );
        check(
            json!({"type": "Container", "max": {"storage": "1"}}),
            &[
                r#"spec.limits[0].max[storage]: Invalid value: "storage": must be a standard resource for containers"#,
                r#"spec.limits[0].default[storage]: Invalid value: "storage": must be a standard resource for containers"#,
                r#"spec.limits[0].defaultRequest[storage]: Invalid value: "storage": must be a standard resource for containers"#,
            ],
        );
    }

    #[test]
    fn rows() {
        let range = json!({"metadata": {"name": "r", "creationTimestamp": "2026-01-01T00:00:00Z"}});
        assert_eq!(cells(&RULES, &range), json!(["r", "2026-01-01T00:00:00Z"]));
    }
}

//! Priority levels: how many requests are served at once, and what happens to the others.

use objects::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

use super::conditions;
use crate::{
    cells, check,
    rules::{AGE, Column, NAME, Rules},
    status,
    value::{Fields, same},
};

/// Most queues.
const QUEUES_MAX: i64 = 10_000_000;
/// Bits of a request's hash that choose its queues.
const HASH_BITS: f64 = 60.0;

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    prepare_create: status::ensure,
    validate,
    validate_status: |new, _, errors| conditions(new, errors),
    columns: &[
        NAME,
        Column::new("Type", "string", "Limited or Exempt.", |o, _| {
            o.part("spec").text("type").into()
        }),
        Column::new(
            "NominalConcurrencyShares",
            "string",
            "Its share of what is served at once.",
            |o, _| limited(o, &[], "nominalConcurrencyShares"),
        ),
        Column::new("Queues", "string", "Queues.", |o, _| queuing(o, "queues")),
        Column::new(
            "HandSize",
            "string",
            "Queues that one flow uses.",
            |o, _| queuing(o, "handSize"),
        ),
        Column::new(
            "QueueLengthLimit",
            "string",
            "Most requests in a queue.",
            |o, _| queuing(o, "queueLengthLimit"),
        ),
        AGE,
    ],
    ..Rules::NONE
};

fn defaults(level: &mut Value) {
    let Some(spec) = level.field_mut("spec") else {
        return;
    };
    if let Some(exempt) = spec.field_mut("exempt") {
        exempt.set_absent("nominalConcurrencyShares", 0);
        exempt.set_absent("lendablePercent", 0);
    }
    if let Some(limited) = spec.field_mut("limited") {
        limited.set_absent("nominalConcurrencyShares", 30);
        limited.set_absent("lendablePercent", 0);
        let response = limited.field_mut("limitResponse");
        if let Some(queuing) = response.and_then(|response| response.field_mut("queuing")) {
            queuing.set_empty("handSize", 8);
            queuing.set_empty("queues", 64);
            queuing.set_empty("queueLengthLimit", 50);
        }
    }
}

fn validate(level: &Value, errors: &mut ErrorList) {
    let (spec, path) = (level.part("spec"), Path::new("spec"));
    let name = level.part("metadata").text("name");
    let kind = spec.text("type");
    if (name == "exempt") != (kind == "Exempt") {
        let message = "type must be 'Exempt' if and only if name is 'exempt'";
        errors.push(FieldError::invalid(&path.child("type"), kind, message));
    }
    let (exempt_path, limited_path) = (path.child("exempt"), path.child("limited"));
    match (kind, spec.field("exempt"), spec.field("limited")) {
        ("Exempt", exempt, limited) => {
            if limited.is_some() {
                let message = "must be nil if the type is not Limited";
                errors.push(FieldError::forbidden(&limited_path, message));
            }
            if let Some(exempt) = exempt {
                shares(exempt, &exempt_path, errors);
            }
        }
        ("Limited", exempt, limited) => {
            if exempt.is_some() {
                let message = "must be nil if the type is Limited";
                errors.push(FieldError::forbidden(&exempt_path, message));
            }
            match limited {
                None => {
                    let message = "must not be empty when type is Limited";
                    errors.push(FieldError::required(&limited_path, message));
                }
                Some(limited) => limits(limited, &limited_path, errors),
            }
        }
        _ => check::one_of(spec, "type", &["Exempt", "Limited"], &path, errors),
    }
    if !is_as_fixed(name, spec) {
        let message = format!("spec of '{name}' must equal the fixed value");
        errors.push(FieldError::invalid(&path, spec.clone(), message));
    }
    conditions(level, errors);
}

fn is_as_fixed(name: &str, spec: &Value) -> bool {
    match name {
        "exempt" => {
            // Its share may be chosen.
            let mut spec = spec.clone();
            spec.remove("exempt");
            same(&spec, &json!({"type": "Exempt"}))
        }
        "catch-all" => {
            let limited = json!({"nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}});
            same(spec, &json!({"type": "Limited", "limited": limited}))
        }
        _ => true,
    }
}

fn shares(level: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let number = |field: &str| level.whole(field);
    if let Some(shares) = number("nominalConcurrencyShares").filter(|shares| *shares < 0) {
        let path = path.child("nominalConcurrencyShares");
        let message = "must be a non-negative integer";
        errors.push(FieldError::invalid(&path, shares, message));
    }
    if let Some(percent) = number("lendablePercent").filter(|p| !(0..=100).contains(p)) {
        let path = path.child("lendablePercent");
        let message = "must be between 0 and 100, inclusive";
        errors.push(FieldError::invalid(&path, percent, message));
    }
}

fn limits(limited: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    shares(limited, path, errors);
    if let Some(percent) = limited.whole("borrowingLimitPercent").filter(|p| *p < 0) {
        let path = path.child("borrowingLimitPercent");
        let message = "if specified, must be a non-negative integer";
        errors.push(FieldError::invalid(&path, percent, message));
    }
    let (response, path) = (limited.part("limitResponse"), path.child("limitResponse"));
    let queuing_path = path.child("queuing");
    match (response.text("type"), response.field("queuing")) {
        ("Reject", None) => {}
        ("Reject", Some(_)) => {
            let message = "must be nil if limited.limitResponse.type is not Limited";
            errors.push(FieldError::forbidden(&queuing_path, message));
        }
        ("Queue", None) => {
            let message = "must not be empty if limited.limitResponse.type is Limited";
            errors.push(FieldError::required(&queuing_path, message));
        }
        ("Queue", Some(queuing)) => queues(queuing, &queuing_path, errors),
        _ => check::one_of(response, "type", &["Queue", "Reject"], &path, errors),
    }
}

fn queues(queuing: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let number = |field: &str| queuing.whole(field).unwrap_or(0);
    let (length, queues, hand) = (
        number("queueLengthLimit"),
        number("queues"),
        number("handSize"),
    );
    let mut wrong = |field: &str, number: i64, message: String| {
        errors.push(FieldError::invalid(&path.child(field), number, message));
    };
    let positive = || "must be positive".to_owned();
    if length <= 0 {
        wrong("queueLengthLimit", length, positive());
    }
    if queues <= 0 {
        wrong("queues", queues, positive());
    } else if queues > QUEUES_MAX {
        let message = format!("must not be greater than {QUEUES_MAX}");
        wrong("queues", queues, message);
    }
    if hand <= 0 {
        wrong("handSize", hand, positive());
    } else if hand > queues {
        let message = format!("should not be greater than queues ({queues})");
        wrong("handSize", hand, message);
    } else if entropy(queues, hand) > HASH_BITS {
        let message = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        );
        wrong("handSize", hand, message);
    }
}

/// Bits that it takes to deal a hand of queues.
fn entropy(queues: i64, hand: i64) -> f64 {
    let float = |number: i64| i32::try_from(number).map_or(f64::INFINITY, f64::from);
    (float(queues).log2() * float(hand)).ceil()
}

fn limited(level: &Value, path: &[&str], field: &str) -> Value {
    let mut value = level.part("spec").part("limited");
    for name in path {
        value = value.part(name);
    }
    if value.is_null() {
        return cells::NONE.into();
    }
    cells::number(value, field)
}

fn queuing(level: &Value, field: &str) -> Value {
    limited(level, &["limitResponse", "queuing"], field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, created, row};

    fn level(name: &str, spec: Value) -> Value {
        json!({"metadata": {"name": name}, "spec": spec})
    }

    #[test]
    fn creates() {
        let check = |name: &str, spec: Value, expect: &[&str]| {
            check_create(&RULES, &level(name, spec), expect);
        };
        check(
            "a",
            json!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}),
            &[],
        );
        check(
            "exempt",
            json!({"type": "Exempt", "exempt": {"lendablePercent": 5}}),
            &[],
        );
        check(
            "catch-all",
            json!({"type": "Limited", "limited": {"nominalConcurrencyShares": 5, "limitResponse": {"type": "Reject"}}}),
            &[],
        );
        check(
            "catch-all",
            json!({"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}),
            &["spec: Invalid value: {"],
        );
        check(
            "a",
            json!({"type": "Exempt", "limited": {}}),
            &[
                "spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'",
                "spec.limited: Forbidden: must be nil if the type is not Limited",
            ],
        );
        check(
            "a",
            json!({"type": "x"}),
            &["spec.type: Unsupported value: \"x\": supported values: \"Exempt\", \"Limited\""],
        );
        check(
            "a",
            json!({"type": "Limited", "exempt": {}}),
            &[
                "spec.exempt: Forbidden: must be nil if the type is Limited",
                "spec.limited: Required value: must not be empty when type is Limited",
            ],
        );
        check(
            "a",
            json!({"type": "Limited", "limited": {"nominalConcurrencyShares": -1, "lendablePercent": 101, "borrowingLimitPercent": -1,
                "limitResponse": {"type": "Queue", "queuing": {"queues": 5, "handSize": 6, "queueLengthLimit": -1}}}}),
            &[
                "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
                "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
                "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer",
                "spec.limited.limitResponse.queuing.handSize: Invalid value: 6: should not be greater than queues (5)",
                "spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: -1: must be positive",
            ],
        );
        check(
            "a",
            json!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {"queues": 512, "handSize": 8}}}}),
            &[
                "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of deckSize 512 and handSize 8 should not be greater than 60",
            ],
        );
    }

    #[test]
    fn rows() {
        let limited = json!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}});
        let cells = row(&RULES, &created(&RULES, &level("a", limited)), 0);
        assert_eq!(
            Value::from(cells),
            json!(["a", "Limited", 30, 64, 8, 50, "<unknown>"])
        );
        let cells = row(&RULES, &level("exempt", json!({"type": "Exempt"})), 0);
        let expect = json!([
            "exempt",
            "Exempt",
            "<none>",
            "<none>",
            "<none>",
            "<none>",
            "<unknown>"
        ]);
        assert_eq!(Value::from(cells), expect);
    }
}

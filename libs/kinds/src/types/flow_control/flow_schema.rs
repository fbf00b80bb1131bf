//! Flow schemas: which requests have which priority.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::{Value, json};

use super::{conditions, policy_rule};
use crate::{
    cells,
    rules::{AGE, Column, NAME, Rules},
    status,
    value::{Fields, same},
};

/// The highest precedence, which is looked at last.
const PRECEDENCE_MAX: i64 = 10_000;

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    prepare_create: status::ensure,
    validate,
    validate_status: |new, _, errors| conditions(new, errors),
    columns: &[
        NAME,
        Column::new(
            "PriorityLevel",
            "string",
            "Where its requests wait.",
            |o, _| {
                o.part("spec")
                    .part("priorityLevelConfiguration")
                    .text("name")
                    .into()
            },
        ),
        Column::new(
            "MatchingPrecedence",
            "string",
            "Its place among the others.",
            |o, _| cells::number(o.part("spec"), "matchingPrecedence"),
        ),
        Column::new(
            "DistinguisherMethod",
            "string",
            "What makes flows of its requests.",
            |o, _| match o.part("spec").field("distinguisherMethod") {
                Some(method) => method.text("type").into(),
                None => cells::NONE.into(),
            },
        ),
        AGE,
        Column::new(
            "MissingPL",
            "string",
            "Whether its priority level is not there.",
            missing,
        ),
    ],
    ..Rules::NONE
};

fn defaults(schema: &mut Value) {
    if let Some(spec) = schema.object_mut("spec") {
        spec.set_empty("matchingPrecedence", 1000);
    }
}

fn validate(schema: &Value, errors: &mut ErrorList) {
    let (spec, path) = (schema.part("spec"), Path::new("spec"));
    let name = schema.part("metadata").text("name");
    precedence(spec, name, &path, errors);
    if let Some(method) = spec.field("distinguisherMethod") {
        let known = ["ByNamespace", "ByUser"];
        if !known.contains(&method.text("type")) {
            let path = path.child("distinguisherMethod");
            let path = path.child("type");
            errors.push(FieldError::not_supported(&path, method.clone(), &known));
        }
    }
    let level = spec.part("priorityLevelConfiguration").text("name");
    let level_path = path.child("priorityLevelConfiguration");
    let level_path = level_path.child("name");
    if level.is_empty() {
        let message = "must reference a priority level";
        errors.push(FieldError::required(&level_path, message));
    } else {
        errors.push_invalid(&level_path, level, names::dns1123_subdomain(level));
    }
    let rules_path = path.child("rules");
    for (index, rule) in spec.items("rules").iter().enumerate() {
        policy_rule::validate(rule, &rules_path.index(index), errors);
    }
    if let Some(mandatory) = mandatory(name)
        && !same(spec, &mandatory)
    {
        let message = format!("spec of '{name}' must equal the fixed value");
        errors.push(FieldError::invalid(&path, spec.clone(), message));
    }
    conditions(schema, errors);
}

fn precedence(spec: &Value, name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let precedence = spec.whole("matchingPrecedence").unwrap_or(0);
    let mut wrong = |message: String| {
        let path = path.child("matchingPrecedence");
        errors.push(FieldError::invalid(&path, precedence, message));
    };
    if precedence <= 0 {
        wrong("must be a positive value".to_owned());
    }
    if precedence > PRECEDENCE_MAX {
        wrong(format!("must not be greater than {PRECEDENCE_MAX}"));
    }
    if precedence == 1 && name != "exempt" {
        wrong("only the schema named 'exempt' may have matchingPrecedence 1".to_owned());
    }
}

/// Specs that are always the same.
fn mandatory(name: &str) -> Option<Value> {
    let group = |name: &str| json!({"kind": "Group", "group": {"name": name}});
    let everything = |subjects: Value| {
        json!([{"subjects": subjects, "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}]}])
    };
    match name {
        "exempt" => Some(
            json!({"matchingPrecedence": 1, "priorityLevelConfiguration": {"name": "exempt"},
            "rules": everything(json!([group("system:masters")]))}),
        ),
        "catch-all" => Some(
            json!({"matchingPrecedence": PRECEDENCE_MAX, "priorityLevelConfiguration": {"name": "catch-all"},
            "distinguisherMethod": {"type": "ByUser"},
            "rules": everything(json!([group("system:unauthenticated"), group("system:authenticated")]))}),
        ),
        _ => None,
    }
}

fn missing(schema: &Value, _: i64) -> Value {
    let mut conditions = schema.part("status").items("conditions").iter();
    let dangling = conditions.find(|condition| condition.text("type") == "Dangling");
    dangling
        .map_or("?", |condition| condition.text("status"))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_status, created, row};

    fn schema(name: &str, spec: Value) -> Value {
        let mut object = json!({"metadata": {"name": name}, "spec": {"priorityLevelConfiguration": {"name": "l"}}});
        for (field, value) in spec.as_object().expect("fields") {
            object["spec"].set(field, value.clone());
        }
        object
    }

    #[test]
    fn creates() {
        let check = |spec: Value, expect: &[&str]| {
            check_create(&RULES, &schema("s", spec), expect);
        };
        check(json!({}), &[]);
        let spec = created(&RULES, &schema("s", json!({})))
            .part("spec")
            .clone();
        assert_eq!(spec.whole("matchingPrecedence"), Some(1000));
        check(
            json!({"matchingPrecedence": 1, "distinguisherMethod": {"type": "x"}, "priorityLevelConfiguration": {}}),
            &[
                "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
                "spec.distinguisherMethod.type: Unsupported value: {\"type\":\"x\"}: supported values: \"ByNamespace\", \"ByUser\"",
                "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
            ],
        );
        check(
            json!({"matchingPrecedence": 10_001}),
            &["spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000"],
        );
        let exempt = mandatory("exempt").expect("there");
        check_create(&RULES, &schema("exempt", exempt.clone()), &[]);
        check_create(
            &RULES,
            &schema("catch-all", exempt),
            &[
                "spec.matchingPrecedence: Invalid value: 1: only",
                "spec: Invalid value: {",
            ],
        );
        let all = mandatory("catch-all").expect("there");
        check_create(&RULES, &schema("catch-all", all), &[]);
    }

    #[test]
    fn rules() {
        let check = |rule: Value, expect: &[&str]| {
            check_create(&RULES, &schema("s", json!({"rules": [rule]})), expect);
        };
        check(
            json!({}),
            &[
                "spec.rules[0].subjects: Required value: subjects must contain at least one value",
                "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules",
            ],
        );
        check(
            json!({"subjects": [{"kind": "x"}, {"kind": "User", "group": {}}, {"kind": "ServiceAccount", "serviceAccount": {"name": "-"}}],
                "resourceRules": [{"verbs": ["get", "x"], "apiGroups": ["*", "a"], "namespaces": ["-"]}, {"verbs": ["*"], "apiGroups": [""], "resources": ["r"]}],
                "nonResourceRules": [{"verbs": ["*", "get"], "nonResourceURLs": ["/", "a", "/a b", "/a//b", "/*/b", "/b/*"]}]}),
            &[
                "spec.rules[0].subjects[0].kind: Unsupported value: \"x\": supported values: \"Group\", \"ServiceAccount\", \"User\"",
                "spec.rules[0].subjects[1].user: Required value: user is required when subject kind is 'User'",
                "spec.rules[0].subjects[1].group: Forbidden: group is forbidden when subject kind is not 'Group'",
                "spec.rules[0].subjects[2].serviceAccount.name: Invalid value: \"-\"",
                "spec.rules[0].subjects[2].serviceAccount.namespace: Required value: must specify namespace for service account",
                "spec.rules[0].resourceRules[0].verbs: Unsupported value: [\"get\",\"x\"]: supported values: \"create\"",
                "spec.rules[0].resourceRules[0].apiGroups: Invalid value: [\"*\",\"a\"]: if '*' is present, must not specify other api groups",
                "spec.rules[0].resourceRules[0].resources: Required value: resource rules must supply at least one resource",
                "spec.rules[0].resourceRules[0].namespaces[0]: Invalid value: \"-\": each member of this list must be '*' or a DNS-1123 label; ",
                "spec.rules[0].resourceRules[1].namespaces: Required value: resource rules that are not cluster scoped",
                "spec.rules[0].nonResourceRules[0].verbs: Invalid value: [\"*\",\"get\"]: if '*' is present, must not specify other verbs",
                "spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: \"a\": must start with slash",
                "spec.rules[0].nonResourceRules[0].nonResourceURLs[2]: Invalid value: \"/a b\": must not contain white-space",
                "spec.rules[0].nonResourceRules[0].nonResourceURLs[3]: Invalid value: \"/a//b\": must not contain double slash",
                "spec.rules[0].nonResourceRules[0].nonResourceURLs[4]: Invalid value: \"/*/b\": wildcard can only do suffix matching",
            ],
        );
    }

    #[test]
    fn statuses_and_rows() {
        let conditions = json!([{"type": "Dangling", "status": "False"}, {"type": "Dangling"}, {}]);
        let status = json!({"status": {"conditions": conditions}});
        check_status(
            &RULES,
            &json!({}),
            &status,
            &[
                "status.conditions[1].type: Duplicate value: \"Dangling\"",
                "status.conditions[2].type: Required value: must not be empty",
            ],
        );
        let mut object = created(&RULES, &schema("s", json!({})));
        object["status"] = status["status"].clone();
        let expect = json!(["s", "l", 1000, "<none>", "<unknown>", "False"]);
        assert_eq!(Value::from(row(&RULES, &object, 0)), expect);
    }
}

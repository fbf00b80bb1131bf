//! Roles in all namespaces, and out of them.

use objects::field::{ErrorList, FieldError, Path};
use objects::metadata::NameRule;
use objects::selector::{LabelSelector, SelectorOptions, validate_label_selector};
use serde_json::Value;

use super::rule;
use crate::{
    rules::{CREATED_AT, NAME, Rules},
    value::Fields,
};

/// What is this type's own.
pub const RULES: Rules = Rules {
    validate,
    name: NameRule::PathSegment,
    columns: &[NAME, CREATED_AT],
    ..Rules::NONE
};

fn validate(role: &Value, errors: &mut ErrorList) {
    rule::validate(role, false, errors);
    let Some(aggregation) = role.field("aggregationRule") else {
        return;
    };
    let path = Path::new("aggregationRule");
    let path = path.child("clusterRoleSelectors");
    let selectors = aggregation.items("clusterRoleSelectors");
    if selectors.is_empty() {
        let message = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(FieldError::required(&path, message));
    }
    for (index, selector) in selectors.iter().enumerate() {
        let path = path.index(index);
        let options = SelectorOptions::default();
        errors.extend(validate_label_selector(selector, options, &path));
        if LabelSelector::from_object(Some(selector)).is_err() {
            let message = "invalid label selector.";
            errors.push(FieldError::invalid(&path, selector.clone(), message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, row};
    use serde_json::json;

    #[test]
    fn writes() {
        let rules = json!([{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}]);
        let selectors = json!([{"matchLabels": {"a": "b"}}]);
        let role = json!({"metadata": {"name": "r", "creationTimestamp": "2026-11-30T00:00:00Z"}, "rules": rules,
            "aggregationRule": {"clusterRoleSelectors": selectors}});
        check_create(&RULES, &role, &[]);
        let expect = json!(["r", "2026-11-30T00:00:00Z"]);
        assert_eq!(Value::from(row(&RULES, &role, 0)), expect);
        check_create(
            &RULES,
            &json!({"aggregationRule": {}}),
            &[
                "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required",
            ],
        );
        check_create(
            &RULES,
            &json!({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"-": "b"}}]}}),
            &[
                "aggregationRule.clusterRoleSelectors[0].matchLabels: Invalid value: \"-\"",
                "aggregationRule.clusterRoleSelectors[0]: Invalid value: {\"matchLabels\":{\"-\":\"b\"}}: invalid label selector.",
            ],
        );
    }
}

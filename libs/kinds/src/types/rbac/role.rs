//! Roles in a namespace.

use super::rule;
use crate::rules::{CREATED_AT, NAME, Rules};
use objects::metadata::NameRule;

/// What is this type's own.
pub const RULES: Rules = Rules {
    validate: |role, errors| rule::validate(role, true, errors),
    name: NameRule::PathSegment,
    columns: &[NAME, CREATED_AT],
    ..Rules::NONE
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_create;
    use serde_json::json;

    #[test]
    fn writes() {
        let rule = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
        check_create(&RULES, &json!({"rules": [rule]}), &[]);
        check_create(
            &RULES,
            &json!({"rules": [{}, {"verbs": ["get"], "nonResourceURLs": ["/x"], "resources": ["pods"]}]}),
            &[
                "rules[0].verbs: Required value: verbs must contain at least one value",
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[0].resources: Required value: resource rules must supply at least one resource",
                "rules[1].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
                "rules[1].nonResourceURLs: Invalid value: [\"/x\"]: rules cannot apply to both regular resources and non-resource URLs",
            ],
        );
    }
}

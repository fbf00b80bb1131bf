//! Who has a role everywhere.

use super::binding;
use crate::rules::Rules;

/// What is this type's own.
pub const RULES: Rules = Rules {
    validate: |object, errors| binding::validate(object, &["ClusterRole"], false, errors),
    ..binding::RULES
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_create;
    use serde_json::json;

    #[test]
    fn writes() {
        let subjects = json!([{"kind": "ServiceAccount", "name": "s"}]);
        check_create(
            &RULES,
            &json!({"roleRef": {"kind": "Role", "name": "a%b"}, "subjects": subjects}),
            &[
                "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
                "roleRef.name: Invalid value: \"a%b\": may not contain '%'",
                "subjects[0].namespace: Required value",
            ],
        );
    }
}

//! Bindings: a pod is given a node.

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use crate::{rules::Rules, value::Fields};

/// What is this type's own.
pub const RULES: Rules = Rules {
    validate,
    ..Rules::NONE
};

fn validate(binding: &Value, errors: &mut ErrorList) {
    let (target, path) = (binding.part("target"), Path::new("target"));
    let kind = target.text("kind");
    if !matches!(kind, "" | "Node") {
        errors.push(FieldError::not_supported(
            &path.child("kind"),
            kind,
            &["Node", "<empty>"],
        ));
    }
    if target.text("name").is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_create;
    use serde_json::json;

    #[test]
    fn mistakes() {
        check_create(
            &RULES,
            &json!({"target": {"kind": "Node", "name": "n"}}),
            &[],
        );
        check_create(
            &RULES,
            &json!({"target": {"kind": "Pod"}}),
            &[
                r#"target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>""#,
                "target.name: Required value",
            ],
        );
    }
}

//! Who has a role in a namespace.

use super::binding;
use crate::rules::Rules;

/// What is this type's own.
pub const RULES: Rules = Rules {
    validate: |object, errors| binding::validate(object, &["Role", "ClusterRole"], true, errors),
    ..binding::RULES
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_update, created, row};
    use serde_json::{Value, json};

    #[test]
    fn writes() {
        let binding = json!({"metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": "r"}, "subjects": [
            {"kind": "User", "name": "u"}, {"kind": "Group", "name": "g"}, {"kind": "Group", "name": "h"},
            {"kind": "ServiceAccount", "name": "s", "namespace": "n"}]});
        check_create(&RULES, &binding, &[]);
        let created = created(&RULES, &binding);
        assert_eq!(created["roleRef"]["apiGroup"], "rbac.authorization.k8s.io");
        assert_eq!(
            created["subjects"][0]["apiGroup"],
            "rbac.authorization.k8s.io"
        );
        assert_eq!(created["subjects"][3].get("apiGroup"), None);
        let expect = json!(["b", "Role/r", "<unknown>", "u", "g, h", "n/s"]);
        assert_eq!(Value::from(row(&RULES, &created, 0)), expect);
        let mut other = binding.clone();
        other["roleRef"]["name"] = json!("q");
        let expect = ["roleRef: Invalid value: {"];
        check_update(&RULES, &binding, &other, &expect);
    }

    #[test]
    fn mistakes() {
        check_create(
            &RULES,
            &json!({"roleRef": {"apiGroup": "x", "kind": "y"}, "subjects": [
                {"kind": "User", "apiGroup": "x"}, {"kind": "ServiceAccount", "name": "-", "apiGroup": "x"}, {"kind": "x", "name": "n"}]}),
            &[
                "roleRef.apiGroup: Unsupported value: \"x\": supported values: \"rbac.authorization.k8s.io\"",
                "roleRef.kind: Unsupported value: \"y\": supported values: \"Role\", \"ClusterRole\"",
                "roleRef.name: Required value",
                "subjects[0].name: Required value",
                "subjects[0].apiGroup: Unsupported value: \"x\"",
                "subjects[1].name: Invalid value: \"-\"",
                "subjects[1].apiGroup: Unsupported value: \"x\": supported values: \"\"",
                "subjects[2].kind: Unsupported value: \"x\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
            ],
        );
    }
}

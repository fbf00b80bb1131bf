//! Service accounts.

use objects::field::Path;
use serde_json::{Value, json};

use crate::{
    rules::{AGE, Column, NAME, Rules},
    value::Fields,
};

const MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

/// What is this type's own.
pub const RULES: Rules = Rules {
    prepare_create: names_of_secrets,
    prepare_update: |account, _| names_of_secrets(account),
    warnings: |new, old| {
        let annotated =
            |account: &Value| account.part("metadata").part("annotations").has(MOUNTABLE);
        if !annotated(new) || old.is_some_and(annotated) {
            return Vec::new();
        }
        let metadata = Path::new("metadata");
        let path = metadata.child("annotations");
        let path = path.key(MOUNTABLE);
        vec![format!(
            "{path}: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        )]
    },
    columns: &[
        NAME,
        Column::new(
            "Secrets",
            "string",
            "How many secrets its pods may use.",
            |account, _| account.items("secrets").len().into(),
        ),
        AGE,
    ],
    ..Rules::NONE
};

/// Of secrets the name alone is kept.
fn names_of_secrets(account: &mut Value) {
    for secret in account.items_mut("secrets") {
        *secret = json!({"name": secret.text("name")});
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, created};

    #[test]
    fn secrets_are_names() {
        let made = created(
            &RULES,
            &json!({"metadata": {"name": "a"}, "secrets": [{"name": "s", "kind": "Secret"}]}),
        );
        assert_eq!(made["secrets"], json!([{"name": "s"}]));
        assert_eq!(cells(&RULES, &made), json!(["a", 1, "<unknown>"]));
    }
}

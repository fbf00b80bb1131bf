//! Namespaces.

use objects::field::{ErrorList, FieldError, Path};
use objects::metadata::NameRule;
use serde_json::{Value, json};

use crate::{
    check::value::qualified,
    rules::{AGE, Column, NAME, Rules, Selectable},
    value::Fields,
};

/// The label that every namespace has, for selectors.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// What the namespace controller takes away when all in a namespace is gone.
const FINALIZER: &str = "kubernetes";

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    prepare_create: |namespace| {
        namespace.set("status", json!({"phase": "Active"}));
        label(namespace);
        finalizer(namespace);
    },
    prepare_update: |new, old| {
        if let Some(spec) = new.object_mut("spec") {
            spec.copy_from(old.part("spec"), "finalizers");
        }
    },
    validate: |namespace, errors| {
        let spec = Path::new("spec");
        let path = spec.child("finalizers");
        for name in namespace.part("spec").texts("finalizers") {
            finalizer_name(name, &path, errors);
        }
    },
    validate_status,
    name: NameRule::Label,
    columns: &[
        NAME,
        Column::new(
            "Status",
            "string",
            "Whether it is going.",
            |namespace, _| namespace.part("status").text("phase").into(),
        ),
        AGE,
    ],
    selectable: &[Selectable::new("status.phase")],
    ..Rules::NONE
};

fn defaults(namespace: &mut Value) {
    label(namespace);
    if let Some(status) = namespace.object_mut("status") {
        status.set_empty("phase", "Active");
    }
}

fn label(namespace: &mut Value) {
    let name = namespace.part("metadata").text("name").to_owned();
    if name.is_empty() {
        return;
    }
    let metadata = namespace.field_mut("metadata");
    if let Some(labels) = metadata.and_then(|metadata| metadata.object_mut("labels")) {
        labels.set(NAME_LABEL, name);
    }
}

fn finalizer(namespace: &mut Value) {
    let Some(spec) = namespace.object_mut("spec") else {
        return;
    };
    let mut finalizers = spec.items("finalizers").to_vec();
    if !finalizers.iter().any(|name| name == FINALIZER) {
        finalizers.push(FINALIZER.into());
        spec.set("finalizers", finalizers);
    }
}

fn finalizer_name(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    qualified(name, path, errors);
    let standard = matches!(name, "kubernetes" | "orphan" | "foregroundDeletion");
    if !name.contains('/') && !standard {
        let message = "name is neither a standard finalizer name nor is it fully qualified";
        errors.push(FieldError::invalid(path, name, message));
    }
}

/// Leaves of an update what belongs to the subresource `finalize`: the spec's finalizers.
pub fn prepare_finalize(new: &mut Value, old: &Value) {
    new.copy_from(old, "status");
}

/// Mistakes in an update of the subresource `finalize`.
pub fn validate_finalize(new: &Value, errors: &mut ErrorList) {
    let spec = Path::new("spec");
    let path = spec.child("finalizers");
    for (index, name) in new.part("spec").texts("finalizers").enumerate() {
        finalizer_name(name, &path.index(index), errors);
    }
}

fn validate_status(namespace: &Value, _: &Value, errors: &mut ErrorList) {
    let phase = namespace.part("status").text("phase");
    let going = namespace.part("metadata").has("deletionTimestamp");
    let (expect, message) = if going {
        (
            "Terminating",
            "may only be 'Terminating' if `deletionTimestamp` is not empty",
        )
    } else {
        (
            "Active",
            "may only be 'Active' if `deletionTimestamp` is empty",
        )
    };
    if phase != expect {
        // Upstream's spelling.
        let status = Path::new("status");
        errors.push(FieldError::invalid(&status.child("Phase"), phase, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, cells, created};

    #[test]
    fn what_is_not_said_is_filled_in() {
        let made = created(&RULES, &json!({"metadata": {"name": "n"}}));
        assert_eq!(
            made,
            json!({
                "metadata": {"name": "n", "labels": {"kubernetes.io/metadata.name": "n"}},
                "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
            })
        );
        let made = created(
            &RULES,
            &json!({"metadata": {"name": "n"}, "spec": {"finalizers": ["a.b/c"]}}),
        );
        assert_eq!(made["spec"]["finalizers"], json!(["a.b/c", "kubernetes"]));
        assert_eq!(cells(&RULES, &made), json!(["n", "Active", "<unknown>"]));
    }

    #[test]
    fn mistakes() {
        testing::check_create(
            &RULES,
            &json!({"spec": {"finalizers": ["mine"]}}),
            &[
                r#"spec.finalizers: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified"#,
            ],
        );
        let check = |metadata: Value, phase: &str, expect: &[&str]| {
            let new = json!({"metadata": metadata, "status": {"phase": phase}});
            testing::check_status(&RULES, &json!({}), &new, expect);
        };
        check(json!({}), "Active", &[]);
        check(
            json!({}),
            "Terminating",
            &[
                r#"status.Phase: Invalid value: "Terminating": may only be 'Active' if `deletionTimestamp` is empty"#,
            ],
        );
        check(json!({"deletionTimestamp": "x"}), "Terminating", &[]);
    }
}

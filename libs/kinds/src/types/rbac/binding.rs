//! Who has a role: what bindings in a namespace and cluster-wide ones share.

use objects::field::{ErrorList, FieldError, Path};
use objects::metadata::NameRule;
use objects::names;
use serde_json::Value;

use super::GROUP;
use crate::{
    check,
    rules::{AGE, Column, NAME, Rules},
    value::{Fields, same},
};

/// What both types of binding have.
pub(super) const RULES: Rules = Rules {
    defaults,
    validate_update,
    name: NameRule::PathSegment,
    columns: &[
        NAME,
        Column::new("Role", "string", "The role that is bound.", |o, _| {
            let role = o.part("roleRef");
            format!("{}/{}", role.text("kind"), role.text("name")).into()
        }),
        AGE,
        Column::new("Users", "string", "Users that have it.", |o, _| {
            subjects(o, "User")
        })
        .wide(),
        Column::new("Groups", "string", "Groups that have it.", |o, _| {
            subjects(o, "Group")
        })
        .wide(),
        Column::new(
            "ServiceAccounts",
            "string",
            "Service accounts that have it.",
            |o, _| subjects(o, "ServiceAccount"),
        )
        .wide(),
    ],
    ..Rules::NONE
};

fn defaults(binding: &mut Value) {
    if let Some(role) = binding.field_mut("roleRef") {
        role.set_empty("apiGroup", GROUP);
    }
    for subject in binding.items_mut("subjects") {
        if matches!(subject.text("kind"), "User" | "Group") {
            subject.set_empty("apiGroup", GROUP);
        }
    }
}

/// Mistakes in a binding to a role of these kinds.
pub(super) fn validate(
    binding: &Value,
    kinds: &[&str],
    is_namespaced: bool,
    errors: &mut ErrorList,
) {
    let (role, path) = (binding.part("roleRef"), Path::new("roleRef"));
    check::one_of(role, "apiGroup", &[GROUP], &path, errors);
    check::one_of(role, "kind", kinds, &path, errors);
    check::required_text(role, "name", names::path_segment_name, &path, errors);
    let path = Path::new("subjects");
    for (index, one) in binding.items("subjects").iter().enumerate() {
        subject(one, is_namespaced, &path.index(index), errors);
    }
}

fn subject(subject: &Value, is_namespaced: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let name = subject.text("name");
    let name_path = path.child("name");
    if name.is_empty() {
        errors.push(FieldError::required(&name_path, ""));
    }
    match subject.text("kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                errors.push_invalid(&name_path, name, names::dns1123_subdomain(name));
            }
            check::one_of(subject, "apiGroup", &[""], path, errors);
            if !is_namespaced && subject.text("namespace").is_empty() {
                errors.push(FieldError::required(&path.child("namespace"), ""));
            }
        }
        "User" | "Group" => check::one_of(subject, "apiGroup", &[GROUP], path, errors),
        _ => {
            let known = ["ServiceAccount", "User", "Group"];
            check::one_of(subject, "kind", &known, path, errors);
        }
    }
}

fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    if !same(new.part("roleRef"), old.part("roleRef")) {
        let shown = check::shown(new, "roleRef");
        let path = Path::new("roleRef");
        errors.push(FieldError::invalid(&path, shown, "cannot change roleRef"));
    }
}

fn subjects(binding: &Value, kind: &str) -> Value {
    let subjects = binding.items("subjects").iter();
    let subjects = subjects.filter(|subject| subject.text("kind") == kind);
    let texts: Vec<String> = subjects
        .map(|subject| match kind {
            "ServiceAccount" => format!("{}/{}", subject.text("namespace"), subject.text("name")),
            _ => subject.text("name").to_owned(),
        })
        .collect();
    texts.join(", ").into()
}

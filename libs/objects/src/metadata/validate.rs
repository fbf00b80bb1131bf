//! The whole of `metadata`, at creation and at a change.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fields::{
    validate_annotations, validate_finalizers, validate_labels, validate_managed_fields,
    validate_owner_references,
};
use super::{Metadata, NameRule};
use crate::field::{ErrorList, FieldError, Path};
use crate::go::quote_all;
use crate::names;

/// Of a field that may not change.
pub const IMMUTABLE: &str = "field is immutable";

/// Whether objects of a kind are in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Each is in one.
    Namespaced,
    /// None is.
    Cluster,
}

/// What is wrong with the metadata of an object that is created. A name that is generated has been.
#[must_use]
pub fn validate_create(object: &Value, scope: Scope, rule: NameRule, path: &Path<'_>) -> ErrorList {
    let metadata = Metadata::of(object);
    let mut errors = ErrorList::default();
    let (name, prefix) = (metadata.name(), metadata.generate_name());
    if !prefix.is_empty() {
        errors.push_invalid(
            &path.child("generateName"),
            prefix,
            rule.check(prefix, true),
        );
    }
    let name_path = path.child("name");
    if name.is_empty() {
        let message = "name or generateName is required";
        errors.push(FieldError::required(&name_path, message));
    } else {
        errors.push_invalid(&name_path, name, rule.check(name, false));
    }
    let namespace_path = path.child("namespace");
    match (scope, metadata.namespace()) {
        (Scope::Namespaced, "") => errors.push(FieldError::required(&namespace_path, "")),
        (Scope::Namespaced, namespace) => {
            let wrong = names::dns1123_label(namespace);
            errors.push_invalid(&namespace_path, namespace, wrong);
        }
        (Scope::Cluster, "") => {}
        (Scope::Cluster, _) => {
            errors.push(FieldError::forbidden(
                &namespace_path,
                "not allowed on this type",
            ));
        }
    }
    if metadata.generation() < 0 {
        let path = path.child("generation");
        let message = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path, metadata.generation(), message));
    }
    validate_common(&mut errors, metadata, path);
    let finalizers = path.child("finalizers");
    errors.extend(validate_finalizers(metadata.finalizers(), &finalizers));
    let managed = path.child("managedFields");
    errors.extend(validate_managed_fields(metadata.managed_fields(), &managed));
    errors
}

/// What is wrong with the metadata of an object that is changed, after [`carry_over`](super::carry_over).
#[must_use]
pub fn validate_update(object: &Value, old: &Value, path: &Path<'_>) -> ErrorList {
    let (new, old) = (Metadata::of(object), Metadata::of(old));
    let mut errors = ErrorList::default();
    if old.deletion_timestamp().is_some() {
        let known: BTreeSet<&str> = old.finalizers().collect();
        let added: BTreeSet<&str> = new.finalizers().filter(|f| !known.contains(f)).collect();
        if !added.is_empty() {
            let message = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                quote_all(added)
            );
            errors.push(FieldError::forbidden(&path.child("finalizers"), message));
        }
    }
    if new.resource_version().is_empty() {
        let path = path.child("resourceVersion");
        errors.push(FieldError::invalid(
            &path,
            "",
            "must be specified for an update",
        ));
    }
    if new.generation() < old.generation() {
        let path = path.child("generation");
        let message = "must not be decremented";
        errors.push(FieldError::invalid(&path, new.generation(), message));
    }
    let texts = [
        ("name", new.name(), old.name()),
        ("namespace", new.namespace(), old.namespace()),
        ("uid", new.uid(), old.uid()),
    ];
    for (name, new, old) in texts {
        if new != old {
            errors.push(FieldError::invalid(&path.child(name), new, IMMUTABLE));
        }
    }
    for name in [
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        let path = path.child(name);
        errors.extend(check_immutable(new.get(name), old.get(name), &path));
    }
    validate_common(&mut errors, new, path);
    let managed = path.child("managedFields");
    errors.extend(validate_managed_fields(new.managed_fields(), &managed));
    errors
}

/// What is wrong when a value is not as it was; absence is null.
#[must_use]
pub fn check_immutable(
    new: Option<&Value>,
    old: Option<&Value>,
    path: &Path<'_>,
) -> Option<FieldError> {
    let new = new.unwrap_or(&Value::Null);
    let changed = new != old.unwrap_or(&Value::Null);
    changed.then(|| FieldError::invalid(path, new.clone(), IMMUTABLE))
}

fn validate_common(errors: &mut ErrorList, metadata: Metadata<'_>, path: &Path<'_>) {
    errors.extend(validate_labels(metadata.labels(), &path.child("labels")));
    let annotations = path.child("annotations");
    errors.extend(validate_annotations(metadata.annotations(), &annotations));
    let owners = path.child("ownerReferences");
    errors.extend(validate_owner_references(
        metadata.owner_references(),
        &owners,
    ));
}

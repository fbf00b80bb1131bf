//! Rules of single fields of `metadata`, which other fields of the same form share.

use serde_json::{Map, Value};

use crate::field::{ErrorList, FieldError, Path};
use crate::go::{is_print, quote};
use crate::names;

/// Most bytes of all annotations, keys and values together.
pub const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

/// Most bytes of a field manager's name.
pub const MANAGER_BYTES_MAX: usize = 128;

/// Most bytes of a subresource's name among the managed fields.
pub const SUBRESOURCE_BYTES_MAX: usize = 256;

/// The finalizer that leaves dependents alone.
const ORPHAN: &str = "orphan";
/// The finalizer that waits for dependents to go.
const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of namespaces.
const KUBERNETES: &str = "kubernetes";

/// Keys and values of labels.
#[must_use]
pub fn validate_labels(labels: Option<&Map<String, Value>>, path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::default();
    for (key, value) in labels.into_iter().flatten() {
        errors.push_invalid(path, key, names::qualified_name(key));
        let value = value.as_str().unwrap_or_default();
        errors.push_invalid(path, value, names::label_value(value));
    }
    errors
}

/// Keys of annotations, in which capitals do not count, and the size of all.
#[must_use]
pub fn validate_annotations(
    annotations: Option<&Map<String, Value>>,
    path: &Path<'_>,
) -> ErrorList {
    let mut errors = ErrorList::default();
    let mut bytes = 0;
    for (key, value) in annotations.into_iter().flatten() {
        errors.push_invalid(path, key, names::qualified_name(&key.to_lowercase()));
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        errors.push(FieldError::too_long(path, ANNOTATIONS_BYTES_MAX));
    }
    errors
}

/// Owners have all that identifies them, and one at most is the controller.
#[must_use]
pub fn validate_owner_references(owners: &[Value], path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::default();
    let mut controller: Option<String> = None;
    for owner in owners {
        let text = |name: &str| owner.get(name).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        if version_of(version).is_empty() {
            let path = path.child("apiVersion");
            errors.push(FieldError::invalid(
                &path,
                version,
                "version must not be empty",
            ));
        }
        for name in ["kind", "name", "uid"] {
            if text(name).is_empty() {
                errors.push(FieldError::invalid(
                    &path.child(name),
                    "",
                    "must not be empty",
                ));
            }
        }
        if (version, kind) == ("v1", "Event") {
            let message = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid(path, owner.clone(), message));
        }
        if owner.get("controller") == Some(&Value::Bool(true)) {
            let this = format!("{kind}/{}", text("name"));
            match &controller {
                Some(first) => {
                    let message = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                    );
                    errors.push(FieldError::invalid(path, Value::from(owners), message));
                }
                None => controller = Some(this),
            }
        }
    }
    errors
}

/// The version in `group/version`; empty where there is none.
fn version_of(text: &str) -> &str {
    match text.split_once('/') {
        None => text,
        Some((_, version)) if version.contains('/') => "",
        Some((_, version)) => version,
    }
}

/// Finalizers are qualified names, and the garbage collector's two do not go together.
pub fn validate_finalizers<'a>(
    finalizers: impl IntoIterator<Item = &'a str>,
    path: &Path<'_>,
) -> ErrorList {
    let mut errors = ErrorList::default();
    let finalizers: Vec<&str> = finalizers.into_iter().collect();
    for finalizer in &finalizers {
        errors.push_invalid(path, finalizer, names::qualified_name(finalizer));
    }
    if finalizers.contains(&ORPHAN) && finalizers.contains(&FOREGROUND) {
        let message = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
        errors.push(FieldError::invalid(path, Value::from(finalizers), message));
    }
    errors
}

/// Kinds of the core group also ask that a finalizer has a prefix, or is one of Kubernetes' own.
pub fn validate_builtin_finalizers<'a>(
    finalizers: impl IntoIterator<Item = &'a str>,
    path: &Path<'_>,
) -> ErrorList {
    let wrong = |(index, finalizer): (usize, &str)| {
        let message = "name is neither a standard finalizer name nor is it fully qualified";
        is_bare(finalizer).then(|| FieldError::invalid(&path.index(index), finalizer, message))
    };
    finalizers
        .into_iter()
        .enumerate()
        .filter_map(wrong)
        .collect()
}

/// What to warn of in the finalizers of custom resources.
pub fn finalizer_warnings<'a>(
    finalizers: impl IntoIterator<Item = &'a str>,
    path: &Path<'_>,
) -> Vec<String> {
    let warning = |finalizer| {
        format!(
            "{path}: {}: prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers",
            quote(finalizer)
        )
    };
    let bare = finalizers.into_iter().filter(|f| is_bare(f));
    bare.map(warning).collect()
}

fn is_bare(finalizer: &str) -> bool {
    !finalizer.contains('/') && ![ORPHAN, FOREGROUND, KUBERNETES].contains(&finalizer)
}

/// Entries of managed fields, without the fields themselves.
#[must_use]
pub fn validate_managed_fields(entries: &[Value], path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::default();
    for (index, entry) in entries.iter().enumerate() {
        let path = path.index(index);
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        let operation = text("operation");
        if !matches!(operation, "Apply" | "Update") {
            let message = "must be `Apply` or `Update`";
            errors.push(FieldError::invalid(
                &path.child("operation"),
                operation,
                message,
            ));
        }
        let form = text("fieldsType");
        if !matches!(form, "" | "FieldsV1") {
            let message = "must be `FieldsV1`";
            errors.push(FieldError::invalid(
                &path.child("fieldsType"),
                form,
                message,
            ));
        }
        errors.extend(validate_field_manager(
            text("manager"),
            &path.child("manager"),
        ));
        if text("subresource").len() > SUBRESOURCE_BYTES_MAX {
            let path = path.child("subresource");
            errors.push(FieldError::too_long(&path, SUBRESOURCE_BYTES_MAX));
        }
    }
    errors
}

/// A field manager's name: short and printable.
#[must_use]
pub fn validate_field_manager(manager: &str, path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::default();
    if manager.len() > MANAGER_BYTES_MAX {
        errors.push(FieldError::too_long(path, MANAGER_BYTES_MAX));
    }
    for (at, c) in manager.char_indices().filter(|(_, c)| !is_print(*c)) {
        let message = format!(
            "invalid character U+{:04X} (at position {at})",
            u32::from(c)
        );
        errors.push(FieldError::invalid(path, manager, message));
    }
    errors
}

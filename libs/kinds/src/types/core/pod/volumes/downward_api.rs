//! What a pod can read of itself: in files and in variables.

use objects::field::{ErrorList, FieldError, Path};
use objects::quantity::Quantity;
use serde_json::Value;

use crate::{
    check::value::{qualified, required},
    types::core::{file_path, volume_source::Volume},
    value::Fields,
};

/// What files can hold of the pod.
const FILE_FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];

/// Fields of a pod that can be named at all.
const FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// What can be read of a container's resources.
const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

pub(super) fn volume(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    file_path::mode(
        source.whole("defaultMode"),
        &path.child("defaultMode"),
        errors,
    );
    for item in source.items("items") {
        file(item, path, errors);
    }
}

/// One file. Upstream names it by its list, and so does this.
pub(super) fn file(item: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    required(item.text("path"), &path.child("path"), errors);
    file_path::not_reserved(item.text("path"), &path.child("path"), errors);
    match (item.field("fieldRef"), item.field("resourceFieldRef")) {
        (Some(field), resource) => {
            field_reference(field, FILE_FIELDS, &path.child("fieldRef"), errors);
            if resource.is_some() {
                let message = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(path, "resource", message));
            }
        }
        (None, Some(resource)) => {
            resource_reference(resource, true, &path.child("resourceFieldRef"), errors);
        }
        (None, None) => {
            let message = "one of fieldRef and resourceFieldRef is required";
            errors.push(FieldError::required(path, message));
        }
    }
    file_path::mode(item.whole("mode"), &path.child("mode"), errors);
}

/// A field of the pod, one of `known`, or one label or annotation: `metadata.labels['key']`.
pub(in super::super) fn field_reference(
    reference: &Value,
    known: &[&str],
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let (version, text) = (reference.text("apiVersion"), reference.text("fieldPath"));
    let field_path = path.child("fieldPath");
    if version.is_empty() {
        required(version, &path.child("apiVersion"), errors);
        return;
    }
    if text.is_empty() {
        required(text, &field_path, errors);
        return;
    }
    let (field, subscript) = split_subscript(text);
    let known_at_all = match subscript {
        Some(_) => matches!(field, "metadata.annotations" | "metadata.labels"),
        None => FIELDS.contains(&field) || field == "spec.host",
    };
    let problem = if version != "v1" {
        Some(format!("unsupported pod version: {version}"))
    } else if !known_at_all {
        let what = "field label not supported: ";
        Some(match subscript {
            Some(_) => format!("field label does not support subscript: {text}"),
            None => format!("{what}{text}"),
        })
    } else {
        None
    };
    if let Some(problem) = problem {
        let message = format!("error converting fieldPath: {problem}");
        errors.push(FieldError::invalid(&field_path, text, message));
        return;
    }
    // What clients of long ago call a node's name.
    let field = if field == "spec.host" {
        "spec.nodeName"
    } else {
        field
    };
    match subscript {
        Some(key) if field == "metadata.annotations" => {
            qualified(&key.to_lowercase(), path, errors)
        }
        Some(key) => qualified(key, path, errors),
        None if !known.contains(&field) => {
            errors.push(FieldError::not_supported(&field_path, field, known));
        }
        None => (),
    }
}

/// `path['key']` in its parts.
fn split_subscript(text: &str) -> (&str, Option<&str>) {
    let subscript = text
        .strip_suffix("']")
        .and_then(|text| text.split_once("['"));
    match subscript {
        Some((field, key)) => (field, Some(key)),
        None => (text, None),
    }
}

/// A container's request or limit. In a file it says whose.
pub(in super::super) fn resource_reference(
    reference: &Value,
    in_file: bool,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let resource = reference.text("resource");
    let pages = resource
        .strip_prefix("limits.")
        .or_else(|| resource.strip_prefix("requests."));
    let pages = pages.is_some_and(|name| name.starts_with("hugepages-"));
    if in_file && reference.text("containerName").is_empty() {
        errors.push(FieldError::required(&path.child("containerName"), ""));
    } else if resource.is_empty() {
        errors.push(FieldError::required(&path.child("resource"), ""));
    } else if !RESOURCES.contains(&resource) && !pages {
        errors.push(FieldError::not_supported(
            &path.child("resource"),
            resource,
            RESOURCES,
        ));
    }
    divisor(reference, resource, pages, path, errors);
}

fn divisor(
    reference: &Value,
    resource: &str,
    pages: bool,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    const UNITS: &str = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei";
    let Some(divisor) = reference
        .quantity("divisor")
        .filter(|divisor| *divisor != Quantity::default())
    else {
        return;
    };
    let divisor = divisor.to_string();
    let (known, what) = match resource {
        "limits.cpu" | "requests.cpu" => ("1m, 1", "cpu"),
        "limits.memory" | "requests.memory" => (UNITS, "memory"),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => {
            (UNITS, "local ephemeral storage")
        }
        _ if pages => (UNITS, "hugepages"),
        _ => return,
    };
    if !known.split(", ").any(|unit| unit == divisor) {
        let units = if what == "cpu" { "1m and 1" } else { known };
        let message =
            format!("only divisor's values {units} are supported with the {what} resource");
        errors.push(FieldError::invalid(
            &path.child("divisor"),
            resource,
            message,
        ));
    }
}

//! Claims of persistent volumes.

mod update;

use objects::field::{ErrorList, FieldError, Path};
use objects::metadata;
use serde_json::{Value, json};

use super::{
    persistent_volume::{access_modes_short, validate_access_modes},
    resource_list::{self, is_native, validate_amount, validate_basic, validate_positive},
};
use crate::{
    check::value::{self as check, label, optional_one_of, required, subdomain},
    rules::{AGE, Column, NAME, Rules},
    value::{Fields, is_zero},
};

/// The annotation that named the class before there was a field.
pub const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

const RESIZE_STATUSES: &[&str] = &[
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    prepare_create: |claim| {
        claim.set("status", json!({"phase": "Pending"}));
        settle_sources(claim, &Value::Null);
    },
    prepare_update: settle_sources,
    validate: |claim, errors| validate_spec(claim.part("spec"), &Path::new("spec"), errors),
    validate_update: update::validate,
    validate_status,
    warnings: |claim, _| {
        let mut warnings = Vec::new();
        if claim.part("metadata").part("annotations").has(BETA_CLASS) {
            let metadata = Path::new("metadata");
            let path = metadata.child("annotations");
            warnings.push(format!(
                "{}: deprecated since v1.8; use \"storageClassName\" attribute instead",
                path.key(BETA_CLASS)
            ));
        }
        spec_warnings(claim.part("spec"), &Path::new("spec"), &mut warnings);
        warnings
    },
    columns: COLUMNS,
    ..Rules::NONE
};

fn defaults(claim: &mut Value) {
    if let Some(spec) = claim.object_mut("spec") {
        spec_defaults(spec);
    }
    if let Some(status) = claim.object_mut("status") {
        status.set_empty("phase", "Pending");
        resource_list::field_defaults(status, "capacity");
        resource_list::field_defaults(status, "allocatedResources");
    }
}

/// Of a claim's spec, in templates of claims too.
pub fn spec_defaults(spec: &mut Value) {
    spec.set_absent("volumeMode", "Filesystem");
    resource_list::requirements_defaults(spec.field_mut("resources"));
}

/// Two fields say what a volume is filled with; where one is given, so is the other (KEP-1495). What the older one cannot name is
/// dropped from it, and a source in another namespace from the newer one: CrossNamespaceVolumeDataSource is alpha. What a claim
/// has already it keeps.
fn settle_sources(claim: &mut Value, old: &Value) {
    let old = old.part("spec");
    let Some(spec) = claim.field_mut("spec") else {
        return;
    };
    let reference = spec.part("dataSourceRef");
    if !reference.text("namespace").is_empty() && !old.has("dataSourceRef") {
        spec.remove("dataSourceRef");
    }
    let source = spec.part("dataSource");
    let known = match source.text("kind") {
        "PersistentVolumeClaim" => source.text("apiGroup").is_empty(),
        "VolumeSnapshot" => source.text("apiGroup") == "snapshot.storage.k8s.io",
        _ => false,
    };
    let held = old.has("dataSource") || old.has("dataSourceRef");
    if !known && !held && !spec.has("dataSourceRef") {
        spec.remove("dataSource");
    }
    let elsewhere = !spec.part("dataSourceRef").text("namespace").is_empty();
    match (
        spec.field("dataSource").cloned(),
        spec.field("dataSourceRef").cloned(),
    ) {
        (Some(source), None) => spec.set("dataSourceRef", source),
        (None, Some(mut source)) if !elsewhere => {
            source.remove("namespace");
            spec.set("dataSource", source);
        }
        _ => (),
    }
}

/// Mistakes in a claim's spec.
pub fn validate_spec(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let modes = path.child("accessModes");
    if spec.items("accessModes").is_empty() {
        errors.push(FieldError::required(
            &modes,
            "at least 1 access mode is required",
        ));
    }
    check::selector(spec, "selector", path, errors);
    validate_access_modes(spec, &modes, errors);
    // Upstream's path leaves out `requests`.
    let resources = path.child("resources");
    let storage = resources.key("storage");
    match spec.part("resources").part("requests").quantity("storage") {
        None => errors.push(FieldError::required(&storage, "")),
        Some(amount) => validate_positive(&amount, &storage, errors),
    }
    for name in ["storageClassName", "volumeAttributesClassName"] {
        if !spec.text(name).is_empty() {
            subdomain(spec.text(name), &path.child(name), errors);
        }
    }
    optional_one_of(spec, "volumeMode", &["Block", "Filesystem"], path, errors);
    for name in ["dataSource", "dataSourceRef"] {
        if let Some(source) = spec.field(name) {
            data_source(source, &path.child(name), errors);
        }
    }
    let (source, reference) = (spec.part("dataSource"), spec.part("dataSourceRef"));
    if source.is_null() || reference.is_null() {
        return;
    }
    let shown = path.child("dataSource").to_string();
    if !reference.text("namespace").is_empty() {
        let message = "may not be specified when dataSourceRef.namespace is specified";
        errors.push(FieldError::invalid(path, shown, message));
    } else if ["apiGroup", "kind", "name"]
        .iter()
        .any(|name| source.part(name) != reference.part(name))
    {
        errors.push(FieldError::invalid(path, shown, "must match dataSourceRef"));
    }
}

fn data_source(source: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    required(source.text("name"), &path.child("name"), errors);
    required(source.text("kind"), &path.child("kind"), errors);
    let (group, kind) = (source.text("apiGroup"), source.text("kind"));
    if !group.is_empty() {
        subdomain(group, &path.child("apiGroup"), errors);
    } else if kind != "PersistentVolumeClaim" {
        let message = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(FieldError::invalid(path, kind, message));
    }
    let namespace = source.text("namespace");
    if !namespace.is_empty() {
        label(namespace, &path.child("namespace"), errors);
    }
}

/// Mistakes in a template of claims, of which only labels and annotations may be set beside the spec.
pub fn validate_template(template: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let meta = template.part("metadata");
    let meta_path = path.child("metadata");
    let annotations = meta.part("annotations").as_object();
    errors.extend(metadata::validate_annotations(
        annotations,
        &meta_path.child("annotations"),
    ));
    check::labels(meta, "labels", &meta_path, errors);
    for (name, value) in template.entries("metadata") {
        let empty = is_zero(value) || value.as_array().is_some_and(Vec::is_empty);
        if !matches!(name, "annotations" | "labels") && !empty {
            errors.push(FieldError::forbidden(
                &meta_path.child(name),
                "cannot be set",
            ));
        }
    }
    validate_spec(template.part("spec"), &path.child("spec"), errors);
}

/// What a client should be told of a claim's spec.
pub fn spec_warnings(spec: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    let path = path.child("resources");
    for list in ["requests", "limits"] {
        let storage = spec.part("resources").part(list).quantity("storage");
        if let Some(storage) = storage.filter(|storage| storage.milli_value() % 1000 != 0) {
            let path = path.child(list);
            let path = path.key("storage");
            warnings.push(format!(
                "{path}: fractional byte value \"{storage}\" is invalid, must be an integer"
            ));
        }
    }
}

fn validate_status(claim: &Value, _: &Value, errors: &mut ErrorList) {
    if claim.part("spec").items("accessModes").is_empty() {
        // Upstream's spelling.
        let spec = Path::new("Spec");
        errors.push(FieldError::required(&spec.child("accessModes"), ""));
    }
    let (root, status) = (Path::new("status"), claim.part("status"));
    let path = root.child("capacity");
    for (name, amount) in resource_list::amounts(status, "capacity") {
        validate_basic(&amount, &path.key(name), errors);
    }
    let path = root.child("allocatedResourceStatus");
    for (name, state) in status.entries("allocatedResourceStatuses") {
        resource_key(name, &path, errors);
        if !state
            .as_str()
            .is_some_and(|state| RESIZE_STATUSES.contains(&state))
        {
            errors.push(FieldError::not_supported(&path, name, RESIZE_STATUSES));
        }
    }
    let path = root.child("allocatedResources");
    for (name, amount) in resource_list::amounts(status, "allocatedResources") {
        if resource_key(name, &path, errors) {
            validate_amount("storage", &amount, &path.key(name), errors);
        }
    }
}

/// Of native resources a claim has storage alone. Returns whether the key is right.
fn resource_key(name: &str, path: &Path<'_>, errors: &mut ErrorList) -> bool {
    let before = errors.len();
    check::qualified(name, path, errors);
    if errors.len() == before && is_native(name) && name != "storage" {
        errors.push(FieldError::not_supported(path, name, &["storage"]));
    }
    errors.len() == before
}

/// The class of a claim or a volume: the annotation's, which is older, or the field's.
#[must_use]
pub fn class(object: &Value) -> &str {
    let annotations = object.part("metadata").part("annotations");
    if annotations.has(BETA_CLASS) {
        annotations.text(BETA_CLASS)
    } else {
        object.part("spec").text("storageClassName")
    }
}

/// A field of the spec, or `<unset>`.
#[must_use]
pub fn or_unset(object: &Value, name: &str) -> Value {
    let value = object.part("spec").field(name);
    value.cloned().unwrap_or_else(|| "<unset>".into())
}

const COLUMNS: &[Column] = &[
    NAME,
    Column::new(
        "Status",
        "string",
        "Whether it is bound to a volume.",
        |claim, _| {
            if claim.part("metadata").has("deletionTimestamp") {
                return "Terminating".into();
            }
            claim.part("status").text("phase").into()
        },
    ),
    Column::new(
        "Volume",
        "string",
        "The volume that it is bound to.",
        |claim, _| claim.part("spec").text("volumeName").into(),
    ),
    Column::new(
        "Capacity",
        "string",
        "How much the volume holds.",
        |claim, _| {
            if claim.part("spec").text("volumeName").is_empty() {
                return "".into();
            }
            let capacity = claim.part("status").part("capacity").quantity("storage");
            capacity.unwrap_or_default().to_string().into()
        },
    ),
    Column::new(
        "Access Modes",
        "string",
        "How the volume can be mounted.",
        |claim, _| {
            if claim.part("spec").text("volumeName").is_empty() {
                return "".into();
            }
            access_modes_short(claim.part("status")).into()
        },
    ),
    Column::new(
        "StorageClass",
        "string",
        "The class that it asks for.",
        |claim, _| class(claim).into(),
    ),
    Column::new(
        "VolumeAttributesClass",
        "string",
        "The class of attributes that it asks for.",
        |claim, _| or_unset(claim, "volumeAttributesClassName"),
    ),
    AGE,
    Column::new(
        "VolumeMode",
        "string",
        "A file system or a block device.",
        |claim, _| or_unset(claim, "volumeMode"),
    )
    .wide(),
];

#[cfg(test)]
mod tests;

//! Attachments of volumes to nodes.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::{Value, json};

use crate::{
    check,
    rules::{AGE, Column, NAME, Rules},
    types::core::persistent_volume,
    value::{Fields, same},
};

/// Most bytes of what a driver says of an attachment.
const METADATA_MAX: usize = 256 * 1024;
/// Most bytes of an error's message.
const MESSAGE_MAX: usize = 1024;

/// What is this type's own.
pub const RULES: Rules = Rules {
    prepare_create: |attachment| attachment.set_absent("status", json!({"attached": false})),
    prepare_status: |attachment, _| {
        if let Some(status) = attachment.object_mut("status") {
            status.set_absent("attached", false);
        }
    },
    validate,
    validate_create,
    validate_update,
    validate_status,
    columns: &[
        NAME,
        Column::new("Attacher", "string", "Who attaches it.", |o, _| {
            o.part("spec").text("attacher").into()
        })
        .format("name"),
        Column::new("PV", "string", "The volume.", |o, _| {
            o.part("spec")
                .part("source")
                .text("persistentVolumeName")
                .into()
        }),
        Column::new("Node", "string", "Where to.", |o, _| {
            o.part("spec").text("nodeName").into()
        }),
        Column::new("Attached", "boolean", "Whether it is.", |o, _| {
            o.part("status").flag("attached").into()
        }),
        AGE,
    ],
    ..Rules::NONE
};

fn validate(attachment: &Value, errors: &mut ErrorList) {
    let (spec, path) = (attachment.part("spec"), Path::new("spec"));
    check::required_text(spec, "attacher", check::anything, &path, errors);
    let node = spec.text("nodeName");
    let node_path = path.child("nodeName");
    errors.push_invalid(&node_path, node, names::dns1123_subdomain(node));
    let (source, path) = (spec.part("source"), path.child("source"));
    let message = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (
        source.has("inlineVolumeSpec"),
        source.field("persistentVolumeName"),
    ) {
        (false, None) => errors.push(FieldError::required(&path, message)),
        (true, Some(_)) => errors.push(FieldError::forbidden(&path, message)),
        (false, Some(name)) if *name == "" => {
            let message = "must specify non empty persistentVolumeName";
            let path = path.child("persistentVolumeName");
            errors.push(FieldError::required(&path, message));
        }
        (false, Some(_)) => {}
        (true, None) => {
            let path = path.child("inlineVolumeSpec");
            let spec = source.part("inlineVolumeSpec");
            persistent_volume::validate_spec(spec, "", true, &path, errors);
        }
    }
}

fn validate_create(attachment: &Value, errors: &mut ErrorList) {
    let spec = attachment.part("spec");
    let path = Path::new("spec.attacher");
    check::driver_name_text(spec.text("attacher"), &path, errors);
    if let Some(name) = spec.part("source").part("persistentVolumeName").as_str() {
        let path = Path::new("spec.source.persistentVolumeName");
        errors.push_invalid(&path, name, names::dns1123_subdomain(name));
    }
}

fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    if !same(new.part("spec"), old.part("spec")) {
        let shown = check::shown(new, "spec");
        errors.push(FieldError::invalid(
            &Path::new("spec"),
            shown,
            check::IMMUTABLE,
        ));
    }
}

fn validate_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    let (status, path) = (new.part("status"), Path::new("status"));
    let entries = status.entries("attachmentMetadata");
    let bytes: usize = entries
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum();
    if bytes > METADATA_MAX {
        let path = path.child("attachmentMetadata");
        errors.push(FieldError::too_long(&path, METADATA_MAX));
    }
    for field in ["attachError", "detachError"] {
        let (error, path) = (status.part(field), path.child(field));
        if error.text("message").len() > MESSAGE_MAX {
            // Upstream names the other bound.
            errors.push(FieldError::too_long(&path.child("message"), METADATA_MAX));
        }
        if let Some(code) = error.whole("errorCode").filter(|code| *code < 0) {
            let path = path.child("errorCode");
            for message in names::in_range(code, 0, i32::MAX.into()) {
                errors.push(FieldError::invalid(&path, code, message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_status, check_update, created, row};

    #[test]
    fn writes() {
        let object = |source: Value| json!({"metadata": {"name": "a"}, "spec": {"attacher": "csi.acme.io", "nodeName": "n", "source": source}});
        let check = |source: Value, expect: &[&str]| check_create(&RULES, &object(source), expect);
        let volume = json!({"persistentVolumeName": "v"});
        check(volume.clone(), &[]);
        check(
            json!({}),
            &["spec.source: Required value: must specify exactly one of"],
        );
        check(
            json!({"persistentVolumeName": "v", "inlineVolumeSpec": {}}),
            &["spec.source: Forbidden: must specify exactly one of"],
        );
        check(
            json!({"persistentVolumeName": ""}),
            &[
                "spec.source.persistentVolumeName: Required value: must specify non empty persistentVolumeName",
                "spec.source.persistentVolumeName: Invalid value: \"\"",
            ],
        );
        check_create(
            &RULES,
            &json!({"spec": {"source": volume}}),
            &[
                "spec.attacher: Required value",
                "spec.attacher: Required value",
                "spec.attacher: Invalid value: \"\"",
                "spec.nodeName: Invalid value: \"\"",
            ],
        );
        let other = object(json!({"persistentVolumeName": "w"}));
        let expect = ["spec: Invalid value: {"];
        check_update(&RULES, &object(volume.clone()), &other, &expect);
        let status =
            json!({"status": {"attachError": {"message": "x".repeat(1025), "errorCode": -1}}});
        check_status(
            &RULES,
            &json!({}),
            &status,
            &[
                "status.attachError.message: Too long: may not be more than 262144 bytes",
                "status.attachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            ],
        );
        let cells = row(&RULES, &created(&RULES, &object(volume)), 0);
        let expect = json!(["a", "csi.acme.io", "v", "n", false, "<unknown>"]);
        assert_eq!(Value::from(cells), expect);
    }
}

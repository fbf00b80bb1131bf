//! Where a container finds its pod's volumes.

use std::collections::{BTreeMap, BTreeSet};

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use super::spec::Context;
use crate::{
    check::value::{one_of, required},
    types::core::file_path,
    value::Fields,
};

pub(super) fn validate(
    container: &Value,
    context: &Context<'_>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let (mounts, devices) = (
        container.items("volumeMounts"),
        container.items("volumeDevices"),
    );
    let by_name = |list: &'_ [Value], path: &str| -> BTreeMap<String, String> {
        let pair = |item: &Value| (item.text("name").to_owned(), item.text(path).to_owned());
        list.iter().map(pair).collect()
    };
    let (mounted, attached) = (by_name(mounts, "mountPath"), by_name(devices, "devicePath"));
    let list = path.child("volumeMounts");
    let mut paths = BTreeSet::new();
    for (index, mount) in mounts.iter().enumerate() {
        let path = list.index(index);
        let text = mount.text("mountPath");
        mount_names(mount, context, &path, errors);
        if !paths.insert(text) {
            errors.push(FieldError::invalid(
                &path.child("mountPath"),
                text,
                "must be unique",
            ));
        }
        overlap(
            mount,
            "mountPath",
            &attached,
            "volumeDevices",
            &path,
            errors,
        );
        sub_paths(mount, &list, &path, errors);
        propagation(mount, container, &list, errors);
        recursive_read_only(mount, &list.child("recursiveReadOnly"), errors);
    }
    let list = path.child("volumeDevices");
    let (mut paths, mut names) = (BTreeSet::new(), BTreeSet::new());
    for (index, device) in devices.iter().enumerate() {
        let path = list.index(index);
        self::device(device, context, &mut names, &mut paths, &path, errors);
        overlap(
            device,
            "devicePath",
            &mounted,
            "volumeMounts",
            &path,
            errors,
        );
    }
}

fn mount_names(mount: &Value, context: &Context<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let name = mount.text("name");
    required(name, &path.child("name"), errors);
    if !context.volumes.contains_key(name) {
        errors.push(FieldError::not_found(&path.child("name"), name));
    }
    required(mount.text("mountPath"), &path.child("mountPath"), errors);
}

/// A volume is a directory or a device, and nothing lies in the other's place.
fn overlap(
    item: &Value,
    field: &str,
    others: &BTreeMap<String, String>,
    list: &str,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let (name, text) = (item.text("name"), item.text(field));
    if others.contains_key(name) {
        let message = format!("must not already exist in {list}");
        errors.push(FieldError::invalid(&path.child("name"), name, message));
    }
    if others.values().any(|other| other == text) {
        let message = format!("must not already exist as a path in {list}");
        errors.push(FieldError::invalid(&path.child(field), text, message));
    }
}

/// A part of a volume. Upstream names some mistakes by the list, and so does this.
fn sub_paths(mount: &Value, list: &Path<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    for field in ["subPath", "subPathExpr"] {
        let text = mount.text(field);
        if text.is_empty() {
            continue;
        }
        if field == "subPathExpr" && !mount.text("subPath").is_empty() {
            let message = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(&path.child(field), text, message));
        }
        file_path::descending(text, &list.child(field), errors);
    }
}

fn propagation(mount: &Value, container: &Value, list: &Path<'_>, errors: &mut ErrorList) {
    if !mount.has("mountPropagation") {
        return;
    }
    let (mode, path) = (
        mount.text("mountPropagation"),
        list.child("mountPropagation"),
    );
    one_of(
        mode,
        &["Bidirectional", "HostToContainer", "None"],
        &path,
        errors,
    );
    if mode == "Bidirectional" && !container.part("securityContext").flag("privileged") {
        let message = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(FieldError::forbidden(&path, message));
    }
}

fn recursive_read_only(mount: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    match mount.text("recursiveReadOnly") {
        "Disabled" => (),
        "Enabled" | "IfPossible" => {
            if !mount.flag("readOnly") {
                let message = "may only be specified when readOnly is true";
                errors.push(FieldError::forbidden(path, message));
            }
            if !matches!(mount.text("mountPropagation"), "" | "None") {
                let message =
                    "may only be specified when mountPropagation is None or not specified";
                errors.push(FieldError::forbidden(path, message));
            }
        }
        _ if !mount.has("recursiveReadOnly") => (),
        other => one_of(other, &["Disabled", "Enabled", "IfPossible"], path, errors),
    }
}

fn device<'a>(
    device: &'a Value,
    context: &Context<'_>,
    names: &mut BTreeSet<&'a str>,
    paths: &mut BTreeSet<&'a str>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let (name, text) = (device.text("name"), device.text("devicePath"));
    let (name_path, text_path) = (path.child("name"), path.child("devicePath"));
    required(name, &name_path, errors);
    if !name.is_empty() && !names.insert(name) {
        errors.push(FieldError::invalid(&name_path, name, "must be unique"));
    }
    match context.volumes.get(name) {
        None => errors.push(FieldError::not_found(&name_path, name)),
        Some(volume) if !volume.has("persistentVolumeClaim") && !volume.has("ephemeral") => {
            let message = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
            errors.push(FieldError::invalid(&name_path, name, message));
        }
        Some(_) => (),
    }
    required(text, &text_path, errors);
    if paths.contains(text) {
        errors.push(FieldError::invalid(&text_path, text, "must be unique"));
    }
    if file_path::has_backsteps(text) {
        let message = "can not contain backsteps ('..')";
        errors.push(FieldError::invalid(&text_path, text, message));
    } else {
        paths.insert(text);
    }
}

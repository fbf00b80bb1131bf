//! A container's variables.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use super::{spec::Context, volumes};
use crate::{
    check::value::{label, required, subdomain},
    types::core::file_path,
    value::Fields,
};

/// What variables can hold of the pod.
const FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

pub(super) fn validate(
    container: &Value,
    context: &Context<'_>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let list = path.child("env");
    for (index, variable) in container.items("env").iter().enumerate() {
        let path = list.index(index);
        let name = variable.text("name");
        if name.is_empty() {
            required(name, &path.child("name"), errors);
        } else {
            errors.push_invalid(&path.child("name"), name, names::relaxed_env_var_name(name));
        }
        if let Some(from) = variable.field("valueFrom") {
            let path = path.child("valueFrom");
            value_from(from, variable.text("value"), context, &path, errors);
        }
    }
    let list = path.child("envFrom");
    for (index, source) in container.items("envFrom").iter().enumerate() {
        env_from(source, &list, &list.index(index), errors);
    }
}

fn value_from(
    from: &Value,
    value: &str,
    context: &Context<'_>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let mut count = 0;
    if let Some(field) = from.field("fieldRef") {
        count += 1;
        volumes::field_reference(field, FIELDS, &path.child("fieldRef"), errors);
    }
    if let Some(resource) = from.field("resourceFieldRef") {
        count += 1;
        volumes::resource_reference(resource, false, &path.child("resourceFieldRef"), errors);
    }
    for name in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(key) = from.field(name) {
            count += 1;
            key_selector(key, &path.child(name), errors);
        }
    }
    if let Some(key) = from.field("fileKeyRef") {
        count += 1;
        file_key(key, context, &path.child("fileKeyRef"), errors);
    }
    let message = match count {
        0 => {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        }
        _ if !value.is_empty() => "may not be specified when `value` is not empty",
        1 => return,
        _ => "may not have more than one field specified at a time",
    };
    errors.push(FieldError::invalid(path, "", message));
}

/// A key of a Secret or a ConfigMap.
fn key_selector(selector: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    subdomain(selector.text("name"), &path.child("name"), errors);
    let key = selector.text("key");
    if key.is_empty() {
        required(key, &path.child("key"), errors);
    } else {
        errors.push_invalid(&path.child("key"), key, names::config_map_key(key));
    }
}

/// A variable of a file that an init container wrote (KEP-3721).
fn file_key(selector: &Value, context: &Context<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let (key, volume, file) = (
        selector.text("key"),
        selector.text("volumeName"),
        selector.text("path"),
    );
    if key.is_empty() {
        required(key, &path.child("key"), errors);
    } else {
        errors.push_invalid(&path.child("key"), key, names::relaxed_env_var_name(key));
    }
    let volume_path = path.child("volumeName");
    if volume.is_empty() {
        required(volume, &volume_path, errors);
    } else {
        label(volume, &volume_path, errors);
        match context.volumes.get(volume) {
            None => errors.push(FieldError::not_found(&volume_path, volume)),
            Some(source) if !source.has("emptyDir") => {
                let message = "the referenced volume must be of type emptyDir";
                errors.push(FieldError::invalid(&volume_path, volume, message));
            }
            Some(_) => (),
        }
    }
    if file.is_empty() {
        required(file, &path.child("path"), errors);
    } else {
        file_path::not_reserved(file, &path.child("path"), errors);
    }
}

fn env_from(source: &Value, list: &Path<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let prefix = source.text("prefix");
    if !prefix.is_empty() {
        errors.push_invalid(
            &path.child("prefix"),
            prefix,
            names::relaxed_env_var_name(prefix),
        );
    }
    let mut count = 0;
    for name in ["configMapRef", "secretRef"] {
        let Some(reference) = source.field(name) else {
            continue;
        };
        count += 1;
        let at = path.child(name);
        match reference.text("name") {
            "" => required("", &at.child("name"), errors),
            name => subdomain(name, &at.child("name"), errors),
        }
    }
    let message = match count {
        0 => "must specify one of: `configMapRef` or `secretRef`",
        1 => return,
        _ => "may not have more than one field specified at a time",
    };
    errors.push(FieldError::invalid(list, "", message));
}

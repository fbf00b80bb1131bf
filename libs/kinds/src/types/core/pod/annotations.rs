//! Annotations that mean something for a pod.

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use super::container;
use crate::{
    types::core::{file_path, taint},
    value::Fields,
};

/// Of a pod that a kubelet runs from a file, and shows here.
pub const MIRROR: &str = "kubernetes.io/config.mirror";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
pub(super) const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
pub(super) const SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";
pub(super) const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Mistakes in annotations of a pod or a template; `path` is that of the annotations.
pub(super) fn validate(metadata: &Value, spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let annotations = metadata.part("annotations");
    if annotations.has(MIRROR) && spec.text("nodeName").is_empty() {
        let message = "must set spec.nodeName if mirror pod annotation is set";
        let value = annotations.text(MIRROR);
        errors.push(FieldError::invalid(&path.key(MIRROR), value, message));
    }
    tolerations(annotations.text(TOLERATIONS), path, errors);
    if annotations.has(DELETION_COST) && !is_cost(annotations.text(DELETION_COST)) {
        let value = annotations.text(DELETION_COST);
        let message = "must be a 32bit integer";
        errors.push(FieldError::invalid(
            &path.key(DELETION_COST),
            value,
            message,
        ));
    }
    for (key, value) in metadata.entries("annotations") {
        let value = value.as_str().unwrap_or_default();
        if key == SECCOMP_POD || key.starts_with(SECCOMP) {
            seccomp(value, &path.child(key), errors);
        }
        if let Some(name) = key.strip_prefix(APP_ARMOR) {
            app_armor(name, value, spec, &path.key(key), errors);
        }
    }
}

fn tolerations(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if text.is_empty() {
        return;
    }
    match serde_json::from_str::<Vec<Value>>(text) {
        Ok(list) => taint::validate_tolerations(&list, &path.child(TOLERATIONS), errors),
        Err(error) => errors.push(FieldError::invalid(path, TOLERATIONS, error.to_string())),
    }
}

/// A number of 32 bits without a sign or a zero in front that says nothing.
fn is_cost(text: &str) -> bool {
    let odd = text.starts_with('+') || (text.starts_with('0') && text.len() > 1);
    !odd && text.parse::<i32>().is_ok()
}

fn seccomp(profile: &str, path: &Path<'_>, errors: &mut ErrorList) {
    match profile {
        "runtime/default" | "docker/default" | "unconfined" => (),
        _ => match profile.strip_prefix("localhost/") {
            Some(local) => file_path::descending(local, path, errors),
            None => {
                let message = "must be a valid seccomp profile";
                errors.push(FieldError::invalid(path, profile, message));
            }
        },
    }
}

fn app_armor(name: &str, profile: &str, spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let mut found = false;
    let nowhere = Path::none();
    container::visit(spec, &nowhere, |container, _| {
        found |= container.text("name") == name
    });
    if !found {
        errors.push(FieldError::invalid(path, name, "container not found"));
    }
    let right = matches!(profile, "" | "runtime/default" | "unconfined")
        || profile.starts_with("localhost/");
    if !right {
        let message = format!("invalid AppArmor profile name: {profile:?}");
        errors.push(FieldError::invalid(path, profile, message));
    }
}

/// Where a field and an annotation say the same thing, they must agree. `path` is that of the spec.
pub(super) fn validate_agreement(
    metadata: &Value,
    spec: &Value,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let annotations = metadata.part("annotations");
    if annotations.is_null() {
        return;
    }
    let of_pod = spec.part("securityContext");
    let windows = spec.part("os").text("name") == "windows";
    if let Some(annotation) = annotations.field(SECCOMP_POD) {
        let path = path.child("securityContext");
        agree(
            annotation,
            of_pod.part("seccompProfile"),
            "seccomp",
            &path.child("seccompProfile"),
            errors,
        );
    }
    container::visit(spec, path, |container, path| {
        let (name, security) = (container.text("name"), container.part("securityContext"));
        let path = path.child("securityContext");
        if let Some(annotation) = annotations.field(&format!("{SECCOMP}{name}")) {
            let profile = security.part("seccompProfile");
            agree(
                annotation,
                profile,
                "seccomp",
                &path.child("seccompProfile"),
                errors,
            );
        }
        if let Some(annotation) = annotations.field(&format!("{APP_ARMOR}{name}"))
            && !windows
        {
            let profile = security.field("appArmorProfile");
            let profile = profile.unwrap_or_else(|| of_pod.part("appArmorProfile"));
            agree(
                annotation,
                profile,
                "apparmor",
                &path.child("appArmorProfile"),
                errors,
            );
        }
    });
}

fn agree(annotation: &Value, profile: &Value, what: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let annotation = annotation.as_str().unwrap_or_default();
    let local = annotation.strip_prefix("localhost/");
    let agrees = match profile.text("type") {
        "Unconfined" => annotation == "unconfined",
        "RuntimeDefault" => {
            annotation == "runtime/default" || (what == "seccomp" && annotation == "docker/default")
        }
        "Localhost" => local.is_some(),
        _ => return,
    };
    if !agrees {
        let message = format!("{what} type in annotation and field must match");
        errors.push(FieldError::forbidden(&path.child("type"), message));
    } else if let Some(local) = local
        && local != profile.text("localhostProfile")
    {
        let message = format!("{what} profile in annotation and field must match");
        errors.push(FieldError::forbidden(
            &path.child("localhostProfile"),
            message,
        ));
    }
}

/// Annotations that neither come, go nor change once a pod is there.
pub(super) fn validate_update(new: &Value, old: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (now, before) = (new.part("annotations"), old.part("annotations"));
    for (key, value) in old.entries("annotations") {
        if now.field(key) == Some(value) {
            continue;
        }
        if key.starts_with(APP_ARMOR) {
            let message = "may not remove or update AppArmor annotations";
            errors.push(FieldError::forbidden(&path.key(key), message));
        }
        if key == MIRROR {
            let message = "may not remove or update mirror pod annotation";
            errors.push(FieldError::forbidden(&path.key(key), message));
        }
    }
    for (key, _) in new
        .entries("annotations")
        .filter(|(key, _)| !before.has(key))
    {
        if key.starts_with(APP_ARMOR) {
            let message = "may not add AppArmor annotations";
            errors.push(FieldError::forbidden(&path.key(key), message));
        }
        if key == MIRROR {
            let message = "may not add mirror pod annotation";
            errors.push(FieldError::forbidden(&path.key(key), message));
        }
    }
}

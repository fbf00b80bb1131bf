//! What of a claim may be changed: once it is bound its size, until then its volume.

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use super::BETA_CLASS;
use crate::{
    check::value::{IMMUTABLE, immutable},
    value::{Fields, same},
};

pub(super) fn validate(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (now, before) = (new.part("spec"), old.part("spec"));
    let mut now_masked = now.clone();
    let mut before_masked = before.clone();
    if before.text("volumeName").is_empty() {
        before_masked.copy_from(now, "volumeName");
    }
    class(new, old, &mut now_masked, errors);
    let spec = Path::new("spec");
    let bound = new.part("status").text("phase") == "Bound";
    if bound {
        let requests = now_masked
            .field_mut("resources")
            .and_then(|resources| resources.field_mut("requests"));
        if let Some(requests) = requests {
            requests.copy_from(before.part("resources").part("requests"), "storage");
        }
        if now_masked.has("volumeAttributesClassName") {
            now_masked.copy_from(before, "volumeAttributesClassName");
        }
    }
    if !same(&now_masked, &before_masked) {
        let message = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden(&spec, message));
    }
    size(new, old, errors);
    // Upstream's path has no `spec`.
    immutable(
        now.part("volumeMode"),
        before.part("volumeMode"),
        &Path::new("volumeMode"),
        errors,
    );
    let name = "volumeAttributesClassName";
    if before.has(name) {
        let path = spec.child(name);
        if !now.has(name) {
            let message = "update from non-nil value to nil is forbidden";
            errors.push(FieldError::forbidden(&path, message));
        } else if now.text(name).is_empty() && !before.text(name).is_empty() {
            let message = "update from non-nil value to an empty string is forbidden";
            errors.push(FieldError::forbidden(&path, message));
        }
    }
}

/// A class is given once: by the annotation, by the field, or by the field after the annotation.
fn class(new: &Value, old: &Value, now_masked: &mut Value, errors: &mut ErrorList) {
    let annotations = |claim: &'_ Value| claim.part("metadata").part("annotations").clone();
    let (now, before) = (annotations(new), annotations(old));
    let (now_class, before_class) = (
        new.part("spec").field("storageClassName"),
        old.part("spec").field("storageClassName"),
    );
    let annotated = before.field(BETA_CLASS);
    let upgraded = annotated.is_some()
        && before_class.is_none()
        && now_class == annotated
        && (!now.has(BETA_CLASS) || now.field(BETA_CLASS) == annotated);
    if upgraded {
        now_masked.remove("storageClassName");
        return;
    }
    if now.text(BETA_CLASS) != before.text(BETA_CLASS) {
        let metadata = Path::new("metadata");
        let path = metadata.child("annotations");
        let value = now.text(BETA_CLASS);
        errors.push(FieldError::invalid(
            &path.child(BETA_CLASS),
            value,
            IMMUTABLE,
        ));
    }
    let first = now_class.is_some() && before_class.is_none();
    if first && annotated.is_none_or(|annotated| now_class == Some(annotated)) {
        now_masked.remove("storageClassName");
    }
}

/// A claim may not become smaller than what there is.
fn size(new: &Value, old: &Value, errors: &mut ErrorList) {
    let of = |claim: &Value| {
        let requests = claim.part("spec").part("resources").part("requests");
        requests.quantity("storage").unwrap_or_default()
    };
    let capacity = old
        .part("status")
        .part("capacity")
        .quantity("storage")
        .unwrap_or_default();
    if of(new) < of(old) && of(new) <= capacity {
        let (spec, message) = (
            Path::new("spec"),
            "field can not be less than status.capacity",
        );
        let resources = spec.child("resources");
        let requests = resources.child("requests");
        errors.push(FieldError::forbidden(&requests.child("storage"), message));
    }
}

//! What of a pod may be changed: images, a deadline, more tolerations, fewer scheduling gates, and where it may run while it is gated.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use super::annotations;
use crate::value::{Fields, same};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

const UPDATABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(super) fn validate(new: &Value, old: &Value, errors: &mut ErrorList) {
    let metadata = Path::new("metadata");
    let annotations_path = metadata.child("annotations");
    annotations::validate_update(
        new.part("metadata"),
        old.part("metadata"),
        &annotations_path,
        errors,
    );
    let (now, before) = (new.part("spec"), old.part("spec"));
    let path = Path::new("spec");
    for list in ["containers", "initContainers"] {
        if now.items(list).len() != before.items(list).len() {
            let message = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(&path.child(list), message));
            return;
        }
    }
    if !deadline(now, before, &path.child("activeDeadlineSeconds"), errors) {
        return;
    }
    tolerations(now, before, &path.child("tolerations"), errors);
    gates(now, before, &path.child("schedulingGates"), errors);
    if same(now, before) {
        return;
    }
    let mut masked = now.clone();
    for list in ["containers", "initContainers"] {
        for (container, old) in masked.items_mut(list).iter_mut().zip(before.items(list)) {
            container.copy_from(old, "image");
        }
    }
    for name in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        masked.copy_from(before, name);
    }
    let grace = "terminationGracePeriodSeconds";
    if before.whole(grace).is_some_and(|seconds| seconds < 0) && now.whole(grace) == Some(1) {
        masked.copy_from(before, grace);
    }
    if !before.items("schedulingGates").is_empty() {
        gated(&mut masked, before, &path, errors);
    }
    if !same(&masked, before) {
        errors.push(FieldError::forbidden(&path, UPDATABLE));
    }
}

/// A deadline may be set, or come nearer. Returns whether the rest should be looked at.
fn deadline(now: &Value, before: &Value, path: &Path<'_>, errors: &mut ErrorList) -> bool {
    let name = "activeDeadlineSeconds";
    match (now.whole(name), before.whole(name)) {
        (Some(seconds), _) if !(0..=i64::from(i32::MAX)).contains(&seconds) => {
            for message in names::in_range(seconds, 0, i64::from(i32::MAX)) {
                errors.push(FieldError::invalid(path, seconds, message));
            }
            false
        }
        (Some(seconds), Some(before)) if before < seconds => {
            let message = "must be less than or equal to previous value";
            errors.push(FieldError::invalid(path, seconds, message));
            false
        }
        (None, Some(_)) => {
            let message = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(path, Value::Null, message));
            true
        }
        _ => true,
    }
}

fn tolerations(now: &Value, before: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let without_seconds = |toleration: &Value| {
        let mut toleration = toleration.clone();
        toleration.remove("tolerationSeconds");
        toleration
    };
    let kept = |old: &Value| {
        let old = without_seconds(old);
        let mut new = now.items("tolerations").iter();
        new.any(|new| same(&without_seconds(new), &old))
    };
    if !before.items("tolerations").iter().all(kept) {
        let message = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(path, message));
    }
}

fn gates(now: &Value, before: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let before = before.items("schedulingGates");
    for (index, gate) in now.items("schedulingGates").iter().enumerate() {
        let name = gate.text("name");
        if !before.iter().any(|old| old.text("name") == name) {
            let message =
                format!("only deletion is allowed, but found new scheduling gate '{name}'");
            let path = path.index(index);
            errors.push(FieldError::forbidden(&path.child("name"), message));
        }
    }
}

/// What is not scheduled yet may be told more closely where to run.
fn gated(masked: &mut Value, before: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let selector = masked.part("nodeSelector");
    if before
        .entries("nodeSelector")
        .any(|(key, value)| selector.field(key) != Some(value))
    {
        let message = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.push(FieldError::invalid(
            &path.child("nodeSelector"),
            selector.clone(),
            message,
        ));
    }
    masked.copy_from(before, "nodeSelector");
    let affinity = path.child("affinity");
    let now = masked.part("affinity").part("nodeAffinity").clone();
    let old = before.part("affinity").part("nodeAffinity");
    if same(&now, old) {
        return;
    }
    node_affinity(&now, old, &affinity.child("nodeAffinity"), errors);
    if old.is_null() && !before.has("affinity") {
        let rest = masked.part("affinity");
        if !rest.has("podAffinity") && !rest.has("podAntiAffinity") {
            masked.remove("affinity");
            return;
        }
    }
    if let Some(affinity) = masked.object_mut("affinity") {
        affinity.copy_from(before.part("affinity"), "nodeAffinity");
    }
}

fn node_affinity(now: &Value, old: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let old_terms = old.part(REQUIRED).items("nodeSelectorTerms");
    let terms = now.part(REQUIRED).items("nodeSelectorTerms");
    let required = path.child(REQUIRED);
    let list = required.child("nodeSelectorTerms");
    if !old_terms.is_empty() && old_terms.len() != terms.len() {
        let message = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        errors.push(FieldError::invalid(&list, terms.to_vec(), message));
        return;
    }
    for (index, (term, old)) in terms.iter().zip(old_terms).enumerate() {
        if !only_adds(term, old) {
            let message = "only additions are allowed (no mutations or deletions)";
            errors.push(FieldError::invalid(
                &list.index(index),
                term.clone(),
                message,
            ));
        }
    }
}

fn only_adds(term: &Value, old: &Value) -> bool {
    let lists = ["matchExpressions", "matchFields"];
    let is_empty = |term: &Value| lists.iter().all(|list| term.items(list).is_empty());
    if is_empty(old) {
        return is_empty(term);
    }
    lists.iter().all(|list| {
        let (now, old) = (term.items(list), old.items(list));
        now.len() >= old.len() && now.iter().zip(old).all(|(now, old)| same(now, old))
    })
}

//! What workloads share: a selector that matches the labels of a pod template.

use objects::field::{ErrorList, FieldError, Path};
use objects::selector::LabelSelector;
use serde_json::Value;

use crate::{
    check,
    types::core::pod::template,
    value::{Fields, same},
};

/// Fills in what the template of a spec does not say.
pub(crate) fn template_defaults(spec: &mut Value) {
    if let Some(value) = spec.object_mut("template") {
        template::defaults(value);
    }
}

/// A create without a template's fields whose features are off.
pub(crate) fn drop_at_create(object: &mut Value) {
    drop_disabled(object, &Value::Null);
}

/// The same for an update, which may keep what is there.
pub(crate) fn drop_disabled(new: &mut Value, old: &Value) {
    if let Some(spec) = new.field_mut("spec") {
        template::drop_disabled(spec, old.part("spec"));
    }
}

/// What a client should be told of the template, when the spec is new or another one.
pub(crate) fn template_warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let path = Path::new("spec");
    let old = old.map(|old| old.part("spec"));
    spec_warnings(new.part("spec"), old, &path)
}

/// The same of a spec that is anywhere.
pub(crate) fn spec_warnings(new: &Value, old: Option<&Value>, path: &Path<'_>) -> Vec<String> {
    if old.is_some_and(|old| same(old, new)) {
        return Vec::new();
    }
    template::warnings(new.part("template"), &path.child("template"))
}

/// A selector that must be there and must not be empty; `kind` is upstream's word for the type.
pub(crate) fn selector(spec: &Value, kind: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if !spec.has("selector") {
        errors.push(FieldError::required(&path.child("selector"), ""));
        return;
    }
    check::label_selector(spec, "selector", path, errors);
    not_empty(spec, kind, path, errors);
}

/// A selector that is there is not empty.
pub(crate) fn not_empty(spec: &Value, kind: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(selector) = spec.field("selector") else {
        return;
    };
    if selector.count("matchLabels") + selector.items("matchExpressions").len() == 0 {
        let message = format!("empty selector is invalid for {kind}");
        let path = path.child("selector");
        errors.push(FieldError::invalid(&path, selector.clone(), message));
    }
}

/// The template has the labels that the selector wants. A selector that cannot be read is a mistake with this message, if
/// there is one.
pub(crate) fn matches(
    spec: &Value,
    unreadable: Option<&str>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let labels = check::template_labels(spec.part("template"));
    match LabelSelector::from_object(spec.field("selector")) {
        Ok(selector) if selector.is_everything() || selector.matches(labels.as_object()) => {}
        Ok(_) => {
            let message = "`selector` does not match template `labels`";
            let template = path.child("template");
            let metadata = template.child("metadata");
            errors.push(FieldError::invalid(
                &metadata.child("labels"),
                labels,
                message,
            ));
        }
        Err(_) => {
            if let Some(message) = unreadable {
                let shown = check::shown(spec, "selector");
                let path = path.child("selector");
                errors.push(FieldError::invalid(&path, shown, message));
            }
        }
    }
}

/// Pods of the template run until they are told to stop; `kind` is in the message.
pub(crate) fn runs_always(spec: &Value, kind: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let pod = spec.part("template").part("spec");
    let template = path.child("template");
    let path = template.child("spec");
    check::one_of(pod, "restartPolicy", &["Always"], &path, errors);
    if pod.has("activeDeadlineSeconds") {
        let message = format!("activeDeadlineSeconds in {kind} is not Supported");
        let path = path.child("activeDeadlineSeconds");
        errors.push(FieldError::forbidden(&path, message));
    }
}

/// All of the rules of a template that replica sets make pods of.
pub(crate) fn replicated(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    matches(spec, Some("invalid label selector"), path, errors);
    template::validate(spec.part("template"), &path.child("template"), errors);
    runs_always(spec, "ReplicaSet", path, errors);
}

/// A selector that may not change.
pub(crate) fn selector_immutable(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (new, old) = (new.part("spec"), old.part("spec"));
    if !same(new.part("selector"), old.part("selector")) {
        let spec = Path::new("spec");
        let shown = check::shown(new, "selector");
        let path = spec.child("selector");
        errors.push(FieldError::invalid(&path, shown, check::IMMUTABLE));
    }
}

/// What is wrong with counts of replicas in a status. None is above `replicas`, and no more are available than ready.
pub(crate) fn replica_counts(
    status: &Value,
    counts: &[&str],
    ready: &str,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let message = "cannot be greater than status.replicas";
    check::at_most(status, counts, "replicas", message, path, errors);
    let message = format!("cannot be greater than {ready}");
    let available = ["availableReplicas"];
    check::at_most(status, &available, "readyReplicas", &message, path, errors);
}

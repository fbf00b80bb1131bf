//! What of a volume may be changed: all but where it is.

use objects::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

use super::SOURCES;
use crate::{
    check::value::{IMMUTABLE, immutable},
    value::{Fields, same},
};

/// Labels of nodes that a volume's affinity may be brought up to date with.
const NEW_LABELS: &[(&str, &str)] = &[
    (
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/zone",
    ),
    (
        "failure-domain.beta.kubernetes.io/region",
        "topology.kubernetes.io/region",
    ),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    (
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
    ),
];

pub(super) fn validate(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (now, before) = (new.part("spec"), old.part("spec"));
    let spec = Path::new("spec");
    let source_of = |spec: &Value| {
        let mut sources = json!({});
        for source in SOURCES {
            sources.copy_from(spec, source.field);
        }
        sources
    };
    let (mut now_source, before_source) = (source_of(now), source_of(before));
    // A secret for growing may be added to what has none.
    if !before_source.part("csi").has("controllerExpandSecretRef")
        && before_source.has("csi")
        && let Some(csi) = now_source.field_mut("csi")
    {
        csi.remove("controllerExpandSecretRef");
    }
    if !same(&now_source, &before_source) {
        let message = "spec.persistentvolumesource is immutable after creation";
        errors.push(FieldError::forbidden(
            &spec.child("persistentvolumesource"),
            message,
        ));
    }
    // Upstream's paths have no `spec`.
    immutable(
        now.part("volumeMode"),
        before.part("volumeMode"),
        &Path::new("volumeMode"),
        errors,
    );
    if let Some(affinity) = before.field("nodeAffinity") {
        let renewed = with_new_labels(affinity);
        let now = now.part("nodeAffinity");
        if !same(now, affinity) && !same(&with_new_labels(now), &renewed) {
            let message = format!("{IMMUTABLE}, except for updating from beta label to GA");
            errors.push(FieldError::invalid(
                &Path::new("nodeAffinity"),
                now.clone(),
                message,
            ));
        }
    }
    let name = "volumeAttributesClassName";
    if before.has(name) && !now.has(name) {
        let message = "update from non-nil value to nil is forbidden";
        errors.push(FieldError::forbidden(&spec.child(name), message));
    }
}

/// An affinity with the labels that have taken the place of others.
fn with_new_labels(affinity: &Value) -> Value {
    let mut affinity = affinity.clone();
    let Some(required) = affinity.field_mut("required") else {
        return affinity;
    };
    for term in required.items_mut("nodeSelectorTerms") {
        for expression in term.items_mut("matchExpressions") {
            let key = expression.text("key");
            let new = NEW_LABELS.iter().find(|(old, _)| *old == key);
            if let Some((_, new)) = new {
                expression.set("key", *new);
            }
        }
    }
    affinity
}

//! What a pod has that nobody sent.

use serde_json::{Value, json};

use super::{annotations::APP_ARMOR, disabled, resources};
use crate::value::Fields;

/// A new pod waits; what its labels stand for is written into its selectors.
pub(super) fn create(pod: &mut Value) {
    let class = resources::quality_of_service(pod.part("spec"));
    let mut status = json!({"phase": "Pending", "qosClass": class});
    if !pod.part("spec").items("schedulingGates").is_empty() {
        status.set(
            "conditions",
            json!([{
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }]),
        );
    }
    pod.set("status", status);
    if let Some(spec) = pod.field_mut("spec") {
        disabled::spec(spec, &Value::Null);
    }
    app_armor(pod);
    let labels = pod.part("metadata").part("labels").clone();
    let Some(spec) = pod.field_mut("spec") else {
        return;
    };
    for constraint in spec.items_mut("topologySpreadConstraints") {
        label_keys(constraint, &labels);
    }
    let Some(affinity) = spec.field_mut("affinity") else {
        return;
    };
    for name in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = affinity.field_mut(name) else {
            continue;
        };
        for term in pods.items_mut("requiredDuringSchedulingIgnoredDuringExecution") {
            label_keys(term, &labels);
        }
        for weighted in pods.items_mut("preferredDuringSchedulingIgnoredDuringExecution") {
            if let Some(term) = weighted.field_mut("podAffinityTerm") {
                label_keys(term, &labels);
            }
        }
    }
}

/// What an annotation says of a container's profile becomes its field, unless the pod's says the same.
fn app_armor(pod: &mut Value) {
    let annotations = pod.part("metadata").part("annotations").clone();
    let Some(spec) = pod.field_mut("spec") else {
        return;
    };
    if annotations.is_null() || spec.part("os").text("name") == "windows" {
        return;
    }
    let of_pod = spec.part("securityContext").part("appArmorProfile").clone();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.items_mut(list) {
            let key = format!("{APP_ARMOR}{}", container.text("name"));
            let own = container.part("securityContext").has("appArmorProfile");
            let Some(profile) =
                profile(annotations.text(&key)).filter(|profile| !own && *profile != of_pod)
            else {
                continue;
            };
            if let Some(security) = container.object_mut("securityContext") {
                security.set("appArmorProfile", profile);
            }
        }
    }
}

/// The profile that an annotation means.
fn profile(annotation: &str) -> Option<Value> {
    match annotation {
        "unconfined" => Some(json!({"type": "Unconfined"})),
        "runtime/default" => Some(json!({"type": "RuntimeDefault"})),
        _ => {
            let name = annotation.strip_prefix("localhost/")?;
            let right = !name.is_empty() && name.trim() == name;
            right.then(|| json!({"type": "Localhost", "localhostProfile": name}))
        }
    }
}

/// Keys of labels whose values are to be the pod's own, or not (KEP-3633, KEP-3243).
fn label_keys(term: &mut Value, labels: &Value) {
    if !term.has("labelSelector") {
        return;
    }
    let mut expressions = Vec::new();
    for (list, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in term.texts(list) {
            if let Some(value) = labels.field(key) {
                expressions.push(json!({"key": key, "operator": operator, "values": [value]}));
            }
        }
    }
    if expressions.is_empty() {
        return;
    }
    if let Some(selector) = term.object_mut("labelSelector") {
        let mut all = selector.items("matchExpressions").to_vec();
        all.extend(expressions);
        selector.set("matchExpressions", all);
    }
}

/// An update brings no field whose feature is off.
pub(super) fn update(new: &mut Value, old: &Value) {
    if let Some(spec) = new.field_mut("spec") {
        disabled::spec(spec, old.part("spec"));
    }
}

/// The status tells of the pod and changes nothing else of it.
pub(super) fn status(new: &mut Value, old: &Value) {
    if let Some(metadata) = new.object_mut("metadata") {
        for name in [
            "ownerReferences",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ] {
            metadata.copy_from(old.part("metadata"), name);
        }
    }
    let old = old.part("status");
    let Some(status) = new.object_mut("status") else {
        return;
    };
    disabled::status(status, old);
    if status.text("qosClass").is_empty() {
        status.copy_from(old, "qosClass");
    }
    if status.whole("observedGeneration").unwrap_or_default() == 0 {
        status.copy_from(old, "observedGeneration");
    }
    let mut used = vec![false; old.items("conditions").len()];
    for condition in status.items_mut("conditions") {
        let same = |other: &Value| other.text("type") == condition.text("type");
        let before = old.items("conditions").iter().enumerate();
        let Some((index, before)) = before
            .clone()
            .find(|(index, other)| !used[*index] && same(other))
        else {
            continue;
        };
        used[index] = true;
        if condition.whole("observedGeneration").unwrap_or_default() == 0
            && before.has("observedGeneration")
        {
            condition.copy_from(before, "observedGeneration");
        }
    }
}

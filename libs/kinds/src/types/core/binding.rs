//! Bindings: a pod is given a node.

use objects::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

use crate::{rules::Rules, value::Fields};

/// What is this type's own.
pub const RULES: Rules = Rules {
    validate,
    ..Rules::NONE
};

/// Gives a pod the node of a binding, with the binding's annotations; `now` is the time as the API writes it.
///
/// # Errors
/// When the pod has a node, is being deleted, or is not to be scheduled yet: a conflict, in upstream's words.
pub fn bind(pod: &mut Value, binding: &Value, now: &str) -> Result<(), String> {
    let name = pod.part("metadata").text("name");
    let node = pod.part("spec").text("nodeName");
    if pod.part("metadata").has("deletionTimestamp") {
        return Err(format!(
            "pod {name} is being deleted, cannot be assigned to a host"
        ));
    }
    if !node.is_empty() {
        return Err(format!("pod {name} is already assigned to node {node:?}"));
    }
    if !pod.part("spec").items("schedulingGates").is_empty() {
        return Err(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    if let Some(spec) = pod.object_mut("spec") {
        spec.set("nodeName", binding.part("target").text("name"));
    }
    if binding.part("metadata").count("annotations") > 0
        && let Some(metadata) = pod.object_mut("metadata")
        && let Some(annotations) = metadata.object_mut("annotations")
    {
        for (key, value) in binding.part("metadata").entries("annotations") {
            annotations.set(key, value.clone());
        }
    }
    if let Some(status) = pod.object_mut("status") {
        // Since 1.35, where ClearingNominatedNodeNameAfterBinding is on.
        status.remove("nominatedNodeName");
        scheduled(status, now);
    }
    Ok(())
}

/// The condition that says so, with what it said before gone.
fn scheduled(status: &mut Value, now: &str) {
    let condition = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    let mut conditions = status.items("conditions").to_vec();
    match conditions
        .iter_mut()
        .find(|condition| condition.text("type") == "PodScheduled")
    {
        Some(old) if old.text("status") == "True" => return,
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
    status.set("conditions", conditions);
}

fn validate(binding: &Value, errors: &mut ErrorList) {
    let (target, path) = (binding.part("target"), Path::new("target"));
    let kind = target.text("kind");
    if !matches!(kind, "" | "Node") {
        errors.push(FieldError::not_supported(
            &path.child("kind"),
            kind,
            &["Node", "<empty>"],
        ));
    }
    if target.text("name").is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_create;

    #[test]
    fn mistakes() {
        check_create(
            &RULES,
            &json!({"target": {"kind": "Node", "name": "n"}}),
            &[],
        );
        check_create(
            &RULES,
            &json!({"target": {"kind": "Pod"}}),
            &[
                r#"target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>""#,
                "target.name: Required value",
            ],
        );
    }

    #[test]
    fn a_pod_is_bound_once() {
        let binding = json!({"metadata": {"annotations": {"a": "b"}}, "target": {"name": "n"}});
        let mut pod = json!({"metadata": {"name": "p"}, "status": {"nominatedNodeName": "m", "conditions": [{"type": "PodScheduled", "status": "False"}]}});
        assert_eq!(bind(&mut pod, &binding, "2026-01-01T00:00:00Z"), Ok(()));
        assert_eq!(
            pod,
            json!({
                "metadata": {"name": "p", "annotations": {"a": "b"}}, "spec": {"nodeName": "n"},
                "status": {"conditions": [{
                    "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-01-01T00:00:00Z",
                }]},
            })
        );
        let again = bind(&mut pod, &binding, "2026-01-01T00:00:01Z");
        assert_eq!(
            again,
            Err("pod p is already assigned to node \"n\"".to_owned())
        );
        let mut gated =
            json!({"metadata": {"name": "p"}, "spec": {"schedulingGates": [{"name": "g"}]}});
        assert!(bind(&mut gated, &binding, "").is_err());
    }
}

//! Subresources: parts of an object that are written apart, and deeds that are done to it.
//!
//! Sources: the API reference ("Scale", "Binding", "Eviction"), and the page on disruptions.

use super::Context;
use crate::planner::served::Served;
use kinds::types::core::binding;
use objects::{
    metadata::{self, Metadata},
    selector::LabelSelector,
    status::{Qualified, Status},
};
use serde_json::{Map, Value, json};

/// The Scale of an object that has replicas.
#[must_use]
pub fn scale_of(object: &Value) -> Value {
    let metadata = Metadata::of(object);
    let mut named = Map::new();
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        if let Some(value) = metadata.get(field) {
            named.insert(field.to_owned(), value.clone());
        }
    }
    let count = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_i64)
            .unwrap_or_default()
    };
    let mut status = json!({"replicas": count("/status/replicas")});
    if let Some(selector) = selector(object) {
        status["selector"] = selector.to_string().into();
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": named,
        "spec": {"replicas": count("/spec/replicas")},
        "status": status,
    })
}

fn selector(object: &Value) -> Option<LabelSelector> {
    let selector = object.pointer("/spec/selector")?;
    if selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some() {
        return LabelSelector::from_object(Some(selector)).ok();
    }
    // A replication controller's is a map.
    let pairs = selector.as_object()?.iter();
    let pairs = pairs.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    Some(LabelSelector::from_pairs(pairs))
}

/// An object with the replicas of a Scale.
///
/// # Errors
/// The answer to the client.
pub fn with_scale(served: &Served, old: &Value, scale: &Value) -> Result<Value, Status> {
    let name = Metadata::of(old).name();
    let said = Metadata::of(scale);
    if said.name() != name {
        return Err(Status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({name})",
            said.name()
        )));
    }
    let version = said.resource_version();
    if !version.is_empty() && version != Metadata::of(old).resource_version() {
        return Err(Status::modified(served.qualified(), name));
    }
    let replicas = scale
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap_or_default();
    if replicas < 0 {
        let mut errors = objects::field::ErrorList::default();
        let spec = objects::field::Path::new("spec");
        let path = spec.child("replicas");
        let message = "must be greater than or equal to 0";
        errors.push(objects::field::FieldError::invalid(
            &path, replicas, message,
        ));
        return Err(Status::invalid(
            Qualified::new("autoscaling", "Scale"),
            name,
            &errors,
        ));
    }
    let mut object = old.clone();
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        let changed = spec.insert("replicas".to_owned(), replicas.into()) != Some(replicas.into());
        if changed && served.stored.generation {
            let next = Metadata::of(old).generation().saturating_add(1);
            metadata::edit(&mut object).insert("generation".to_owned(), next.into());
        }
    }
    Ok(object)
}

/// A pod that is bound to a node.
///
/// # Errors
/// The answer to the client.
pub fn bound(old: &Value, binding: &Value, context: &Context) -> Result<Value, Status> {
    let pod = Metadata::of(old);
    let resource = Qualified::core("pods/binding");
    let conflict = |why: &str| Err(Status::conflict(resource, pod.name(), why));
    let target = binding.get("target").unwrap_or(&Value::Null);
    let kind = target
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let node = target
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !matches!(kind, "" | "Node") || node.is_empty() {
        let mut errors = objects::field::ErrorList::default();
        let target = objects::field::Path::new("target");
        if !matches!(kind, "" | "Node") {
            let path = target.child("kind");
            let known = ["Node", "<empty>"];
            errors.push(objects::field::FieldError::not_supported(
                &path, kind, &known,
            ));
        }
        if node.is_empty() {
            errors.push(objects::field::FieldError::required(
                &target.child("name"),
                "",
            ));
        }
        return Err(Status::invalid(
            Qualified::core("Binding"),
            pod.name(),
            &errors,
        ));
    }
    let uid = Metadata::of(binding).uid();
    if !uid.is_empty() && uid != pod.uid() {
        return conflict(&format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            pod.uid()
        ));
    }
    let mut object = old.clone();
    let now = super::time(context.now);
    match binding::bind(&mut object, binding, now.as_str().unwrap_or_default()) {
        Ok(()) => Ok(object),
        Err(why) => conflict(&why),
    }
}

/// What an eviction does.
#[derive(Debug, Clone, PartialEq)]
pub enum Eviction {
    /// The pod goes.
    Delete,
    /// This budget is written first, and then the pod goes.
    Spend(Value),
}

/// Whether a pod may be evicted, given the budgets of its namespace.
///
/// # Errors
/// Not now, or not at all.
pub fn evict(pod: &Value, budgets: &[Value], context: &Context) -> Result<Eviction, Status> {
    let metadata = Metadata::of(pod);
    let phase = pod
        .pointer("/status/phase")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if matches!(phase, "Succeeded" | "Failed" | "Pending")
        || metadata.deletion_timestamp().is_some()
    {
        return Ok(Eviction::Delete);
    }
    let matching: Vec<&Value> = budgets
        .iter()
        .filter(|budget| selects(budget, pod))
        .collect();
    let budget = match matching.as_slice() {
        [] => return Ok(Eviction::Delete),
        [budget] => *budget,
        _ => {
            return Err(Status::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
    };
    let number = |pointer: &str| {
        budget
            .pointer(pointer)
            .and_then(Value::as_i64)
            .unwrap_or_default()
    };
    let name = Metadata::of(budget).name();
    let healthy = is_ready(pod);
    let always = budget
        .pointer("/spec/unhealthyPodEvictionPolicy")
        .and_then(Value::as_str)
        == Some("AlwaysAllow");
    let enough = number("/status/currentHealthy") >= number("/status/desiredHealthy")
        && number("/status/desiredHealthy") > 0;
    // A pod that is not ready takes nothing from the budget, if the policy says so or there is enough without it.
    if !healthy && (always || enough) {
        return Ok(Eviction::Delete);
    }
    if number("/status/observedGeneration") < Metadata::of(budget).generation() {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(refused(&why, 10));
    }
    if number("/status/disruptionsAllowed") <= 0 {
        let why = format!(
            "The disruption budget {name} needs {} healthy pods and has {} currently",
            number("/status/desiredHealthy"),
            number("/status/currentHealthy")
        );
        return Err(refused(&why, 0));
    }
    let mut spent = budget.clone();
    spent["status"]["disruptionsAllowed"] = (number("/status/disruptionsAllowed") - 1).into();
    if !spent["status"]["disruptedPods"].is_object() {
        spent["status"]["disruptedPods"] = json!({});
    }
    spent["status"]["disruptedPods"][metadata.name()] = super::time(context.now);
    Ok(Eviction::Spend(spent))
}

fn selects(budget: &Value, pod: &Value) -> bool {
    let Some(selector) = budget.pointer("/spec/selector") else {
        return false;
    };
    let selector = LabelSelector::from_object(Some(selector));
    selector.is_ok_and(|selector| selector.matches(Metadata::of(pod).labels()))
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn refused(why: &str, retry_after_seconds: u32) -> Status {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    Status::too_many_requests(message, retry_after_seconds).with_cause("DisruptionBudget", why, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use objects::decode::FieldValidation;

    fn context() -> Context {
        Context {
            now: 0,
            random: 0,
            uid: "u".to_owned(),
            validation: FieldValidation::Warn,
        }
    }

    #[test]
    fn scales() {
        let check = |object: Value, expect: Value| {
            let scale = scale_of(&object);
            assert_eq!(
                (&scale["spec"], &scale["status"]),
                (&expect["spec"], &expect["status"])
            );
        };
        check(
            json!({"spec": {"replicas": 3, "selector": {"matchLabels": {"b": "2", "a": "1"}}}, "status": {"replicas": 2}}),
            json!({"spec": {"replicas": 3}, "status": {"replicas": 2, "selector": "a=1,b=2"}}),
        );
        check(
            json!({"spec": {"replicas": 1, "selector": {"a": "1"}}}),
            json!({"spec": {"replicas": 1}, "status": {"replicas": 0, "selector": "a=1"}}),
        );
    }

    #[test]
    fn bindings() {
        let check = |pod: Value, binding: Value, expect: Result<&str, &str>| {
            let bound = bound(&pod, &binding, &context());
            match (bound, expect) {
                (Ok(pod), Ok(node)) => {
                    assert_eq!(pod["spec"]["nodeName"], node);
                    assert_eq!(pod["status"]["conditions"][0]["type"], "PodScheduled");
                }
                (Err(status), Err(why)) => {
                    assert!(status.message.contains(why), "{}", status.message)
                }
                (bound, expect) => panic!("{bound:?}, not {expect:?}"),
            }
        };
        let pod = json!({"metadata": {"name": "p", "uid": "1"}, "spec": {}});
        let target = json!({"target": {"kind": "Node", "name": "n"}});
        check(pod.clone(), target.clone(), Ok("n"));
        check(
            pod.clone(),
            json!({"target": {"name": ""}}),
            Err("target.name: Required value"),
        );
        check(
            pod.clone(),
            json!({"target": {"kind": "Pod", "name": "n"}}),
            Err("Unsupported value: \"Pod\""),
        );
        let other = json!({"metadata": {"uid": "2"}, "target": {"name": "n"}});
        check(pod, other, Err("Precondition failed"));
        let taken = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "m"}});
        check(
            taken,
            target.clone(),
            Err("pod p is already assigned to node \"m\""),
        );
        let gated =
            json!({"metadata": {"name": "p"}, "spec": {"schedulingGates": [{"name": "g"}]}});
        check(gated, target, Err("non-empty .spec.schedulingGates"));
    }

    #[test]
    fn evictions() {
        let pod = json!({
            "metadata": {"name": "p", "labels": {"a": "1"}},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        let budget = |allowed: i64| {
            json!({
                "metadata": {"name": "b", "generation": 1},
                "spec": {"selector": {"matchLabels": {"a": "1"}}},
                "status": {"observedGeneration": 1, "disruptionsAllowed": allowed, "desiredHealthy": 2, "currentHealthy": 2},
            })
        };
        assert_eq!(
            evict(&pod, &[], &context()).expect("free"),
            Eviction::Delete
        );
        match evict(&pod, &[budget(1)], &context()).expect("allowed") {
            Eviction::Spend(spent) => {
                assert_eq!(spent["status"]["disruptionsAllowed"], 0);
                assert!(spent["status"]["disruptedPods"]["p"].is_string());
            }
            Eviction::Delete => panic!("the budget is not spent"),
        }
        let refused = evict(&pod, &[budget(0)], &context()).expect_err("refused");
        assert_eq!(refused.code, 429);
        assert_eq!(
            evict(&pod, &[budget(1), budget(1)], &context())
                .expect_err("two")
                .code,
            500
        );
        let mut waiting = pod;
        waiting["status"]["phase"] = "Pending".into();
        assert_eq!(
            evict(&waiting, &[budget(0)], &context()).expect("not running"),
            Eviction::Delete
        );
    }
}

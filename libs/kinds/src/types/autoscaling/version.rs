//! Between `autoscaling/v1` and the stored `autoscaling/v2`: what the older version has no fields for it has in annotations,
//! as JSON in its own form.

use serde_json::{Map, Value, json};

use super::v2::{CPU_UTILIZATION, cpu_metric};
use crate::value::Fields;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// From the stored version.
pub(super) fn to_v1(object: &mut Value) {
    object.set("apiVersion", "autoscaling/v1");
    let mut annotations: Vec<(&str, Value)> = Vec::new();
    if let Some(spec) = object.field_mut("spec") {
        let metrics = take_list(spec, "metrics");
        let cpu = metrics.iter().find(|metric| is_cpu(metric));
        if let Some(percent) = cpu.and_then(utilization) {
            spec.set("targetCPUUtilizationPercentage", percent);
        }
        let others = metrics
            .iter()
            .filter(|metric| !(is_cpu(metric) && utilization(metric).is_some()));
        let others: Vec<Value> = others
            .map(|metric| metric_to_v1(metric, "target"))
            .collect();
        if !others.is_empty() {
            annotations.push((METRICS, others.into()));
        }
        if let Some(behavior) = spec.remove("behavior") {
            annotations.push((BEHAVIOR, capitalized(behavior)));
        }
    }
    if let Some(status) = object.field_mut("status") {
        let metrics = take_list(status, "currentMetrics");
        let cpu = metrics.iter().filter(|metric| is_cpu(metric));
        let mut percents = cpu.filter_map(|metric| {
            let current = metric.part("resource").part("current");
            current.whole("averageUtilization")
        });
        if let Some(percent) = percents.next_back() {
            status.set("currentCPUUtilizationPercentage", percent);
        }
        let metrics: Vec<Value> = metrics.iter().map(|m| metric_to_v1(m, "current")).collect();
        if !metrics.is_empty() {
            annotations.push((CURRENT_METRICS, metrics.into()));
        }
        let conditions = take_list(status, "conditions");
        if !conditions.is_empty() {
            annotations.push((CONDITIONS, conditions.into()));
        }
    }
    drop_annotations(object);
    let metadata = object
        .object_mut("metadata")
        .filter(|_| !annotations.is_empty());
    if let Some(held) = metadata.and_then(|metadata| metadata.object_mut("annotations")) {
        for (name, value) in annotations {
            held.set(name, value.to_string());
        }
    }
}

/// To the stored version. An annotation that cannot be read says nothing.
pub(super) fn to_v2(object: &mut Value) {
    object.set("apiVersion", "autoscaling/v2");
    let annotations = object.part("metadata").part("annotations").clone();
    let read = |name: &str| serde_json::from_str::<Value>(annotations.text(name)).ok();
    let list = |name: &str| read(name).filter(Value::is_array);
    if let Some(spec) = object.object_mut("spec") {
        let mut metrics = Vec::new();
        let percent = spec.remove("targetCPUUtilizationPercentage");
        metrics.extend(percent.and_then(|percent| percent.as_i64()).map(cpu_metric));
        let others = list(METRICS).unwrap_or_default();
        let others = others.as_array().into_iter().flatten();
        metrics.extend(others.map(|metric| metric_to_v2(metric, "target")));
        if metrics.is_empty() {
            metrics.push(cpu_metric(CPU_UTILIZATION));
        }
        spec.set("metrics", metrics);
        if let Some(behavior) = read(BEHAVIOR).filter(Value::is_object) {
            spec.set("behavior", uncapitalized(behavior));
        }
    }
    let (metrics, conditions) = (list(CURRENT_METRICS), list(CONDITIONS));
    if metrics.is_some() || conditions.is_some() {
        object.object_mut("status");
    }
    if let Some(status) = object.field_mut("status") {
        let percent = status.remove("currentCPUUtilizationPercentage");
        if let Some(percent) = percent.filter(|percent| !percent.is_null()) {
            let current = json!({"averageUtilization": percent});
            let metric =
                json!({"type": "Resource", "resource": {"name": "cpu", "current": current}});
            status.set("currentMetrics", json!([metric]));
        }
        if let Some(metrics) = metrics {
            let metrics = metrics.as_array().into_iter().flatten();
            let metrics: Vec<Value> = metrics.map(|m| metric_to_v2(m, "current")).collect();
            status.set("currentMetrics", metrics);
        }
        if let Some(conditions) = conditions {
            status.set("conditions", conditions);
        }
    }
    drop_annotations(object);
}

fn take_list(object: &mut Value, name: &str) -> Vec<Value> {
    match object.remove(name) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn drop_annotations(object: &mut Value) {
    let Some(metadata) = object.field_mut("metadata") else {
        return;
    };
    let Some(annotations) = metadata.field_mut("annotations") else {
        return;
    };
    let mut dropped = false;
    for name in [METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR] {
        dropped |= annotations.remove(name).is_some();
    }
    if dropped && metadata.count("annotations") == 0 {
        metadata.remove("annotations");
    }
}

fn is_cpu(metric: &Value) -> bool {
    metric.text("type") == "Resource" && metric.part("resource").text("name") == "cpu"
}

fn utilization(metric: &Value) -> Option<i64> {
    metric
        .part("resource")
        .part("target")
        .whole("averageUtilization")
}

/// Fields of a source: in the older form and in the newer one. `what` is `target` or `current`.
fn source_fields(source: &str, what: &str) -> Vec<(String, Vec<&'static str>)> {
    let held = if what == "target" {
        "target"
    } else {
        "current"
    };
    let amount = |field: &str| format!("{held}{field}");
    match source {
        "object" => vec![
            ("target".to_owned(), vec!["describedObject"]),
            ("metricName".to_owned(), vec!["metric", "name"]),
            ("selector".to_owned(), vec!["metric", "selector"]),
            (amount("Value"), vec![held, "value"]),
            ("averageValue".to_owned(), vec![held, "averageValue"]),
        ],
        "pods" => vec![
            ("metricName".to_owned(), vec!["metric", "name"]),
            ("selector".to_owned(), vec!["metric", "selector"]),
            (amount("AverageValue"), vec![held, "averageValue"]),
        ],
        "external" => vec![
            ("metricName".to_owned(), vec!["metric", "name"]),
            ("metricSelector".to_owned(), vec!["metric", "selector"]),
            (amount("Value"), vec![held, "value"]),
            (amount("AverageValue"), vec![held, "averageValue"]),
        ],
        "resource" | "containerResource" => vec![
            ("name".to_owned(), vec!["name"]),
            ("container".to_owned(), vec!["container"]),
            (
                amount("AverageUtilization"),
                vec![held, "averageUtilization"],
            ),
            (amount("AverageValue"), vec![held, "averageValue"]),
        ],
        _ => Vec::new(),
    }
}

fn metric_to_v1(metric: &Value, what: &str) -> Value {
    let mut out = json!({"type": metric.text("type")});
    for (name, source) in metric.as_object().into_iter().flatten() {
        let mut converted = json!({});
        for (old, new) in source_fields(name, what) {
            let found = new.iter().fold(source, |value, name| value.part(name));
            if !found.is_null() {
                converted.set(&old, found.clone());
            }
        }
        if source.is_object() {
            // An amount that the older form cannot be without.
            if name == "object" {
                converted.set_absent(&format!("{what}Value"), "0");
            }
            out.set(name, converted);
        }
    }
    out
}

fn metric_to_v2(metric: &Value, what: &str) -> Value {
    let mut out = json!({"type": metric.text("type")});
    for (name, source) in metric.as_object().into_iter().flatten() {
        if !source.is_object() {
            continue;
        }
        let mut converted = json!({});
        for (old, new) in source_fields(name, what) {
            let placeholder = old == format!("{what}Value") && source.has("averageValue");
            if let Some(found) = source.field(&old)
                && !(placeholder && found == "0")
                && let Some((last, parents)) = new.split_last()
            {
                let parent = parents
                    .iter()
                    .try_fold(&mut converted, |value, name| value.object_mut(name));
                if let Some(parent) = parent {
                    parent.set(last, found.clone());
                }
            }
        }
        if what == "target"
            && let Some(target) = converted.object_mut("target")
        {
            let kind = target_type(target);
            target.set("type", kind);
        }
        out.set(name, converted);
    }
    out
}

fn target_type(target: &Value) -> &'static str {
    if target.has("averageUtilization") {
        "Utilization"
    } else if target.has("averageValue") {
        "AverageValue"
    } else {
        "Value"
    }
}

/// Upstream writes the behavior in the form of its own types, whose fields begin with capitals.
fn capitalized(value: Value) -> Value {
    renamed(value, |first| first.to_ascii_uppercase())
}

fn uncapitalized(value: Value) -> Value {
    renamed(value, |first| first.to_ascii_lowercase())
}

fn renamed(value: Value, case: fn(char) -> char) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            let fields = fields.map(|(name, value)| {
                let mut letters = name.chars();
                let first = letters.next().map(case);
                (
                    first.into_iter().chain(letters).collect(),
                    renamed(value, case),
                )
            });
            Value::Object(fields.collect::<Map<String, Value>>())
        }
        Value::Array(items) => items.into_iter().map(|item| renamed(item, case)).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Value {
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "h", "annotations": {"a": "b"}},
            "spec": {"minReplicas": 1, "maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "w"},
                "behavior": {"scaleDown": {"selectPolicy": "Max", "policies": [{"type": "Pods", "value": 1, "periodSeconds": 5}]}},
                "metrics": [cpu_metric(50),
                    {"type": "Object", "object": {"describedObject": {"kind": "S", "name": "s"}, "metric": {"name": "m", "selector": {"matchLabels": {"a": "b"}}},
                        "target": {"type": "AverageValue", "averageValue": "2"}}},
                    {"type": "Object", "object": {"describedObject": {"kind": "S", "name": "s"}, "metric": {"name": "m"},
                        "target": {"type": "Value", "value": "2"}}},
                    {"type": "Pods", "pods": {"metric": {"name": "p"}, "target": {"type": "AverageValue", "averageValue": "3"}}},
                    {"type": "External", "external": {"metric": {"name": "e", "selector": {}}, "target": {"type": "Value", "value": "4"}}},
                    {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "5"}}},
                    {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c", "target": {"type": "Utilization", "averageUtilization": 6}}}]},
            "status": {"currentReplicas": 1, "desiredReplicas": 2,
                "conditions": [{"type": "AbleToScale", "status": "True"}],
                "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 7, "averageValue": "70m"}}}]}})
    }

    #[test]
    fn nothing_is_lost() {
        let stored = full();
        let mut object = stored.clone();
        to_v1(&mut object);
        assert_eq!(object.text("apiVersion"), "autoscaling/v1");
        let spec = object.part("spec");
        assert_eq!(spec.whole("targetCPUUtilizationPercentage"), Some(50));
        assert!(!spec.has("metrics") && !spec.has("behavior"));
        let status = json!({"currentReplicas": 1, "desiredReplicas": 2, "currentCPUUtilizationPercentage": 7});
        assert_eq!(*object.part("status"), status);
        let annotations = object.part("metadata").part("annotations");
        let behavior = r#"{"ScaleDown":{"Policies":[{"PeriodSeconds":5,"Type":"Pods","Value":1}],"SelectPolicy":"Max"}}"#;
        assert_eq!(annotations.text(BEHAVIOR), behavior);
        let current = r#"[{"resource":{"currentAverageUtilization":7,"currentAverageValue":"70m","name":"cpu"},"type":"Resource"}]"#;
        assert_eq!(annotations.text(CURRENT_METRICS), current);
        assert!(
            annotations
                .text(METRICS)
                .contains(r#""targetAverageValue":"3""#)
        );
        to_v2(&mut object);
        assert_eq!(object, stored);
    }

    #[test]
    fn what_the_older_version_does_not_say() {
        let mut object = json!({"apiVersion": "autoscaling/v1", "spec": {"maxReplicas": 2}});
        to_v2(&mut object);
        let expect = json!({"apiVersion": "autoscaling/v2", "spec": {"maxReplicas": 2, "metrics": [cpu_metric(80)]}});
        assert_eq!(object, expect);
    }

    #[test]
    fn annotations_that_cannot_be_read_say_nothing() {
        let annotations = json!({METRICS: "{", CONDITIONS: "5", BEHAVIOR: "[]", CURRENT_METRICS: "[3, {\"resource\": 4}]"});
        let mut object = json!({"metadata": {"annotations": annotations}, "spec": {"targetCPUUtilizationPercentage": 9}});
        to_v2(&mut object);
        assert_eq!(*object.part("spec"), json!({"metrics": [cpu_metric(9)]}));
        assert_eq!(*object.part("metadata"), json!({}));
    }
}

//! The metrics that a horizontal pod autoscaler goes by: what is wrong with them, and how a table shows them.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use objects::quantity::Quantity;
use serde_json::Value;

use crate::{cells, check, value::Fields};

/// Sources by type, with the field of each, in the order in which upstream looks at them.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];

/// Types of sources in the order of upstream's message.
const TYPES: [&str; 5] = [
    "ContainerResource",
    "External",
    "Object",
    "Pods",
    "Resource",
];

/// Metrics that a table shows.
const SHOWN_MAX: usize = 2;

/// Mistakes in the metrics of a spec.
pub(super) fn validate(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let metrics = spec.items("metrics");
    let path = path.child("metrics");
    for (index, metric) in metrics.iter().enumerate() {
        source(metric, &path.index(index), errors);
    }
    let outside = |metric: &Value| matches!(metric.text("type"), "Object" | "External");
    if spec.whole("minReplicas") == Some(0) && !metrics.iter().any(outside) {
        let message = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(FieldError::forbidden(&path, message));
    }
}

fn source(metric: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let kind = metric.text("type");
    let type_path = path.child("type");
    if kind.is_empty() {
        let message = "must specify a metric source type";
        errors.push(FieldError::required(&type_path, message));
    }
    let expected = SOURCES.iter().find(|(name, _)| *name == kind);
    if expected.is_none() {
        // Upstream says so twice.
        for _ in 0..2 {
            errors.push(FieldError::not_supported(&type_path, kind, &TYPES));
        }
    }
    let present: Vec<&str> = SOURCES
        .iter()
        .map(|(_, field)| *field)
        .filter(|field| metric.has(field))
        .collect();
    if let Some(field) = present.first() {
        one_source(metric.part(field), field, &path.child(field), errors);
    }
    let expected = expected.map(|(_, field)| *field);
    if let Some(field) = expected
        && !metric.has(field)
    {
        let message = "must populate information for the given metric source";
        errors.push(FieldError::required(&path.child(field), message));
    }
    if present.len() > 1 {
        let mut others: Vec<&str> = present;
        others.retain(|field| Some(*field) != expected);
        others.sort_unstable();
        for field in others {
            let message = "must populate the given metric source only";
            errors.push(FieldError::forbidden(&path.child(field), message));
        }
    }
}

fn one_source(source: &Value, field: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if field == "object" {
        let path = path.child("describedObject");
        let described = source.part("describedObject");
        reference(described, &path, errors);
        api_version(described, true, &path, errors);
    }
    if field.ends_with("esource") {
        if source.text("name").is_empty() {
            let message = "must specify a resource name";
            errors.push(FieldError::required(&path.child("name"), message));
        }
        if field == "containerResource" && source.text("container").is_empty() {
            let message = "must specify a container";
            errors.push(FieldError::required(&path.child("container"), message));
        }
    } else {
        identifier(source.part("metric"), &path.child("metric"), errors);
    }
    let (target, path) = (source.part("target"), path.child("target"));
    target_value(target, &path, errors);
    let has = |name: &str| target.has(name);
    let average_path = path.child("averageValue");
    match field {
        "object" if !has("value") && !has("averageValue") => {
            let message = "must set either a target value or averageValue";
            errors.push(FieldError::required(&average_path, message));
        }
        "external" if !has("value") && !has("averageValue") => {
            let message = "must set either a target value for metric or a per-pod target";
            errors.push(FieldError::required(&average_path, message));
        }
        "external" if has("value") && has("averageValue") => {
            let message = "may not set both a target value for metric and a per-pod target";
            errors.push(FieldError::forbidden(&path.child("value"), message));
        }
        "pods" if !has("averageValue") => {
            let message = "must specify a positive target averageValue";
            errors.push(FieldError::required(&average_path, message));
        }
        "resource" | "containerResource" => {
            match (has("averageUtilization"), has("averageValue")) {
                (false, false) => {
                    let path = path.child("averageUtilization");
                    let message = "must set either a target raw value or a target utilization";
                    errors.push(FieldError::required(&path, message));
                }
                (true, true) => {
                    let message = "may not set both a target raw value and a target utilization";
                    errors.push(FieldError::forbidden(&average_path, message));
                }
                _ => {}
            }
        }
        _ => {}
    }
}

fn target_value(target: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let kind = target.text("type");
    let type_path = path.child("type");
    if kind.is_empty() {
        let message = "must specify a metric target type";
        errors.push(FieldError::required(&type_path, message));
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        let message = "must be either Utilization, Value, or AverageValue";
        errors.push(FieldError::invalid(&type_path, kind, message));
    }
    for name in ["value", "averageValue"] {
        let Ok(quantity) = Quantity::from_value(target.part(name)) else {
            continue;
        };
        if quantity.is_zero() || quantity.is_negative() {
            let path = path.child(name);
            errors.push(FieldError::invalid(
                &path,
                quantity.to_string(),
                "must be positive",
            ));
        }
    }
    if let Some(number) = target
        .whole("averageUtilization")
        .filter(|number| *number < 1)
    {
        let path = path.child("averageUtilization");
        errors.push(FieldError::invalid(&path, number, "must be greater than 0"));
    }
}

fn identifier(metric: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let name = metric.text("name");
    let path = path.child("name");
    if name.is_empty() {
        errors.push(FieldError::required(&path, "must specify a metric name"));
    } else {
        errors.push_invalid(&path, name, names::path_segment_name(name));
    }
}

/// Another object, by kind and name.
pub(super) fn reference(reference: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for field in ["kind", "name"] {
        check::required_text(reference, field, names::path_segment_name, path, errors);
    }
}

/// The version of another object, whose group may be the core one where `may_be_core`.
pub(super) fn api_version(
    reference: &Value,
    may_be_core: bool,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let version = reference.text("apiVersion");
    let message = match version.matches('/').count() {
        0 if !may_be_core => "apiVersion must specify API group".to_owned(),
        0 | 1 => return,
        _ => format!("unexpected GroupVersion string: {version}"),
    };
    let path = path.child("apiVersion");
    errors.push(FieldError::invalid(&path, version, message));
}

/// How metrics are: what is, and what is wanted.
pub(super) fn shown(specs: &[Value], statuses: &[Value]) -> String {
    if specs.is_empty() {
        return cells::NONE.to_owned();
    }
    let mut texts = Vec::new();
    for (index, spec) in specs.iter().enumerate().take(SHOWN_MAX) {
        let status = statuses.get(index).unwrap_or(&Value::Null);
        texts.push(one_shown(spec, status));
    }
    let texts = texts.join(", ");
    match specs.len() {
        count if count > SHOWN_MAX => format!("{texts} + {} more...", count - SHOWN_MAX),
        _ => texts,
    }
}

fn one_shown(spec: &Value, status: &Value) -> String {
    let kind = spec.text("type");
    let Some((_, field)) = SOURCES.iter().find(|(name, _)| *name == kind) else {
        return "<unknown type>".to_owned();
    };
    let source = spec.part(field);
    let (target, current) = (source.part("target"), status.part(field).part("current"));
    let amount = |values: &Value, name: &str| match values.field(name) {
        Some(value) => cells::quantity(value),
        None => "<unknown>".to_owned(),
    };
    let both = |name: &str| format!("{}/{}", amount(current, name), amount(target, name));
    let average = target.has("averageValue");
    match *field {
        "resource" | "containerResource" => {
            let name = source.text("name");
            if average {
                return format!("{name}: {}", both("averageValue"));
            }
            let percent = |values: &Value| {
                let number = values.whole("averageUtilization");
                number.map(|number| format!("{number}%"))
            };
            let current = percent(current).unwrap_or_else(|| "<unknown>".to_owned());
            let target = percent(target).unwrap_or_else(|| "<auto>".to_owned());
            format!("{name}: {current}/{target}")
        }
        "pods" => both("averageValue"),
        _ if average => format!("{} (avg)", both("averageValue")),
        _ => both("value"),
    }
}

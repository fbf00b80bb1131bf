//! Where an ingress sends requests: rules, paths and backends.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use crate::{check, value::Fields};

/// What a path of type Exact or Prefix may not have in it, and not at its end.
const SEQUENCES: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const SUFFIXES: [&str; 2] = ["/..", "/."];

/// Mistakes in what a rule says of HTTP.
pub(super) fn rule(rule: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(http) = rule.field("http") else {
        return;
    };
    let path = path.child("http");
    let (paths, path) = (http.items("paths"), path.child("paths"));
    if paths.is_empty() {
        errors.push(FieldError::required(&path, ""));
    }
    for (index, one) in paths.iter().enumerate() {
        http_path(one, &path.index(index), errors);
    }
}

fn http_path(value: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(kind) = value.part("pathType").as_str() else {
        let message = "pathType must be specified";
        errors.push(FieldError::required(&path.child("pathType"), message));
        return;
    };
    let (text, text_path) = (value.text("path"), path.child("path"));
    let mut wrong = |message: String| errors.push(FieldError::invalid(&text_path, text, message));
    let relative = !text.starts_with('/');
    match kind {
        "Exact" | "Prefix" => {
            if relative {
                wrong("must be an absolute path".to_owned());
            }
            for sequence in SEQUENCES
                .iter()
                .filter(|sequence| text.contains(**sequence))
            {
                wrong(format!("must not contain '{sequence}'"));
            }
            for suffix in SUFFIXES.iter().filter(|suffix| text.ends_with(**suffix)) {
                wrong(format!("cannot end with '{suffix}'"));
            }
        }
        "ImplementationSpecific" => {
            if relative && !text.is_empty() {
                wrong("must be an absolute path".to_owned());
            }
        }
        _ => {
            let known = ["Exact", "ImplementationSpecific", "Prefix"];
            check::one_of(value, "pathType", &known, path, errors);
        }
    }
    backend(value.part("backend"), &path.child("backend"), errors);
}

/// Mistakes in a backend.
pub(super) fn backend(backend: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    match (backend.field("resource"), backend.field("service")) {
        (Some(_), Some(_)) => {
            let message = "cannot set both resource and service backends";
            errors.push(FieldError::invalid(path, "", message));
        }
        (Some(resource), None) => reference(resource, &path.child("resource"), errors),
        (None, Some(backend)) => service(backend, path, errors),
        (None, None) => {
            let message = "resource or service backend is required";
            errors.push(FieldError::invalid(path, "", message));
        }
    }
}

fn service(service: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let service_path = path.child("service");
    check::required_text(service, "name", names::dns1035_label, &service_path, errors);
    let port = service.part("port");
    let (name, number) = (port.text("name"), port.whole("number").unwrap_or(0));
    let port_path = service_path.child("port");
    match (name, number) {
        ("", 0) => {
            let message = "port name or number is required";
            errors.push(FieldError::required(path, message));
        }
        ("", number) => {
            for message in names::port_number(number) {
                let path = port_path.child("number");
                errors.push(FieldError::invalid(&path, number, message));
            }
        }
        (name, 0) => {
            errors.push_invalid(&port_path.child("name"), name, names::port_name(name));
        }
        _ => {
            let message = "cannot set both port name & port number";
            errors.push(FieldError::invalid(path, "", message));
        }
    }
}

/// An object of another kind in the same namespace.
pub(super) fn reference(reference: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if let Some(group) = reference.part("apiGroup").as_str() {
        let path = path.child("apiGroup");
        errors.push_invalid(&path, group, names::dns1123_subdomain(group));
    }
    for field in ["kind", "name"] {
        let (text, path) = (reference.text(field), path.child(field));
        if text.is_empty() {
            let message = format!("{field} is required");
            errors.push(FieldError::required(&path, message));
        } else {
            errors.push_invalid(&path, text, names::path_segment_name(text));
        }
    }
}

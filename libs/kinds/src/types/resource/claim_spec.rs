//! What a claim asks for, in claims and in their templates.

use std::collections::{BTreeMap, BTreeSet};

use objects::field::{ErrorList, FieldError, Path};
use objects::names::{self as grammar, dns1123_subdomain};
use serde_json::Value;

use super::{list, names};
use crate::{check, disabled::Feature, value::Fields};

/// Most requests, constraints, configurations, selectors; and names of requests in one of these.
pub(super) const LIST_MAX: usize = 32;
/// Most alternatives of a request.
const ALTERNATIVES_MAX: usize = 8;
/// Most bytes of an expression.
const EXPRESSION_MAX: usize = 10 * 1024;
/// Most tolerations of a request.
const TOLERATIONS_MAX: usize = 16;
/// What taints of devices do.
pub(super) const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];

/// Fields whose features are off.
pub(super) const DISABLED: &[Feature] = &[
    // DRADeviceTaints: alpha.
    &[
        "devices.requests[].exactly.tolerations",
        "devices.requests[].firstAvailable[].tolerations",
    ],
    // DRAConsumableCapacity: alpha.
    &[
        "devices.constraints[].distinctAttribute",
        "devices.requests[].exactly.capacity",
        "devices.requests[].firstAvailable[].capacity",
    ],
];

/// The names of a claim's requests, each with those of its alternatives.
pub(super) struct RequestNames<'a>(BTreeMap<&'a str, BTreeSet<&'a str>>);

impl<'a> RequestNames<'a> {
    /// Those of a claim's spec.
    pub(super) fn of(spec: &'a Value) -> Self {
        let requests = spec.part("devices").items("requests").iter();
        let names = requests.map(|request| {
            let alternatives = request.items("firstAvailable").iter();
            let names = alternatives.map(|alternative| alternative.text("name"));
            (request.text("name"), names.collect())
        });
        Self(names.collect())
    }

    fn has(&self, name: &str) -> bool {
        let (request, alternative) = match name.split_once('/') {
            Some((request, alternative)) => (request, Some(alternative)),
            None => (name, None),
        };
        let alternatives = self.0.get(request);
        alternatives.is_some_and(|known| alternative.is_none_or(|name| known.contains(name)))
    }
}

/// Fills in what the requests of a spec do not say.
pub(super) fn defaults(spec: &mut Value) {
    let Some(devices) = spec.field_mut("devices") else {
        return;
    };
    for request in devices.items_mut("requests") {
        if let Some(exactly) = request.field_mut("exactly") {
            request_defaults(exactly);
        }
        for alternative in request.items_mut("firstAvailable") {
            request_defaults(alternative);
        }
    }
}

fn request_defaults(request: &mut Value) {
    request.set_empty("allocationMode", "ExactCount");
    if request.text("allocationMode") == "ExactCount" {
        request.set_empty("count", 1);
    }
    for toleration in request.items_mut("tolerations") {
        toleration.set_empty("operator", "Equal");
    }
}

/// Mistakes in a spec.
pub(super) fn validate(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (devices, path) = (spec.part("devices"), path.child("devices"));
    let known = RequestNames::of(spec);
    list::each_once(
        devices,
        "requests",
        LIST_MAX,
        list::name,
        &path,
        errors,
        request,
    );
    list::each(
        devices,
        "constraints",
        LIST_MAX,
        &path,
        errors,
        |one, path, errors| {
            request_names(one, &known, path, errors);
            constraint(one, path, errors);
        },
    );
    list::each(
        devices,
        "config",
        LIST_MAX,
        &path,
        errors,
        |one, path, errors| {
            request_names(one, &known, path, errors);
            names::configuration(one, path, errors);
        },
    );
}

fn request(request: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    names::label(request.text("name"), &path.child("name"), errors);
    let alternatives = !request.items("firstAvailable").is_empty();
    match (request.field("exactly"), alternatives) {
        (None, false) => {
            let message = "exactly one of `exactly` or `firstAvailable` is required";
            errors.push(FieldError::required(path, message));
        }
        (Some(_), true) => {
            let message = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errors.push(FieldError::invalid(path, Value::Null, message));
        }
        (Some(exactly), false) => one_request(exactly, &path.child("exactly"), errors),
        (None, true) => {
            let max = ALTERNATIVES_MAX;
            let field = "firstAvailable";
            list::each_once(
                request,
                field,
                max,
                list::name,
                path,
                errors,
                |one, path, errors| {
                    names::label(one.text("name"), &path.child("name"), errors);
                    one_request(one, path, errors);
                },
            );
        }
    }
}

fn one_request(request: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    check::required_text(request, "deviceClassName", dns1123_subdomain, path, errors);
    selectors(request, path, errors);
    let count = request.whole("count").unwrap_or(0);
    let count_path = path.child("count");
    match request.text("allocationMode") {
        "All" if count != 0 => {
            let message = "must not be specified when allocationMode is 'All'";
            errors.push(FieldError::invalid(&count_path, count, message));
        }
        "ExactCount" if count <= 0 => {
            let message = "must be greater than zero";
            errors.push(FieldError::invalid(&count_path, count, message));
        }
        _ => {
            let known = ["All", "ExactCount"];
            check::one_of(request, "allocationMode", &known, path, errors);
        }
    }
    list::each(
        request,
        "tolerations",
        TOLERATIONS_MAX,
        path,
        errors,
        toleration,
    );
}

/// Selectors by expressions: their form and length. What an expression says is checked where it can be compiled.
pub(super) fn selectors(object: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    list::each(
        object,
        "selectors",
        LIST_MAX,
        path,
        errors,
        |one, path, errors| {
            let path = path.child("cel");
            let Some(selector) = one.field("cel") else {
                errors.push(FieldError::required(&path, ""));
                return;
            };
            if selector.text("expression").len() > EXPRESSION_MAX {
                let path = path.child("expression");
                errors.push(FieldError::too_long(&path, EXPRESSION_MAX));
            }
        },
    );
}

fn toleration(toleration: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (key, value) = (toleration.text("key"), toleration.text("value"));
    if !key.is_empty() {
        errors.push_invalid(&path.child("key"), key, grammar::qualified_name(key));
    }
    let value_path = path.child("value");
    match toleration.text("operator") {
        "Exists" if value.is_empty() => {}
        "Exists" => {
            let message = "must be empty for operator `Exists`";
            errors.push(FieldError::invalid(&value_path, value, message));
        }
        "Equal" => errors.push_invalid(&value_path, value, grammar::label_value(value)),
        _ => {
            let known = ["Equal", "Exists"];
            check::required_one_of(toleration, "operator", &known, path, errors);
        }
    }
    if !toleration.text("effect").is_empty() {
        check::one_of(toleration, "effect", &EFFECTS, path, errors);
    }
}

fn constraint(constraint: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let attribute = |field: &str| constraint.part(field).as_str();
    if let Some(name) = attribute("matchAttribute") {
        names::fully_qualified(name, &path.child("matchAttribute"), errors);
    } else if let Some(name) = attribute("distinctAttribute") {
        names::fully_qualified(name, &path.child("distinctAttribute"), errors);
    } else {
        errors.push(FieldError::required(&path.child("matchAttribute"), ""));
    }
}

/// The requests that something is for, all of them known.
pub(super) fn request_names(
    object: &Value,
    known: &RequestNames<'_>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let itself = |name: &Value| name.clone();
    list::each_once(
        object,
        "requests",
        LIST_MAX,
        itself,
        path,
        errors,
        |name, path, errors| {
            request_name(name.as_str().unwrap_or_default(), known, path, errors);
        },
    );
}

/// The name of a request, and after a slash that of an alternative.
pub(super) fn request_name(
    name: &str,
    known: &RequestNames<'_>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let parts: Vec<&str> = name.split('/').collect();
    if parts.len() <= 2 {
        for part in parts.iter() {
            names::label(part, path, errors);
        }
    }
    if parts.len() > 2 || !known.has(name) {
        let message = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
        errors.push(FieldError::invalid(path, name, message));
    }
}

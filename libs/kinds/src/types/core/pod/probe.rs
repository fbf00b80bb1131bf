//! Probes, and what is done when a container starts and stops.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use crate::{
    check::value::{non_negative, one_of, port, port_or_name, required},
    value::Fields,
};

/// What probes can do.
const PROBE: &[&str] = &["exec", "httpGet", "tcpSocket", "grpc"];
/// What can be done at start and stop.
const LIFECYCLE: &[&str] = &["exec", "httpGet", "tcpSocket", "sleep"];

/// Probes and lifecycle of a container; `grace` is how long its pod may take to end.
pub(super) fn validate_all(
    container: &Value,
    grace: Option<i64>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    if let Some(lifecycle) = container.field("lifecycle") {
        let path = path.child("lifecycle");
        for name in ["postStart", "preStop"] {
            if let Some(hook) = lifecycle.field(name) {
                handler(hook, LIFECYCLE, grace, &path.child(name), errors);
            }
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.field(name) {
            self::probe(
                probe,
                name == "readinessProbe",
                grace,
                &path.child(name),
                errors,
            );
        }
    }
}

fn probe(
    probe: &Value,
    of_readiness: bool,
    grace: Option<i64>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    handler(probe, PROBE, grace, path, errors);
    for name in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        non_negative(probe.whole(name), &path.child(name), errors);
    }
    let grace_path = path.child("terminationGracePeriodSeconds");
    let own_grace = probe.whole("terminationGracePeriodSeconds");
    if let Some(seconds) = own_grace.filter(|seconds| *seconds <= 0) {
        errors.push(FieldError::invalid(
            &grace_path,
            seconds,
            "must be greater than 0",
        ));
    }
    let successes = probe.whole("successThreshold").unwrap_or_default();
    match own_grace {
        Some(seconds) if of_readiness => {
            let message = "must not be set for readinessProbes";
            errors.push(FieldError::invalid(&grace_path, seconds, message));
        }
        _ if !of_readiness && successes != 1 => {
            let path = path.child("successThreshold");
            errors.push(FieldError::invalid(&path, successes, "must be 1"));
        }
        _ => (),
    }
}

fn handler(
    handler: &Value,
    known: &[&'static str],
    grace: Option<i64>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let mut found = false;
    for &name in known {
        let Some(action) = handler.field(name) else {
            continue;
        };
        let at = path.child(name);
        if found {
            let message = "may not specify more than 1 handler type";
            errors.push(FieldError::forbidden(&at, message));
        } else {
            self::action(name, action, grace, &at, errors);
        }
        found = true;
    }
    if !found {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
}

fn action(name: &str, action: &Value, grace: Option<i64>, path: &Path<'_>, errors: &mut ErrorList) {
    match name {
        "exec" if action.items("command").is_empty() => {
            errors.push(FieldError::required(&path.child("command"), ""));
        }
        "httpGet" => http_get(action, path, errors),
        "tcpSocket" => port_or_name(action.part("port"), &path.child("port"), errors),
        "grpc" => port(
            action.whole("port").unwrap_or_default(),
            &path.child("port"),
            errors,
        ),
        "sleep" => {
            let seconds = action.whole("seconds").unwrap_or_default();
            if let Some(grace) = grace.filter(|grace| !(0..=*grace).contains(&seconds)) {
                let message = format!(
                    "must be non-negative and less than terminationGracePeriodSeconds ({grace})"
                );
                errors.push(FieldError::invalid(path, seconds, message));
            }
        }
        _ => (),
    }
}

fn http_get(get: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    required(get.text("path"), &path.child("path"), errors);
    port_or_name(get.part("port"), &path.child("port"), errors);
    one_of(
        get.text("scheme"),
        &["HTTP", "HTTPS"],
        &path.child("scheme"),
        errors,
    );
    for header in get.items("httpHeaders") {
        let name = header.text("name");
        errors.push_invalid(
            &path.child("httpHeaders"),
            name,
            names::http_header_name(name),
        );
    }
}

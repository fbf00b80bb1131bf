//! Which nodes a pod wants, and which other pods beside it.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use crate::{
    check::value::{self as check, label, one_of, optional_one_of, qualified},
    types::core::node_selector,
    value::Fields,
};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn validate(affinity: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if let Some(nodes) = affinity.field("nodeAffinity") {
        let path = path.child("nodeAffinity");
        if let Some(selector) = nodes.field(REQUIRED) {
            node_selector::validate(selector, &path.child(REQUIRED), errors);
        }
        let list = path.child(PREFERRED);
        for (index, term) in nodes.items(PREFERRED).iter().enumerate() {
            let path = list.index(index);
            weight(term, &path, errors);
            let preference = term.part("preference");
            node_selector::validate_term(preference, true, &path.child("preference"), errors);
        }
    }
    for name in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = affinity.field(name) else {
            continue;
        };
        let path = path.child(name);
        let list = path.child(REQUIRED);
        for (index, term) in pods.items(REQUIRED).iter().enumerate() {
            pod_term(term, &list.index(index), errors);
        }
        let list = path.child(PREFERRED);
        for (index, term) in pods.items(PREFERRED).iter().enumerate() {
            let path = list.index(index);
            weight(term, &path, errors);
            pod_term(
                term.part("podAffinityTerm"),
                &path.child("podAffinityTerm"),
                errors,
            );
        }
    }
}

fn weight(term: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let weight = term.whole("weight").unwrap_or_default();
    if !(1..=100).contains(&weight) {
        let message = "must be in the range 1-100";
        errors.push(FieldError::invalid(&path.child("weight"), weight, message));
    }
}

fn pod_term(term: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    check::selector(term, "labelSelector", path, errors);
    check::selector(term, "namespaceSelector", path, errors);
    for namespace in term.texts("namespaces") {
        label(namespace, &path.child("namespace"), errors);
    }
    label_keys(term, path, errors);
    let key = term.text("topologyKey");
    if key.is_empty() {
        errors.push(FieldError::required(
            &path.child("topologyKey"),
            "can not be empty",
        ));
    }
    qualified(key, &path.child("topologyKey"), errors);
}

/// Keys whose values are those of the pod itself (KEP-3633).
fn label_keys(term: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let selector = term.field("labelSelector");
    for name in ["matchLabelKeys", "mismatchLabelKeys"] {
        let path = path.child(name);
        if selector.is_none() && !term.items(name).is_empty() {
            let message = "must not be specified when labelSelector is not set";
            errors.push(FieldError::forbidden(&path, message));
            continue;
        }
        for (index, key) in term.texts(name).enumerate() {
            qualified(key, &path.index(index), errors);
        }
    }
    if let Some(selector) = selector {
        // What a key stands for is in the selector by now: a second expression of it is the user's own.
        let mut seen: BTreeSet<&str> = selector
            .entries("matchLabels")
            .map(|(key, _)| key)
            .collect();
        for expression in selector.items("matchExpressions") {
            let key = expression.text("key");
            let place = term
                .texts("matchLabelKeys")
                .position(|match_key| match_key == key);
            if let Some(place) = place
                && seen.contains(key)
            {
                let message = "exists in both matchLabelKeys and labelSelector";
                errors.push(FieldError::invalid(&path.index(place), key, message));
            }
            seen.insert(key);
        }
    }
    let list = path.child("matchLabelKeys");
    for (index, key) in term.texts("matchLabelKeys").enumerate() {
        if term
            .texts("mismatchLabelKeys")
            .any(|mismatch| mismatch == key)
        {
            let message = "exists in both matchLabelKeys and mismatchLabelKeys";
            errors.push(FieldError::invalid(&list.index(index), key, message));
        }
    }
}

/// How pods are spread over zones and nodes.
pub(super) fn validate_spread(constraints: &[Value], path: &Path<'_>, errors: &mut ErrorList) {
    for (index, constraint) in constraints.iter().enumerate() {
        let path = path.index(index);
        let skew = constraint.whole("maxSkew").unwrap_or_default();
        if skew <= 0 {
            errors.push(FieldError::invalid(
                &path.child("maxSkew"),
                skew,
                check::POSITIVE,
            ));
        }
        let (key, action) = (
            constraint.text("topologyKey"),
            constraint.text("whenUnsatisfiable"),
        );
        if key.is_empty() {
            errors.push(FieldError::required(
                &path.child("topologyKey"),
                "can not be empty",
            ));
        }
        one_of(
            action,
            &["DoNotSchedule", "ScheduleAnyway"],
            &path.child("whenUnsatisfiable"),
            errors,
        );
        let same = |other: &Value| {
            other.text("topologyKey") == key && other.text("whenUnsatisfiable") == action
        };
        if constraints[index + 1..].iter().any(same) {
            let path = path.child("{topologyKey, whenUnsatisfiable}");
            errors.push(FieldError::duplicate(&path, format!("{{{key}, {action}}}")));
        }
        min_domains(constraint, action, &path.child("minDomains"), errors);
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            optional_one_of(constraint, policy, &["Honor", "Ignore"], &path, errors);
        }
        spread_keys(constraint, &path.child("matchLabelKeys"), errors);
        check::selector(constraint, "labelSelector", &path, errors);
    }
}

fn min_domains(constraint: &Value, action: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(domains) = constraint.whole("minDomains") else {
        return;
    };
    if domains <= 0 {
        errors.push(FieldError::invalid(path, domains, check::POSITIVE));
    }
    if action != "DoNotSchedule" {
        let message =
            format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
        errors.push(FieldError::invalid(path, domains, message));
    }
}

fn spread_keys(constraint: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let selector = constraint.part("labelSelector");
    if !constraint.items("matchLabelKeys").is_empty() && selector.is_null() {
        let message = "must not be specified when labelSelector is not set";
        errors.push(FieldError::forbidden(path, message));
    }
    // What a key stands for is in the selector by now, once as an expression: a second one is the user's own.
    for (index, key) in constraint.texts("matchLabelKeys").enumerate() {
        qualified(key, &path.index(index), errors);
        let expressions = selector.items("matchExpressions").iter();
        let expressions = expressions
            .filter(|expression| expression.text("key") == key)
            .count();
        if selector.part("matchLabels").has(key) || expressions > 1 {
            let message = "exists in both matchLabelKeys and labelSelector";
            errors.push(FieldError::invalid(&path.index(index), key, message));
        }
    }
}

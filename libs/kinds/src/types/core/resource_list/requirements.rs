//! Requests and limits.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use objects::quantity::Quantity;
use serde_json::Value;

use super::{
    amounts, is_huge_page, is_overcommit_allowed, validate_amount, validate_container_name,
    validate_name,
};
use crate::value::Fields;

/// Whose requirements they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// A container's.
    Container,
    /// A whole pod's (KEP-2837): CPU, memory and huge pages alone.
    Pod,
}

/// Mistakes in `resources`; `claims` are the names of the pod's resource claims.
pub fn validate_requirements(
    resources: &Value,
    of: Of,
    claims: &BTreeSet<&str>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let (limits_path, requests_path) = (path.child("limits"), path.child("requests"));
    let (limits, requests) = (amounts(resources, "limits"), amounts(resources, "requests"));
    for (name, amount) in &limits {
        one(name, amount, of, &limits_path.key(name), errors);
    }
    for (name, amount) in &requests {
        one_without_pages(name, amount, of, &requests_path.key(name), errors);
        let limit = limits.iter().find(|(limit, _)| limit == name);
        match limit {
            Some((_, limit)) if amount != limit && !is_overcommit_allowed(name) => {
                let message = format!("must be equal to {name} limit of {limit}");
                errors.push(FieldError::invalid(
                    &requests_path,
                    amount.to_string(),
                    message,
                ));
            }
            Some((_, limit)) if amount > limit => {
                let message = format!("must be less than or equal to {name} limit of {limit}");
                errors.push(FieldError::invalid(
                    &requests_path,
                    amount.to_string(),
                    message,
                ));
            }
            None if !is_overcommit_allowed(name) => {
                let message = "Limit must be set for non overcommitable resources";
                errors.push(FieldError::required(&limits_path, message));
            }
            _ => (),
        }
        pages(name, amount, &requests_path.key(name), errors);
    }
    let mut names = limits.iter().chain(&requests).map(|(name, _)| *name);
    let all: Vec<&str> = names.by_ref().collect();
    if all.iter().any(|name| is_huge_page(name))
        && !all.iter().any(|name| matches!(*name, "cpu" | "memory"))
    {
        errors.push(FieldError::forbidden(
            path,
            "HugePages require cpu or memory",
        ));
    }
    claim_names(
        resources.items("claims"),
        claims,
        &path.child("claims"),
        errors,
    );
}

/// A name and its amount.
fn one(name: &str, amount: &Quantity, of: Of, path: &Path<'_>, errors: &mut ErrorList) {
    one_without_pages(name, amount, of, path, errors);
    pages(name, amount, path, errors);
}

fn one_without_pages(
    name: &str,
    amount: &Quantity,
    of: Of,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    match of {
        Of::Container => validate_container_name(name, path, errors),
        Of::Pod => {
            let known = ["cpu", "memory"];
            if validate_name(name, path, errors) && !known.contains(&name) && !is_huge_page(name) {
                errors.push(FieldError::not_supported(path, name, &known));
            }
        }
    }
    validate_amount(name, amount, path, errors);
}

/// Huge pages come whole.
fn pages(name: &str, amount: &Quantity, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(size) = name.strip_prefix("hugepages-") else {
        return;
    };
    let size = size.parse::<Quantity>().ok();
    let size = size
        .filter(|size| size.is_whole())
        .map_or(0, |size| size.value());
    if size <= 0 || amount.value() % size != 0 {
        let message = format!("{amount} is not positive integer multiple of {name}");
        errors.push(FieldError::invalid(path, amount.to_string(), message));
    }
}

/// Names of claims must be those of the pod, each once.
fn claim_names(list: &[Value], claims: &BTreeSet<&str>, path: &Path<'_>, errors: &mut ErrorList) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (index, claim) in list.iter().enumerate() {
        let path = path.index(index);
        let (name, request) = (claim.text("name"), claim.text("request"));
        if name.is_empty() {
            errors.push(FieldError::required(&path, ""));
            continue;
        }
        if seen.contains(name) {
            errors.push(FieldError::duplicate(&path, name));
        } else {
            let mut key = name.to_owned();
            if !request.is_empty() {
                errors.push_invalid(
                    &path.child("request"),
                    request,
                    names::dns1123_label(request),
                );
                key = format!("{name}/{request}");
            }
            let part = format!("{name}/");
            if seen.contains(&key) {
                errors.push(FieldError::duplicate(&path, key.clone()));
            } else if request.is_empty() && seen.iter().any(|key| key.starts_with(&part)) {
                errors.push(FieldError::duplicate(&path, name));
            }
            seen.insert(key);
        }
        if !claims.contains(name) {
            let mut error = FieldError::not_found(&path, name);
            let known: Vec<&str> = claims.iter().copied().collect();
            "must be one of the names in pod.spec.resourceClaims".clone_into(&mut error.detail);
            if known.is_empty() {
                error.detail.push_str(" which is empty");
            } else {
                error.detail.push_str(": ");
                error.detail.push_str(&known.join(", "));
            }
            errors.push(error);
        }
    }
}

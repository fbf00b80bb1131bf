//! Which requests a flow schema is for: who asks, and what.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use crate::{check, value::Fields};

/// Verbs in the order of upstream's message.
const VERBS: [&str; 9] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "proxy",
    "update",
    "watch",
];

/// Kinds of subjects, with the field of each and what must not be there with another kind.
const SUBJECTS: [(&str, &str); 3] = [
    ("ServiceAccount", "serviceAccount"),
    ("User", "user"),
    ("Group", "group"),
];

/// Mistakes in a rule.
pub(super) fn validate(rule: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let subjects_path = path.child("subjects");
    if rule.items("subjects").is_empty() {
        let message = "subjects must contain at least one value";
        errors.push(FieldError::required(&subjects_path, message));
    }
    for (index, one) in rule.items("subjects").iter().enumerate() {
        subject(one, &subjects_path.index(index), errors);
    }
    let (resources, others) = (rule.items("resourceRules"), rule.items("nonResourceRules"));
    if resources.is_empty() && others.is_empty() {
        let message = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(path, message));
    }
    let resources_path = path.child("resourceRules");
    for (index, one) in resources.iter().enumerate() {
        resource(one, &resources_path.index(index), errors);
    }
    let others_path = path.child("nonResourceRules");
    for (index, one) in others.iter().enumerate() {
        non_resource(one, &others_path.index(index), errors);
    }
}

fn subject(subject: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let kind = subject.text("kind");
    if !SUBJECTS.iter().any(|(known, _)| *known == kind) {
        let known = ["Group", "ServiceAccount", "User"];
        check::one_of(subject, "kind", &known, path, errors);
        return;
    }
    for (other, field) in SUBJECTS {
        let path = path.child(field);
        match (other == kind, subject.field(field)) {
            (true, Some(value)) => named(value, kind, &path, errors),
            (true, None) => {
                let message = format!("{field} is required when subject kind is '{kind}'");
                errors.push(FieldError::required(&path, message));
            }
            (false, Some(_)) => {
                let message = format!("{field} is forbidden when subject kind is not '{other}'");
                errors.push(FieldError::forbidden(&path, message));
            }
            (false, None) => {}
        }
    }
}

fn named(value: &Value, kind: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let (name, name_path) = (value.text("name"), path.child("name"));
    if name.is_empty() {
        errors.push(FieldError::required(&name_path, ""));
    }
    if kind != "ServiceAccount" {
        return;
    }
    if !name.is_empty() && name != "*" {
        errors.push_invalid(&name_path, name, names::dns1123_subdomain(name));
    }
    let (namespace, path) = (value.text("namespace"), path.child("namespace"));
    if namespace.is_empty() {
        let message = "must specify namespace for service account";
        errors.push(FieldError::required(&path, message));
    } else {
        errors.push_invalid(&path, namespace, names::dns1123_label(namespace));
    }
}

/// The asterisk stands alone, and something stands there. Whether each item is to be looked at.
fn wildcard(
    rule: &Value,
    field: &str,
    missing: &str,
    others: &str,
    path: &Path<'_>,
    errors: &mut ErrorList,
) -> bool {
    let items = rule.items(field);
    let path = path.child(field);
    if items.is_empty() {
        errors.push(FieldError::required(&path, missing));
        return false;
    }
    let any = rule.texts(field).any(|text| text == "*");
    if any && items.len() > 1 {
        let message = format!("if '*' is present, must not specify other {others}");
        errors.push(FieldError::invalid(&path, items, message));
    }
    !any
}

fn verbs(rule: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let missing = "verbs must contain at least one value";
    if wildcard(rule, "verbs", missing, "verbs", path, errors)
        && rule.texts("verbs").any(|verb| !VERBS.contains(&verb))
    {
        let shown = check::shown(rule, "verbs");
        let path = path.child("verbs");
        errors.push(FieldError::not_supported(&path, shown, &VERBS));
    }
}

fn resource(rule: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    verbs(rule, path, errors);
    let missing = "resource rules must supply at least one api group";
    wildcard(rule, "apiGroups", missing, "api groups", path, errors);
    let missing = "resource rules must supply at least one resource";
    wildcard(rule, "resources", missing, "resources", path, errors);
    if rule.items("namespaces").is_empty() && rule.flag("clusterScope") {
        return;
    }
    let missing = "resource rules that are not cluster scoped must supply at least one namespace";
    if wildcard(rule, "namespaces", missing, "namespaces", path, errors) {
        let path = path.child("namespaces");
        for (index, namespace) in rule.texts("namespaces").enumerate() {
            for message in names::dns1123_label(namespace) {
                let message =
                    format!("each member of this list must be '*' or a DNS-1123 label; {message}");
                errors.push(FieldError::invalid(&path.index(index), namespace, message));
            }
        }
    }
}

fn non_resource(rule: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    verbs(rule, path, errors);
    let missing = "nonResourceURLs must contain at least one value";
    let others = "non-resource URLs";
    if wildcard(rule, "nonResourceURLs", missing, others, path, errors) {
        let path = path.child("nonResourceURLs");
        for (index, url) in rule.texts("nonResourceURLs").enumerate() {
            if let Some(message) = url_mistake(url) {
                errors.push(FieldError::invalid(&path.index(index), url, message));
            }
        }
    }
}

fn url_mistake(url: &str) -> Option<&'static str> {
    let stars = url.matches('*').count();
    if url.is_empty() {
        Some("must not be empty")
    } else if !url.starts_with('/') {
        Some("must start with slash")
    } else if url.contains(' ') {
        Some("must not contain white-space")
    } else if url.contains("//") {
        Some("must not contain double slash")
    } else if stars > 1 || (stars == 1 && !url.ends_with("/*")) {
        Some("wildcard can only do suffix matching")
    } else {
        None
    }
}

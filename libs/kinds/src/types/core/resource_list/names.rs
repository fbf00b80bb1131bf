//! Names of resources.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;

const COMPUTE: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// What a quota counts and sums up.
const QUOTA: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];

/// What is counted.
const COUNTED: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// Pages of one size.
#[must_use]
pub fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

fn is_quota_huge_page(name: &str) -> bool {
    is_huge_page(name) || name.starts_with("requests.hugepages-")
}

/// Without a namespace, or in Kubernetes' own.
#[must_use]
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Of somebody else's namespace.
#[must_use]
pub fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether more of it may be promised than there is.
#[must_use]
pub fn is_overcommit_allowed(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// Whether its amounts are whole.
#[must_use]
pub fn is_integer(name: &str) -> bool {
    COUNTED.contains(&name) || is_extended(name)
}

/// Known without a namespace.
#[must_use]
pub fn is_standard(name: &str) -> bool {
    QUOTA.contains(&name) || name == "storage" || is_quota_huge_page(name)
}

/// What a container may ask for without a namespace.
#[must_use]
pub fn is_standard_container(name: &str) -> bool {
    COMPUTE.contains(&name) || is_huge_page(name)
}

/// What a quota may bound without a namespace.
#[must_use]
pub fn is_standard_quota(name: &str) -> bool {
    QUOTA.contains(&name) || is_quota_huge_page(name)
}

/// Any resource's name. Returns whether it is right.
pub fn validate_name(name: &str, path: &Path<'_>, errors: &mut ErrorList) -> bool {
    let messages = names::qualified_name(name);
    if !messages.is_empty() {
        errors.push_invalid(path, name, messages);
        return false;
    }
    let right = name.contains('/') || is_standard(name);
    if !right {
        let message = "must be a standard resource type or fully qualified";
        errors.push(FieldError::invalid(path, name, message));
    }
    right
}

/// The name of what a container asks for.
pub fn validate_container_name(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    validate_name(name, path, errors);
    if !name.contains('/') {
        if !is_standard_container(name) {
            let message = "must be a standard resource for containers";
            errors.push(FieldError::invalid(path, name, message));
        }
    } else if !is_native(name) && !is_extended(name) {
        let message = "doesn't follow extended resource name standard";
        errors.push(FieldError::invalid(path, name, message));
    }
}

/// The name of what a quota bounds.
pub fn validate_quota_name(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    validate_name(name, path, errors);
    if !name.contains('/') && !is_standard_quota(name) {
        let message = "must be a standard resource for quota";
        errors.push(FieldError::invalid(path, name, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_kinds() {
        assert!(is_native("kubernetes.io/thing") && is_native("cpu"));
        assert!(is_extended("example.com/gpu") && is_integer("example.com/gpu"));
        assert!(!is_extended("requests.example.com/gpu"));
        assert!(!is_overcommit_allowed("hugepages-2Mi"));
        assert!(is_standard_quota("requests.hugepages-1Gi"));
        assert!(is_integer("pods") && !is_integer("cpu"));
    }
}

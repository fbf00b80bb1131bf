//! What a role allows.

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use crate::{check, value::Fields};

/// Mistakes in the rules of a role.
pub(super) fn validate(role: &Value, is_namespaced: bool, errors: &mut ErrorList) {
    let path = Path::new("rules");
    for (index, rule) in role.items("rules").iter().enumerate() {
        one(rule, is_namespaced, &path.index(index), errors);
    }
}

fn one(rule: &Value, is_namespaced: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let none = |field: &str| rule.items(field).is_empty();
    if none("verbs") {
        let message = "verbs must contain at least one value";
        errors.push(FieldError::required(&path.child("verbs"), message));
    }
    if !none("nonResourceURLs") {
        let path = path.child("nonResourceURLs");
        let shown = || check::shown(rule, "nonResourceURLs");
        if is_namespaced {
            let message = "namespaced rules cannot apply to non-resource URLs";
            errors.push(FieldError::invalid(&path, shown(), message));
        }
        if !["apiGroups", "resources", "resourceNames"]
            .into_iter()
            .all(none)
        {
            let message = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(FieldError::invalid(&path, shown(), message));
        }
        return;
    }
    if none("apiGroups") {
        let message = "resource rules must supply at least one api group";
        errors.push(FieldError::required(&path.child("apiGroups"), message));
    }
    if none("resources") {
        let message = "resource rules must supply at least one resource";
        errors.push(FieldError::required(&path.child("resources"), message));
    }
}

//! The template of a pod: what apps, jobs and replication controllers make pods from.

use objects::field::{ErrorList, Path};
use serde_json::Value;

use super::{defaults as fill, spec};
use crate::value::Fields;

/// Fills in what a template does not say.
pub fn defaults(template: &mut Value) {
    if let Some(spec) = template.object_mut("spec") {
        fill::spec(spec);
    }
}

/// Mistakes in a template, its labels and annotations too. `path` is where it is, such as `spec.template`.
pub fn validate(template: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    spec::validate(
        template.part("spec"),
        template.part("metadata"),
        &path.child("spec"),
        errors,
    );
}

//! The template of a pod: what apps, jobs and replication controllers make pods from.

use objects::field::{ErrorList, FieldError, Path};
use objects::metadata;
use serde_json::Value;

use super::{
    annotations, defaults as fill, disabled,
    spec::{self, Owner},
    warnings,
};
use crate::value::Fields;

/// Fills in what a template does not say.
pub fn defaults(template: &mut Value) {
    if let Some(spec) = template.object_mut("spec") {
        fill::spec(spec);
    }
}

/// Drops fields whose features are off from the template of `new`, unless the one of `old`, null at a create, has them. Both are
/// what the template is in: a spec.
pub fn drop_disabled(new: &mut Value, old: &Value) {
    let template = new.field_mut("template");
    if let Some(spec) = template.and_then(|template| template.field_mut("spec")) {
        disabled::spec(spec, old.part("template").part("spec"));
    }
}

/// Mistakes in a template, its labels and annotations too. `path` is where it is, such as `spec.template`.
///
/// Upstream names labels and annotations as if they were beside the spec (`spec.template.labels`), and so does this.
pub fn validate(template: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (meta, spec) = (template.part("metadata"), template.part("spec"));
    let annotations_path = path.child("annotations");
    let labels = meta.part("labels").as_object();
    errors.extend(metadata::validate_labels(labels, &path.child("labels")));
    let annotations = meta.part("annotations").as_object();
    errors.extend(metadata::validate_annotations(
        annotations,
        &annotations_path,
    ));
    annotations::validate(meta, spec, &annotations_path, errors);
    let spec_path = path.child("spec");
    spec::validate(spec, Owner::Template, &spec_path, errors);
    annotations::validate_agreement(meta, spec, &spec_path, errors);
    if !spec.items("ephemeralContainers").is_empty() {
        let message = "ephemeral containers not allowed in pod template";
        let path = spec_path.child("ephemeralContainers");
        errors.push(FieldError::forbidden(&path, message));
    }
}

/// What a client should be told of a template. `path` is where it is, such as `spec.template`.
#[must_use]
pub fn warnings(template: &Value, path: &Path<'_>) -> Vec<String> {
    warnings::of(template, Some(path))
}

//! Pods.
//!
//! ```text
//!   spec ── containers, volumes, scheduling, security       shared with templates (template)
//!   mod  ── the pod itself: what an update may change, its status, what `kubectl get` shows
//! ```

mod affinity;
mod annotations;
mod columns;
pub mod container;
pub mod defaults;
mod disabled;
mod dns;
mod env;
pub mod ephemeral;
pub mod image;
mod mounts;
mod prepare;
mod probe;
pub mod resize;
pub mod resources;
mod security;
pub mod spec;
mod status;
pub mod template;
mod update;
mod volumes;
mod warnings;
mod windows;

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use crate::{
    rules::{Rules, Selectable},
    value::Fields,
};

pub use annotations::MIRROR;
pub use columns::reason;
pub use warnings::deprecated;

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults: fill,
    prepare_create: prepare::create,
    prepare_update: prepare::update,
    prepare_status: prepare::status,
    validate,
    validate_create,
    validate_update: update::validate,
    validate_status: status::validate,
    warnings: warnings::of_pod,
    columns: columns::COLUMNS,
    selectable: &[
        Selectable::new("spec.nodeName"),
        Selectable::new("spec.restartPolicy"),
        Selectable::new("spec.schedulerName"),
        Selectable::new("spec.serviceAccountName"),
        Selectable {
            field: "spec.hostNetwork",
            absent: "false",
        },
        Selectable::new("status.phase"),
        Selectable::new("status.podIP"),
        // Upstream knows the name, and no pod has a value for it.
        Selectable::new("status.podIPs"),
        Selectable::new("status.nominatedNodeName"),
    ],
    ..Rules::NONE
};

fn fill(pod: &mut Value) {
    if pod.object_mut("spec").is_none() {
        return;
    }
    defaults::pod(pod);
    if let Some(spec) = pod.object_mut("spec") {
        defaults::spec(spec);
    }
    if let Some(status) = pod.field_mut("status") {
        defaults::status(status);
    }
}

fn validate(pod: &Value, errors: &mut ErrorList) {
    let (meta, spec) = (pod.part("metadata"), pod.part("spec"));
    let (meta_path, path) = (Path::new("metadata"), Path::new("spec"));
    annotations::validate(meta, spec, &meta_path.child("annotations"), errors);
    spec::validate(spec, spec::Owner::Pod(meta), &path, errors);
    if spec.text("serviceAccountName").is_empty() {
        tokens_without_account(spec, &path, errors);
    }
    for list in ["containers", "initContainers"] {
        let path = path.child(list);
        for (index, item) in spec.items(list).iter().enumerate() {
            container::validate_image(item, &path.index(index), errors);
        }
    }
}

/// A token is that of a service account, which admission gives to every pod.
fn tokens_without_account(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let list = path.child("volumes");
    for (index, volume) in spec.items("volumes").iter().enumerate() {
        let path = list.index(index);
        let path = path.child("projected");
        let sources = path.child("sources");
        for (index, source) in volume.part("projected").items("sources").iter().enumerate() {
            if source.has("serviceAccountToken") {
                let message = "must not be specified when serviceAccountName is not set";
                let path = sources.index(index);
                errors.push(FieldError::forbidden(
                    &path.child("serviceAccountToken"),
                    message,
                ));
            }
        }
    }
}

fn validate_create(pod: &Value, errors: &mut ErrorList) {
    let (meta, spec) = (pod.part("metadata"), pod.part("spec"));
    let path = Path::new("spec");
    if !spec.items("ephemeralContainers").is_empty() {
        let message = "cannot be set on create";
        errors.push(FieldError::forbidden(
            &path.child("ephemeralContainers"),
            message,
        ));
    }
    if !spec.text("nodeName").is_empty() && !spec.items("schedulingGates").is_empty() {
        let message = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden(&path.child("nodeName"), message));
    }
    annotations::validate_agreement(meta, spec, &path, errors);
}

#[cfg(test)]
mod tests;

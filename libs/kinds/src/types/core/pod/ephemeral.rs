//! The subresource `ephemeralcontainers`: containers that are added to look around.

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use super::{MIRROR, annotations};
use crate::value::{Fields, same};

/// Leaves of an update what belongs to the subresource.
pub fn prepare(new: &mut Value, old: &Value) {
    let containers = new.part("spec").field("ephemeralContainers").cloned();
    keep_all_but_metadata(new, old);
    if let Some(spec) = new.object_mut("spec") {
        match containers {
            Some(containers) => spec.set("ephemeralContainers", containers),
            None => {
                spec.remove("ephemeralContainers");
            }
        }
    }
}

/// Spec and status as they are, and of the metadata what an update of a part may not touch.
pub(super) fn keep_all_but_metadata(new: &mut Value, old: &Value) {
    new.copy_from(old, "spec");
    new.copy_from(old, "status");
    if let Some(metadata) = new.object_mut("metadata") {
        for name in [
            "annotations",
            "deletionTimestamp",
            "finalizers",
            "generation",
            "labels",
            "ownerReferences",
        ] {
            metadata.copy_from(old.part("metadata"), name);
        }
    }
}

/// Mistakes in what an update of the subresource changes: containers come, and neither change nor go.
pub fn validate(new: &Value, old: &Value, errors: &mut ErrorList) {
    if old.part("metadata").part("annotations").has(MIRROR) {
        let message = "static pods do not support ephemeral containers";
        *errors = ErrorList::default();
        errors.push(FieldError::forbidden(&Path::new(""), message));
        return;
    }
    super::validate(new, errors);
    let metadata = Path::new("metadata");
    let path = metadata.child("annotations");
    annotations::validate_update(new.part("metadata"), old.part("metadata"), &path, errors);
    let spec = Path::new("spec");
    let path = spec.child("ephemeralContainers");
    let containers = new.part("spec").items("ephemeralContainers");
    for old in old.part("spec").items("ephemeralContainers") {
        let name = old.text("name");
        match containers
            .iter()
            .rfind(|container| container.text("name") == name)
        {
            None => {
                let message =
                    format!("existing ephemeral containers {name:?} may not be removed\n");
                errors.push(FieldError::forbidden(&path, message));
            }
            Some(new) if !same(new, old) => {
                let message =
                    format!("existing ephemeral containers {name:?} may not be changed\n");
                errors.push(FieldError::forbidden(&path, message));
            }
            Some(_) => (),
        }
    }
}

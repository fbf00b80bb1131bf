//! Claims of persistent volumes.

use serde_json::Value;

use crate::{rules::Rules, types::core::resource_list, value::Fields};

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    ..Rules::NONE
};

fn defaults(claim: &mut Value) {
    if let Some(spec) = claim.object_mut("spec") {
        spec_defaults(spec);
    }
    if let Some(status) = claim.object_mut("status") {
        status.set_empty("phase", "Pending");
        for list in ["capacity", "allocatedResources"] {
            if let Some(list) = status.field_mut(list) {
                resource_list::defaults(list);
            }
        }
    }
}

/// Of a claim's spec, in templates of claims too.
pub fn spec_defaults(spec: &mut Value) {
    spec.set_absent("volumeMode", "Filesystem");
    resource_list::requirements_defaults(spec.field_mut("resources"));
}

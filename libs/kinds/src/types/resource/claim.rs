//! Claims to devices.

use objects::field::{ErrorList, Path};
use serde_json::Value;

use super::{claim_spec, claim_status};
use crate::{
    check, disabled,
    rules::{AGE, Column, NAME, Rules},
    status,
    value::{Fields, same},
};

/// What is this type's own. A spec does not change, so only a create looks at it.
pub const RULES: Rules = Rules {
    defaults: |claim| {
        if let Some(spec) = claim.field_mut("spec") {
            claim_spec::defaults(spec);
        }
    },
    prepare_create: |claim| {
        status::ensure(claim);
        drop_disabled(claim, &Value::Null);
    },
    prepare_update: drop_disabled,
    prepare_status: claim_status::prepare,
    validate_create: |claim, errors| {
        claim_spec::validate(claim.part("spec"), &Path::new("spec"), errors);
    },
    validate_update,
    validate_status: claim_status::validate,
    columns: &[
        NAME,
        Column::new(
            "State",
            "string",
            "Whether it has devices and users.",
            |o, _| state(o).into(),
        ),
        AGE,
    ],
    ..Rules::NONE
};

pub(super) fn drop_disabled(new: &mut Value, old: &Value) {
    if let Some(spec) = new.field_mut("spec") {
        disabled::drop(claim_spec::DISABLED, spec, old.part("spec"));
    }
}

/// The spec stays as it is.
pub(super) fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    if !same(new.part("spec"), old.part("spec")) {
        let shown = check::shown(new, "spec");
        let path = Path::new("spec");
        errors.push(objects::field::FieldError::invalid(
            &path,
            shown,
            check::IMMUTABLE,
        ));
    }
}

fn state(claim: &Value) -> String {
    let status = claim.part("status");
    let deleted = claim.part("metadata").has("deletionTimestamp");
    let allocated = status.has("allocation");
    let reserved = allocated && !status.items("reservedFor").is_empty();
    let states = [
        (deleted, "deleted"),
        (!allocated && !deleted, "pending"),
        (allocated, "allocated"),
        (reserved, "reserved"),
    ];
    let states = states.into_iter().filter(|(is, _)| *is);
    states.map(|(_, name)| name).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;

//! Templates of claims.

use objects::field::{ErrorList, Path};
use objects::metadata::validate_annotations;
use serde_json::Value;

use super::{claim, claim_spec};
use crate::{
    check,
    rules::{AGE, NAME, Rules},
    value::Fields,
};

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults: |template| {
        let spec = template.field_mut("spec");
        if let Some(spec) = spec.and_then(|spec| spec.field_mut("spec")) {
            claim_spec::defaults(spec);
        }
    },
    prepare_create: |template| drop_disabled(template, &Value::Null),
    prepare_update: drop_disabled,
    validate_create,
    validate_update: claim::validate_update,
    columns: &[NAME, AGE],
    ..Rules::NONE
};

fn drop_disabled(new: &mut Value, old: &Value) {
    if let Some(claim) = new.field_mut("spec") {
        claim::drop_disabled(claim, old.part("spec"));
    }
}

fn validate_create(template: &Value, errors: &mut ErrorList) {
    let (spec, path) = (template.part("spec"), Path::new("spec"));
    let (metadata, metadata_path) = (spec.part("metadata"), path.child("metadata"));
    let annotations = metadata.part("annotations").as_object();
    errors.extend(validate_annotations(
        annotations,
        &metadata_path.child("annotations"),
    ));
    check::labels(metadata, "labels", &metadata_path, errors);
    claim_spec::validate(spec.part("spec"), &path.child("spec"), errors);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_update, created};
    use serde_json::json;

    #[test]
    fn writes() {
        let devices = json!({"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu"}}]});
        let template =
            json!({"spec": {"metadata": {"labels": {"a": "b"}}, "spec": {"devices": devices}}});
        check_create(&RULES, &template, &[]);
        let count = created(&RULES, &template);
        let count = count.pointer("/spec/spec/devices/requests/0/exactly/count");
        assert_eq!(count, Some(&json!(1)));
        check_create(
            &RULES,
            &json!({"spec": {"metadata": {"labels": {"-": ""}, "annotations": {"-": ""}}, "spec": {"devices": {"requests": [{"name": "r"}]}}}}),
            &[
                "spec.metadata.labels: Invalid value: \"-\"",
                "spec.metadata.annotations: Invalid value: \"-\"",
                "spec.spec.devices.requests[0]: Required value",
            ],
        );
        let expect = ["spec: Invalid value: {"];
        check_update(&RULES, &template, &json!({"spec": {"spec": {}}}), &expect);
    }
}

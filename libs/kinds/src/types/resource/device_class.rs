//! Classes of devices.

use objects::field::{ErrorList, FieldError, Path};
use objects::names as grammar;
use serde_json::Value;

use super::{
    claim_spec::{LIST_MAX, selectors},
    list, names,
};
use crate::{
    disabled::{self, Feature},
    rules::{AGE, NAME, Rules},
    value::Fields,
};

/// What is this type's own.
pub const RULES: Rules = Rules {
    prepare_create: |class| drop_disabled(class, &Value::Null),
    prepare_update: drop_disabled,
    validate,
    columns: &[NAME, AGE],
    ..Rules::NONE
};

/// DRAExtendedResource: alpha.
const DISABLED: &[Feature] = &[&["spec.extendedResourceName"]];

fn drop_disabled(new: &mut Value, old: &Value) {
    disabled::drop(DISABLED, new, old);
}

fn validate(class: &Value, errors: &mut ErrorList) {
    let (spec, path) = (class.part("spec"), Path::new("spec"));
    selectors(spec, &path, errors);
    list::each(
        spec,
        "config",
        LIST_MAX,
        &path,
        errors,
        names::configuration,
    );
    if let Some(name) = spec.part("extendedResourceName").as_str()
        && !is_extended_resource(name)
    {
        let path = path.child("extendedResourceName");
        let message = "must be a valid extended resource name";
        errors.push(FieldError::invalid(&path, name, message));
    }
}

/// A resource that is not Kubernetes' own, and that a quota can be set for.
fn is_extended_resource(name: &str) -> bool {
    let own = !name.contains('/') || name.contains("kubernetes.io/");
    let quota = grammar::qualified_name(&format!("requests.{name}"));
    !own && !name.starts_with("requests.") && quota.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_kept, created};
    use serde_json::json;

    #[test]
    fn writes() {
        let check = |spec: Value, expect: &[&str]| {
            check_kept(&RULES, &json!({"spec": spec}), expect);
        };
        check(
            json!({"selectors": [{"cel": {"expression": "true"}}], "extendedResourceName": "acme.io/gpu"}),
            &[],
        );
        check(
            json!({"selectors": [{}], "config": [{}], "extendedResourceName": "cpu"}),
            &[
                "spec.selectors[0].cel: Required value",
                "spec.config[0].opaque: Required value",
                "spec.extendedResourceName: Invalid value: \"cpu\": must be a valid extended resource name",
            ],
        );
        let expect = "spec.extendedResourceName: Invalid value";
        check(
            json!({"extendedResourceName": "kubernetes.io/x"}),
            &[expect],
        );
        let class = json!({"spec": {"extendedResourceName": "acme.io/gpu"}});
        assert_eq!(created(&RULES, &class), json!({"spec": {}}));
    }
}

//! Addresses that are taken.

use objects::field::{ErrorList, FieldError, Path};
use objects::metadata::NameRule;
use objects::names;
use serde_json::Value;

use crate::{
    cells, check,
    rules::{Column, NAME, Rules},
    value::Fields,
};

/// What is this type's own.
pub const RULES: Rules = Rules {
    validate,
    validate_update,
    name: NameRule::Own(canonical),
    columns: &[
        NAME,
        Column::new("ParentRef", "string", "Who has it.", parent),
    ],
    ..Rules::NONE
};

fn validate(address: &Value, errors: &mut ErrorList) {
    let path = Path::new("spec");
    let path = path.child("parentRef");
    let Some(parent) = address.part("spec").field("parentRef") else {
        errors.push(FieldError::required(&path, ""));
        return;
    };
    let group = parent.text("group");
    if !group.is_empty() {
        let path = path.child("group");
        errors.push_invalid(&path, group, names::dns1123_subdomain(group));
    }
    for field in ["resource", "name"] {
        check::required_text(parent, field, names::path_segment_name, &path, errors);
    }
    let namespace = parent.text("namespace");
    let wrong = names::path_segment_name(namespace);
    errors.push_invalid(&path.child("namespace"), namespace, wrong);
}

fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let path = Path::new("spec");
    check::immutable(
        new.part("spec"),
        old.part("spec"),
        "parentRef",
        &path,
        errors,
    );
}

fn parent(address: &Value, _: i64) -> Value {
    let Some(parent) = address.part("spec").field("parentRef") else {
        return cells::NONE.into();
    };
    let resource = parent.text("resource");
    let mut text = match parent.text("group") {
        "" => resource.to_lowercase(),
        group => format!("{resource}.{group}").to_lowercase(),
    };
    for part in [parent.text("namespace"), parent.text("name")] {
        if !part.is_empty() {
            text.push('/');
            text.push_str(part);
        }
    }
    text.into()
}

/// A name is the address, as it is written canonically.
fn canonical(name: &str, _is_prefix: bool) -> Vec<String> {
    check::canonical_ip(name).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_update, row};
    use serde_json::json;

    #[test]
    fn writes() {
        let address = |parent: Value| json!({"metadata": {"name": "10.0.0.1"}, "spec": {"parentRef": parent}});
        let parent = json!({"resource": "services", "namespace": "a", "name": "web"});
        check_create(&RULES, &address(parent.clone()), &[]);
        check_create(
            &RULES,
            &address(Value::Null),
            &["spec.parentRef: Required value"],
        );
        check_create(
            &RULES,
            &address(json!({"group": "-", "name": "a/b", "namespace": ".."})),
            &[
                "spec.parentRef.group: Invalid value: \"-\"",
                "spec.parentRef.resource: Required value",
                "spec.parentRef.name: Invalid value: \"a/b\"",
                "spec.parentRef.namespace: Invalid value: \"..\": may not be '..'",
            ],
        );
        let mut other = parent.clone();
        other["name"] = json!("db");
        let expect = ["spec.parentRef: Invalid value: {"];
        check_update(&RULES, &address(parent.clone()), &address(other), &expect);
        let expect = json!(["10.0.0.1", "services/a/web"]);
        assert_eq!(Value::from(row(&RULES, &address(parent), 0)), expect);
    }
}

//! What CSI drivers say of a node.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use crate::{
    check,
    rules::{AGE, Column, NAME, Rules},
    value::{Fields, same},
};

/// Most bytes of what a driver calls the node.
const NODE_ID_MAX: usize = 192;

/// What is this type's own.
pub const RULES: Rules = Rules {
    validate,
    validate_update,
    columns: &[
        NAME,
        Column::new("Drivers", "integer", "Drivers on the node.", |o, _| {
            o.part("spec").items("drivers").len().into()
        }),
        AGE,
    ],
    ..Rules::NONE
};

fn validate(node: &Value, errors: &mut ErrorList) {
    let path = Path::new("spec");
    let path = path.child("drivers");
    let mut seen = BTreeSet::new();
    for (index, one) in node.part("spec").items("drivers").iter().enumerate() {
        let path = path.index(index);
        driver(one, &path, errors);
        let name = one.text("name");
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
    }
}

fn driver(driver: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    check::driver_name(driver, "name", path, errors);
    let (id, id_path) = (driver.text("nodeID"), path.child("nodeID"));
    if id.is_empty() {
        errors.push(FieldError::required(&id_path, ""));
    }
    if id.len() > NODE_ID_MAX {
        let message = format!("must be {NODE_ID_MAX} characters or less");
        errors.push(FieldError::invalid(&id_path, id, message));
    }
    let allocatable = driver.part("allocatable");
    check::non_negative(allocatable, &["count"], &path.child("allocatable"), errors);
    let mut seen = BTreeSet::new();
    for key in driver.texts("topologyKeys") {
        if key.is_empty() {
            errors.push(FieldError::required(path, ""));
        }
        if !seen.insert(key) {
            errors.push(FieldError::duplicate(path, key));
        }
        errors.push_invalid(path, key, names::qualified_name(key));
    }
}

/// What a driver said stays, but for how many volumes there may be.
fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    // Upstream names the type.
    let path = Path::new("CSINodeDriver");
    let fixed = |driver: &Value| {
        let mut driver = driver.clone();
        driver.remove("allocatable");
        driver
    };
    for old in old.part("spec").items("drivers") {
        for new in new.part("spec").items("drivers") {
            if new.text("name") == old.text("name") && !same(&fixed(new), &fixed(old)) {
                errors.push(FieldError::invalid(&path, new.clone(), check::IMMUTABLE));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_update, row};
    use serde_json::json;

    #[test]
    fn writes() {
        let node =
            |drivers: Value| json!({"metadata": {"name": "n"}, "spec": {"drivers": drivers}});
        let one = json!({"name": "csi.acme.io", "nodeID": "i", "topologyKeys": ["a/b"], "allocatable": {"count": 5}});
        check_create(&RULES, &node(json!([one])), &[]);
        check_create(
            &RULES,
            &node(
                json!([{"name": "a".repeat(64), "nodeID": "x".repeat(193), "topologyKeys": ["", "k", "k"], "allocatable": {"count": -1}}, {"name": "d", "nodeID": "i"}, {"name": "d"}]),
            ),
            &[
                "spec.drivers[0].name: Too long: may not be more than 63 bytes",
                "spec.drivers[0].nodeID: Invalid value: \"xxx",
                "spec.drivers[0].allocatable.count: Invalid value: -1",
                "spec.drivers[0]: Required value",
                "spec.drivers[0]: Invalid value: \"\": name part must be non-empty",
                "spec.drivers[0]: Invalid value: \"\": name part must consist of",
                "spec.drivers[0]: Duplicate value: \"k\"",
                "spec.drivers[2].nodeID: Required value",
                "spec.drivers[2].name: Duplicate value: \"d\"",
            ],
        );
        let mut other = one.clone();
        other["allocatable"]["count"] = json!(6);
        check_update(&RULES, &node(json!([one])), &node(json!([other])), &[]);
        other["nodeID"] = json!("j");
        let expect = ["CSINodeDriver: Invalid value: {"];
        check_update(&RULES, &node(json!([one])), &node(json!([other])), &expect);
        let expect = json!(["n", 1, "<unknown>"]);
        assert_eq!(Value::from(row(&RULES, &node(json!([one])), 0)), expect);
    }
}

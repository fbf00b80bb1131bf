//! Classes of what can be changed of a volume.

use objects::field::ErrorList;
use serde_json::Value;

use super::parameters;
use crate::{
    rules::{AGE, Column, NAME, Rules},
    value::Fields,
};

/// The annotation that makes a class the default.
const DEFAULT: [&str; 1] = ["volumeattributesclass.alpha.kubernetes.io/is-default-class"];

/// What is this type's own.
pub const RULES: Rules = Rules {
    validate,
    validate_update: |new, old, errors| {
        parameters::fixed(new, old, &["driverName", "parameters"], errors);
    },
    columns: &[
        Column {
            cell: |o, _| parameters::marked_name(o, &DEFAULT),
            ..NAME
        },
        Column::new(
            "DriverName",
            "string",
            "Whose volumes it is for.",
            |o, _| o.text("driverName").into(),
        ),
        AGE,
    ],
    ..Rules::NONE
};

fn validate(class: &Value, errors: &mut ErrorList) {
    parameters::driver(class, "driverName", errors);
    parameters::parameters(class, false, errors);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_update, row};
    use serde_json::json;

    #[test]
    fn writes() {
        let class =
            json!({"metadata": {"name": "c"}, "driverName": "d", "parameters": {"iops": "5"}});
        check_create(&RULES, &class, &[]);
        check_create(
            &RULES,
            &json!({}),
            &[
                "driverName: Required value",
                "parameters: Required value: must contain at least one key/value pair",
            ],
        );
        check_update(
            &RULES,
            &class,
            &json!({"driverName": "e", "parameters": {"iops": "6"}}),
            &[
                "driverName: Forbidden: updates to driverName are forbidden.",
                "parameters: Forbidden: updates to parameters are forbidden.",
            ],
        );
        let expect = json!(["c", "d", "<unknown>"]);
        assert_eq!(Value::from(row(&RULES, &class, 0)), expect);
    }
}

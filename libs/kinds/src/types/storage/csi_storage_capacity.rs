//! What room there is for volumes.

use objects::field::{ErrorList, Path};
use objects::names;
use serde_json::Value;

use crate::{
    cells, check,
    rules::{Column, NAME, Rules},
    types::core::pod::deprecated,
    value::Fields,
};

/// What is this type's own.
pub const RULES: Rules = Rules {
    validate,
    validate_update: |new, old, errors| {
        let root = Path::none();
        check::immutable(new, old, "nodeTopology", &root, errors);
        check::immutable(new, old, "storageClassName", &root, errors);
    },
    warnings: |capacity, _| {
        let path = Path::new("nodeTopology");
        deprecated::selector(capacity.part("nodeTopology"), &path)
    },
    columns: &[
        NAME,
        Column::new(
            "StorageClassName",
            "string",
            "For volumes of which class.",
            |o, _| o.text("storageClassName").into(),
        ),
        Column::new(
            "Capacity",
            "string",
            "The room that there is.",
            |o, _| match o.field("capacity") {
                Some(capacity) => cells::quantity(capacity).into(),
                None => cells::UNSET.into(),
            },
        ),
    ],
    ..Rules::NONE
};

fn validate(capacity: &Value, errors: &mut ErrorList) {
    check::label_selector(capacity, "nodeTopology", &Path::none(), errors);
    let class = capacity.text("storageClassName");
    let path = Path::new("storageClassName");
    errors.push_invalid(&path, class, names::dns1123_subdomain(class));
    let path = Path::new("capacity");
    check::non_negative_quantity(capacity.part("capacity"), &path, errors);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_update, row};
    use serde_json::json;

    #[test]
    fn writes() {
        let object =
            json!({"metadata": {"name": "c"}, "storageClassName": "fast", "capacity": "1024Mi"});
        check_create(&RULES, &object, &[]);
        check_create(
            &RULES,
            &json!({"storageClassName": "-", "capacity": "-1", "nodeTopology": {"matchLabels": {"-": ""}}}),
            &[
                "storageClassName: Invalid value: \"-\"",
                "capacity: Invalid value: \"-1\": must be greater than or equal to 0",
                "nodeTopology.matchLabels: Invalid value: \"-\"",
            ],
        );
        check_update(
            &RULES,
            &object,
            &json!({"storageClassName": "slow", "nodeTopology": {"matchLabels": {"a": "b"}}}),
            &[
                "nodeTopology: Invalid value: {\"matchLabels\":{\"a\":\"b\"}}: field is immutable",
                "storageClassName: Invalid value: \"slow\": field is immutable",
            ],
        );
        let old = json!({"nodeTopology": {"matchLabels": {"beta.kubernetes.io/os": "linux"},
            "matchExpressions": [{"key": "beta.kubernetes.io/arch", "operator": "Exists"}]}});
        let expect = [
            "nodeTopology.matchExpressions[0].key: beta.kubernetes.io/arch is deprecated since v1.14; use \"kubernetes.io/arch\" instead",
            "nodeTopology.matchLabels.beta.kubernetes.io/os: deprecated since v1.14; use \"kubernetes.io/os\" instead",
        ];
        assert_eq!((RULES.warnings)(&old, None), expect);
        let expect = json!(["c", "fast", "1Gi"]);
        assert_eq!(Value::from(row(&RULES, &object, 0)), expect);
    }
}

//! Storage classes.

use std::collections::{BTreeMap, BTreeSet};

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use super::parameters;
use crate::{
    check,
    rules::{AGE, Column, NAME, Rules},
    types::core::pod::deprecated,
    value::Fields,
};

/// Annotations that make a class the default.
const DEFAULT: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults: |class| {
        class.set_absent("reclaimPolicy", "Delete");
        class.set_absent("volumeBindingMode", "Immediate");
    },
    validate,
    validate_update,
    warnings,
    columns: &[
        Column {
            cell: |o, _| parameters::marked_name(o, &DEFAULT),
            ..NAME
        },
        Column::new("Provisioner", "string", "Who makes its volumes.", |o, _| {
            o.text("provisioner").into()
        }),
        Column::new(
            "ReclaimPolicy",
            "string",
            "What becomes of a volume without a claim.",
            |o, _| o.part("reclaimPolicy").as_str().unwrap_or("Delete").into(),
        ),
        Column::new(
            "VolumeBindingMode",
            "string",
            "When a claim gets its volume.",
            |o, _| {
                o.part("volumeBindingMode")
                    .as_str()
                    .unwrap_or("Immediate")
                    .into()
            },
        ),
        Column::new(
            "AllowVolumeExpansion",
            "string",
            "Whether volumes can grow.",
            |o, _| o.flag("allowVolumeExpansion").into(),
        ),
        AGE,
    ],
    ..Rules::NONE
};

fn validate(class: &Value, errors: &mut ErrorList) {
    parameters::driver(class, "provisioner", errors);
    parameters::parameters(class, true, errors);
    let root = Path::none();
    if !class.text("reclaimPolicy").is_empty() {
        let known = ["Delete", "Retain"];
        check::one_of(class, "reclaimPolicy", &known, &root, errors);
    }
    if class.has("volumeBindingMode") {
        let known = ["Immediate", "WaitForFirstConsumer"];
        check::one_of(class, "volumeBindingMode", &known, &root, errors);
    } else {
        errors.push(FieldError::required(&Path::new("volumeBindingMode"), ""));
    }
    topologies(class, errors);
}

fn topologies(class: &Value, errors: &mut ErrorList) {
    let path = Path::new("allowedTopologies");
    let mut seen = BTreeSet::new();
    for (index, term) in class.items("allowedTopologies").iter().enumerate() {
        let path = path.index(index);
        let path = path.child("matchLabelExpressions");
        let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (index, one) in term.items("matchLabelExpressions").iter().enumerate() {
            let path = path.index(index);
            let (key, key_path) = (one.text("key"), path.child("key"));
            let values = values(one, &path.child("values"), errors);
            errors.push_invalid(&key_path, key, names::qualified_name(key));
            if keys.insert(key, values).is_some() {
                errors.push(FieldError::duplicate(&key_path, key));
            }
        }
        if !seen.insert(keys) {
            errors.push(FieldError::duplicate(&path, ""));
        }
    }
}

fn values<'a>(one: &'a Value, path: &Path<'_>, errors: &mut ErrorList) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    if one.items("values").is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    for (index, value) in one.texts("values").enumerate() {
        if !seen.insert(value) {
            errors.push(FieldError::duplicate(&path.index(index), value));
        }
    }
    seen
}

fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let fields = ["parameters", "provisioner", "reclaimPolicy"];
    parameters::fixed(new, old, &fields, errors);
    check::immutable(new, old, "volumeBindingMode", &Path::none(), errors);
}

fn warnings(class: &Value, _: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    let list = Path::new("allowedTopologies");
    for (index, term) in class.items("allowedTopologies").iter().enumerate() {
        let path = list.index(index);
        let path = path.child("matchLabelExpressions");
        for (index, one) in term.items("matchLabelExpressions").iter().enumerate() {
            if let Some(message) = deprecated::label(one.text("key")) {
                let path = path.index(index);
                warnings.push(format!("{}: {message}", path.child("key")));
            }
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_update, created, row};
    use serde_json::json;

    #[test]
    fn writes() {
        let class = json!({"metadata": {"name": "c"}, "provisioner": "Acme.io/disk"});
        check_create(&RULES, &class, &[]);
        check_create(
            &RULES,
            &json!({"parameters": {"": "x"}, "reclaimPolicy": "Recycle", "volumeBindingMode": "x", "allowedTopologies": [
                {"matchLabelExpressions": [{"key": "k", "values": ["a", "a"]}, {"key": "k"}]},
                {"matchLabelExpressions": [{"key": "z", "values": ["a"]}]}, {"matchLabelExpressions": [{"key": "z", "values": ["a"]}]}]}),
            &[
                "provisioner: Required value",
                "parameters: Invalid value: \"\": field can not be empty.",
                "reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\"",
                "volumeBindingMode: Unsupported value: \"x\": supported values: \"Immediate\", \"WaitForFirstConsumer\"",
                "allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: \"a\"",
                "allowedTopologies[0].matchLabelExpressions[1].values: Required value",
                "allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: \"k\"",
                "allowedTopologies[2].matchLabelExpressions: Duplicate value: \"\"",
            ],
        );
        let other = json!({"provisioner": "x", "parameters": {"a": "b"}, "reclaimPolicy": "Retain", "volumeBindingMode": "WaitForFirstConsumer"});
        check_update(
            &RULES,
            &class,
            &other,
            &[
                "parameters: Forbidden: updates to parameters are forbidden.",
                "provisioner: Forbidden: updates to provisioner are forbidden.",
                "reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden.",
                "volumeBindingMode: Invalid value: \"WaitForFirstConsumer\": field is immutable",
            ],
        );
    }

    #[test]
    fn what_is_told() {
        let class = json!({"allowedTopologies": [{"matchLabelExpressions": [
            {"key": "topology.kubernetes.io/zone", "values": ["a"]}, {"key": "failure-domain.beta.kubernetes.io/zone", "values": ["a"]}]}]});
        let expect = [
            "allowedTopologies[0].matchLabelExpressions[1].key: deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
        ];
        assert_eq!((RULES.warnings)(&class, None), expect);
    }

    #[test]
    fn rows() {
        let annotations = json!({"storageclass.kubernetes.io/is-default-class": "true"});
        let class =
            json!({"metadata": {"name": "c", "annotations": annotations}, "provisioner": "p"});
        let cells = row(&RULES, &created(&RULES, &class), 0);
        let expect = json!([
            "c (default)",
            "p",
            "Delete",
            "Immediate",
            false,
            "<unknown>"
        ]);
        assert_eq!(Value::from(cells), expect);
    }
}

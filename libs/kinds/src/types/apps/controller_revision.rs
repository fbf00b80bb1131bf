//! Controller revisions: what a controller's template was.

use objects::field::{ErrorList, FieldError, Path};
use objects::metadata::Metadata;
use serde_json::Value;

use crate::{
    cells, check,
    rules::{AGE, Column, NAME, Rules},
    value::Fields,
};

/// What is this type's own.
pub const RULES: Rules = Rules {
    validate,
    validate_update,
    columns: &[
        NAME,
        Column::new("Controller", "string", "Whose revision it is.", controller),
        Column::new(
            "Revision",
            "string",
            "Its place among the others.",
            |o, _| cells::number(o, "revision"),
        ),
        AGE,
    ],
    ..Rules::NONE
};

fn validate(revision: &Value, errors: &mut ErrorList) {
    if !revision.has("data") {
        let path = Path::new("data");
        errors.push(FieldError::required(&path, "data is mandatory"));
    }
    let number = revision.whole("revision").unwrap_or(0);
    if number < 0 {
        let path = Path::new("revision");
        errors.push(FieldError::invalid(&path, number, check::NON_NEGATIVE));
    }
}

fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    // What is in there is a controller's, so nothing in it is the same as absent.
    if new.part("data") != old.part("data") {
        let path = Path::new("data");
        let shown = check::shown(new, "data");
        errors.push(FieldError::invalid(&path, shown, check::IMMUTABLE));
    }
}

fn controller(revision: &Value, _: i64) -> Value {
    let Some(owner) = Metadata::of(revision).controller() else {
        return cells::NONE.into();
    };
    let (kind, name) = (owner.text("kind"), owner.text("name"));
    let kind = match owner.text("apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}"),
        None => kind.to_owned(),
    };
    format!("{}/{name}", kind.to_lowercase()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_update, row};
    use serde_json::json;

    #[test]
    fn writes() {
        check_create(&RULES, &json!({"data": {"a": 1}, "revision": 1}), &[]);
        check_create(
            &RULES,
            &json!({"revision": -1}),
            &[
                "data: Required value: data is mandatory",
                "revision: Invalid value: -1",
            ],
        );
        check_update(
            &RULES,
            &json!({"data": {"a": 1}}),
            &json!({"data": {"a": 2}, "revision": 7}),
            &["data: Invalid value: {\"a\":2}: field is immutable"],
        );
    }

    #[test]
    fn rows() {
        let owner = json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "controller": true}]);
        let object = json!({"metadata": {"name": "r", "ownerReferences": owner}, "revision": 3});
        let expect = json!(["r", "daemonset.apps/agent", 3, "<unknown>"]);
        assert_eq!(Value::from(row(&RULES, &object, 0)), expect);
        let expect = json!([null, "<none>", 0, "<unknown>"]);
        assert_eq!(Value::from(row(&RULES, &json!({}), 0)), expect);
    }
}

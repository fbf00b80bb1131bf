//! CSI drivers.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

use crate::{
    cells, check,
    rules::{AGE, Column, NAME, Rules},
    value::{Fields, same},
};

/// Shortest and longest life of a token, in seconds.
const TOKEN_MIN: i64 = 600;
const TOKEN_MAX: i64 = 1 << 32;
/// Shortest time between two looks at how many volumes a node takes, in seconds.
const UPDATE_MIN: i64 = 10;

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    validate,
    validate_update,
    columns: &[
        NAME,
        Column::new(
            "AttachRequired",
            "boolean",
            "Whether volumes must be attached.",
            |o, _| {
                o.part("spec")
                    .part("attachRequired")
                    .as_bool()
                    .unwrap_or(true)
                    .into()
            },
        ),
        Column::new(
            "PodInfoOnMount",
            "boolean",
            "Whether it is told of pods.",
            |o, _| o.part("spec").flag("podInfoOnMount").into(),
        ),
        Column::new(
            "StorageCapacity",
            "boolean",
            "Whether it says what room there is.",
            |o, _| o.part("spec").flag("storageCapacity").into(),
        ),
        Column::new(
            "TokenRequests",
            "string",
            "Audiences of tokens that it gets.",
            token_requests,
        ),
        Column::new(
            "RequiresRepublish",
            "boolean",
            "Whether mounts are refreshed.",
            |o, _| o.part("spec").flag("requiresRepublish").into(),
        ),
        Column::new("Modes", "string", "How long its volumes live.", modes),
        AGE,
    ],
    ..Rules::NONE
};

fn defaults(driver: &mut Value) {
    let Some(spec) = driver.object_mut("spec") else {
        return;
    };
    spec.set_absent("attachRequired", true);
    for field in [
        "podInfoOnMount",
        "storageCapacity",
        "requiresRepublish",
        "seLinuxMount",
    ] {
        spec.set_absent(field, false);
    }
    spec.set_absent("fsGroupPolicy", "ReadWriteOnceWithFSType");
    if spec.items("volumeLifecycleModes").is_empty() {
        spec.set("volumeLifecycleModes", json!(["Persistent"]));
    }
}

fn validate(driver: &Value, errors: &mut ErrorList) {
    let (spec, path) = (driver.part("spec"), Path::new("spec"));
    let required = [
        // As upstream misspells it.
        ("attachRequired", "attachedRequired"),
        ("podInfoOnMount", "podInfoOnMount"),
        ("storageCapacity", "storageCapacity"),
        ("seLinuxMount", "seLinuxMount"),
    ];
    for (field, name) in required {
        if !spec.has(field) {
            errors.push(FieldError::required(&path.child(name), ""));
        }
    }
    if spec.has("fsGroupPolicy") {
        let known = ["File", "None", "ReadWriteOnceWithFSType"];
        check::one_of(spec, "fsGroupPolicy", &known, &path, errors);
    }
    tokens(spec, &path.child("tokenRequests"), errors);
    for mode in spec.texts("volumeLifecycleModes") {
        let known = ["Persistent", "Ephemeral"];
        if !known.contains(&mode) {
            let path = path.child("volumeLifecycleModes");
            errors.push(FieldError::not_supported(&path, mode, &known));
        }
    }
    let field = "nodeAllocatableUpdatePeriodSeconds";
    if let Some(period) = spec.whole(field).filter(|period| *period < UPDATE_MIN) {
        let message = format!("must be greater than or equal to {UPDATE_MIN} seconds");
        errors.push(FieldError::invalid(&path.child(field), period, message));
    }
    tokens_in_secrets(spec, &path, errors);
}

/// Where tokens are passed on, which nobody gets who asks for none.
fn tokens_in_secrets(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let field = "serviceAccountTokenInSecrets";
    if let Some(place) = spec
        .field(field)
        .filter(|_| spec.items("tokenRequests").is_empty())
    {
        let message = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
        errors.push(FieldError::invalid(
            &path.child(field),
            place.clone(),
            message,
        ));
    }
}

fn tokens(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let mut seen = BTreeSet::new();
    for (index, request) in spec.items("tokenRequests").iter().enumerate() {
        let path = path.index(index);
        let audience = request.text("audience");
        if !seen.insert(audience) {
            errors.push(FieldError::duplicate(&path.child("audience"), audience));
            continue;
        }
        let message = match request.whole("expirationSeconds") {
            Some(..TOKEN_MIN) => "may not specify a duration less than 10 minutes",
            Some(seconds) if seconds > TOKEN_MAX => {
                "may not specify a duration larger than 2^32 seconds"
            }
            _ => continue,
        };
        let shown = check::shown(request, "expirationSeconds");
        let path = path.child("expirationSeconds");
        errors.push(FieldError::invalid(&path, shown, message));
    }
}

fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (new, old, path) = (new.part("spec"), old.part("spec"), Path::new("spec"));
    let fixed = [
        ("attachRequired", "attachedRequired"),
        ("volumeLifecycleModes", "volumeLifecycleModes"),
    ];
    for (field, name) in fixed {
        if !same(new.part(field), old.part(field)) {
            let shown = check::shown(new, field);
            errors.push(FieldError::invalid(
                &path.child(name),
                shown,
                check::IMMUTABLE,
            ));
        }
    }
}

fn token_requests(driver: &Value, _: i64) -> Value {
    let spec = driver.part("spec");
    if !spec.has("tokenRequests") {
        return cells::UNSET.into();
    }
    let requests = spec.items("tokenRequests").iter();
    let audiences: Vec<&str> = requests.map(|request| request.text("audience")).collect();
    audiences.join(",").into()
}

fn modes(driver: &Value, _: i64) -> Value {
    let modes: Vec<&str> = driver.part("spec").texts("volumeLifecycleModes").collect();
    match modes.join(",") {
        text if text.is_empty() => cells::NONE.into(),
        text => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_update, created, row};

    #[test]
    fn writes() {
        let driver = |spec: Value| json!({"metadata": {"name": "d"}, "spec": spec});
        let spec = created(&RULES, &driver(json!({}))).part("spec").clone();
        let expect = json!({"attachRequired": true, "podInfoOnMount": false, "storageCapacity": false, "requiresRepublish": false,
            "seLinuxMount": false, "fsGroupPolicy": "ReadWriteOnceWithFSType", "volumeLifecycleModes": ["Persistent"]});
        assert_eq!(spec, expect);
        check_create(&RULES, &driver(json!({})), &[]);
        check_create(
            &RULES,
            &driver(json!({"serviceAccountTokenInSecrets": false})),
            &[
                "spec.serviceAccountTokenInSecrets: Invalid value: false: serviceAccountTokenInSecrets is set but no tokenRequests are specified",
            ],
        );
        check_create(
            &RULES,
            &driver(
                json!({"fsGroupPolicy": "x", "volumeLifecycleModes": ["y"], "nodeAllocatableUpdatePeriodSeconds": 9,
                "tokenRequests": [{"audience": "a", "expirationSeconds": 5}, {"audience": "a"}, {"audience": "b", "expirationSeconds": 5_000_000_000_i64}]}),
            ),
            &[
                "spec.fsGroupPolicy: Unsupported value: \"x\": supported values: \"File\", \"None\", \"ReadWriteOnceWithFSType\"",
                "spec.volumeLifecycleModes: Unsupported value: \"y\": supported values: \"Persistent\", \"Ephemeral\"",
                "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds",
                "spec.tokenRequests[0].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
                "spec.tokenRequests[1].audience: Duplicate value: \"a\"",
                "spec.tokenRequests[2].expirationSeconds: Invalid value: 5000000000: may not specify a duration larger than 2^32 seconds",
            ],
        );
        check_update(
            &RULES,
            &driver(json!({})),
            &driver(json!({"attachRequired": false, "volumeLifecycleModes": ["Ephemeral"]})),
            &[
                "spec.attachedRequired: Invalid value: false: field is immutable",
                "spec.volumeLifecycleModes: Invalid value: [\"Ephemeral\"]: field is immutable",
            ],
        );
        let object = driver(json!({"tokenRequests": [{"audience": "a"}, {"audience": "b"}]}));
        let expect = json!(["d", true, false, false, "a,b", false, "<none>", "<unknown>"]);
        assert_eq!(Value::from(row(&RULES, &object, 0)), expect);
    }
}

//! ConfigMaps.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use crate::{
    rules::{AGE, Column, NAME, Rules},
    value::{Fields, same},
};

/// Most bytes of all values together: 1 MiB, of Secrets too.
pub const BYTES_MAX: usize = 1 << 20;

/// What is this type's own.
pub const RULES: Rules = Rules {
    validate,
    validate_update: |new, old, errors| {
        validate_immutable(new, old, &["data", "binaryData"], errors);
    },
    columns: &[
        NAME,
        Column::new("Data", "string", "How many keys there are.", |map, _| {
            (map.count("data") + map.count("binaryData")).into()
        }),
        AGE,
    ],
    ..Rules::NONE
};

fn validate(map: &Value, errors: &mut ErrorList) {
    let mut bytes = 0_usize;
    let path = Path::new("data");
    for (key, value) in map.entries("data") {
        let path = path.key(key);
        errors.push_invalid(&path, key, names::config_map_key(key));
        if map.part("binaryData").has(key) {
            let message = "duplicate of key present in binaryData";
            errors.push(FieldError::invalid(&path, key, message));
        }
        bytes += value.as_str().map_or(0, str::len);
    }
    let path = Path::new("binaryData");
    for (key, value) in map.entries("binaryData") {
        errors.push_invalid(&path.key(key), key, names::config_map_key(key));
        bytes += decoded_len(value.as_str().unwrap_or_default());
    }
    if bytes > BYTES_MAX {
        // The whole object is meant, which has no path.
        errors.push(FieldError::too_long(&Path::new(""), BYTES_MAX));
    }
}

/// How many bytes a text of Base64 stands for.
pub(super) fn decoded_len(text: &str) -> usize {
    let digits = text.bytes().filter(|c| !matches!(c, b'\r' | b'\n' | b'='));
    digits.count() * 3 / 4
}

/// What says that it is immutable stays so, and so do its fields.
pub(super) fn validate_immutable(
    new: &Value,
    old: &Value,
    fields: &[&str],
    errors: &mut ErrorList,
) {
    if !old.flag("immutable") {
        return;
    }
    let message = "field is immutable when `immutable` is set";
    if !new.flag("immutable") {
        errors.push(FieldError::forbidden(&Path::new("immutable"), message));
    }
    for field in fields {
        if !same(new.part(field), old.part(field)) {
            errors.push(FieldError::forbidden(&Path::new(field), message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, cells};
    use serde_json::json;

    #[test]
    fn mistakes() {
        let check = |map: Value, expect: &[&str]| testing::check_create(&RULES, &map, expect);
        check(
            json!({"data": {"a.b": "c"}, "binaryData": {"d": "AAAA"}}),
            &[],
        );
        check(
            json!({"data": {"a b": "c"}}),
            &[
                r#"data[a b]: Invalid value: "a b": a valid config key must consist of alphanumeric characters"#,
            ],
        );
        check(
            json!({"data": {"a": "c"}, "binaryData": {"a": "AAAA"}}),
            &[r#"data[a]: Invalid value: "a": duplicate of key present in binaryData"#],
        );
        let most = "x".repeat(BYTES_MAX);
        check(json!({"data": {"a": most}}), &[]);
        check(
            json!({"data": {"a": most, "b": "x"}}),
            &[": Too long: may not be more than 1048576 bytes"],
        );
    }

    #[test]
    fn what_is_immutable_stays() {
        let check = |old: Value, new: Value, expect: &[&str]| {
            testing::check_update(&RULES, &old, &new, expect)
        };
        check(
            json!({"data": {"a": "b"}}),
            json!({"data": {"a": "c"}, "immutable": true}),
            &[],
        );
        check(
            json!({"data": {"a": "b"}, "immutable": true}),
            json!({"data": {"a": "c"}}),
            &[
                "immutable: Forbidden: field is immutable when `immutable` is set",
                "data: Forbidden: field is immutable when `immutable` is set",
            ],
        );
    }

    #[test]
    fn rows() {
        let map =
            json!({"metadata": {"name": "m"}, "data": {"a": "", "b": ""}, "binaryData": {"c": ""}});
        assert_eq!(cells(&RULES, &map), json!(["m", 3, "<unknown>"]));
    }
}

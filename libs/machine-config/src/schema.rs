//! JSON Schema of the kinds, generated from the types, in the form that the checker walks: no
//! references (no type contains itself) and no `null` (a key without a value is refused).

use std::sync::LazyLock;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::kinds::{API_VERSION, Count, KINDS};

/// Schemas of all kinds, made once, in the order of [`KINDS`].
static SCHEMAS: LazyLock<Vec<Value>> =
    LazyLock::new(|| KINDS.iter().map(|kind| (kind.schema)()).collect());

/// The schema of a kind, without `apiVersion` and `kind`.
pub(crate) fn of(kind: &str) -> Option<&'static Value> {
    let index = KINDS.iter().position(|entry| entry.name == kind)?;
    SCHEMAS.get(index)
}

/// Generates the schema of a type.
pub(crate) fn generate<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    tidy(&mut schema);
    schema
}

/// Takes `null` out of optional fields and line breaks out of descriptions.
fn tidy(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(map) => {
            without_null(map);
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            map.remove("title");
            if map.get("default").is_some_and(Value::is_null) {
                map.remove("default");
            }
            map.values_mut().for_each(tidy);
        }
        _ => {}
    }
}

fn without_null(map: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|kind| kind != "null");
        if types.len() == 1 {
            let only = types.remove(0);
            map.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = map.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let Some(Value::Array(choices)) = map.get("anyOf") else {
        return;
    };
    let others: Vec<&Value> = choices
        .iter()
        .filter(|choice| choice["type"] != "null")
        .collect();
    if let [Value::Object(only)] = others.as_slice() {
        let only = only.clone();
        map.remove("anyOf");
        for (key, value) in only {
            // What stands at the field (its description) counts more than what its type says.
            map.entry(key).or_insert(value);
        }
    }
}

/// The JSON Schema (draft 2020-12) of one document of a machine config, for editors.
///
/// Formats such as `cidr` are annotations there; the node checks them.
#[must_use]
pub fn json_schema() -> Value {
    let kinds = KINDS.iter().zip(SCHEMAS.iter()).map(|(kind, schema)| {
        let mut schema = schema.clone();
        schema["properties"]["apiVersion"] = json!({ "const": API_VERSION });
        schema["properties"]["kind"] = json!({ "const": kind.name });
        let mut required = vec![json!("apiVersion"), json!("kind")];
        if let Some(more) = schema["required"].as_array() {
            required.extend(more.iter().cloned());
        }
        schema["required"] = required.into();
        schema["title"] = kind.name.into();
        schema
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Orlop machine config",
        "description": "One document of a machine config. Generated from the types; do not edit.",
        "oneOf": kinds.collect::<Vec<_>>(),
    })
}

/// How a count reads in a sentence.
pub(crate) fn count_in_words(count: Count) -> String {
    match count {
        Count::One => "exactly one".to_owned(),
        Count::Optional => "at most one".to_owned(),
        Count::Many(max) => format!("up to {max}"),
    }
}

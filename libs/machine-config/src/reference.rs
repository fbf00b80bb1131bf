//! The reference page of the machine config, generated from the types.

use std::fmt::Write as _;

use serde_json::Value;

use crate::check::choices;
use crate::kinds::{API_VERSION, KINDS};
use crate::schema::{self, count_in_words};
use crate::values::{FORMATS, format};

/// The committed generated files, by name below `docs/reference`. A test holds that they are current;
/// `cargo xtask docs` writes them.
#[must_use]
pub fn reference_files() -> [(&'static str, String); 2] {
    let schema = serde_json::to_string_pretty(&schema::json_schema())
        .expect("a JSON value can be written as JSON");
    [
        ("machine-config.md", reference_page()),
        ("machine-config.schema.json", schema + "\n"),
    ]
}

/// The reference page in Markdown: every kind, every field, every format.
#[must_use]
pub fn reference_page() -> String {
    let mut out = String::new();
    out.push_str(
        "# Machine config reference\n\n\
         <!-- Generated from the types in libs/machine-config by `cargo xtask docs`. Do not edit. -->\n\n\
         A machine config is YAML in UTF-8, at most 1 MiB, of one or more documents. Every document \
         begins with `apiVersion` and `kind`:\n\n",
    );
    let _ = writeln!(
        out,
        "```yaml\napiVersion: {API_VERSION}\nkind: Machine\n```\n"
    );
    out.push_str(
        "Unknown keys, duplicate keys, wrong types, bad values and impossible combinations are \
         refused, all of them at once. Text that YAML reads as a number or a boolean must be quoted, \
         unless its type is `text`. Tags and merge keys are not used. Examples are in \
         [docs/examples](../examples).\n\n",
    );
    out.push_str("| kind | documents | purpose |\n| --- | --- | --- |\n");
    for kind in KINDS {
        let about = schema::of(kind.name).map_or("", |schema| description(schema));
        let anchor = kind.name.to_lowercase();
        let count = count_in_words(kind.count);
        let _ = writeln!(out, "| [{}](#{anchor}) | {count} | {about} |", kind.name);
    }
    for kind in KINDS {
        let _ = writeln!(out, "\n## {}\n", kind.name);
        if let Some(schema) = schema::of(kind.name) {
            let _ = writeln!(out, "{}\n", description(schema));
            out.push_str("| field | type | | meaning |\n| --- | --- | --- | --- |\n");
            fields(&mut out, schema, "");
        }
    }
    formats(&mut out);
    out
}

fn description(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

fn formats(out: &mut String) {
    out.push_str("\n## Formats\n\n| type | text |\n| --- | --- |\n");
    let mut formats: Vec<_> = FORMATS.iter().collect();
    formats.sort_by_key(|format| format.name);
    for format in formats {
        let _ = writeln!(out, "| {} | {} |", format.name, escape(format.about));
    }
}

/// Rows of an object's fields, each followed by those below it.
fn fields(out: &mut String, schema: &Value, prefix: &str) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, field) in properties {
        let path = format!("{prefix}{name}");
        let need = match (&field["default"], required.contains(&name.as_str())) {
            (_, true) => "required".to_owned(),
            (Value::Null | Value::Object(_), _) => String::new(),
            (Value::Array(items), _) if items.is_empty() => String::new(),
            (default, _) => format!("default `{default}`"),
        };
        let about = escape(description(field));
        let _ = writeln!(
            out,
            "| `{path}` | {} | {need} | {about} |",
            type_name(field)
        );
        fields(out, field, &format!("{path}."));
        fields(out, &field["items"], &format!("{path}[]."));
        fields(
            out,
            &field["additionalProperties"],
            &format!("{path}.<name>."),
        );
    }
}

fn type_name(field: &Value) -> String {
    let secret = if field["writeOnly"] == true {
        "secret, "
    } else {
        ""
    };
    if let Some(choices) = choices(field) {
        let quoted: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
        return quoted.join(" or ");
    }
    if let Some(format) = field["format"].as_str().and_then(format) {
        return format!("{secret}[{}](#formats)", format.name);
    }
    let bounds = |min: &Value, max: &Value| match (min.as_u64(), max.as_u64()) {
        (Some(min), Some(max)) => format!(", {min} to {max}"),
        (None, Some(max)) => format!(", at most {max}"),
        _ => String::new(),
    };
    match field["type"].as_str() {
        Some("array") => {
            let items = type_name(&field["items"]);
            format!(
                "list of {items}{}",
                bounds(&field["minItems"], &field["maxItems"])
            )
        }
        Some("object") if field["additionalProperties"].is_object() => {
            let key = field["propertyNames"]["format"].as_str().unwrap_or("text");
            let values = type_name(&field["additionalProperties"]);
            format!(
                "map of [{key}](#formats) to {values}{}",
                bounds(&Value::Null, &field["maxProperties"])
            )
        }
        Some("object") => "mapping".to_owned(),
        Some("integer") => format!(
            "whole number{}",
            bounds(&field["minimum"], &field["maximum"])
        ),
        Some("string") => format!("{secret}text in quotes where YAML needs them"),
        Some(other) => other.to_owned(),
        None => String::new(),
    }
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

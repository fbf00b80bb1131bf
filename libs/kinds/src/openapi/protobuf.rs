//! Version 2 as gnostic's protobuf message `openapi.v2.Document`, which client-go asks for in place of JSON.
//!
//! The pieces of the JSON document are read once more here and written by the field numbers of gnostic's published
//! `OpenAPIv2.proto`. Only what our documents contain is known: what is not in the tables below is no field of theirs, and a test
//! finds words that would be lost. Extensions (`x-...`) are YAML within an `Any`; JSON is YAML.

use serde_json::{Map, Value};

/// How a member of a JSON object is written.
#[derive(Debug, Clone, Copy)]
enum As {
    Text,
    /// An array of text: a field for each.
    Texts,
    Flag,
    Integer,
    Double,
    /// Any value, as YAML.
    Any,
    Anys,
    /// `TypeItem`: one text, in a message of its own.
    Type,
    /// A message.
    Message(&'static Message),
    /// `ItemsItem`, `SchemaItem`, `AdditionalPropertiesItem`: a schema in field 1 of a message of its own.
    Schema,
    /// `Properties`: named schemas, in a message of their own.
    Schemas,
    /// Parameters of a path or an operation: references or parameters.
    Parameters,
    /// Responses by their codes.
    Responses,
    /// `SecurityRequirement`s: names, each with an array of text.
    Requirements,
}

/// A member's name, its number, and how it is written.
type Field = (&'static str, u32, As);

/// A message of the form.
#[derive(Debug)]
struct Message {
    fields: &'static [Field],
    /// Number of `vendor_extension`, where our documents have extensions.
    extension: Option<u32>,
}

const fn message(fields: &'static [Field]) -> Message {
    Message {
        fields,
        extension: None,
    }
}

const fn extended(fields: &'static [Field], extension: u32) -> Message {
    Message {
        fields,
        extension: Some(extension),
    }
}

static INFO: Message = message(&[("title", 1, As::Text), ("version", 2, As::Text)]);

static SCHEMA: Message = extended(
    &[
        ("$ref", 1, As::Text),
        ("format", 2, As::Text),
        ("description", 4, As::Text),
        ("default", 5, As::Any),
        ("multipleOf", 6, As::Double),
        ("maximum", 7, As::Double),
        ("exclusiveMaximum", 8, As::Flag),
        ("minimum", 9, As::Double),
        ("exclusiveMinimum", 10, As::Flag),
        ("maxLength", 11, As::Integer),
        ("minLength", 12, As::Integer),
        ("pattern", 13, As::Text),
        ("maxItems", 14, As::Integer),
        ("minItems", 15, As::Integer),
        ("maxProperties", 17, As::Integer),
        ("minProperties", 18, As::Integer),
        ("required", 19, As::Texts),
        ("enum", 20, As::Anys),
        ("additionalProperties", 21, As::Schema),
        ("type", 22, As::Type),
        ("items", 23, As::Schema),
        ("properties", 25, As::Schemas),
    ],
    31,
);

static OPERATION: Message = extended(
    &[
        ("tags", 1, As::Texts),
        ("description", 3, As::Text),
        ("operationId", 5, As::Text),
        ("produces", 6, As::Texts),
        ("consumes", 7, As::Texts),
        ("parameters", 8, As::Parameters),
        ("responses", 9, As::Responses),
        ("schemes", 10, As::Texts),
    ],
    13,
);

static PATH: Message = message(&[
    ("get", 2, As::Message(&OPERATION)),
    ("put", 3, As::Message(&OPERATION)),
    ("post", 4, As::Message(&OPERATION)),
    ("delete", 5, As::Message(&OPERATION)),
    ("patch", 8, As::Message(&OPERATION)),
    ("parameters", 9, As::Parameters),
]);

static BODY: Message = message(&[
    ("name", 2, As::Text),
    ("in", 3, As::Text),
    ("required", 4, As::Flag),
    ("schema", 5, As::Message(&SCHEMA)),
]);

static QUERY: Message = message(&[
    ("in", 2, As::Text),
    ("description", 3, As::Text),
    ("name", 4, As::Text),
    ("type", 6, As::Text),
    ("uniqueItems", 20, As::Flag),
]);

static PATH_PARAMETER: Message = message(&[
    ("required", 1, As::Flag),
    ("in", 2, As::Text),
    ("description", 3, As::Text),
    ("name", 4, As::Text),
    ("type", 5, As::Text),
    ("uniqueItems", 19, As::Flag),
]);

static REFERENCE: Message = message(&[("$ref", 1, As::Text)]);

static RESPONSE: Message = message(&[("description", 1, As::Text), ("schema", 2, As::Schema)]);

static API_KEY: Message = message(&[
    ("type", 1, As::Text),
    ("name", 2, As::Text),
    ("in", 3, As::Text),
    ("description", 4, As::Text),
]);

static HEAD: Message = message(&[("swagger", 1, As::Text), ("info", 2, As::Message(&INFO))]);

/// `swagger` and `info`.
pub(super) fn head(bytes: &mut Vec<u8>, info: &Value) {
    let head = Map::from_iter([
        ("swagger".into(), "2.0".into()),
        ("info".into(), info.clone()),
    ]);
    members(bytes, &HEAD, &head.into());
}

/// `paths`: each as URL and what stands below it.
pub(super) fn paths<'a>(bytes: &mut Vec<u8>, paths: impl Iterator<Item = (&'a str, Value)>) {
    let mut all = Vec::new();
    for (url, path) in paths {
        named(&mut all, 2, url, |bytes| members(bytes, &PATH, &path));
    }
    delimited(bytes, 8, &all);
}

/// `definitions`: each as name and schema.
pub(super) fn definitions<'a>(
    bytes: &mut Vec<u8>,
    definitions: impl Iterator<Item = (&'a str, Value)>,
) {
    let mut all = Vec::new();
    for (name, schema) in definitions {
        named(&mut all, 1, name, |bytes| members(bytes, &SCHEMA, &schema));
    }
    delimited(bytes, 9, &all);
}

/// `parameters`, by name.
pub(super) fn parameters(bytes: &mut Vec<u8>, parameters: &Value) {
    nested(bytes, 10, |bytes| {
        for (name, value) in entries(parameters) {
            named(bytes, 1, name, |bytes| parameter(bytes, value));
        }
    });
}

/// `security` and `securityDefinitions`.
pub(super) fn security(bytes: &mut Vec<u8>, definitions: &Value, requirements: &Value) {
    write(bytes, 12, As::Requirements, requirements);
    nested(bytes, 13, |bytes| {
        for (name, value) in entries(definitions) {
            named(bytes, 1, name, |bytes| {
                nested(bytes, 2, |bytes| members(bytes, &API_KEY, value));
            });
        }
    });
}

fn members(bytes: &mut Vec<u8>, message: &Message, value: &Value) {
    for (name, number, how) in message.fields {
        if let Some(value) = value.get(*name) {
            write(bytes, *number, *how, value);
        }
    }
    if let Some(number) = message.extension {
        for (name, value) in entries(value).filter(|(name, _)| name.starts_with("x-")) {
            named(bytes, number, name, |bytes| any(bytes, value));
        }
    }
}

fn write(bytes: &mut Vec<u8>, number: u32, how: As, value: &Value) {
    let each = || value.as_array().into_iter().flatten();
    match how {
        As::Text => text(bytes, number, value.as_str().unwrap_or_default()),
        As::Texts => each().for_each(|value| write(bytes, number, As::Text, value)),
        As::Flag if value == true => {
            key(bytes, number, 0);
            varint(bytes, 1);
        }
        As::Flag => {}
        As::Integer => {
            key(bytes, number, 0);
            varint(bytes, value.as_u64().unwrap_or_default());
        }
        As::Double => {
            key(bytes, number, 1);
            let value = value.as_f64().unwrap_or_default();
            bytes.extend(value.to_le_bytes());
        }
        As::Any => nested(bytes, number, |bytes| any(bytes, value)),
        As::Anys => each().for_each(|value| write(bytes, number, As::Any, value)),
        As::Type => nested(bytes, number, |bytes| write(bytes, 1, As::Text, value)),
        As::Message(message) => nested(bytes, number, |bytes| members(bytes, message, value)),
        As::Schema => nested(bytes, number, |bytes| {
            write(bytes, 1, As::Message(&SCHEMA), value);
        }),
        As::Schemas => nested(bytes, number, |bytes| {
            for (name, value) in entries(value) {
                named(bytes, 1, name, |bytes| members(bytes, &SCHEMA, value));
            }
        }),
        As::Parameters => {
            for value in each() {
                nested(bytes, number, |bytes| match value.get("$ref") {
                    Some(_) => write(bytes, 2, As::Message(&REFERENCE), value),
                    None => nested(bytes, 1, |bytes| parameter(bytes, value)),
                });
            }
        }
        As::Responses => nested(bytes, number, |bytes| {
            for (code, value) in entries(value) {
                named(bytes, 1, code, |bytes| {
                    write(bytes, 1, As::Message(&RESPONSE), value);
                });
            }
        }),
        As::Requirements => {
            for value in each() {
                nested(bytes, number, |bytes| {
                    for (name, scopes) in entries(value) {
                        named(bytes, 1, name, |bytes| write(bytes, 1, As::Texts, scopes));
                    }
                });
            }
        }
    }
}

/// `Parameter`: of a body, or another one, which is of a query or of a path.
fn parameter(bytes: &mut Vec<u8>, value: &Value) {
    match value.get("in").and_then(Value::as_str) {
        Some("body") => write(bytes, 1, As::Message(&BODY), value),
        place => nested(bytes, 2, |bytes| match place {
            Some("path") => write(bytes, 4, As::Message(&PATH_PARAMETER), value),
            _ => write(bytes, 3, As::Message(&QUERY), value),
        }),
    }
}

/// `Any`: YAML in field 2.
fn any(bytes: &mut Vec<u8>, value: &Value) {
    text(bytes, 2, &value.to_string());
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value))
}

/// A `Named...` message: name in field 1, value in field 2.
fn named(bytes: &mut Vec<u8>, number: u32, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
    nested(bytes, number, |bytes| {
        text(bytes, 1, name);
        nested(bytes, 2, value);
    });
}

/// A message, whose length is known once it is written.
fn nested(bytes: &mut Vec<u8>, number: u32, inner: impl FnOnce(&mut Vec<u8>)) {
    let mut message = Vec::new();
    inner(&mut message);
    delimited(bytes, number, &message);
}

fn text(bytes: &mut Vec<u8>, number: u32, text: &str) {
    delimited(bytes, number, text.as_bytes());
}

fn delimited(bytes: &mut Vec<u8>, number: u32, content: &[u8]) {
    key(bytes, number, 2);
    // A length always fits: memory has fewer than 2^64 bytes.
    varint(bytes, u64::try_from(content.len()).unwrap_or(u64::MAX));
    bytes.extend_from_slice(content);
}

/// Number and wire type of a field.
fn key(bytes: &mut Vec<u8>, number: u32, wire: u32) {
    varint(bytes, u64::from((number << 3) | wire));
}

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            bytes.push(low & 0x7f);
            return;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests;

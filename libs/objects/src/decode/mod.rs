//! Bytes to a value, against a schema, in one pass.
//!
//! ```text
//!   JSON ──────────────────────────┐
//!   YAML ──> nodes (yaml) ─────────┼──events──> walk ──> Value: unknown fields gone, null gone, scalars checked
//!   a Value (after a patch) ───────┘              │
//!                                               report: the first wrong type; unknown and duplicate fields
//! ```
//!
//! Clients match texts and paths (kubectl shows them, tests of others compare them), so they are those of upstream's
//! decoders: Go's encoding/json as sigs.k8s.io/json has it, and sigs.k8s.io/yaml. What differs on purpose: invalid UTF-8
//! and lone surrogates are refused, not replaced; the nesting is bounded; more than one YAML document is refused, where
//! upstream drops all but the first; where a key is repeated, the last one stands alone and is not merged with the first.

mod report;
mod scalar;
mod walk;
mod yaml;

use crate::schema::{Schemas, TypeId};
use report::Report;
pub(crate) use scalar::bytes as base64_bytes;
use serde::de::DeserializeSeed;
use serde_json::Value;
use thiserror::Error;
use walk::Seed;

/// Levels of nesting that a body may have. Deeper than any schema, and little stack.
pub const MAX_DEPTH: usize = 128;

/// What is done about fields that the schema does not have, and about fields that are there twice (`fieldValidation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValidation {
    /// Nothing is said.
    Ignore,
    /// The client gets warnings; so it is where the request says nothing.
    #[default]
    Warn,
    /// The request is refused.
    Strict,
}

/// What a body is expected to be.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// A type.
    Type(&'a Schemas, TypeId),
    /// Any object: every field is known. Fields that are there twice are still found.
    Any,
}

/// What a body held.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The value; of a type, without fields that the type does not have.
    pub value: Value,
    /// With [`FieldValidation::Warn`]: one text for each `Warning` header.
    pub warnings: Vec<String>,
}

/// A body that is not taken. The texts are those that clients get, mostly within a sentence of the server's
/// (`Deployment in version "v1" cannot be handled as a Deployment: ...`).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Not JSON, or JSON beyond the bounds.
    #[error("json: {0}")]
    Json(String),
    /// Not YAML, or YAML beyond the bounds.
    #[error("yaml: {0}")]
    Yaml(String),
    /// A value is of another type than its field, or out of its range.
    #[error("{0}")]
    Type(String),
    /// With [`FieldValidation::Strict`]: fields that are unknown or there twice.
    #[error("strict decoding error: {}", .0.join(", "))]
    Strict(Vec<String>),
}

/// Decodes JSON.
///
/// ```
/// use orlop_objects::decode::{FieldValidation, Target, json};
/// use orlop_objects::schema::Schemas;
///
/// let schemas = Schemas::builtin();
/// let service = schemas.find("io.k8s.api.core.v1.Service").expect("a built-in type");
/// let error = json(
///     br#"{"spec": {"ports": [{"port": 80, "prot": "TCP"}]}}"#,
///     Target::Type(schemas, service),
///     FieldValidation::Strict,
/// )
/// .unwrap_err();
/// assert_eq!(error.to_string(), r#"strict decoding error: unknown field "spec.ports[0].prot""#);
/// ```
///
/// # Errors
/// See [`DecodeError`].
pub fn json(
    bytes: &[u8],
    target: Target<'_>,
    validation: FieldValidation,
) -> Result<Decoded, DecodeError> {
    let report = Report::new(validation);
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let value = Seed::root(target, &report)
        .deserialize(&mut source)
        .and_then(|value| source.end().map(|()| value))
        .map_err(|error| DecodeError::Json(json_fault(&error)))?;
    finish(value, target, report)
}

/// Decodes YAML: one document, by the rules of YAML 1.1 for plain scalars, as upstream (`yes`, `on` and `y` are true, `0777` is
/// 511; text that looks like those needs quotes).
///
/// # Errors
/// See [`DecodeError`].
pub fn yaml(
    bytes: &[u8],
    target: Target<'_>,
    validation: FieldValidation,
) -> Result<Decoded, DecodeError> {
    let document = yaml::read(bytes).map_err(DecodeError::Yaml)?;
    let report = Report::new(validation);
    report.repeated_keys(document.repeated_keys());
    let value = Seed::root(target, &report)
        .deserialize(document.events())
        .map_err(|error: serde::de::value::Error| DecodeError::Json(error.to_string()))?;
    finish(value, target, report)
}

/// Checks a value that came about otherwise, by a patch: unknown fields, wrong types, null.
///
/// # Errors
/// See [`DecodeError`].
pub fn value(
    value: Value,
    target: Target<'_>,
    validation: FieldValidation,
) -> Result<Decoded, DecodeError> {
    let report = Report::new(validation);
    let value = Seed::root(target, &report)
        .deserialize(value)
        .map_err(|error| DecodeError::Json(json_fault(&error)))?;
    finish(value, target, report)
}

/// The root of a body is an object; null is one without fields, as in Go.
fn finish(value: Value, target: Target<'_>, report: Report) -> Result<Decoded, DecodeError> {
    let what = match &value {
        Value::Object(_) => return report.finish(value),
        Value::Null => return report.finish(Value::Object(serde_json::Map::new())),
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
    };
    if matches!(target, Target::Any) {
        report.mismatch(what, None, "", "map[string]interface {}");
    }
    report.finish(value)
}

/// What serde_json says, in the words of this crate where it speaks of its own limits.
fn json_fault(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.strip_prefix("recursion limit exceeded") {
        Some(at) => format!("nested more than {MAX_DEPTH} levels deep{at}"),
        None => text,
    }
}

#[cfg(test)]
mod tests;

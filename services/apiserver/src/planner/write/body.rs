//! Bodies of requests.

use super::Context;
use crate::planner::served::Served;
use objects::{
    decode::{self, DecodeError, Decoded, Target},
    status::Status,
};
use serde_json::Value;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 8259.
    Json,
    /// YAML, as upstream reads it.
    Yaml,
}

/// How a patch is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own, by the schema.
    Strategic,
}

/// A body.
#[derive(Debug, Clone, Copy)]
pub struct Body<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// How they are written.
    pub format: Format,
}

impl Body<'_> {
    /// An object of the kind that is served.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn object(&self, served: &Served, context: &Context) -> Result<Decoded, Status> {
        self.check_kind(served)?;
        let decoded = self.decode(served.target(), context);
        decoded.map_err(|error| not_decoded(served, &error))
    }

    /// An object of any kind.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn any(&self, context: &Context) -> Result<Value, Status> {
        let decoded = self.decode(Target::Any, context);
        decoded
            .map(|decoded| decoded.value)
            .map_err(|error| Status::bad_request(error.to_string()))
    }

    fn decode(&self, target: Target<'_>, context: &Context) -> Result<Decoded, DecodeError> {
        match self.format {
            Format::Json => decode::json(self.bytes, target, context.validation),
            Format::Yaml => decode::yaml(self.bytes, target, context.validation),
        }
    }

    /// What it says that it is, before it is read as something else: the errors would be misleading.
    fn check_kind(&self, served: &Served) -> Result<(), Status> {
        #[derive(serde::Deserialize)]
        struct Kind<'a> {
            #[serde(rename = "apiVersion", default, borrow)]
            api_version: Option<std::borrow::Cow<'a, str>>,
            #[serde(default, borrow)]
            kind: Option<std::borrow::Cow<'a, str>>,
        }
        if self.format != Format::Json {
            // It is checked when it is a value.
            return Ok(());
        }
        // What is no JSON is found, and named, when it is decoded.
        let Ok(said) = serde_json::from_slice::<Kind<'_>>(self.bytes) else {
            return Ok(());
        };
        check(served, said.api_version.as_deref(), said.kind.as_deref())
    }
}

/// Whether an object is of the kind that is expected; what says nothing of itself is.
pub(super) fn check_value(served: &Served, object: &Value) -> Result<(), Status> {
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    check(served, text("apiVersion"), text("kind"))
}

fn check(served: &Served, version: Option<&str>, kind: Option<&str>) -> Result<(), Status> {
    let expected = served.api_version();
    let said = |text: Option<&str>, expected: &str| {
        text.is_some_and(|text| !text.is_empty() && text != expected)
    };
    if said(version, &expected) {
        let found = version.unwrap_or_default();
        return Err(Status::bad_request(format!(
            "the API version in the data ({found}) does not match the expected API version ({expected})"
        )));
    }
    let expected = &*served.schema.kind.kind;
    if said(kind, expected) {
        let found = kind.unwrap_or_default();
        return Err(Status::bad_request(format!(
            "{found} in version \"{}\" cannot be handled as a {expected}",
            served.resource.version
        )));
    }
    Ok(())
}

fn not_decoded(served: &Served, error: &DecodeError) -> Status {
    let kind = &*served.schema.kind.kind;
    Status::bad_request(format!(
        "{kind} in version \"{}\" cannot be handled as a {kind}: {error}",
        served.resource.version
    ))
}

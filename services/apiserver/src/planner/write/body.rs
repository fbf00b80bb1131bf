//! Bodies of requests.

use super::Context;
use crate::planner::served::Served;
use objects::{
    decode::{self, Decoded, FieldValidation, Target},
    protobuf::Messages,
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
    /// Kubernetes' own envelope.
    Protobuf,
}

impl Format {
    /// Decodes a body that is to be of a type, or anything.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(
        self,
        bytes: &[u8],
        target: Target<'_>,
        validation: FieldValidation,
    ) -> Result<Decoded, String> {
        let decoded = match self {
            Self::Json => decode::json(bytes, target, validation),
            Self::Yaml => decode::yaml(bytes, target, validation),
            Self::Protobuf => {
                let expected = match target {
                    Target::Type(schemas, id) => {
                        schemas.get(id).and_then(|named| named.kind.as_ref())
                    }
                    Target::Any => None,
                };
                let decoded = Messages::builtin().decode(bytes, expected);
                let decoded = decoded.map_err(|error| error.to_string())?;
                decode::value(decoded.value, target, validation)
            }
        };
        decoded.map_err(|error| error.to_string())
    }
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
            .map_err(Status::bad_request)
    }

    fn decode(&self, target: Target<'_>, context: &Context) -> Result<Decoded, String> {
        self.format.decode(self.bytes, target, context.validation)
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

fn not_decoded(served: &Served, error: &str) -> Status {
    let kind = &*served.schema.kind.kind;
    Status::bad_request(format!(
        "{kind} in version \"{}\" cannot be handled as a {kind}: {error}",
        served.resource.version
    ))
}

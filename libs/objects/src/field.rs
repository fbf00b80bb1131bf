//! A path in an object, and what is wrong there, in the texts that clients match.
//!
//! A [`Path`] lives on the stack as a chain of steps to the root, so that naming a field costs nothing while the
//! field is right; text is made only for a [`FieldError`]. The texts are those of upstream at API level 1.35
//! (`k8s.io/apimachinery/pkg/util/validation/field`).
//!
//! ```
//! use orlop_objects::field::{ErrorList, FieldError, Path};
//!
//! let mut errors = ErrorList::default();
//! let spec = Path::new("spec");
//! errors.push(FieldError::invalid(&spec.child("replicas"), -1, "must be non-negative"));
//! assert_eq!(errors.message().as_deref(), Some("spec.replicas: Invalid value: -1: must be non-negative"));
//! ```

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::go;
use crate::status::Cause;

/// Where a value is in an object: `spec.containers[0].name`, `metadata.labels[key]`.
#[derive(Debug, Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Nothing,
    Name(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    /// A path of one field. The name may have dots in it.
    #[must_use]
    pub fn new(name: &'a str) -> Self {
        Path {
            parent: None,
            step: Step::Name(name),
        }
    }

    /// No place at all, shown as `<nil>`: upstream's errors of selectors have it. A child of it is a root.
    #[must_use]
    pub fn none() -> Self {
        Path {
            parent: None,
            step: Step::Nothing,
        }
    }

    /// A field of the object here.
    #[must_use]
    pub fn child(&'a self, name: &'a str) -> Path<'a> {
        self.with(Step::Name(name))
    }

    /// An item of the list here, from 0.
    #[must_use]
    pub fn index(&'a self, index: usize) -> Path<'a> {
        self.with(Step::Index(index))
    }

    /// A value of the map here.
    #[must_use]
    pub fn key(&'a self, key: &'a str) -> Path<'a> {
        self.with(Step::Key(key))
    }

    fn with(&'a self, step: Step<'a>) -> Path<'a> {
        let parent = match self.step {
            Step::Nothing => None,
            _ => Some(self),
        };
        Path { parent, step }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}")?;
        }
        match self.step {
            Step::Nothing => f.write_str("<nil>"),
            Step::Name(name) if self.parent.is_some() => write!(f, ".{name}"),
            Step::Name(name) => f.write_str(name),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "[{key}]"),
        }
    }
}

/// What sort of mistake a [`FieldError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// The value is needed and absent or empty.
    Required,
    /// The value is malformed or out of bounds.
    Invalid,
    /// The value has the wrong JSON type.
    TypeInvalid,
    /// The value is none of those that are known.
    NotSupported,
    /// The value is there already.
    Duplicate,
    /// The value may not be given under these conditions.
    Forbidden,
    /// The value has too many bytes.
    TooLong,
    /// The list has too many items.
    TooMany,
    /// What the value names does not exist.
    NotFound,
    /// Our own fault, not the user's.
    Internal,
}

impl Mistake {
    /// The `reason` of a [`Cause`].
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Mistake::Required => "FieldValueRequired",
            Mistake::Invalid => "FieldValueInvalid",
            Mistake::TypeInvalid => "FieldValueTypeInvalid",
            Mistake::NotSupported => "FieldValueNotSupported",
            Mistake::Duplicate => "FieldValueDuplicate",
            Mistake::Forbidden => "FieldValueForbidden",
            Mistake::TooLong => "FieldValueTooLong",
            Mistake::TooMany => "FieldValueTooMany",
            Mistake::NotFound => "FieldValueNotFound",
            Mistake::Internal => "InternalError",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Mistake::Required => "Required value",
            Mistake::Invalid | Mistake::TypeInvalid => "Invalid value",
            Mistake::NotSupported => "Unsupported value",
            Mistake::Duplicate => "Duplicate value",
            Mistake::Forbidden => "Forbidden",
            Mistake::TooLong => "Too long",
            Mistake::TooMany => "Too many",
            Mistake::NotFound => "Not found",
            Mistake::Internal => "Internal error",
        }
    }
}

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// What sort of mistake it is.
    pub mistake: Mistake,
    /// The field's path.
    pub field: String,
    /// The value, where the message shows it.
    pub value: Option<Value>,
    /// What the value should be; may be empty.
    pub detail: String,
}

impl FieldError {
    fn new(
        mistake: Mistake,
        path: &Path<'_>,
        value: Option<Value>,
        detail: impl Into<String>,
    ) -> Self {
        FieldError {
            mistake,
            field: path.to_string(),
            value,
            detail: detail.into(),
        }
    }

    /// `Required value: detail`.
    #[must_use]
    pub fn required(path: &Path<'_>, detail: impl Into<String>) -> Self {
        Self::new(Mistake::Required, path, None, detail)
    }

    /// `Invalid value: "x": detail`.
    #[must_use]
    pub fn invalid(path: &Path<'_>, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(Mistake::Invalid, path, Some(value.into()), detail)
    }

    /// `Invalid value: "x": detail`, for a value of the wrong JSON type.
    #[must_use]
    pub fn type_invalid(
        path: &Path<'_>,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(Mistake::TypeInvalid, path, Some(value.into()), detail)
    }

    /// `Unsupported value: "x": supported values: "a", "b"`, in the order given.
    #[must_use]
    pub fn not_supported(path: &Path<'_>, value: impl Into<Value>, known: &[&str]) -> Self {
        let detail = if known.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", go::quote_all(known))
        };
        Self::new(Mistake::NotSupported, path, Some(value.into()), detail)
    }

    /// `Duplicate value: "x"`.
    #[must_use]
    pub fn duplicate(path: &Path<'_>, value: impl Into<Value>) -> Self {
        Self::new(Mistake::Duplicate, path, Some(value.into()), "")
    }

    /// `Forbidden: detail`.
    #[must_use]
    pub fn forbidden(path: &Path<'_>, detail: impl Into<String>) -> Self {
        Self::new(Mistake::Forbidden, path, None, detail)
    }

    /// `Too long: may not be more than N bytes`.
    #[must_use]
    pub fn too_long(path: &Path<'_>, bytes_max: usize) -> Self {
        let detail = format!("may not be more than {bytes_max} bytes");
        Self::new(Mistake::TooLong, path, None, detail)
    }

    /// `Too many: 5: must have at most 3 items`.
    #[must_use]
    pub fn too_many(path: &Path<'_>, items: usize, items_max: usize) -> Self {
        let detail = format!("must have at most {items_max} items");
        Self::new(Mistake::TooMany, path, Some(items.into()), detail)
    }

    /// `Not found: "x"`.
    #[must_use]
    pub fn not_found(path: &Path<'_>, value: impl Into<Value>) -> Self {
        Self::new(Mistake::NotFound, path, Some(value.into()), "")
    }

    /// `Internal error: detail`.
    #[must_use]
    pub fn internal(path: &Path<'_>, detail: impl Into<String>) -> Self {
        Self::new(Mistake::Internal, path, None, detail)
    }

    /// The message without the field: what a [`Cause`] holds.
    #[must_use]
    pub fn body(&self) -> String {
        let mut text = self.mistake.title().to_owned();
        if let Some(value) = &self.value {
            text.push_str(": ");
            text.push_str(&show(value));
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

impl std::error::Error for FieldError {}

/// A value in a message: text in quotes, structures as JSON.
fn show(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => go::quote(text),
        Value::Number(number) => go::number(number),
        other => go::json(other),
    }
}

/// All that is wrong with an object, in the order found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorList {
    errors: Vec<FieldError>,
}

impl ErrorList {
    /// Adds one.
    pub fn push(&mut self, error: FieldError) {
        self.errors.push(error);
    }

    /// Adds an [`FieldError::invalid`] for each message: what the checks of [`names`](crate::names) return.
    pub fn push_invalid(&mut self, path: &Path<'_>, value: &str, messages: Vec<String>) {
        for message in messages {
            self.push(FieldError::invalid(path, value, message));
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.errors.len()
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, FieldError> {
        self.errors.iter()
    }

    /// One message for all: alone as it is, several as `[a, b]`; none when nothing is wrong. Repetitions are left
    /// out.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        let mut seen = BTreeSet::new();
        let mut texts: Vec<String> = Vec::new();
        for error in &self.errors {
            let text = error.to_string();
            if seen.insert(text.clone()) {
                texts.push(text);
            }
        }
        match texts.len() {
            0 => None,
            1 => texts.pop(),
            _ => Some(format!("[{}]", texts.join(", "))),
        }
    }

    /// What a [`Status`](crate::status::Status) tells of each.
    #[must_use]
    pub fn causes(&self) -> Vec<Cause> {
        let cause = |error: &FieldError| Cause {
            reason: error.mistake.reason().to_owned(),
            message: error.body(),
            field: error.field.clone(),
        };
        self.errors.iter().map(cause).collect()
    }
}

impl Extend<FieldError> for ErrorList {
    fn extend<I: IntoIterator<Item = FieldError>>(&mut self, errors: I) {
        self.errors.extend(errors);
    }
}

impl FromIterator<FieldError> for ErrorList {
    fn from_iter<I: IntoIterator<Item = FieldError>>(errors: I) -> Self {
        ErrorList {
            errors: errors.into_iter().collect(),
        }
    }
}

impl IntoIterator for ErrorList {
    type Item = FieldError;
    type IntoIter = std::vec::IntoIter<FieldError>;

    fn into_iter(self) -> Self::IntoIter {
        self.errors.into_iter()
    }
}

impl<'a> IntoIterator for &'a ErrorList {
    type Item = &'a FieldError;
    type IntoIter = std::slice::Iter<'a, FieldError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_are_written_as_upstream_does() {
        let spec = Path::new("spec");
        let containers = spec.child("containers");
        let first = containers.index(0);
        assert_eq!(first.child("name").to_string(), "spec.containers[0].name");
        let metadata = Path::new("metadata");
        let labels = metadata.child("labels");
        assert_eq!(labels.key("a/b").to_string(), "metadata.labels[a/b]");
        let none = Path::none();
        assert_eq!(none.to_string(), "<nil>");
        let values = none.child("values");
        assert_eq!(values.index(0).key("k").to_string(), "values[0][k]");
    }

    #[test]
    fn errors_read_as_upstreams() {
        let check = |error: FieldError, expect: &str| assert_eq!(error.to_string(), expect);
        let x = Path::new("x");
        check(FieldError::required(&x, ""), "x: Required value");
        check(
            FieldError::invalid(&x, "y", "msg"),
            r#"x: Invalid value: "y": msg"#,
        );
        check(
            FieldError::invalid(&x, 5, "msg"),
            "x: Invalid value: 5: msg",
        );
        check(
            FieldError::invalid(&x, json!({"a": ["<"]}), "m"),
            r#"x: Invalid value: {"a":["\u003c"]}: m"#,
        );
        check(
            FieldError::invalid(&x, Value::Null, "m"),
            "x: Invalid value: null: m",
        );
        check(
            FieldError::type_invalid(&x, true, "must be of type string"),
            "x: Invalid value: true: must be of type string",
        );
        check(
            FieldError::not_supported(&x, "q", &["a", "b"]),
            r#"x: Unsupported value: "q": supported values: "a", "b""#,
        );
        check(FieldError::duplicate(&x, "y"), r#"x: Duplicate value: "y""#);
        check(FieldError::forbidden(&x, "no"), "x: Forbidden: no");
        check(
            FieldError::too_long(&x, 63),
            "x: Too long: may not be more than 63 bytes",
        );
        check(
            FieldError::too_many(&x, 5, 3),
            "x: Too many: 5: must have at most 3 items",
        );
        check(FieldError::not_found(&x, "y"), r#"x: Not found: "y""#);
        check(FieldError::internal(&x, "boom"), "x: Internal error: boom");
    }

    #[test]
    fn several_errors_make_one_message_without_repetitions() {
        let (a, b) = (Path::new("a"), Path::new("b"));
        let mut errors = ErrorList::default();
        assert_eq!(errors.message(), None);
        errors.push(FieldError::required(&a, ""));
        errors.push(FieldError::required(&a, ""));
        assert_eq!(errors.message().as_deref(), Some("a: Required value"));
        errors.push(FieldError::required(&b, "why"));
        assert_eq!(
            errors.message().as_deref(),
            Some("[a: Required value, b: Required value: why]")
        );
        assert_eq!(errors.causes().len(), 3);
        assert_eq!(errors.causes()[2].reason, "FieldValueRequired");
        assert_eq!(errors.causes()[2].message, "Required value: why");
    }
}

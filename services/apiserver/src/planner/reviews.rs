//! Reviews: objects that are no objects but questions, with the answer as their status.
//!
//! ```text
//!   TokenReview                who is it?      ──> authentication::token_review, answered by token_reviewed
//!   SelfSubjectReview          who am I?       ──> authentication::self_subject_review
//!   SubjectAccessReview        may they?       ──> authorization::Question::read ──decide──> authorization::answer
//!   LocalSubjectAccessReview   may they here?  ─┤
//!   SelfSubjectAccessReview    may I?          ─┘
//!   SelfSubjectRulesReview     what may I?     ──> authorization::rules_review
//! ```
//!
//! Pure: the object comes decoded, decisions come as values, what comes out is sent. Nothing is stored.

pub mod authentication;
pub mod authorization;

use objects::{
    field::{ErrorList, FieldError, Path},
    metadata::Metadata,
};
use serde_json::{Map, Value};

/// Sets the status, whatever was there.
fn with_status(mut review: Value, status: Map<String, Value>) -> Value {
    if let Value::Object(fields) = &mut review {
        fields.insert("status".to_owned(), status.into());
    }
    review
}

/// A question has no metadata, but for a namespace where it is about one, and what the server itself notes.
fn check_metadata(review: &Value, namespaced: bool, errors: &mut ErrorList) {
    let said = Metadata::of(review);
    let noted = |name: &&String| {
        matches!(name.as_str(), "managedFields" | "creationTimestamp")
            || (namespaced && *name == "namespace")
    };
    let metadata = review.get("metadata").and_then(Value::as_object);
    let mut names = metadata.into_iter().flatten().map(|(name, _)| name);
    let other = names.find(|name| !noted(name) && said.get(name).is_some());
    if other.is_some() {
        let value = review.get("metadata").cloned().unwrap_or_default();
        let why = if namespaced {
            "must be empty except for namespace"
        } else {
            "must be empty"
        };
        errors.push(FieldError::invalid(&Path::new("metadata"), value, why));
    }
}

fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    let text = object.get(name).and_then(Value::as_str);
    text.unwrap_or_default()
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}

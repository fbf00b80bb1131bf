//! `Status` (`meta/v1`): the answer that is an error, and the answer to a deletion.
//!
//! One constructor for each kind of answer, with upstream's code, reason, message and details: clients decide by
//! reason and code, people and scripts by the message (`k8s.io/apimachinery/pkg/api/errors`). A constructor
//! takes the words that only the caller knows; nothing here knows a resource.
//!
//! ```
//! use orlop_objects::status::{Qualified, Status};
//!
//! let status = Status::not_found(Qualified::new("apps", "deployments"), "web");
//! assert_eq!((status.code, status.message.as_str()), (404, r#"deployments.apps "web" not found"#));
//! ```

mod details;
mod reason;

use std::fmt;

use serde_json::{Map, Value};

use details::{number, put, text};

use crate::field::ErrorList;
use crate::go::quote;

pub use details::{Cause, Details};
pub use reason::Reason;

/// What the server says of a path that it does not serve, as plain text and not as a `Status`.
pub const PATH_NOT_FOUND: &str = "404 page not found";

/// Of a write whose object has changed since it was read.
pub const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// Of a list at a revision that compaction has taken.
pub const LIST_TOO_OLD: &str = "The resourceVersion for the provided list is too old.";

/// Of a watch from a revision that compaction has taken.
pub const WATCH_TOO_OLD: &str = "The resourceVersion for the provided watch is too old.";

/// Of a continue token that came too late, when no other token can be given.
pub const CONTINUE_TOO_OLD: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.";

/// Of a continue token that came too late, when `metadata.continue` has one for the rest of the list as it is now.
pub const CONTINUE_INCONSISTENT: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/// A resource or a kind with its group: `deployments.apps`, `Deployment.apps`; alone in the core group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Qualified<'a> {
    /// API group, empty for the core one.
    pub group: &'a str,
    /// Resource in plural, or kind.
    pub name: &'a str,
}

impl<'a> Qualified<'a> {
    /// A resource or kind of a group.
    #[must_use]
    pub fn new(group: &'a str, name: &'a str) -> Self {
        Qualified { group, name }
    }

    /// A resource or kind of the core group.
    #[must_use]
    pub fn core(name: &'a str) -> Self {
        Qualified { group: "", name }
    }
}

impl fmt::Display for Qualified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        Ok(())
    }
}

/// An answer without an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// HTTP's status code; zero is not written.
    pub code: u16,
    /// For programs; [`Reason::Unknown`] is not written.
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// What it is about.
    pub details: Option<Box<Details>>,
    /// `metadata.continue`: the token that goes on with an inconsistent list.
    pub continue_token: Option<String>,
    /// Whether the request did what it asked for.
    pub success: bool,
}

impl Status {
    /// A failure without details.
    #[must_use]
    pub fn failure(code: u16, reason: Reason, message: impl Into<String>) -> Self {
        Status {
            code,
            reason,
            message: message.into(),
            details: None,
            continue_token: None,
            success: false,
        }
    }

    fn about(
        code: u16,
        reason: Reason,
        resource: Qualified<'_>,
        name: &str,
        message: String,
    ) -> Self {
        Self::failure(code, reason, message).with_details(Details {
            name: name.to_owned(),
            group: resource.group.to_owned(),
            kind: resource.name.to_owned(),
            ..Details::default()
        })
    }

    fn retried(code: u16, reason: Reason, message: String, retry_after_seconds: u32) -> Self {
        Self::failure(code, reason, message).with_details(Details {
            retry_after_seconds,
            ..Details::default()
        })
    }

    /// The answer to a deletion that left nothing: upstream writes no code.
    #[must_use]
    pub fn deleted(resource: Qualified<'_>, name: &str, uid: &str) -> Self {
        let mut status = Self::about(0, Reason::Unknown, resource, name, String::new());
        status.success = true;
        status.details_mut().uid = uid.to_owned();
        status
    }

    /// 404 of an object.
    #[must_use]
    pub fn not_found(resource: Qualified<'_>, name: &str) -> Self {
        let message = format!("{resource} {} not found", quote(name));
        Self::about(404, Reason::NotFound, resource, name, message)
    }

    /// 404 of something that is no object: an unknown resource or subresource.
    #[must_use]
    pub fn resource_not_found() -> Self {
        let message = "the server could not find the requested resource";
        Self::failure(404, Reason::NotFound, message).with_details(Details::default())
    }

    /// 409 of a create.
    #[must_use]
    pub fn already_exists(resource: Qualified<'_>, name: &str) -> Self {
        let message = format!("{resource} {} already exists", quote(name));
        Self::about(409, Reason::AlreadyExists, resource, name, message)
    }

    /// 409 of a create whose generated names are all taken.
    #[must_use]
    pub fn generated_name_exists(
        resource: Qualified<'_>,
        name: &str,
        retry_after_seconds: u32,
    ) -> Self {
        let message = format!(
            "{resource} {} already exists, the server was not able to generate a unique name for the object",
            quote(name)
        );
        let mut status = Self::about(409, Reason::AlreadyExists, resource, name, message);
        status.details_mut().retry_after_seconds = retry_after_seconds;
        status
    }

    /// 409 of a write whose object has changed.
    #[must_use]
    pub fn modified(resource: Qualified<'_>, name: &str) -> Self {
        Self::conflict(resource, name, MODIFIED)
    }

    /// 409 of a write for another reason, such as a precondition.
    #[must_use]
    pub fn conflict(resource: Qualified<'_>, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {resource} {}: {why}",
            quote(name)
        );
        Self::about(409, Reason::Conflict, resource, name, message)
    }

    /// 409 of a precondition on the UID.
    #[must_use]
    pub fn uid_precondition(resource: Qualified<'_>, name: &str, asked: &str, found: &str) -> Self {
        let why = format!(
            "Precondition failed: UID in precondition: {asked}, UID in object meta: {found}"
        );
        Self::conflict(resource, name, &why)
    }

    /// 409 of a precondition on the resourceVersion.
    #[must_use]
    pub fn version_precondition(
        resource: Qualified<'_>,
        name: &str,
        asked: &str,
        found: &str,
    ) -> Self {
        let why = format!(
            "Precondition failed: ResourceVersion in precondition: {asked}, ResourceVersion in object meta: {found}"
        );
        Self::conflict(resource, name, &why)
    }

    /// 422 of an object; `kind` is the kind's name and not the resource's.
    #[must_use]
    pub fn invalid(kind: Qualified<'_>, name: &str, errors: &ErrorList) -> Self {
        let mut message = format!("{kind} {} is invalid", quote(name));
        if let Some(errors) = errors.message() {
            message.push_str(": ");
            message.push_str(&errors);
        }
        let mut status = Self::about(422, Reason::Invalid, kind, name, message);
        status.details_mut().causes = errors.causes();
        status
    }

    /// 400 of a request.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, Reason::BadRequest, message)
    }

    /// 401 of a request without credentials that hold.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::failure(401, Reason::Unauthorized, "Unauthorized")
    }

    /// 403 of a request to a resource; the name may be empty.
    #[must_use]
    pub fn forbidden(resource: Qualified<'_>, name: &str, why: &str) -> Self {
        let message = if name.is_empty() {
            format!("{resource} is forbidden: {why}")
        } else {
            format!("{resource} {} is forbidden: {why}", quote(name))
        };
        Self::about(403, Reason::Forbidden, resource, name, message)
    }

    /// 403 of a request to a path that is no resource.
    #[must_use]
    pub fn forbidden_path(why: &str) -> Self {
        let message = format!("forbidden: {why}");
        Self::failure(403, Reason::Forbidden, message).with_details(Details::default())
    }

    /// 405 of an action that a resource has not.
    #[must_use]
    pub fn method_not_supported(resource: Qualified<'_>, action: &str) -> Self {
        let message = format!(
            "{action} is not supported on resources of kind {}",
            quote(&resource.to_string())
        );
        Self::about(405, Reason::MethodNotAllowed, resource, "", message)
    }

    /// 405 of a method that a path has not.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::failure(405, Reason::MethodNotAllowed, message).with_details(Details::default())
    }

    /// 406: the media types that could be sent.
    #[must_use]
    pub fn not_acceptable(media_types: &[&str]) -> Self {
        let message = format!(
            "only the following media types are accepted: {}",
            media_types.join(", ")
        );
        Self::failure(406, Reason::NotAcceptable, message)
    }

    /// 415: the media types that could be read.
    #[must_use]
    pub fn unsupported_media_type(media_types: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            media_types.join(", ")
        );
        Self::failure(415, Reason::UnsupportedMediaType, message)
    }

    /// 410 of a list or watch from a revision that is no longer there: [`LIST_TOO_OLD`], [`WATCH_TOO_OLD`],
    /// [`CONTINUE_TOO_OLD`].
    #[must_use]
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(410, Reason::Expired, message)
    }

    /// 410 of a watch from before the oldest event that the watch cache has.
    #[must_use]
    pub fn too_old(asked: u64, oldest: u64) -> Self {
        Self::expired(format!("too old resource version: {asked} ({oldest})"))
    }

    /// 410 of a continue token, with one that goes on at the present revision.
    #[must_use]
    pub fn continue_inconsistent(token: impl Into<String>) -> Self {
        let mut status = Self::expired(CONTINUE_INCONSISTENT);
        status.continue_token = Some(token.into());
        status
    }

    /// 410 of what is gone for good.
    #[must_use]
    pub fn gone(message: impl Into<String>) -> Self {
        Self::failure(410, Reason::Gone, message)
    }

    /// 413 of a body, an object or a patch. Its message says by how much.
    #[must_use]
    pub fn too_large(message: &str) -> Self {
        let message = format!("Request entity too large: {message}");
        Self::failure(413, Reason::RequestEntityTooLarge, message)
    }

    /// 413 of a body beyond a limit in bytes.
    #[must_use]
    pub fn body_too_large(bytes_max: u64) -> Self {
        Self::too_large(&format!("limit is {bytes_max}"))
    }

    /// 429: another try may be made after a while.
    #[must_use]
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        let message = message.into();
        Self::retried(429, Reason::TooManyRequests, message, retry_after_seconds)
    }

    /// 500 of an error that is none of the client's.
    #[must_use]
    pub fn internal(why: impl Into<String>) -> Self {
        let why = why.into();
        let message = format!("Internal error occurred: {why}");
        Self::failure(500, Reason::InternalError, message).with_cause("", why, "")
    }

    /// 500 of an operation that found no time to be done, and may be tried again.
    #[must_use]
    pub fn server_timeout(
        resource: Qualified<'_>,
        operation: &str,
        retry_after_seconds: u32,
    ) -> Self {
        let message = format!(
            "The {operation} operation against {resource} could not be completed at this time, please try again."
        );
        let mut status = Self::about(500, Reason::ServerTimeout, resource, operation, message);
        status.details_mut().retry_after_seconds = retry_after_seconds;
        status
    }

    /// 503 of a server that lacks what it needs, such as its store.
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::failure(503, Reason::ServiceUnavailable, message)
    }

    /// 504 of a request that took too long; it may still take effect.
    #[must_use]
    pub fn timeout(message: &str, retry_after_seconds: u32) -> Self {
        let message = format!("Timeout: {message}");
        Self::retried(504, Reason::Timeout, message, retry_after_seconds)
    }

    /// 504 of a read at a revision that has not come yet.
    #[must_use]
    pub fn too_new(asked: u64, current: u64, retry_after_seconds: u32) -> Self {
        let message = format!("Too large resource version: {asked}, current: {current}");
        Self::timeout(&message, retry_after_seconds).with_cause(
            "ResourceVersionTooLarge",
            "Too large resource version",
            "",
        )
    }

    /// 422 of a patch that is well-formed but does not fit the object: upstream tells no more.
    #[must_use]
    pub fn patch_does_not_apply() -> Self {
        let message = "the server rejected our request due to an error in our request";
        Self::failure(422, Reason::Invalid, message).with_details(Details::default())
    }

    /// The answer to a deed that leaves nothing to show: `Success`, 201.
    #[must_use]
    pub fn done() -> Self {
        Status {
            code: 201,
            details: None,
            ..Status::deleted(Qualified::core(""), "", "")
        }
    }

    /// The same with other details.
    #[must_use]
    pub fn with_details(mut self, details: Details) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// The same with one more cause.
    #[must_use]
    pub fn with_cause(
        mut self,
        reason: impl Into<String>,
        message: impl Into<String>,
        field: impl Into<String>,
    ) -> Self {
        self.details_mut().causes.push(Cause {
            reason: reason.into(),
            message: message.into(),
            field: field.into(),
        });
        self
    }

    fn details_mut(&mut self) -> &mut Details {
        self.details.get_or_insert_default()
    }

    /// The object that is sent.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut metadata = Map::new();
        if let Some(token) = &self.continue_token {
            metadata.insert("continue".to_owned(), token.as_str().into());
        }
        let mut object = Map::new();
        object.insert("kind".to_owned(), "Status".into());
        object.insert("apiVersion".to_owned(), "v1".into());
        object.insert("metadata".to_owned(), metadata.into());
        let outcome = if self.success { "Success" } else { "Failure" };
        object.insert("status".to_owned(), outcome.into());
        put(&mut object, "message", &self.message);
        put(&mut object, "reason", self.reason.as_str());
        if let Some(details) = &self.details {
            object.insert("details".to_owned(), details.to_value());
        }
        if self.code != 0 {
            object.insert("code".to_owned(), self.code.into());
        }
        object.into()
    }

    /// A `Status` that was sent; none when the object is another.
    #[must_use]
    pub fn from_value(object: &Value) -> Option<Self> {
        if object.get("kind")?.as_str()? != "Status" {
            return None;
        }
        let token = object.pointer("/metadata/continue").and_then(Value::as_str);
        Some(Status {
            code: number(object, "code").try_into().unwrap_or(0),
            reason: Reason::parse(&text(object, "reason")),
            message: text(object, "message"),
            details: object
                .get("details")
                .map(|details| Box::new(Details::from_value(details))),
            continue_token: token.map(str::to_owned),
            success: text(object, "status") == "Success",
        })
    }
}

#[cfg(test)]
mod tests;

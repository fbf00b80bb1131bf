//! What a write makes of an object: pure, from the body and what is there.
//!
//! ```text
//!   create   body ─decode─> defaults ─mutate─> names, identity ─> prepare, complete ─validate─> Planned::Write
//!   update   body, object ─> defaults ─mutate─> what stays ─> prepare, complete ─validate─> Write, Unchanged, or Remove (the last
//!                                                                                           finalizer is gone)
//!   patch    patch, object ─apply─> as an update
//!   delete   options, object ─mutate, validate─> Remove, or Write (it goes when its finalizers, or its grace period, are over)
//! ```
//!
//! Admission is asked twice: it changes what was sent before the server makes an object of it, and then, behind the type's own
//! validation, it judges what will be stored. Both are told of the object as the stored version has it.

mod body;
mod create;
mod delete;
pub mod parts;
mod requester;
mod update;

pub use body::{Body, Format, PatchType};
pub use create::create;
pub use delete::{DeleteOptions, Propagation, delete};
pub use requester::name_requester;
pub use update::{Scope, patch, update};

use super::{admission::Review, served::Served};
use bytes::Bytes;
use objects::{decode::FieldValidation, metadata, status::Status};
use serde_json::Value;

/// What a write is told besides body and object.
#[derive(Debug, Clone)]
pub struct Context {
    /// The time, in seconds since 1970.
    pub now: i64,
    /// For generated names.
    pub random: u64,
    /// For a new object.
    pub uid: String,
    /// What is done about fields that nobody knows.
    pub validation: FieldValidation,
}

/// Gives an object what the cluster has to give, such as a Service's addresses, before it is checked: new, and old for an update.
pub type Complete<'a> = &'a dyn Fn(&mut Value, Option<&Value>) -> Result<(), Status>;

/// What others than the type itself have to say to a write.
#[derive(Clone, Copy)]
pub struct Hooks<'a> {
    /// Who may change or refuse it; None where nobody is asked: for what the server writes of its own accord.
    pub admission: Option<&'a Review<'a>>,
    /// What the cluster gives.
    pub complete: Complete<'a>,
}

impl Hooks<'_> {
    /// Lets admission change what was sent; null for a delete.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn mutate(&self, object: &mut Value, old: Option<&Value>) -> Result<(), Status> {
        self.admission
            .map_or(Ok(()), |review| review.mutate(object, old))
    }

    /// Asks admission about what will be stored; null for a delete.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Result<(), Status> {
        self.admission
            .map_or(Ok(()), |review| review.validate(object, old))
    }
}

/// What is to be done in the store.
#[derive(Debug, Clone, PartialEq)]
pub enum Planned {
    /// This is stored.
    Write {
        /// As the stored version has it, without resourceVersion.
        object: Value,
        /// What clients are told besides.
        warnings: Vec<String>,
    },
    /// Nothing would change.
    Unchanged {
        /// What clients are told besides.
        warnings: Vec<String>,
    },
    /// It is taken away.
    Remove {
        /// As it was last.
        object: Value,
    },
}

/// The bytes that are stored of an object.
#[must_use]
pub fn stored_bytes(object: &Value) -> Bytes {
    objects::encode::encode(object)
}

/// An object of the stored version, as a version that is served has it.
#[must_use]
pub fn as_served(served: &Served, mut object: Value) -> Value {
    if let Some(conversion) = served.resource.conversion {
        (conversion.from_stored)(&mut object);
        name_kind(&mut object, served);
    }
    object
}

/// Says which kind it is.
fn name_kind(object: &mut Value, served: &Served) {
    if let Value::Object(fields) = object {
        fields.insert("apiVersion".to_owned(), served.api_version().into());
        fields.insert("kind".to_owned(), (&*served.schema.kind.kind).into());
    }
}

/// As the stored version has it.
fn to_stored(served: &Served, object: &mut Value) {
    if let Some(conversion) = served.resource.conversion {
        (conversion.to_stored)(object);
        if let Value::Object(fields) = object {
            let kind = &served.stored_schema.kind;
            fields.insert("apiVersion".to_owned(), kind.api_version().into());
            fields.insert("kind".to_owned(), (&*kind.kind).into());
        }
    }
}

/// Schema's defaults and the type's.
fn defaults(served: &Served, object: &mut Value) {
    let schemas = objects::schema::Schemas::builtin();
    if let Some(named) = schemas.get(served.stored_schema.type_id) {
        objects::defaults::apply(schemas, &named.schema, object);
    }
    (served.stored.rules.defaults)(object);
}

/// A time as objects have it.
#[must_use]
pub fn time(seconds: i64) -> Value {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => objects::time::Time::new(time).to_string().into(),
        Err(_) => Value::Null,
    }
}

fn invalid(served: &Served, object: &Value, errors: &objects::field::ErrorList) -> Status {
    let name = metadata::Metadata::of(object).name();
    Status::invalid(served.qualified_kind(), name, errors)
}

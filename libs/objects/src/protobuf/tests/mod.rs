//! What Go sends, what is generated from the schemas, and what nobody should send.

mod bad_input;
mod captured;
mod generated;
mod zero;

use super::{Messages, ProtobufError};
use crate::decode::{self, FieldValidation, Target};
use crate::schema::{Schemas, TypeId};
use serde_json::Value;

fn id(name: &str) -> TypeId {
    Schemas::builtin().find(name).expect("a built-in type")
}

/// What the JSON decoder makes of a value of this type, with nothing to complain about.
fn as_from_json(id: TypeId, value: &Value) -> Value {
    let target = Target::Type(Schemas::builtin(), id);
    let found = decode::value(value.clone(), target, FieldValidation::Strict);
    found.expect("JSON takes the same").value
}

/// A message of this type, decoded.
fn message(of: &str, bytes: &[u8]) -> Result<Value, ProtobufError> {
    Messages::builtin().decode_message(id(of), bytes)
}

//! Kubernetes' protobuf (`application/vnd.kubernetes.protobuf`) to values and back, driven by the schemas: no code per kind.
//!
//! ```text
//!   object   "k8s\0" Unknown{1: {1: apiVersion, 2: kind}, 2: message}        see Envelope
//!   list     the same; the message is {1: ListMeta, 2: item, 2: item, ...}    see Messages::encode_list
//!   watch    4 bytes of length, highest first; {1: "ADDED", 2: {1: object}}   see watch_frame
//! ```
//!
//! A value is what the JSON decoder would have made of what the client meant, so the rest of the server cannot tell the two
//! apart. Three things need care, since Go's messages say less than its JSON:
//!
//! - Zero. Go's encoder writes every number, truth and text that is no pointer, zero or not, and a pointer's when it is set. So
//!   `false` on the wire is a value where Go has a pointer (`automountServiceAccountToken`) or JSON always shows the field (it is
//!   required), and absence elsewhere (`hostNetwork`). No schema tells which; `zeros.txt` does.
//! - Emptiness. A list or map without entries is not on the wire at all; a message without fields is, and stays (`emptyDir`).
//!   An empty time is absence.
//! - Types that JSON shows otherwise: times, quantities, `IntOrString`, raw JSON, and objects within objects.
//!
//! Unknown fields are passed over without a word, as upstream does: with `fieldValidation: Strict` too.

mod decode;
mod encode;
mod envelope;
mod fault;
mod index;
mod leaf;
mod scalar;
mod wire;

pub use encode::EncodeError;
pub use envelope::{Envelope, MAGIC, envelope, watch_frame};
pub use index::Messages;

use crate::decode::MAX_DEPTH;
use serde_json::Value;
use thiserror::Error;

/// What a body held.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// What the object says that it is: `apps/v1`. Also in the value.
    pub api_version: String,
    /// `Deployment`. Also in the value.
    pub kind: String,
    /// As from JSON.
    pub value: Value,
}

/// A body that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProtobufError {
    /// It does not begin with the four bytes.
    #[error("provided data does not appear to be a protobuf message, expected prefix {MAGIC:?}")]
    NotProtobuf,
    /// What is in the envelope is compressed, or no protobuf: nobody sends such.
    #[error(
        "protobuf within content type \"{content_type}\" and encoding \"{content_encoding}\" is not taken"
    )]
    Content {
        /// As the envelope has it.
        content_type: String,
        /// As the envelope has it.
        content_encoding: String,
    },
    /// The envelope says no kind, and the caller neither.
    #[error("Object 'Kind' is missing in a protobuf message")]
    NoKind,
    /// The envelope says no version, and the caller neither.
    #[error("Object 'apiVersion' is missing in a protobuf message")]
    NoVersion,
    /// There is no message for it: a custom resource, or a version that is not served.
    #[error("no kind \"{kind}\" is registered for version \"{api_version}\" in protobuf")]
    UnknownKind {
        /// As the envelope has it.
        api_version: String,
        /// As the envelope has it.
        kind: String,
    },
    /// Bytes that are no message of the type.
    #[error("proto: {path}: {what}")]
    Message {
        /// The type, and the fields that lead to the place: `io.k8s.api.core.v1.Pod.spec.containers`.
        path: String,
        /// What is wrong there.
        what: String,
    },
}

#[cfg(test)]
mod tests;

//! The three patches of the API, each a pure function from an object and a patch to the patched object.
//!
//! | patch | content type | here |
//! | --- | --- | --- |
//! | JSON patch (RFC 6902) | `application/json-patch+json` | [`json`] |
//! | merge patch (RFC 7386) | `application/merge-patch+json` | [`merge`] |
//! | strategic merge patch | `application/strategic-merge-patch+json` | [`strategic`] |
//!
//! Objects and patches nest at most [`DEPTH_MAX`] deep when they come in, and so does what comes out.

mod json;
mod merge;
mod order;
mod strategic;

pub use json::json;
pub use merge::merge;
pub use strategic::strategic;

use serde_json::{Map, Value};

use crate::go;
use crate::status::Status;

/// Most operations of a JSON patch, as upstream.
pub const OPERATIONS_MAX: usize = 10_000;

/// Most bytes that the copies of one JSON patch may add, as upstream: a few of them would otherwise double an object over
/// and over.
pub const COPIED_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Deepest nesting of a patched object: that of objects that come in.
pub const DEPTH_MAX: usize = 128;

/// Why a patch gives no object. Messages that clients may match are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch has the wrong form.
    #[error("{0}")]
    Malformed(String),
    /// A JSON patch of more than [`OPERATIONS_MAX`] operations.
    #[error("The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {0}")]
    TooManyOperations(usize),
    /// The patch is well-formed, and the object is not as it expects.
    #[error("{0}")]
    DoesNotApply(String),
    /// An item of a list lacks the field by which items are told apart.
    #[error("map: {item} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The item, as Go shows it.
        item: String,
        /// The field.
        key: String,
    },
    /// `$patch` has another value than those there are.
    #[error("unknown patch type: {directive} in map: {map}")]
    UnknownDirective {
        /// Its value.
        directive: String,
        /// The map that it is in, as Go shows it.
        map: String,
    },
    /// `$patch: merge` in a list.
    #[error("merging lists cannot yet be specified in the patch")]
    ListMerge,
    /// A list in a list that would have to be merged.
    #[error("lists of lists are not supported")]
    ListOfLists,
    /// Items of different types in lists that are merged.
    #[error("list element types are not identical: {0}")]
    MixedItems(String),
    /// A list of objects whose schema wants it merged and names no field to do it by.
    #[error("cannot merge lists without merge key for type {0}")]
    UnknownMergeKey(&'static str),
    /// `$deleteFromPrimitiveList` without a list's name.
    #[error("invalid patch format of primitive list")]
    PrimitiveListFormat,
    /// `$retainKeys` that is no list, or lacks fields that the patch sets.
    #[error("invalid patch format of retainKeys")]
    RetainKeysFormat,
    /// `$setElementOrder` without a list's name.
    #[error("invalid patch format of setElementOrder list")]
    SetElementOrderFormat,
    /// `$setElementOrder` in another order than the patch's own list.
    #[error("The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n")]
    OrderMismatch {
        /// The patch's list, as Go shows it.
        patch: String,
        /// The order, as Go shows it.
        order: String,
    },
    /// A list where there should be a map, or the other way round.
    #[error("expected a {expected}, but received a {received}")]
    Type {
        /// Go's name of the type that is needed.
        expected: &'static str,
        /// Go's name of the type that is there.
        received: &'static str,
    },
}

impl PatchError {
    /// The answer to the request. Upstream calls a strategic patch without its merge key an internal error; it is the
    /// client's, and named so here.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            PatchError::TooManyOperations(_) => Status::too_large(&self.to_string()),
            PatchError::DoesNotApply(_) | PatchError::ListOfLists => Status::patch_does_not_apply(),
            _ => Status::bad_request(self.to_string()),
        }
    }

    fn no_merge_key(item: &Map<String, Value>, key: &str) -> Self {
        PatchError::NoMergeKey {
            item: go::display_map(item),
            key: key.to_owned(),
        }
    }

    fn wrong_type(expected: &'static str, received: &Value) -> Self {
        PatchError::Type {
            expected,
            received: go::type_name(received),
        }
    }
}

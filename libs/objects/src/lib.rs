//! Kubernetes' object machinery: what every object has, whatever its kind.
//!
//! An object is a [`serde_json::Value`]; what is true of its kind is data, in a [`schema::Schema`].
//!
//! ```text
//!   bytes ──decode──> Value ──prune, default, patch, validate──> Value ──encode──> stored bytes
//!             │                      │
//!           Schema                 Schema              (built-in, or made from a custom resource's definition)
//! ```
//!
//! No clock, no randomness, no input and output.

pub mod decode;
pub mod defaults;
pub mod encode;
pub mod field;
pub mod go;
pub mod metadata;
pub mod names;
pub mod openapi;
pub mod patch;
pub mod protobuf;
pub mod prune;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod status;
pub mod table;
pub mod time;

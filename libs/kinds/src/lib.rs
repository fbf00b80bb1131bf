//! Kubernetes' own types: the table of resources, and each type's own rules.
//!
//! ```text
//!   RESOURCES ──> Resource: what discovery says, key in the store, subresources
//!                    └── Rules: defaults, what writes may set, validation, warnings, columns, selectable fields
//!
//!   RESOURCES + schemas ──> Entry, as a custom resource makes one ──> discovery, OpenAPI
//! ```
//!
//! Fields, types and JSON names are not here: they are data, in `objects::schema`. Everything is pure.

mod cells;
mod check;
mod disabled;
pub mod discovery;
pub mod entry;
mod hash;
pub mod openapi;
mod reference;
pub mod resources;
pub mod rules;
mod status;
#[cfg(test)]
mod testing;
pub mod types;
pub mod value;
mod verb;

pub use entry::{Entry, kind_of};
pub use reference::reference;
pub use verb::Verb;

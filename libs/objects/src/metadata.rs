//! Rules of `metadata`, for every kind.
//!
//! Reading it ([`Metadata`]), what upstream checks when an object is created ([`validate_create`]) and when it is changed
//! ([`validate_update`]), and the end of a generated name. What a name may be is the kind's own [`NameRule`]
//! (`k8s.io/apimachinery/pkg/api/validation`).
//!
//! ```
//! use orlop_objects::field::Path;
//! use orlop_objects::metadata::{NameRule, Scope, validate_create};
//! use serde_json::json;
//!
//! let object = json!({"metadata": {"name": "a b", "namespace": "default"}});
//! let errors = validate_create(&object, Scope::Namespaced, NameRule::Subdomain, &Path::new("metadata"));
//! assert_eq!(errors.len(), 1);
//! ```

mod access;
mod fields;
mod names;
#[cfg(test)]
mod tests;
mod validate;

pub use access::{Metadata, carry_over, edit};
pub use fields::{
    ANNOTATIONS_BYTES_MAX, MANAGER_BYTES_MAX, SUBRESOURCE_BYTES_MAX, finalizer_warnings,
    validate_annotations, validate_builtin_finalizers, validate_field_manager, validate_finalizers,
    validate_labels, validate_managed_fields, validate_owner_references,
};
pub use names::{NameRule, SUFFIX_BYTES, generate_name};
pub use validate::{IMMUTABLE, Scope, check_immutable, validate_create, validate_update};

//! A pod's spec: what is wrong with it.

use objects::field::{ErrorList, Path};
use serde_json::Value;

/// Mistakes in a spec; `metadata` is that of the pod or of the template that it is in.
pub fn validate(_spec: &Value, _metadata: &Value, _path: &Path<'_>, _errors: &mut ErrorList) {}

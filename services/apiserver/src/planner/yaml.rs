//! Answers in YAML.

use objects::status::Status;
use serde_json::Value;

/// A value as a YAML document, block style, keys in their order.
///
/// # Errors
/// It cannot be written.
pub fn write(value: &Value) -> Result<String, Status> {
    serde_saphyr::to_string(value).map_err(|error| Status::internal(format!("write YAML: {error}")))
}

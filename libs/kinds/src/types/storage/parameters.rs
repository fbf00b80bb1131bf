//! What classes of storage and of volume attributes share: a driver, and parameters for it.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use crate::value::Fields;

/// Most parameters.
const PARAMETERS_MAX: usize = 512;
/// Most bytes of all, keys and values together.
const PARAMETERS_BYTES_MAX: usize = 256 * 1024;

/// A driver's name, in which capitals do not count.
pub(super) fn driver(class: &Value, field: &str, errors: &mut ErrorList) {
    let (driver, path) = (class.text(field), Path::new(field));
    if driver.is_empty() {
        errors.push(FieldError::required(&path, ""));
    } else {
        let lower = driver.to_lowercase();
        errors.push_invalid(&path, &lower, names::qualified_name(&lower));
    }
}

/// Parameters, of which there may have to be one.
pub(super) fn parameters(class: &Value, may_be_empty: bool, errors: &mut ErrorList) {
    let path = Path::new("parameters");
    let count = class.count("parameters");
    if count > PARAMETERS_MAX {
        errors.push(FieldError::too_long(&path, PARAMETERS_MAX));
        return;
    }
    let mut bytes = 0;
    for (key, value) in class.entries("parameters") {
        if key.is_empty() {
            errors.push(FieldError::invalid(&path, key, "field can not be empty."));
        }
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > PARAMETERS_BYTES_MAX {
        errors.push(FieldError::too_long(&path, PARAMETERS_BYTES_MAX));
    }
    if count == 0 && !may_be_empty {
        let message = "must contain at least one key/value pair";
        errors.push(FieldError::required(&path, message));
    }
}

/// Fields that an update may not change.
pub(super) fn fixed(new: &Value, old: &Value, fields: &[&str], errors: &mut ErrorList) {
    for field in fields {
        if !crate::value::same(new.part(field), old.part(field)) {
            let message = format!("updates to {field} are forbidden.");
            errors.push(FieldError::forbidden(&Path::new(field), message));
        }
    }
}

/// The name, with a mark on the default class.
pub(super) fn marked_name(class: &Value, annotations: &[&str]) -> Value {
    let metadata = class.part("metadata");
    let held = metadata.part("annotations");
    let default = annotations.iter().any(|name| held.text(name) == "true");
    let mark = if default { " (default)" } else { "" };
    format!("{}{mark}", metadata.text("name")).into()
}

//! What statuses have in common.

use serde_json::Value;

use crate::value::Fields;

/// A status that has these numbers, zero where they are absent: upstream never leaves them out, and some clients need them.
pub(crate) fn fill(object: &mut Value, numbers: &[&str]) {
    if let Some(status) = object.object_mut("status") {
        for name in numbers {
            status.set_absent(name, 0);
        }
    }
}

/// A status that is there, and empty at first.
pub(crate) fn ensure(object: &mut Value) {
    fill(object, &[]);
}

/// Whether a condition of a status is true.
pub(crate) fn is_true(status: &Value, condition: &str) -> bool {
    let mut conditions = status.items("conditions").iter();
    conditions.any(|c| c.text("type") == condition && c.text("status") == "True")
}

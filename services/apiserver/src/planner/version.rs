//! What `/version` tells.

use serde_json::{Value, json};

/// The API level.
const MAJOR: &str = "1";
const MINOR: &str = "35";

/// The document, in upstream's fields: clients read the version of the API from it.
#[must_use]
pub fn document() -> Value {
    json!({
        "major": MAJOR,
        "minor": MINOR,
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR,
        "minCompatibilityMinor": "34",
        "gitVersion": format!("v{MAJOR}.{MINOR}.0+orlop-{}", service::version().replace('+', "-")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "rustc",
        "platform": "linux/amd64",
    })
}

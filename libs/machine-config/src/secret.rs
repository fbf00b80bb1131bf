//! Secret text: never shown by `Debug`, `Display` or `Serialize`, wiped when dropped.
//!
//! There are two ways to the text: [`SecretString::expose`] for the program that uses the secret,
//! and [`to_value_exposed`] for the one that writes the config or the secrets file.

use std::cell::Cell;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// What stands in the place of a secret wherever one is shown.
pub const REDACTED: &str = "<redacted>";

/// Text that must not be seen: keys, tokens, passwords.
///
/// ```
/// let token = orlop_machine_config::SecretString::new("abc".to_owned());
/// assert_eq!(format!("{token} {token:?}"), "<redacted> <redacted>");
/// assert_eq!(token.expose(), "abc");
/// ```
#[derive(Clone)]
pub struct SecretString(Zeroizing<String>);

impl SecretString {
    /// Takes the text; the caller's copies, if any, are the caller's to wipe.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Every use is a place where a secret can leak: keep them few.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl PartialEq for SecretString {
    /// Equal texts; the time taken tells where they first differ, so this is for configs at rest
    /// (the difference of two configs, tests), not for checking a token that a peer presents.
    fn eq(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}

impl Eq for SecretString {}

impl<'de> Deserialize<'de> for SecretString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl Serialize for SecretString {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if EXPOSING.get() {
            serializer.serialize_str(self.expose())
        } else {
            serializer.serialize_str(REDACTED)
        }
    }
}

impl JsonSchema for SecretString {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretString".into()
    }

    fn inline_schema() -> bool {
        true
    }

    /// `writeOnly` is JSON Schema's own word for a value that readers do not get back.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "writeOnly": true })
    }
}

thread_local! {
    /// Whether this thread is inside [`to_value_exposed`]. Serde hands a type no context, and a
    /// second set of types for writing would have to be kept in step with the first.
    static EXPOSING: Cell<bool> = const { Cell::new(false) };
}

/// Sets [`EXPOSING`] back, also when serialisation panics.
struct Guard(bool);

impl Drop for Guard {
    fn drop(&mut self) {
        EXPOSING.set(self.0);
    }
}

/// The value as JSON with its secrets in clear: for the file that the owner keeps, nothing else.
///
/// # Errors
/// When the type cannot be written as JSON (a map whose keys are not text).
pub fn to_value_exposed<T: Serialize>(value: &T) -> Result<serde_json::Value, serde_json::Error> {
    let _guard = Guard(EXPOSING.replace(true));
    serde_json::to_value(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exposing_way_shows_the_text() {
        let secret = SecretString::new("hunter2".to_owned());
        assert_eq!(serde_json::to_value(&secret).unwrap(), REDACTED);
        assert_eq!(to_value_exposed(&secret).unwrap(), "hunter2");
        assert_eq!(serde_json::to_value(&secret).unwrap(), REDACTED);
        assert_eq!(format!("{secret:?}{secret}"), "<redacted><redacted>");
    }

    #[test]
    fn a_panic_while_exposing_does_not_leave_the_door_open() {
        struct Panics;
        impl Serialize for Panics {
            fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                panic!("on purpose")
            }
        }
        assert!(std::panic::catch_unwind(|| to_value_exposed(&Panics)).is_err());
        let secret = SecretString::new("hunter2".to_owned());
        assert_eq!(serde_json::to_value(&secret).unwrap(), REDACTED);
    }
}

//! What is found wrong while a body is read: at most one error of type, and what a strict decoder also minds.

use super::{DecodeError, Decoded, FieldValidation};
use serde_json::Value;
use std::cell::RefCell;
use std::fmt::Write as _;

/// Texts about unknown and duplicate fields, as many as upstream gives.
const MAX_TEXTS: usize = 100;

/// Bytes of these texts together: a path may have keys of megabytes, and a hundred fields may be unknown below it.
const MAX_TEXT_BYTES: usize = 256 << 10;

/// The steps to a value, from itself to the outermost.
#[derive(Debug)]
pub(super) struct Place<'p> {
    pub(super) parent: Option<&'p Place<'p>>,
    pub(super) step: Step<'p>,
}

/// One step.
#[derive(Debug)]
pub(super) enum Step<'p> {
    /// To a field of an object.
    Field(&'p str),
    /// To a value of a map.
    Key(&'p str),
    /// To an item of a list.
    Index(usize),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Report {
    validation: FieldValidation,
    found: RefCell<Found>,
}

#[derive(Debug, Default)]
struct Found {
    error: Option<String>,
    /// The error ended the reading where upstream met it, so it counts more than an earlier one that did not.
    fatal: bool,
    texts: Vec<String>,
    bytes: usize,
}

impl Report {
    pub(super) fn new(validation: FieldValidation) -> Self {
        Self {
            validation,
            found: RefCell::default(),
        }
    }

    /// Whether anybody wants to know of unknown and duplicate fields.
    pub(super) fn is_strict(&self) -> bool {
        self.validation != FieldValidation::Ignore
    }

    /// A field that the schema does not have.
    pub(super) fn unknown(&self, parent: Option<&Place<'_>>, name: &str) {
        self.strict(|| format!("unknown field {}", quoted(&path(parent, name))));
    }

    /// A field that is there twice.
    pub(super) fn duplicate(&self, parent: Option<&Place<'_>>, name: &str) {
        self.strict(|| format!("duplicate field {}", quoted(&path(parent, name))));
    }

    /// Keys that a YAML text has twice: for an error one text, for warnings one each.
    pub(super) fn repeated_keys(&self, keys: &[String]) {
        match self.validation {
            FieldValidation::Strict if !keys.is_empty() => {
                self.strict(|| format!("yaml: unmarshal errors:\n  {}", keys.join("\n  ")));
            }
            _ => keys.iter().for_each(|key| self.strict(|| key.clone())),
        }
    }

    /// Any text of a strict decoder.
    fn strict(&self, text: impl FnOnce() -> String) {
        if !self.is_strict() {
            return;
        }
        let mut found = self.found.borrow_mut();
        if found.texts.len() >= MAX_TEXTS || found.bytes > MAX_TEXT_BYTES {
            return;
        }
        let text = text();
        if !found.texts.contains(&text) {
            found.bytes += text.len();
            found.texts.push(text);
        }
    }

    /// A value of a wrong type: reading goes on, as upstream's does.
    pub(super) fn mismatch(&self, what: &str, place: Option<&Place<'_>>, owner: &str, of: &str) {
        let mut found = self.found.borrow_mut();
        if found.error.is_none() {
            let fields = fields(place);
            found.error = Some(if fields.is_empty() {
                format!("json: cannot unmarshal {what} into Go value of type {of}")
            } else {
                let owner = owner.rsplit('.').next().unwrap_or(owner);
                format!(
                    "json: cannot unmarshal {what} into Go struct field {owner}.{fields} of type {of}"
                )
            });
        }
    }

    /// A scalar that its own grammar refuses.
    pub(super) fn fault(&self, text: String) {
        let mut found = self.found.borrow_mut();
        if !found.fatal {
            found.fatal = true;
            found.error = Some(text);
        }
    }

    /// The outcome.
    pub(super) fn finish(self, value: Value) -> Result<Decoded, DecodeError> {
        let Found { error, texts, .. } = self.found.into_inner();
        if let Some(error) = error {
            return Err(DecodeError::Type(error));
        }
        if self.validation == FieldValidation::Strict && !texts.is_empty() {
            return Err(DecodeError::Strict(texts));
        }
        Ok(Decoded {
            value,
            warnings: texts,
        })
    }
}

/// Fields, keys and indices: `spec.containers[0].name`.
fn path(parent: Option<&Place<'_>>, name: &str) -> String {
    let mut steps = Vec::new();
    let mut next = parent;
    while let Some(place) = next {
        steps.push(&place.step);
        next = place.parent;
    }
    let mut text = String::new();
    for step in steps.into_iter().rev() {
        match step {
            Step::Field(name) | Step::Key(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            Step::Index(index) => {
                let _ = write!(text, "[{index}]");
            }
        }
    }
    if !text.is_empty() {
        text.push('.');
    }
    text.push_str(name);
    text
}

/// Fields alone: `spec.containers.name`.
fn fields(place: Option<&Place<'_>>) -> String {
    let mut names = Vec::new();
    let mut next = place;
    while let Some(place) = next {
        if let Step::Field(name) = place.step {
            names.push(name);
        }
        next = place.parent;
    }
    names.reverse();
    names.join(".")
}

/// Go's `%q`.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        let escape = match letter {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\x07' => "\\a",
            '\x08' => "\\b",
            '\x0c' => "\\f",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\x0b' => "\\v",
            control if control.is_ascii_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(control));
                continue;
            }
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
                continue;
            }
            letter => {
                quoted.push(letter);
                continue;
            }
        };
        quoted.push_str(escape);
    }
    quoted.push('"');
    quoted
}

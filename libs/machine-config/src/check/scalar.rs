//! Checks of single values: text with its format, choices, numbers, booleans.

use serde_json::Value;

use super::{Checker, suggestion, text_of};
use crate::problem::{Position, quote};
use crate::tree::{Content, Meaning, Node, resolve};
use crate::values::{Format, format};

impl Checker<'_> {
    pub(super) fn string(
        &mut self,
        node: &Node,
        schema: &Value,
        path: &str,
        secret: bool,
    ) -> Option<Value> {
        let format = schema["format"].as_str().and_then(format);
        let Content::Scalar { text, plain } = &node.content else {
            self.wrong_type(node, path, "text", format.map(wanted));
            return None;
        };
        let meaning = if *plain { resolve(text) } else { Meaning::Text };
        if meaning != Meaning::Text {
            self.wrong_type(node, path, "text", Some("put it in quotes".to_owned()));
            return None;
        }
        if secret && **text == *crate::secret::REDACTED {
            let hint = "this is what a reader without the right role sees; put the secret here";
            self.report(path, node.position, "is redacted", Some(hint.to_owned()));
            return None;
        }
        if text.is_empty() && schema["minLength"].as_u64().is_some_and(|min| min > 0) {
            self.report(path, node.position, "must not be empty", None);
            return None;
        }
        self.formatted(text, format, node.position, path, secret)
    }

    fn formatted(
        &mut self,
        text: &str,
        format: Option<&Format>,
        at: Position,
        path: &str,
        secret: bool,
    ) -> Option<Value> {
        let Some(format) = format else {
            return Some(text.into());
        };
        let Err(why) = (format.check)(text) else {
            return Some(text.into());
        };
        // A URL with '@' may hold a password; PEM text is long and says nothing to a reader.
        let hidden = secret || text.contains('@') || text.contains('\n');
        let message = if hidden {
            why
        } else {
            format!("{} {why}", quote(text))
        };
        self.report(path, at, message, Some(wanted(format)));
        None
    }

    /// Text that may be written as a number or a boolean and keeps its spelling.
    pub(super) fn free_text(&mut self, node: &Node, schema: &Value, path: &str) -> Option<Value> {
        let format = schema["format"].as_str().and_then(format);
        match &node.content {
            Content::Scalar { text, plain } if !plain || resolve(text) != Meaning::Null => {
                self.formatted(text, format, node.position, path, false)
            }
            _ => {
                self.wrong_type(node, path, "text or a number", None);
                None
            }
        }
    }

    pub(super) fn choice(&mut self, node: &Node, choices: &[&str], path: &str) -> Option<Value> {
        let all = || format!("one of {}", choices.join(", "));
        let Some(text) = text_of(node) else {
            self.wrong_type(node, path, &all(), None);
            return None;
        };
        if choices.contains(&text) {
            return Some(text.into());
        }
        let hint = suggestion(text, choices.iter().copied());
        let message = format!("must be {}, found {}", all(), quote(text));
        self.report(path, node.position, message, hint);
        None
    }

    pub(super) fn integer(&mut self, node: &Node, schema: &Value, path: &str) -> Option<Value> {
        let plain_text = match &node.content {
            Content::Scalar { text, plain: true } if resolve(text) == Meaning::Integer => text,
            _ => {
                let quoted = matches!(&node.content, Content::Scalar { plain: false, .. });
                let hint = quoted.then(|| "leave the quotes out".to_owned());
                self.wrong_type(node, path, "a whole number", hint);
                return None;
            }
        };
        let min = schema["minimum"].as_i64().unwrap_or(i64::MIN);
        let max = schema["maximum"]
            .as_i64()
            .unwrap_or(match schema["format"].as_str() {
                Some("uint32") => i64::from(u32::MAX),
                Some("uint16") => i64::from(u16::MAX),
                _ => i64::MAX,
            });
        let leading_zero = plain_text.len() > 1 && plain_text.starts_with('0');
        match plain_text.parse::<i64>() {
            Ok(number) if (min..=max).contains(&number) && !leading_zero => Some(number.into()),
            Ok(_) if !leading_zero => {
                let message = format!("must be {min} to {max}, found {}", quote(plain_text));
                self.report(path, node.position, message, None);
                None
            }
            _ => {
                let message = format!("must be a plain decimal number of {min} to {max}");
                self.report(path, node.position, message, None);
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, node: &Node, path: &str) -> Option<Value> {
        if let Content::Scalar { text, plain: true } = &node.content
            && let Meaning::Boolean(value) = resolve(text)
        {
            return Some(value.into());
        }
        let hint = Some("write true or false, without quotes".to_owned());
        self.wrong_type(node, path, "a boolean", hint);
        None
    }
}

fn wanted(format: &Format) -> String {
    format!("wanted is {}", format.about)
}

/// The values of an enumeration: `enum`, or `oneOf` of documented constants.
pub(crate) fn choices(schema: &Value) -> Option<Vec<&str>> {
    if let Some(values) = schema["enum"].as_array() {
        return Some(values.iter().filter_map(Value::as_str).collect());
    }
    let variants = schema["oneOf"].as_array()?;
    variants
        .iter()
        .map(|variant| variant["const"].as_str())
        .collect()
}

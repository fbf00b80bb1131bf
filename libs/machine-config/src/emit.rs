//! JSON values to YAML that reads well and parses back to the same values.
//!
//! Block style; text without quotes only where no YAML reader could take it for something else;
//! certificates and other text of several lines as literal blocks.

use std::fmt::Write as _;

use serde_json::Value;

use crate::kinds::{MachineConfig, Writer, with_header};
use crate::tree::{Meaning, resolve};

/// Keys that come first wherever they are; the others follow in alphabetical order.
const FIRST: &[&str] = &["apiVersion", "kind", "name", "role", "selector"];

/// Words that YAML 1.1 readers take for booleans; 1.2 does not, and quoting them harms nobody.
const OLD_BOOLEANS: &[&str] = &["y", "n", "yes", "no", "on", "off"];

/// The config as YAML with its secrets in clear: for the owner's file and for a node's STATE.
#[must_use]
pub fn to_yaml(config: &MachineConfig) -> String {
    write(config, Writer::Exposed)
}

/// The config as YAML with every secret as `<redacted>`. Such a text is refused by
/// [`parse`](crate::parse), so that it cannot be applied by mistake.
#[must_use]
pub fn to_redacted_yaml(config: &MachineConfig) -> String {
    write(config, Writer::Redacted)
}

fn write(config: &MachineConfig, writer: Writer) -> String {
    let documents = config.documents(writer);
    let texts: Vec<String> = documents
        .into_iter()
        .map(|(kind, value)| value_to_yaml(&with_header(kind, value)))
        .collect();
    texts.join("---\n")
}

/// Any JSON value as one YAML document that ends with a line break. Entries without a value
/// (`null`) are left out.
#[must_use]
pub fn value_to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(&mut out, value, 0, false),
        Value::Array(items) if !items.is_empty() => list(&mut out, items, 0),
        other => {
            inline(&mut out, other, 0);
            out.push('\n');
        }
    }
    out
}

/// Entries of a mapping. `after_dash`: the first one continues the line of a list item.
fn mapping(out: &mut String, value: &Value, indent: usize, after_dash: bool) {
    let Value::Object(map) = value else { return };
    let rank = |key: &str| {
        FIRST
            .iter()
            .position(|first| *first == key)
            .unwrap_or(FIRST.len())
    };
    let mut keys: Vec<&String> = map.keys().filter(|key| !map[*key].is_null()).collect();
    keys.sort_by_key(|key| (rank(key), key.as_str()));
    for (index, key) in keys.into_iter().enumerate() {
        if index > 0 || !after_dash {
            pad(out, indent);
        }
        scalar(out, key);
        out.push(':');
        match &map[key] {
            inner @ Value::Object(entries) if !entries.is_empty() => {
                out.push('\n');
                mapping(out, inner, indent + 2, false);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                list(out, items, indent + 2);
            }
            inner => {
                out.push(' ');
                inline(out, inner, indent + 2);
                out.push('\n');
            }
        }
    }
}

fn list(out: &mut String, items: &[Value], indent: usize) {
    for item in items {
        pad(out, indent);
        out.push_str("- ");
        match item {
            Value::Object(entries) if entries.values().any(|value| !value.is_null()) => {
                mapping(out, item, indent + 2, true);
            }
            Value::Array(inner) if !inner.is_empty() => {
                // A list in a list: the inner one begins on the next line.
                out.truncate(out.len() - 1);
                out.push('\n');
                list(out, inner, indent + 2);
            }
            other => {
                inline(out, other, indent + 2);
                out.push('\n');
            }
        }
    }
}

/// A value that needs no line of its own, or a literal block whose lines are indented.
fn inline(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(text) if is_block(text) => {
            out.push_str(if text.ends_with('\n') { "|" } else { "|-" });
            for line in text.lines() {
                out.push('\n');
                pad(out, indent);
                out.push_str(line);
            }
        }
        Value::String(text) => scalar(out, text),
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            write!(out, "{value}").expect("writing to a string cannot fail");
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Whether text can stand as a literal block: several lines of printable ASCII, none of them
/// empty or with a blank at an end, since those are where block scalars surprise.
fn is_block(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.contains('\n')
        && body.split('\n').all(|line| {
            !line.is_empty()
                && !line.starts_with(' ')
                && !line.ends_with(' ')
                && line.chars().all(|c| c.is_ascii_graphic() || c == ' ')
        })
}

fn scalar(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
    } else {
        // JSON's escapes are a subset of those of YAML's double quotes; what JSON leaves bare and
        // YAML forbids or folds (U+007F to U+009F, line separators, BOM) is escaped here.
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                c if u32::from(c) > 0xffff => {
                    write!(out, "\\U{:08x}", u32::from(c))
                        .expect("writing to a string cannot fail");
                }
                c if c.is_ascii_graphic() || c == ' ' => out.push(c),
                c => {
                    write!(out, "\\u{:04x}", u32::from(c))
                        .expect("writing to a string cannot fail");
                }
            }
        }
        out.push('"');
    }
}

/// Whether text needs no quotes: made of harmless characters, and not read as another type.
fn is_plain(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/');
    starts
        && !text.ends_with(':')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:+=@".contains(c))
        && resolve(text) == Meaning::Text
        && !OLD_BOOLEANS.contains(&text.to_ascii_lowercase().as_str())
        // YAML 1.1's base-60 numbers.
        && !(text.contains(':') && text.chars().all(|c| c.is_ascii_digit() || c == ':' || c == '.'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::tree::{Content, Node, load};

    /// What a YAML 1.2 reader makes of a node.
    fn read(node: &Node) -> Value {
        match &node.content {
            Content::Scalar { text, plain: false } => text.as_str().into(),
            Content::Scalar { text, .. } => match resolve(text) {
                Meaning::Null => Value::Null,
                Meaning::Boolean(value) => value.into(),
                Meaning::Integer => text.parse::<i64>().unwrap().into(),
                Meaning::Float => panic!("no fractions are written: {}", text.as_str()),
                Meaning::Text => text.as_str().into(),
            },
            Content::Sequence(items) => items.iter().map(read).collect(),
            Content::Mapping(entries) => entries
                .iter()
                .map(|entry| (entry.key.to_string(), read(&entry.value)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    #[track_caller]
    fn check(value: &Value) {
        let text = value_to_yaml(value);
        let stream = load(&text);
        assert!(stream.faults.is_empty(), "{:?}\nin\n{text}", stream.faults);
        assert_eq!(&read(&stream.documents[0]), value, "in\n{text}");
    }

    #[test]
    fn what_looks_like_another_type_is_quoted() {
        let tricky = [
            "",
            " ",
            "~",
            "null",
            "True",
            "no",
            "on",
            "0",
            "-1",
            "1e3",
            "0x1f",
            "0o7",
            ".5",
            "1.",
            "-.inf",
            ".nan",
            "12:30:45",
            "a: b",
            "a #b",
            "a#b",
            "#a",
            "- a",
            "-",
            "?",
            "!a",
            "&a",
            "*a",
            "@a",
            "%a",
            "'a",
            "\"a",
            "{a",
            "[a",
            "a\nb",
            "a\nb\n",
            "a\n\nb",
            " a\nb",
            "a \nb",
            "a\n",
            "\n",
            "a\tb",
            "\u{7f}",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "\u{1f600}",
            "\u{0}",
            "---",
            "...",
            "<<",
            "=",
            "a:",
            "52:54:00:12:34:56",
            "fd00::1/64",
            "2026-11-21",
        ];
        for text in tricky {
            check(&json!({ "k": text, text: [text, { "x": text }] }));
        }
    }

    #[test]
    fn configs_read_well() {
        let value = json!({
            "kind": "Link", "apiVersion": "v1alpha1", "empty": {}, "none": null,
            "crt": "-----BEGIN X-----\nAAAA\n-----END X-----\n",
            "list": [{ "b": 1, "a": "x y" }, "10.0.0.1/24", [1, 2], []],
        });
        let expect = "\
apiVersion: v1alpha1
kind: Link
crt: |
  -----BEGIN X-----
  AAAA
  -----END X-----
empty: {}
list:
  - a: \"x y\"
    b: 1
  - 10.0.0.1/24
  -
    - 1
    - 2
  - []
";
        assert_eq!(value_to_yaml(&value), expect);
    }

    /// Any JSON value without `null` and fractions; keys short enough for YAML's simple keys.
    fn any_value() -> impl Strategy<Value = Value> {
        let text = || {
            prop::collection::vec(
                prop_oneof![any::<char>(), prop::char::range(' ', '~'), Just('\n')],
                0..12,
            )
        };
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text().prop_map(|chars| Value::from(chars.into_iter().collect::<String>())),
        ];
        leaf.prop_recursive(4, 32, 5, move |inner| {
            let key = text().prop_map(|chars| chars.into_iter().collect::<String>());
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..5)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_comes_back(value in any_value()) {
            check(&value);
        }
    }
}

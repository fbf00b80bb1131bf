//! Texts as Go's `fmt` writes them, since clients match on messages that upstream makes with it.
//!
//! Must not know: what the texts are for.

use serde_json::{Map, Number, Value};
use std::fmt::Write as _;

/// `%q`: a Go string literal (`strconv.Quote`).
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if is_print(c) => out.push(c),
            c if c < ' ' || c == '\x7f' => escape(&mut out, 'x', 2, c),
            c if u32::from(c) < 0x1_0000 => escape(&mut out, 'u', 4, c),
            c => escape(&mut out, 'U', 8, c),
        }
    }
    out.push('"');
    out
}

/// Quoted texts with `, ` between them.
pub(crate) fn quote_all<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> String {
    let quoted: Vec<String> = texts.into_iter().map(|text| quote(text.as_ref())).collect();
    quoted.join(", ")
}

/// Whether Go calls a character printable (`unicode.IsPrint`).
pub(crate) fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    // Rust has the same table behind `escape_debug`, which for a text leaves combining marks alone unless
    // they come first.
    let mut text = String::from("a");
    text.push(c);
    text.escape_debug().count() == 2
}

/// `%v` of a decoded JSON value: `map[a:1 b:[x y]]`.
pub(crate) fn display(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

/// `%v` of a decoded JSON object.
pub(crate) fn display_map(fields: &Map<String, Value>) -> String {
    let mut out = String::new();
    write_map(&mut out, fields);
    out
}

/// The name of the type that Go decodes a JSON value to.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// JSON as Go's encoder writes it, with `<`, `>` and `&` escaped.
pub(crate) fn json(value: &Value) -> String {
    let text = value.to_string();
    if !text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escape(&mut out, 'u', 4, c),
            c => out.push(c),
        }
    }
    out
}

/// A number without a fraction that says nothing.
pub(crate) fn number(number: &Number) -> String {
    let text = number.to_string();
    match text.strip_suffix(".0") {
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(n) => out.push_str(&number(n)),
        Value::String(text) => out.push_str(text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                write(out, item);
            }
            out.push(']');
        }
        Value::Object(fields) => write_map(out, fields),
    }
}

fn write_map(out: &mut String, fields: &Map<String, Value>) {
    out.push_str("map[");
    for (index, (name, field)) in fields.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        out.push_str(name);
        out.push(':');
        write(out, field);
    }
    out.push(']');
}

fn escape(out: &mut String, letter: char, digits: usize, c: char) {
    write!(out, "\\{letter}{:0digits$x}", u32::from(c)).expect("a String takes all text");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_quoted_as_in_go() {
        let check = |text: &str, expect: &str| assert_eq!(quote(text), expect);
        check("plain", r#""plain""#);
        check("a\"b\\c", r#""a\"b\\c""#);
        check("\n\t\x07\x01\x7f", r#""\n\t\a\x01\x7f""#);
        check("déjà 世界", r#""déjà 世界""#);
        check("e\u{301}", "\"e\u{301}\"");
        check("a\u{a0}b\u{200b}", r#""a\u00a0b\u200b""#);
        check("\u{e0001}", r#""\U000e0001""#);
    }

    #[test]
    fn values_are_shown_as_in_go() {
        let value = json!({"b": [1, 2.5, "x y", null], "a": {"t": true}});
        assert_eq!(display(&value), "map[a:map[t:true] b:[1 2.5 x y <nil>]]");
        assert_eq!(
            json(&json!({"a": "<b>&"})),
            r#"{"a":"\u003cb\u003e\u0026"}"#
        );
    }
}

//! What a scalar means to upstream's decoder: YAML 1.1's booleans and octal numbers, `_` in numbers, no dates.

use super::Node;
use crate::decode::report::quoted;
use granit_parser::Tag;

/// The node of a scalar: text if it is quoted or tagged so, else what it looks like.
pub(super) fn scalar(text: &str, plain: bool, tag: Option<&Tag>) -> Result<Node, String> {
    let as_text = || Node::Text(text.into());
    let Some(tag) = tag else {
        return Ok(if plain { resolve(text) } else { as_text() });
    };
    let wrong = |kind: &str| Err(format!("cannot decode {} as a !!{kind}", quoted(text)));
    match (tag.core_suffix(), resolve(text)) {
        (Some("bool"), node @ Node::Boolean(_))
        | (Some("int"), node @ (Node::Integer(_) | Node::Unsigned(_)))
        | (Some("float"), node @ (Node::Float(_) | Node::Integer(_) | Node::Unsigned(_)))
        | (Some("null"), node @ Node::Null) => Ok(node),
        (Some(kind @ ("bool" | "int" | "float" | "null")), _) => wrong(kind),
        _ => Ok(as_text()),
    }
}

/// What plain text means to upstream.
fn resolve(text: &str) -> Node {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Node::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Node::Boolean(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Node::Boolean(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Node::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Node::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Node::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
        return Node::Text(text.into());
    }
    number(text).unwrap_or_else(|| Node::Text(text.into()))
}

/// A number: decimal, `0x`, `0o`, `0b`, octal with a leading zero; `_` between digits; a fraction.
fn number(text: &str) -> Option<Node> {
    let folded: String = text.chars().filter(|letter| *letter != '_').collect();
    let (negative, digits) = match folded.as_bytes().first()? {
        b'-' => (true, &folded[1..]),
        b'+' => (false, &folded[1..]),
        _ => (false, &folded[..]),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = if let Some(body) = lower.strip_prefix("0x") {
        (16, body)
    } else if let Some(body) = lower.strip_prefix("0o") {
        (8, body)
    } else if let Some(body) = lower.strip_prefix("0b") {
        (2, body)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, &lower[..])
    };
    if !body.is_empty() && body.bytes().all(|byte| char::from(byte).is_digit(radix)) {
        if let Ok(value) = i128::from_str_radix(body, radix) {
            let value = if negative { -value } else { value };
            if let Ok(value) = i64::try_from(value) {
                return Some(Node::Integer(value));
            }
            if let Ok(value) = u64::try_from(value) {
                return Some(Node::Unsigned(value));
            }
        }
        if radix != 10 {
            return None;
        }
    }
    is_float(digits).then(|| folded.parse().ok().map(Node::Float))?
}

/// `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`.
fn is_float(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let mantissa = match mantissa.split_once('.') {
        Some((whole, part)) => digits(whole) && digits(part) && whole.len() + part.len() > 0,
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa && exponent
}

/// The whole number that JSON would show, if it fits.
pub(super) fn whole(value: f64) -> Option<i64> {
    if value.fract() != 0.0 || value.abs() >= 1e18 {
        return None;
    }
    format!("{value:.0}").parse().ok()
}

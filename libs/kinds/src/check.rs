//! Checks that several types share. The texts are upstream's.

pub(crate) mod value;

use std::collections::BTreeSet;
use std::net::IpAddr;

use objects::field::{ErrorList, FieldError, Mistake, Path};
use objects::quantity::Quantity;
use objects::selector::{SelectorOptions, validate_label_selector};
use objects::{metadata, names};
use serde_json::Value;

use crate::value::{Fields, same};

/// Of a number that may not be below zero.
pub(crate) const NON_NEGATIVE: &str = "must be greater than or equal to 0";
/// Of a field that may not change.
pub(crate) const IMMUTABLE: &str = "field is immutable";

/// `Invalid value: detail`, without the value.
pub(crate) fn invalid(path: &Path<'_>, detail: impl Into<String>) -> FieldError {
    FieldError {
        mistake: Mistake::Invalid,
        field: path.to_string(),
        value: None,
        detail: detail.into(),
    }
}

/// A field's value in a message.
pub(crate) fn shown(value: &Value, name: &str) -> Value {
    value.get(name).cloned().unwrap_or_default()
}

/// Numbers of an object that may not be below zero.
pub(crate) fn non_negative(value: &Value, names: &[&str], path: &Path<'_>, errors: &mut ErrorList) {
    for name in names {
        if let Some(number) = value.whole(name).filter(|number| *number < 0) {
            errors.push(FieldError::invalid(&path.child(name), number, NON_NEGATIVE));
        }
    }
}

/// A quantity that may not be below zero.
pub(crate) fn non_negative_quantity(value: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if let Ok(quantity) = Quantity::from_value(value)
        && quantity.is_negative()
    {
        let text = quantity.to_string();
        errors.push(FieldError::invalid(path, text, NON_NEGATIVE));
    }
}

/// A field of an object that may not change.
pub(crate) fn immutable(
    new: &Value,
    old: &Value,
    name: &str,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    if !same(new.part(name), old.part(name)) {
        let path = path.child(name);
        errors.push(FieldError::invalid(&path, shown(new, name), IMMUTABLE));
    }
}

/// A field that is one of a few texts.
pub(crate) fn one_of(
    value: &Value,
    name: &str,
    known: &[&str],
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let text = value.text(name);
    if !known.contains(&text) {
        errors.push(FieldError::not_supported(&path.child(name), text, known));
    }
}

/// The same, where an empty or absent one is missing.
pub(crate) fn required_one_of(
    value: &Value,
    name: &str,
    known: &[&str],
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    if value.text(name).is_empty() {
        errors.push(FieldError::required(&path.child(name), ""));
    } else {
        one_of(value, name, known, path, errors);
    }
}

/// A text that must be there, with what is wrong with one that is.
pub(crate) fn required_text(
    value: &Value,
    name: &str,
    check: fn(&str) -> Vec<String>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let text = value.text(name);
    let path = path.child(name);
    if text.is_empty() {
        errors.push(FieldError::required(&path, ""));
    } else {
        errors.push_invalid(&path, text, check(text));
    }
}

/// Any text.
pub(crate) fn anything(_: &str) -> Vec<String> {
    Vec::new()
}

/// A count or a percentage, not below zero.
pub(crate) fn int_or_percent(value: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    match value {
        Value::String(text) => errors.push_invalid(path, text, names::percent(text)),
        Value::Number(number) => {
            if number.as_i64().is_some_and(|number| number < 0) {
                errors.push(FieldError::invalid(path, value.clone(), NON_NEGATIVE));
            }
        }
        _ => {
            let message = "must be an integer or percentage (e.g '5%%')";
            errors.push(FieldError::invalid(path, value.clone(), message));
        }
    }
}

/// The number of a count or a percentage.
pub(crate) fn int_or_percent_value(value: &Value) -> i64 {
    match value {
        Value::String(text) => text.trim_end_matches('%').parse().unwrap_or(0),
        value => value.as_i64().unwrap_or(0),
    }
}

/// A percentage is 100 at most.
pub(crate) fn at_most_100_percent(value: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let Value::String(text) = value else {
        return;
    };
    if names::percent(text).is_empty() && int_or_percent_value(value) > 100 {
        let message = "must not be greater than 100%";
        errors.push(FieldError::invalid(path, text.as_str(), message));
    }
}

/// A label selector that may be absent.
pub(crate) fn label_selector(value: &Value, name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if let Some(selector) = value.field(name) {
        let path = path.child(name);
        let options = SelectorOptions::default();
        errors.extend(validate_label_selector(selector, options, &path));
    }
}

/// Keys and values of labels.
pub(crate) fn labels(value: &Value, name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child(name);
    errors.extend(metadata::validate_labels(
        value.part(name).as_object(),
        &path,
    ));
}

/// A counter that only grows.
pub(crate) fn not_decremented(
    new: &Value,
    old: &Value,
    name: &str,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let (new, old) = (new.whole(name), old.whole(name));
    if old.is_some_and(|old| new.is_none_or(|new| new < old)) {
        let message = "cannot be decremented";
        let path = path.child(name);
        errors.push(FieldError::invalid(&path, new.unwrap_or(0), message));
    }
}

/// Numbers that are no greater than another one.
pub(crate) fn at_most(
    value: &Value,
    names: &[&str],
    bound: &str,
    message: &str,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let bound = value.whole(bound).unwrap_or(0);
    for name in names {
        if let Some(number) = value.whole(name).filter(|number| *number > bound) {
            errors.push(FieldError::invalid(&path.child(name), number, message));
        }
    }
}

/// `metav1.Condition`s of a status.
pub(crate) fn conditions(status: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    const REASON_MAX: usize = 1024;
    const MESSAGE_MAX: usize = 32 * 1024;
    let path = path.child("conditions");
    let mut seen = BTreeSet::new();
    for (index, condition) in status.items("conditions").iter().enumerate() {
        let path = path.index(index);
        let kind = condition.text("type");
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(&path.child("type"), kind));
        }
        errors.push_invalid(&path.child("type"), kind, names::qualified_name(kind));
        let known = ["False", "True", "Unknown"];
        one_of(condition, "status", &known, &path, errors);
        if let Some(number) = condition
            .whole("observedGeneration")
            .filter(|number| *number < 0)
        {
            let path = path.child("observedGeneration");
            let message = "must be greater than or equal to zero";
            errors.push(FieldError::invalid(&path, number, message));
        }
        if condition.text("lastTransitionTime").is_empty() {
            let path = path.child("lastTransitionTime");
            errors.push(FieldError::required(&path, "must be set"));
        }
        let reason = condition.text("reason");
        let reason_path = path.child("reason");
        if reason.is_empty() {
            errors.push(FieldError::required(&reason_path, "must be set"));
        } else {
            errors.push_invalid(&reason_path, reason, names::condition_reason(reason));
        }
        if reason.len() > REASON_MAX {
            errors.push(FieldError::too_long(&reason_path, REASON_MAX));
        }
        if condition.text("message").len() > MESSAGE_MAX {
            errors.push(FieldError::too_long(&path.child("message"), MESSAGE_MAX));
        }
    }
}

/// A domain and a path with a slash between them.
pub(crate) fn domain_prefixed_path(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let (domain, rest) = text.split_once('/').unwrap_or((text, ""));
    if domain.is_empty() || rest.is_empty() {
        let message = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        errors.push(FieldError::invalid(path, text, message));
        return;
    }
    errors.push_invalid(path, domain, names::dns1123_subdomain(domain));
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
    if !rest.bytes().all(inner) {
        let message = names::regex_message("Invalid path", r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", &[]);
        errors.push(FieldError::invalid(path, rest, message));
    }
}

/// A domain of two labels at least; a last dot is forgiven.
pub(crate) fn qualified_domain(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let wrong = names::dns1123_subdomain(name);
    if !wrong.is_empty() {
        errors.push(FieldError::invalid(path, name, wrong.join(",")));
        return;
    }
    if !name.contains('.') {
        let message = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path, name, message));
        return;
    }
    for label in name.split('.') {
        let wrong = names::dns1123_label(label);
        if !wrong.is_empty() {
            errors.push(FieldError::invalid(path, label, wrong.join(",")));
            return;
        }
    }
}

/// The name of a CSI driver, of DRA drivers too.
pub(crate) fn driver_name(value: &Value, name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    driver_name_text(value.text(name), &path.child(name), errors);
}

/// The same of a text.
pub(crate) fn driver_name_text(driver: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if driver.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    if driver.len() > names::LABEL_MAX {
        errors.push(FieldError::too_long(path, names::LABEL_MAX));
    }
    let wrong = names::dns1123_subdomain(&driver.to_lowercase());
    errors.push_invalid(path, driver, wrong);
}

/// A canonical IP address: what is wrong with one.
#[must_use]
pub(crate) fn canonical_ip(text: &str) -> Option<String> {
    let Some(address) = names::parse_ip(text) else {
        return Some("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned());
    };
    match text.parse::<IpAddr>() {
        Err(_) => Some("must not have leading 0s".to_owned()),
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
            Some("must not be an IPv4-mapped IPv6 address".to_owned())
        }
        Ok(_) => {
            let canonical = address.to_string();
            (canonical != text).then(|| format!("must be in canonical form (\"{canonical}\")"))
        }
    }
}

/// A canonical prefix: what is wrong with one.
#[must_use]
pub(crate) fn canonical_cidr(text: &str) -> Option<String> {
    let Some((address, bits)) = names::parse_cidr(text) else {
        return Some("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".to_owned());
    };
    let (written, length) = text.split_once('/').unwrap_or((text, ""));
    let padded = length.len() > 1 && length.starts_with('0');
    match written.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
            return Some("must not have an IPv4-mapped IPv6 address".to_owned());
        }
        Ok(_) if !padded => {}
        _ => return Some("must not have leading 0s in IP or prefix length".to_owned()),
    }
    if masked(address, bits) != address {
        return Some("must not have bits set beyond the prefix length".to_owned());
    }
    let canonical = format!("{address}/{bits}");
    (canonical != text).then(|| format!("must be in canonical form (\"{canonical}\")"))
}

/// The address with the bits beyond the prefix cleared.
pub(crate) fn masked(address: IpAddr, bits: u8) -> IpAddr {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX
                .checked_shl(32_u32.saturating_sub(bits))
                .unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX
                .checked_shl(128_u32.saturating_sub(bits))
                .unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

/// Texts in the form of Go's `%q` of a list: `["a" "b"]`.
pub(crate) fn quoted(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| format!("\"{text}\"")).collect();
    format!("[{}]", texts.join(" "))
}

/// The labels of an object's pod template.
pub(crate) fn template_labels(template: &Value) -> Value {
    template.part("metadata").part("labels").clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_canonical() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(canonical_ip(text).as_deref(), expect, "{text}");
        };
        check("10.0.0.1", None);
        check("2001:db8::1", None);
        check("010.0.0.1", Some("must not have leading 0s"));
        check(
            "::ffff:1.2.3.4",
            Some("must not be an IPv4-mapped IPv6 address"),
        );
        check(
            "2001:DB8::1",
            Some("must be in canonical form (\"2001:db8::1\")"),
        );
        check(
            "x",
            Some("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        );
    }

    #[test]
    fn prefixes_are_canonical() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(canonical_cidr(text).as_deref(), expect, "{text}");
        };
        check("10.0.0.0/8", None);
        check("::/0", None);
        check(
            "10.0.0.1/8",
            Some("must not have bits set beyond the prefix length"),
        );
        check(
            "10.0.0.0/08",
            Some("must not have leading 0s in IP or prefix length"),
        );
        check(
            "::ffff:10.0.0.0/104",
            Some("must not have an IPv4-mapped IPv6 address"),
        );
        check(
            "10.0.0.0",
            Some("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
        );
    }

    #[test]
    fn domains_have_paths() {
        let check = |text: &str, expect: &[&str]| {
            let mut errors = ErrorList::default();
            domain_prefixed_path(text, &Path::new("p"), &mut errors);
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts.len(), expect.len(), "{texts:?}");
            for (text, expect) in texts.iter().zip(expect) {
                assert!(text.starts_with(expect), "{text}");
            }
        };
        check("acme.io/foo", &[]);
        check("", &["p: Required value"]);
        check(
            "acme.io",
            &["p: Invalid value: \"acme.io\": must be a domain-prefixed path"],
        );
        check(
            "Acme/a b",
            &[
                "p: Invalid value: \"Acme\": a lowercase RFC 1123 subdomain",
                "p: Invalid value: \"a b\": Invalid path (regex",
            ],
        );
    }
}

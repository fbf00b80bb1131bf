//! Checks of one value, where the field that it is in has been looked up already.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use crate::value::{Fields, same};

/// Upstream's text for what must be above zero.
pub(crate) const POSITIVE: &str = "must be greater than zero";
pub(crate) use super::{IMMUTABLE, NON_NEGATIVE};

/// A text that must be there.
pub(crate) fn required(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
}

/// A text that must be there and be one of those that are known.
pub(crate) fn required_one_of(text: &str, known: &[&str], path: &Path<'_>, errors: &mut ErrorList) {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else {
        one_of(text, known, path, errors);
    }
}

/// A text that must be one of those that are known.
pub(crate) fn one_of(text: &str, known: &[&str], path: &Path<'_>, errors: &mut ErrorList) {
    if !known.contains(&text) {
        errors.push(FieldError::not_supported(path, text, known));
    }
}

/// A field that, where it is there, must be one of those that are known.
pub(crate) fn optional_one_of(
    object: &Value,
    name: &str,
    known: &[&str],
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    if object.has(name) {
        one_of(object.text(name), known, &path.child(name), errors);
    }
}

/// A number that may not be below zero.
pub(crate) fn non_negative(number: Option<i64>, path: &Path<'_>, errors: &mut ErrorList) {
    if let Some(number) = number
        && number < 0
    {
        errors.push(FieldError::invalid(path, number, NON_NEGATIVE));
    }
}

/// A number between two others, both of which are allowed.
pub(crate) fn in_range(
    number: Option<i64>,
    min: i64,
    max: i64,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    if let Some(number) = number {
        for message in names::in_range(number, min, max) {
            errors.push(FieldError::invalid(path, number, message));
        }
    }
}

/// A user's or a group's number.
pub(crate) fn id(number: Option<i64>, path: &Path<'_>, errors: &mut ErrorList) {
    in_range(number, 0, i64::from(i32::MAX), path, errors);
}

/// A port's number.
pub(crate) fn port(number: i64, path: &Path<'_>, errors: &mut ErrorList) {
    for message in names::port_number(number) {
        errors.push(FieldError::invalid(path, number, message));
    }
}

/// A port by number or by name.
pub(crate) fn port_or_name(port: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    match port {
        Value::String(name) => errors.push_invalid(path, name, names::port_name(name)),
        other => self::port(other.as_i64().unwrap_or_default(), path, errors),
    }
}

/// A DNS label.
pub(crate) fn label(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    errors.push_invalid(path, text, names::dns1123_label(text));
}

/// A DNS subdomain.
pub(crate) fn subdomain(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    errors.push_invalid(path, text, names::dns1123_subdomain(text));
}

/// A qualified name, such as a label's key.
pub(crate) fn qualified(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    errors.push_invalid(path, text, names::qualified_name(text));
}

/// An IP address.
pub(crate) fn ip(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    errors.extend(names::ip(path, text));
}

/// A map of labels.
pub(crate) fn labels(object: &Value, name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let labels = object.part(name).as_object();
    let path = path.child(name);
    errors.extend(objects::metadata::validate_labels(labels, &path));
}

/// A label selector, where one is there.
pub(crate) fn selector(object: &Value, name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if let Some(selector) = object.field(name) {
        let options = objects::selector::SelectorOptions::default();
        let path = path.child(name);
        errors.extend(objects::selector::validate_label_selector(
            selector, options, &path,
        ));
    }
}

/// A field that an update may not change.
pub(crate) fn immutable(new: &Value, old: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if !same(new, old) {
        errors.push(FieldError::invalid(path, new.clone(), IMMUTABLE));
    }
}

/// Texts that come twice, each with its place.
pub(crate) fn unique<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let mut seen = std::collections::BTreeSet::new();
    for (index, text) in texts.into_iter().enumerate() {
        if !seen.insert(text) {
            errors.push(FieldError::duplicate(&path.index(index), text));
        }
    }
}

/// Whether addresses (or prefixes) are one of each family; None where one is malformed.
#[must_use]
pub(crate) fn dual_stack(addresses: &[&str]) -> Option<bool> {
    let (mut four, mut six) = (false, false);
    for address in addresses {
        let address = match address.split_once('/') {
            Some(_) => names::parse_cidr(address).map(|(address, _)| address),
            None => names::parse_ip(address),
        };
        match address? {
            std::net::IpAddr::V4(_) => four = true,
            std::net::IpAddr::V6(_) => six = true,
        }
    }
    Some(four && six)
}

/// At most one address of each family, where there is more than one.
pub(crate) fn one_of_each_family(
    addresses: &[&str],
    what: &str,
    shown: &Value,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    if addresses.len() > 1 && (dual_stack(addresses) != Some(true) || addresses.len() > 2) {
        let message = format!("may specify no more than one {what} for each IP family");
        errors.push(FieldError::invalid(path, shown.clone(), message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_told_apart() {
        assert_eq!(dual_stack(&["10.0.0.1", "fd00::1"]), Some(true));
        assert_eq!(dual_stack(&["10.0.0.1", "10.0.0.2"]), Some(false));
        assert_eq!(dual_stack(&["10.0.0.0/8", "fd00::/64"]), Some(true));
        assert_eq!(dual_stack(&["x"]), None);
    }
}

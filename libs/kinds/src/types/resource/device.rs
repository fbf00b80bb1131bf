//! A device in a slice: what it is, what it takes, where it is.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use objects::names as grammar;
use serde_json::Value;

use super::{capacity, claim_spec::EFFECTS, list, names};
use crate::{
    check,
    types::core::node_selector,
    value::{Fields, same},
};

/// Most attributes and capacities of a device.
const ATTRIBUTES_MAX: usize = 32;
/// Most bytes of an attribute's value.
const VALUE_MAX: usize = 64;
/// Most taints of a device.
const TAINTS_MAX: usize = 16;
/// Most sets of counters that a device takes from.
const CONSUMPTIONS_MAX: usize = 2;
/// Most counters of a set, and most that a device takes from one.
pub(super) const COUNTERS_MAX: usize = 32;
/// Most conditions of binding, of either sort.
const BINDING_MAX: usize = 4;

/// Mistakes in a device. `old` is the device of that name that was there.
pub(super) fn validate(
    device: &Value,
    old: Option<&Value>,
    per_device: bool,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    names::label(device.text("name"), &path.child("name"), errors);
    let count = device.count("attributes") + device.count("capacity");
    if count > ATTRIBUTES_MAX {
        let message = format!(
            "the total number of attributes and capacities must not exceed {ATTRIBUTES_MAX}"
        );
        errors.push(FieldError::invalid(path, count, message));
    }
    let max = names::QUALIFIED_MAX;
    list::each_entry(
        device,
        "attributes",
        None,
        max,
        path,
        errors,
        |key, one, path, errors| {
            names::qualified(key, path, errors);
            attribute(one, path, errors);
        },
    );
    let shared = device.flag("allowMultipleAllocations");
    list::each_entry(
        device,
        "capacity",
        None,
        max,
        path,
        errors,
        |key, one, path, errors| {
            names::qualified(key, path, errors);
            if shared {
                capacity::policy(one, path, errors);
            } else if one.has("requestPolicy") {
                let message = "allowMultipleAllocations must be true";
                errors.push(FieldError::forbidden(&path.child("requestPolicy"), message));
            }
        },
    );
    // Taints that were there pass: effects may be newer than this server.
    let held = old.is_some_and(|old| same(old.part("taints"), device.part("taints")));
    if !held {
        list::each(device, "taints", TAINTS_MAX, path, errors, taint);
    }
    let set = |one: &Value| one.text("counterSet").into();
    let field = "consumesCounters";
    list::each_once(
        device,
        field,
        CONSUMPTIONS_MAX,
        set,
        path,
        errors,
        |one, path, errors| {
            check::required_text(one, "counterSet", grammar::dns1123_label, path, errors);
            counters(one, path, errors);
        },
    );
    place(device, per_device, path, errors);
    binding_conditions(device, path, errors);
}

/// Counters by their names.
pub(super) fn counters(object: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if object.count("counters") == 0 {
        errors.push(FieldError::required(&path.child("counters"), ""));
    }
    let (max, key_max) = (Some(COUNTERS_MAX), grammar::LABEL_MAX);
    list::each_entry(
        object,
        "counters",
        max,
        key_max,
        path,
        errors,
        |key, _, path, errors| {
            names::label(key, path, errors);
        },
    );
}

fn attribute(attribute: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let texts = ["string", "version"];
    for field in texts {
        if attribute.text(field).len() > VALUE_MAX {
            errors.push(FieldError::too_long(&path.child(field), VALUE_MAX));
        }
    }
    if let Some(version) = attribute.part("version").as_str()
        && !is_version(version)
    {
        let message = "must be a string compatible with semver.org spec 2.0.0";
        let path = path.child("version");
        errors.push(FieldError::invalid(&path, version, message));
    }
    let fields = ["bool", "int", "string", "version"].into_iter();
    let shown = match fields.filter(|field| attribute.has(field)).count() {
        1 => return,
        0 => Value::from(""),
        _ => attribute.clone(),
    };
    let message = "exactly one value must be specified";
    errors.push(FieldError::invalid(path, shown, message));
}

/// A version of semver.org: `1.2.3[-pre.release][+build]`.
fn is_version(text: &str) -> bool {
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        digits && (part == "0" || !part.starts_with('0'))
    };
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let release = |part: &str| {
        let digits = part.bytes().all(|b| b.is_ascii_digit());
        word(part) && (!digits || number(part))
    };
    let (text, build) = match text.split_once('+') {
        Some((text, build)) => (text, Some(build)),
        None => (text, None),
    };
    let (core, pre) = match text.split_once('-') {
        Some((core, pre)) => (core, Some(pre)),
        None => (text, None),
    };
    core.split('.').count() == 3
        && core.split('.').all(number)
        && pre.is_none_or(|pre| pre.split('.').all(release))
        && build.is_none_or(|build| build.split('.').all(word))
}

fn taint(taint: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (key, value) = (taint.text("key"), taint.text("value"));
    errors.push_invalid(&path.child("key"), key, grammar::qualified_name(key));
    errors.push_invalid(&path.child("value"), value, grammar::label_value(value));
    check::required_one_of(taint, "effect", &EFFECTS, path, errors);
}

fn place(device: &Value, per_device: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let fields = ["nodeName", "nodeSelector", "allNodes"];
    if !per_device {
        if fields.iter().any(|field| device.has(field)) {
            let message = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
            errors.push(FieldError::invalid(path, Value::Null, message));
        }
        return;
    }
    let mut places = Vec::new();
    if let Some(name) = device.part("nodeName").as_str() {
        let path = path.child("nodeName");
        if name.is_empty() {
            errors.push(FieldError::invalid(&path, name, "must not be empty"));
        } else {
            places.push("`nodeName`");
            errors.push_invalid(&path, name, grammar::dns1123_subdomain(name));
        }
    }
    if let Some(selector) = device.field("nodeSelector") {
        places.push("`nodeSelector`");
        node_selector::validate(selector, &path.child("nodeSelector"), errors);
    }
    all_of(device, "allNodes", &mut places, path, errors);
    let message = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    match places.len() {
        0 => errors.push(FieldError::required(path, message)),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", places.join(", "));
            errors.push(FieldError::invalid(path, shown, message));
        }
    }
}

/// A flag that is true or not there.
pub(super) fn all_of(
    object: &Value,
    field: &'static str,
    places: &mut Vec<&'static str>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    match object.part(field).as_bool() {
        None => {}
        Some(true) => places.push(match field {
            "allNodes" => "`allNodes`",
            _ => "`perDeviceNodeSelection`",
        }),
        Some(false) => {
            let message = "must be either unset or set to true";
            errors.push(FieldError::invalid(&path.child(field), false, message));
        }
    }
}

/// Conditions of binding, and of its failure: each sort needs the other, and no condition is of both.
pub(super) fn binding_conditions(device: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let sorts = ["bindingConditions", "bindingFailureConditions"];
    let wanted: BTreeSet<&str> = device.texts(sorts[0]).collect();
    for sort in sorts {
        list::each(
            device,
            sort,
            BINDING_MAX,
            path,
            errors,
            |one, path, errors| {
                let name = one.as_str().unwrap_or_default();
                errors.push_invalid(path, name, grammar::qualified_name(name));
            },
        );
        let list_path = path.child(sort);
        let mut seen = BTreeSet::new();
        for (index, name) in device.texts(sort).enumerate() {
            let path = list_path.index(index);
            if !seen.insert(name) {
                errors.push(FieldError::duplicate(&path, name));
            }
            if sort == sorts[1] && wanted.contains(name) {
                let message = "bindingFailureConditions must not overlap with bindingConditions";
                errors.push(FieldError::invalid(&path, name, message));
            }
        }
    }
    for (sort, other) in [(sorts[0], sorts[1]), (sorts[1], sorts[0])] {
        if device.items(sort).is_empty() && !device.items(other).is_empty() {
            let shown = check::shown(device, sort);
            let message = format!("{sort} are required to use {other}");
            errors.push(FieldError::invalid(&path.child(sort), shown, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for text in ["1.2.3", "0.0.0-alpha.1+build-5.x", "1.0.0--", "10.20.30"] {
            assert!(is_version(text), "{text}");
        }
        for text in [
            "", "1.2", "1.2.3.4", "01.2.3", "1.2.3-01", "1.2.3-", "1.2.3+", "v1.2.3", "1.2.x",
        ] {
            assert!(!is_version(text), "{text}");
        }
    }
}

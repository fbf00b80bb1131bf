//! Names of devices, pools, attributes and identities.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use crate::{check, value::Fields};

/// Most bytes of a pool's name.
const POOL_MAX: usize = 253;
/// Most bytes of an attribute's name after the domain.
const ID_MAX: usize = 32;
/// Most bytes of an attribute's name with its domain.
pub(super) const QUALIFIED_MAX: usize = names::LABEL_MAX + 1 + ID_MAX;
/// Most bytes of the parameters of a driver, and of what it says of a device.
pub(super) const OPAQUE_MAX: usize = 10 * 1024;

/// A DNS label.
pub(super) fn label(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    errors.push_invalid(path, text, names::dns1123_label(text));
}

/// The name of a pool: DNS subdomains with slashes between them.
pub(super) fn pool(pool: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if pool.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    if pool.len() > POOL_MAX {
        errors.push(FieldError::too_long(path, POOL_MAX));
    }
    for part in pool.split('/') {
        errors.push_invalid(path, part, names::dns1123_subdomain(part));
    }
}

/// The name of an attribute or of a capacity: `[domain/]identifier`.
pub(super) fn qualified(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        [id] => identifier(id, path, errors),
        [domain, id] => {
            if domain.is_empty() {
                errors.push(FieldError::invalid(
                    path,
                    "",
                    "the domain must not be empty",
                ));
            } else {
                check::driver_name_text(domain, path, errors);
            }
            if id.is_empty() {
                errors.push(FieldError::invalid(path, "", "the name must not be empty"));
            } else {
                identifier(id, path, errors);
            }
        }
        // Upstream lets more of them pass.
        _ => {}
    }
}

/// The same, with a domain.
pub(super) fn fully_qualified(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    qualified(name, path, errors);
    if !name.contains('/') {
        let message = "a fully qualified name must be a domain and a name separated by a slash";
        errors.push(FieldError::invalid(path, name, message));
    }
}

fn identifier(id: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if id.len() > ID_MAX {
        errors.push(FieldError::too_long(path, ID_MAX));
    }
    errors.push_invalid(path, id, names::c_identifier(id));
}

/// A UUID in its normal form.
pub(super) fn uid(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let bytes = text.as_bytes();
    let shape = |(index, byte): (usize, &u8)| match index {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase(),
    };
    if bytes.len() != 36 || !bytes.iter().enumerate().all(shape) {
        let message = "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters";
        errors.push(FieldError::invalid(path, text, message));
    }
}

/// Any JSON object, which is not too large.
pub(super) fn raw_object(value: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    match value {
        Value::Null => errors.push(FieldError::required(path, "")),
        value if value.to_string().len() > OPAQUE_MAX => {
            errors.push(FieldError::too_long(path, OPAQUE_MAX));
        }
        Value::Object(_) => {}
        _ => {
            let message = "must be a valid JSON object";
            errors.push(FieldError::invalid(path, "<value omitted>", message));
        }
    }
}

/// Configuration that only a driver reads.
pub(super) fn configuration(config: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("opaque");
    match config.field("opaque") {
        None => errors.push(FieldError::required(&path, "")),
        Some(opaque) => {
            check::driver_name(opaque, "driver", &path, errors);
            raw_object(opaque.part("parameters"), &path.child("parameters"), errors);
        }
    }
}

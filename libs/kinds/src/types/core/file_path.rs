//! Paths of files in objects: where they may lead.

use objects::field::{ErrorList, FieldError, Path};

/// Upstream's text for permissions that are none.
const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

/// A path that leads nowhere up.
pub fn no_backsteps(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if has_backsteps(text) {
        errors.push(FieldError::invalid(path, text, "must not contain '..'"));
    }
}

/// Whether a path leads up somewhere.
#[must_use]
pub fn has_backsteps(text: &str) -> bool {
    text.split('/').any(|part| part == "..")
}

/// A relative path that leads nowhere up.
pub fn descending(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if text.starts_with('/') {
        errors.push(FieldError::invalid(path, text, "must be a relative path"));
    }
    no_backsteps(text, path, errors);
}

/// The same, and not one of the names that volumes keep their own files under (`..data`).
pub fn not_reserved(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    descending(text, path, errors);
    if text.starts_with("..") && !text.starts_with("../") {
        errors.push(FieldError::invalid(path, text, "must not start with '..'"));
    }
}

/// A file's permissions, where they are given.
pub fn mode(mode: Option<i64>, path: &Path<'_>, errors: &mut ErrorList) {
    if let Some(mode) = mode
        && !(0..=0o777).contains(&mode)
    {
        errors.push(FieldError::invalid(path, mode, MODE));
    }
}

//! Lists and maps of devices' objects. What is longer than its bound is not looked into: a hostile list costs nothing.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use crate::value::Fields;

/// Whether a list is not too long.
pub(super) fn bounded(
    items: &[Value],
    max: usize,
    path: &Path<'_>,
    errors: &mut ErrorList,
) -> bool {
    if items.len() > max {
        errors.push(FieldError::too_many(path, items.len(), max));
    }
    items.len() <= max
}

/// Each item of a list that is not too long.
pub(super) fn each(
    object: &Value,
    field: &str,
    max: usize,
    path: &Path<'_>,
    errors: &mut ErrorList,
    mut check: impl FnMut(&Value, &Path<'_>, &mut ErrorList),
) {
    let (items, path) = (object.items(field), path.child(field));
    if bounded(items, max, &path, errors) {
        for (index, item) in items.iter().enumerate() {
            check(item, &path.index(index), errors);
        }
    }
}

/// The same, of items that differ in what `key` makes of them.
pub(super) fn each_once(
    object: &Value,
    field: &str,
    max: usize,
    key: impl Fn(&Value) -> Value,
    path: &Path<'_>,
    errors: &mut ErrorList,
    check: impl FnMut(&Value, &Path<'_>, &mut ErrorList),
) {
    each(object, field, max, path, errors, check);
    let items = object.items(field);
    if items.len() > max {
        return;
    }
    let path = path.child(field);
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let key = key(item);
        if !seen.insert(key.to_string()) {
            errors.push(FieldError::duplicate(&path.index(index), key));
        }
    }
}

/// Each key and value of a map that is not too large. A long key is cut in the middle where it is part of a path.
pub(super) fn each_entry(
    object: &Value,
    field: &str,
    max: Option<usize>,
    key_max: usize,
    path: &Path<'_>,
    errors: &mut ErrorList,
    mut check: impl FnMut(&str, &Value, &Path<'_>, &mut ErrorList),
) {
    let (count, path) = (object.count(field), path.child(field));
    if let Some(max) = max.filter(|max| count > *max) {
        errors.push(FieldError::too_many(&path, count, max));
        return;
    }
    for (key, value) in object.entries(field) {
        let shown = shortened(key, key_max);
        check(key, value, &path.key(&shown), errors);
    }
}

fn shortened(text: &str, max: usize) -> String {
    const ELLIPSIS: &str = "...";
    const LEAST: usize = 16;
    let max = max.max(LEAST);
    if text.len() <= max {
        return text.to_owned();
    }
    let kept = max - ELLIPSIS.len();
    let (mut head, mut tail) = (kept.div_ceil(2), text.len() - kept / 2);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    format!("{}{ELLIPSIS}{}", &text[..head], &text[tail..])
}

/// The item's name.
pub(super) fn name(item: &Value) -> Value {
    item.text("name").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_keys_are_cut() {
        assert_eq!(shortened("abc", 1), "abc");
        assert_eq!(
            shortened("abcdefghijklmnopqrstuvwxyz", 16),
            "abcdefg...uvwxyz"
        );
        assert_eq!(shortened(&"é".repeat(20), 16), "ééé...ééé");
    }
}

//! Strategic merge patches: merge patches that know from the schema which lists are merged, and by which field.
//!
//! ```text
//!   key: null                            removes the field
//!   $patch: replace | delete             in an object: the patch alone; an empty object
//!   - $patch: replace                    in a list: the patch's other items alone
//!   - {key: x, $patch: delete}           in a list: without the items of this key
//!   $retainKeys: [a, b]                  all other fields of the object go
//!   $deleteFromPrimitiveList/x: [1]      these values leave the list x
//!   $setElementOrder/x: [..]             the order of the list x
//! ```
//!
//! As upstream does it (`k8s.io/apimachinery/pkg/util/strategicpatch`), but that what is new in the object is taken without
//! nulls and directives, wherever they are in it.

mod list;
mod schema;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use super::PatchError;
use super::order::{Identity, Places, arrange};
use crate::go;
use crate::schema::{Schema, Schemas};
use list::{check_order, merge_list, same_types};
use schema::At;

/// What an object or an item does to its counterpart.
const PATCH: &str = "$patch";
/// The fields that stay.
const RETAIN_KEYS: &str = "$retainKeys";
/// Values that leave a list of scalars.
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList";
/// The order of a list.
const SET_ORDER: &str = "$setElementOrder";

/// The object with a strategic merge patch applied, by the schema of the object's type.
///
/// # Errors
/// When the patch breaks the form above, or lists cannot be merged.
pub fn strategic(
    schemas: &Schemas,
    schema: &Schema,
    object: Value,
    patch: Value,
) -> Result<Value, PatchError> {
    let Value::Object(patch) = patch else {
        return Err(PatchError::Malformed("invalid JSON document".to_owned()));
    };
    let original = match object {
        Value::Object(original) => original,
        _ => Map::new(),
    };
    merge_map(original, patch, At::new(schemas, schema)).map(Value::Object)
}

fn merge_map(
    mut original: Map<String, Value>,
    mut patch: Map<String, Value>,
    at: At<'_>,
) -> Result<Map<String, Value>, PatchError> {
    if let Some(directive) = patch.get(PATCH) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(PATCH);
                bare_map(patch)
            }
            Some("delete") => Ok(Map::new()),
            _ => Err(unknown_directive(directive, &patch)),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    set_orders(&mut original, &mut patch, at)?;
    for (name, value) in patch {
        let (name, deletes) = match list_name(&name, DELETE_FROM_LIST) {
            Some(Some(list)) => (list.to_owned(), true),
            Some(None) => return Err(PatchError::PrimitiveListFormat),
            None => (name, false),
        };
        if value.is_null() {
            original.remove(&name);
            continue;
        }
        let merged = match (original.remove(&name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                Value::Object(merge_map(old, new, at.field(&name))?)
            }
            (Some(Value::Array(old)), Value::Array(new)) => {
                Value::Array(merge_field(old, new, at.field(&name), deletes)?)
            }
            // Nothing can be deleted from what is no list.
            (Some(old), _) if deletes => old,
            (None, _) if deletes => continue,
            (_, new) => bare(new)?,
        };
        original.insert(name, merged);
    }
    Ok(original)
}

/// A list's field: merged if its schema says so, replaced if not.
fn merge_field(
    original: Vec<Value>,
    patch: Vec<Value>,
    at: At<'_>,
    deletes: bool,
) -> Result<Vec<Value>, PatchError> {
    if at.merges() {
        merge_list(original, patch, at, deletes)
    } else {
        bare_list(patch)
    }
}

/// Takes the fields away that `$retainKeys` does not name. All that the patch sets must be named.
fn retain_keys(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
) -> Result<(), PatchError> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else {
        return Ok(());
    };
    let Value::Array(keys) = keys else {
        return Err(PatchError::RetainKeysFormat);
    };
    let keys: std::collections::HashSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    let is_set = |(name, value): (&String, &Value)| {
        let directive = name.starts_with(DELETE_FROM_LIST) || name.starts_with(SET_ORDER);
        !value.is_null() && !directive && !keys.contains(name.as_str())
    };
    if patch.iter().any(is_set) {
        return Err(PatchError::RetainKeysFormat);
    }
    original.retain(|name, _| keys.contains(name.as_str()));
    Ok(())
}

/// Merges and orders the lists that have a `$setElementOrder`, and takes them out of the patch.
fn set_orders(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    at: At<'_>,
) -> Result<(), PatchError> {
    let directives = patch.keys().filter(|name| name.starts_with(SET_ORDER));
    let directives: Vec<String> = directives.cloned().collect();
    for directive in directives {
        let order = list_of(patch.remove(&directive))?.unwrap_or_default();
        let Some(Some(name)) = list_name(&directive, SET_ORDER) else {
            return Err(PatchError::SetElementOrderFormat);
        };
        let at = at.field(name);
        let identity = at.identity();
        let old = list_of(original.remove(name))?;
        let new = list_of(patch.remove(name))?;
        check_order(new.as_deref().unwrap_or_default(), &order, at)?;
        if old.is_none() && new.is_none() {
            continue;
        }
        let old = old.unwrap_or_default();
        same_types(&old, new.as_deref().unwrap_or_default())?;
        let server = Places::of(&old, identity);
        let merged = match new {
            Some(new) if old.is_empty() => bare_list(new)?,
            Some(new) => merge_field(old, new, at, false)?,
            None => old,
        };
        if let Identity::Field(key) = identity {
            list::check_keys(&merged, key)?;
            list::check_keys(&order, key)?;
        }
        let merged = arrange(merged, &Places::of(&order, identity), &server, identity);
        original.insert(name.to_owned(), Value::Array(merged));
    }
    Ok(())
}

/// The list that a directive's name means; `Some(None)` when the directive lacks it.
fn list_name<'a>(name: &'a str, directive: &str) -> Option<Option<&'a str>> {
    let rest = name.strip_prefix(directive)?;
    Some(rest.strip_prefix('/').filter(|list| !list.is_empty()))
}

fn list_of(value: Option<Value>) -> Result<Option<Vec<Value>>, PatchError> {
    match value {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(other) => Err(PatchError::wrong_type("[]interface {}", &other)),
    }
}

fn unknown_directive(directive: &Value, map: &Map<String, Value>) -> PatchError {
    PatchError::UnknownDirective {
        directive: go::display(directive),
        map: go::display_map(map),
    }
}

/// A value of the patch that meets nothing in the object: without nulls and directives.
fn bare(value: Value) -> Result<Value, PatchError> {
    match value {
        Value::Object(fields) => match fields.get(PATCH).and_then(Value::as_str) {
            Some("delete") => Ok(Value::Object(Map::new())),
            _ => bare_map(fields).map(Value::Object),
        },
        Value::Array(items) => bare_list(items).map(Value::Array),
        other => Ok(other),
    }
}

fn bare_map(fields: Map<String, Value>) -> Result<Map<String, Value>, PatchError> {
    let mut bared = Map::new();
    if let Some(directive) = fields.get(PATCH)
        && directive != "replace"
    {
        return Err(unknown_directive(directive, &fields));
    }
    for (name, value) in fields {
        let directive = name == PATCH
            || name == RETAIN_KEYS
            || list_name(&name, DELETE_FROM_LIST).is_some()
            || list_name(&name, SET_ORDER).is_some();
        if !directive && !value.is_null() {
            bared.insert(name, bare(value)?);
        }
    }
    Ok(bared)
}

/// Items with a directive are about other items, and none themselves.
fn bare_list(items: Vec<Value>) -> Result<Vec<Value>, PatchError> {
    let items = items.into_iter().filter(|item| item.get(PATCH).is_none());
    items.map(bare).collect()
}

//! Lists that are merged.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::schema::At;
use super::{PATCH, bare, bare_list, merge_map, unknown_directive};
use crate::go;
use crate::patch::PatchError;
use crate::patch::order::{Identity, Places, arrange};

/// Merges a patch's items into a list of scalars or of objects, or takes scalars out of it.
pub(super) fn merge_list(
    original: Vec<Value>,
    patch: Vec<Value>,
    at: At<'_>,
    deletes: bool,
) -> Result<Vec<Value>, PatchError> {
    let Some(first) = same_types(&original, &patch)? else {
        return Ok(original);
    };
    if first == Type::Object {
        return merge_objects(original, patch, at);
    }
    if deletes {
        let gone: HashSet<&Value> = patch.iter().collect();
        let kept = original.into_iter().filter(|value| !gone.contains(value));
        return Ok(kept.collect());
    }
    let server = Places::of(&original, Identity::Whole);
    let order = Places::of(&patch, Identity::Whole);
    let mut seen = HashSet::new();
    let both = original.into_iter().chain(patch);
    let merged = both.filter(|value| seen.insert(value.clone())).collect();
    Ok(arrange(merged, &order, &server, Identity::Whole))
}

fn merge_objects(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    at: At<'_>,
) -> Result<Vec<Value>, PatchError> {
    let items = at.items();
    let Some(key) = at.merge_key() else {
        return Err(PatchError::UnknownMergeKey(items.go_kind()));
    };
    let identity = Identity::Field(key);
    let mut new = Vec::with_capacity(patch.len());
    let mut gone = HashSet::new();
    let mut replaces = false;
    for item in patch {
        let fields = object(&item)?;
        let Some(directive) = fields.get(PATCH) else {
            new.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let id = fields.get(key);
                gone.insert(
                    id.ok_or_else(|| PatchError::no_merge_key(fields, key))?
                        .clone(),
                );
            }
            Some("replace") => replaces = true,
            Some("merge") => return Err(PatchError::ListMerge),
            _ => return Err(unknown_directive(directive, fields)),
        }
    }
    if replaces {
        check_keys(&new, key)?;
        return bare_list(new);
    }
    if !gone.is_empty() {
        original.retain(|item| !item.get(key).is_some_and(|id| gone.contains(id)));
    }
    check_keys(&original, key)?;
    check_keys(&new, key)?;
    let server = Places::of(&original, identity);
    let order = Places::of(&new, identity);
    // Two items of the patch with one key are merged like one after the other.
    let mut places = Places::of(&original, identity);
    for item in new {
        let id = identity.of(&item).clone();
        match places.get(&id) {
            Some(place) => {
                let old = std::mem::take(&mut original[place]);
                original[place] = Value::Object(merge_map(fields(old), fields(item), items)?);
                // An item that has lost its key could not be found again.
                check_keys(&original[place..=place], key)?;
            }
            None => {
                places.add(&id, original.len());
                original.push(bare(item)?);
            }
        }
    }
    Ok(arrange(original, &order, &server, identity))
}

/// Refuses items without the field that they are told apart by.
pub(super) fn check_keys(items: &[Value], key: &str) -> Result<(), PatchError> {
    for item in items {
        let fields = object(item)?;
        if !fields.contains_key(key) {
            return Err(PatchError::no_merge_key(fields, key));
        }
    }
    Ok(())
}

/// Refuses a patch's list whose items are not in the order that `$setElementOrder` says.
pub(super) fn check_order(patch: &[Value], order: &[Value], at: At<'_>) -> Result<(), PatchError> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let identity = at.identity();
    let kept: Vec<&Value> = patch
        .iter()
        .filter(|item| item.get(PATCH).is_none())
        .collect();
    if let Identity::Field(key) = identity {
        for item in kept.iter().copied().chain(order) {
            check_keys(std::slice::from_ref(item), key)?;
        }
    }
    let mut order_left = order.iter();
    let in_order = kept.iter().all(|item| {
        let id = identity.of(item);
        order_left.any(|ordered| identity.of(ordered) == id)
    });
    if in_order {
        return Ok(());
    }
    Err(PatchError::OrderMismatch {
        patch: go::display(&Value::from(patch)),
        order: go::display(&Value::from(order)),
    })
}

/// The type of items; those of two lists that are merged must have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Null,
    Boolean,
    Number,
    String,
    Object,
}

/// The one type of all items; none when there are no items.
pub(super) fn same_types(original: &[Value], patch: &[Value]) -> Result<Option<Type>, PatchError> {
    let mut types = None;
    for item in original.iter().chain(patch) {
        let this = match item {
            Value::Null => Type::Null,
            Value::Bool(_) => Type::Boolean,
            Value::Number(_) => Type::Number,
            Value::String(_) => Type::String,
            Value::Object(_) => Type::Object,
            Value::Array(_) => return Err(PatchError::ListOfLists),
        };
        if *types.get_or_insert(this) != this {
            let lists = Value::from(vec![Value::from(original), Value::from(patch)]);
            return Err(PatchError::MixedItems(go::display(&lists)));
        }
    }
    Ok(types)
}

fn object(item: &Value) -> Result<&Map<String, Value>, PatchError> {
    let wrong = || PatchError::wrong_type("map[string]interface {}", item);
    item.as_object().ok_or_else(wrong)
}

fn fields(item: Value) -> Map<String, Value> {
    match item {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

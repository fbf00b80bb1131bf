//! The order of a merged list.
//!
//! ```text
//!   patch order   3 1           the patch's items, in the patch's order
//!   server order  1 2 3         the others, in the order that they had
//!   merged        2 3 1         an item of the server alone goes before the next of the patch's
//!                               items if it was before it
//! ```

use std::collections::HashMap;

use serde_json::Value;

/// By what items are told apart.
#[derive(Debug, Clone, Copy)]
pub(super) enum Identity<'a> {
    /// By themselves.
    Whole,
    /// By a field of theirs; an item without it is one of its own, `null`.
    Field(&'a str),
}

impl<'a> Identity<'a> {
    /// What an item is told apart by.
    pub(super) fn of(self, item: &Value) -> &Value {
        match self {
            Identity::Whole => item,
            Identity::Field(name) => item.get(name).unwrap_or(&Value::Null),
        }
    }
}

/// The first place of each identity in a list.
pub(super) struct Places(HashMap<Value, usize>);

impl Places {
    pub(super) fn of(items: &[Value], identity: Identity<'_>) -> Self {
        let mut places = HashMap::with_capacity(items.len());
        for (place, item) in items.iter().enumerate() {
            places.entry(identity.of(item).clone()).or_insert(place);
        }
        Places(places)
    }

    pub(super) fn get(&self, id: &Value) -> Option<usize> {
        self.0.get(id).copied()
    }

    /// Remembers another, unless it is there.
    pub(super) fn add(&mut self, id: &Value, place: usize) {
        if !self.0.contains_key(id) {
            self.0.insert(id.clone(), place);
        }
    }
}

/// Puts merged items in order: those that `patch` has by their places in it, the others by their places on the server, and
/// both into one another as the server had them.
pub(super) fn arrange(
    merged: Vec<Value>,
    patch: &Places,
    server: &Places,
    identity: Identity<'_>,
) -> Vec<Value> {
    let count = merged.len();
    let in_patch = |item: &Value| patch.get(identity.of(item)).is_some();
    let (mut patched, mut others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(in_patch);
    let place = |places: &Places, item: &Value| {
        let place = places.get(identity.of(item));
        place.unwrap_or(usize::MAX)
    };
    patched.sort_by_key(|item| place(patch, item));
    others.sort_by_key(|item| place(server, item));
    let mut patched = patched.into_iter().peekable();
    let mut others = others.into_iter().peekable();
    let mut arranged = Vec::with_capacity(count);
    loop {
        let other_first = match (others.peek(), patched.peek()) {
            (Some(other), Some(patched)) => {
                let places = (
                    server.get(identity.of(other)),
                    server.get(identity.of(patched)),
                );
                matches!(places, (Some(other), Some(patched)) if other < patched)
            }
            (Some(_), None) => true,
            (None, _) => false,
        };
        let next = if other_first {
            others.next()
        } else {
            patched.next()
        };
        match next {
            Some(item) => arranged.push(item),
            None => return arranged,
        }
    }
}

//! The filters of CRI's lists, over plain records.

use std::collections::HashMap;

/// What lists know of a sandbox, or a container.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its ID.
    pub id: &'a str,
    /// The sandbox's ID: a sandbox's own.
    pub sandbox: &'a str,
    /// Its state, as CRI's enumeration numbers it.
    pub state: i32,
    /// Its labels.
    pub labels: &'a HashMap<String, String>,
}

/// What a client wants to see: all that is given must hold.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// The beginning of an ID, or "".
    pub id: &'a str,
    /// The beginning of the sandbox's ID, or "".
    pub sandbox: &'a str,
    /// A state.
    pub state: Option<i32>,
    /// Labels with just these values.
    pub labels: Option<&'a HashMap<String, String>>,
}

impl Wanted<'_> {
    /// Whether a record belongs to the answer.
    #[must_use]
    pub fn has(&self, record: &Record<'_>) -> bool {
        record.id.starts_with(self.id)
            && record.sandbox.starts_with(self.sandbox)
            && self.state.is_none_or(|state| record.state == state)
            && self
                .labels
                .into_iter()
                .flatten()
                .all(|(name, value)| record.labels.get(name) == Some(value))
    }
}

/// The one ID that this is, or that begins with it. None where there is none, or more than one.
#[must_use]
pub fn find_by_prefix<'a>(ids: impl IntoIterator<Item = &'a str>, prefix: &str) -> Option<&'a str> {
    if prefix.is_empty() {
        return None;
    }
    let mut found = None;
    for id in ids {
        if id == prefix {
            return Some(id);
        }
        if id.starts_with(prefix) && found.replace(id).is_some() {
            // Another one may still be equal.
            found = Some("");
        }
    }
    found.filter(|id| !id.is_empty())
}

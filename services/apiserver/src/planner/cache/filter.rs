//! Which of a resource's objects a list or a watch is about, and what a change is to who watches them.

use super::{Entry, Event};
use objects::selector::{FieldSelector, LabelSelector};
use std::sync::Arc;

/// Which objects.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Of one namespace.
    pub namespace: Option<Box<str>>,
    /// With one name.
    pub name: Option<Box<str>>,
    /// With labels.
    pub labels: LabelSelector,
    /// With fields.
    pub fields: FieldSelector,
}

/// What a change is to who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventType {
    /// It was not there, or did not match.
    Added,
    /// It matched, and does.
    Modified,
    /// It is no longer there, or does not match.
    Deleted,
}

impl EventType {
    /// As a watch names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

impl Filter {
    /// All objects, or those of a namespace, that selectors mean. A selector for one name is as good as the name.
    #[must_use]
    pub fn new(namespace: Option<&str>, labels: LabelSelector, fields: FieldSelector) -> Self {
        Self {
            namespace: namespace
                .or_else(|| fields.requires("metadata.namespace"))
                .map(Into::into),
            name: fields.requires("metadata.name").map(Into::into),
            labels,
            fields,
        }
    }

    /// Whether an object is one of them.
    #[must_use]
    pub fn matches(&self, entry: &Entry) -> bool {
        let is = |wanted: &Option<Box<str>>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        is(&self.name, Some(entry.name()))
            && is(&self.namespace, entry.namespace())
            && entry.matches(&self.labels, &self.fields)
    }

    /// What a change is, seen through the filter, and the object that is shown; None: nothing.
    #[must_use]
    pub fn sees(&self, event: &Event) -> Option<(EventType, Arc<Entry>)> {
        let matching = |entry: &Option<Arc<Entry>>| {
            entry.as_ref().filter(|entry| self.matches(entry)).cloned()
        };
        match (matching(&event.old), matching(&event.new)) {
            (None, None) => None,
            (None, Some(new)) => Some((EventType::Added, new)),
            (Some(_), Some(new)) => Some((EventType::Modified, new)),
            (Some(_), None) => Some((EventType::Deleted, event.gone()?)),
        }
    }
}

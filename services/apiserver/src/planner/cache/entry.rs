//! An object as it is cached.

use super::pick::Picker;
use bytes::Bytes;
use objects::{
    encode::{SpliceError, splice},
    selector::{FieldSelector, LabelSelector, Labels},
};

/// An object: its bytes as they are served, and what selectors look at.
#[derive(Debug)]
pub struct Entry {
    /// `namespace/name`, or `name`.
    key: Box<str>,
    /// The revision that wrote it.
    revision: u64,
    /// JSON, with the revision as resourceVersion.
    bytes: Bytes,
    /// In the order of their keys.
    labels: Box<[(Box<str>, Box<str>)]>,
    /// Selectable fields that are there, by their names.
    fields: Box<[(&'static str, Box<str>)]>,
}

/// What the store has is no object.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Its metadata cannot be found.
    #[error("{key} in the store")]
    Splice {
        /// Which.
        key: String,
        /// Why.
        #[source]
        source: SpliceError,
    },
    /// It is no JSON.
    #[error("{key} in the store")]
    Json {
        /// Which.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Entry {
    /// From what the store has.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn new(
        key: &str,
        stored: &[u8],
        revision: u64,
        picker: &Picker,
    ) -> Result<Self, EntryError> {
        let bytes = splice(stored, revision).map_err(|source| EntryError::Splice {
            key: key.to_owned(),
            source,
        })?;
        let picked = picker.pick(&bytes).map_err(|source| EntryError::Json {
            key: key.to_owned(),
            source,
        })?;
        let fields = picker.fields().iter().zip(picked.fields);
        let fields = fields.filter_map(|(selectable, value)| {
            let value = value.unwrap_or_else(|| selectable.absent.into());
            (!value.is_empty()).then_some((selectable.field, value))
        });
        Ok(Self {
            key: key.into(),
            revision,
            bytes,
            labels: picked.labels.into(),
            fields: fields.collect(),
        })
    }

    /// The same object when it was deleted, which is a revision, too.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn deleted(&self, revision: u64) -> Result<Self, EntryError> {
        let bytes = splice(&self.bytes, revision).map_err(|source| EntryError::Splice {
            key: self.key.to_string(),
            source,
        })?;
        Ok(Self {
            key: self.key.clone(),
            revision,
            bytes,
            labels: self.labels.clone(),
            fields: self.fields.clone(),
        })
    }

    /// `namespace/name`, or `name`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// None for an object without one.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.key.split_once('/').map(|(namespace, _)| namespace)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.key.split_once('/').map_or(&self.key, |(_, name)| name)
    }

    /// The revision that wrote it.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// JSON, with its resourceVersion. Clones share the buffer.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The value of a field that a selector may name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        match name {
            "metadata.name" => Some(self.name()),
            "metadata.namespace" => self.namespace(),
            _ => {
                let field = self.fields.iter().find(|(known, _)| *known == name);
                field.map(|(_, value)| &**value)
            }
        }
    }

    /// Whether it is one of those that selectors mean.
    #[must_use]
    pub fn matches(&self, labels: &LabelSelector, fields: &FieldSelector) -> bool {
        (labels.is_everything() || labels.matches(self))
            && (fields.is_everything() || fields.matches(|field| self.field(field)))
    }
}

impl Labels for Entry {
    fn label(&self, key: &str) -> Option<&str> {
        let place = self
            .labels
            .binary_search_by(|(known, _)| (**known).cmp(key));
        place.ok().map(|place| &*self.labels[place].1)
    }
}

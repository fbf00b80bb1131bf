//! A resource as discovery and OpenAPI tell of it: an entry of the table together with its schema, or what a custom resource's
//! definition says.

use crate::{
    resources::{Kind, RESOURCES, Resource},
    verb::Verb,
};
use objects::schema::{self, GroupVersionKind, Schemas};

/// A resource in one version, wherever it comes from.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Its names, kind, scope and type.
    pub resource: &'a schema::Resource,
    /// Where its type is.
    pub schemas: &'a Schemas,
    /// Of `kubectl`.
    pub short_names: Vec<&'a str>,
    /// Such as `all`.
    pub categories: Vec<&'a str>,
    /// What can be done with it.
    pub verbs: &'a [Verb],
    /// By name; its status, too.
    pub subresources: Vec<Subresource<'a>>,
    /// As what it is stored; None where it is not.
    pub stored: Option<Kind<'a>>,
    /// Takes strategic merge patches: built-in types do, custom ones do not.
    pub strategic_merge: bool,
}

/// A subresource of an [`Entry`].
#[derive(Debug, Clone)]
pub struct Subresource<'a> {
    /// Such as `scale`.
    pub name: &'a str,
    /// Of its objects.
    pub kind: Kind<'a>,
    /// What can be done with it.
    pub verbs: &'a [Verb],
}

/// What can be done with a status.
const STATUS: &[Verb] = &[Verb::Get, Verb::Patch, Verb::Update];

/// What a schema says of a resource of the table; a test finds that each entry has one.
#[must_use]
pub fn kind_of(resource: &Resource) -> Option<&'static schema::Resource> {
    let all = Schemas::builtin().resources();
    let place = all.binary_search_by(|found| {
        let kind = &found.kind;
        (&*kind.group, &*kind.version, &*found.plural).cmp(&(
            resource.group,
            resource.version,
            resource.name,
        ))
    });
    all.get(place.ok()?)
}

/// All that is built in, in the order of the table.
pub fn builtin() -> impl Iterator<Item = Entry<'static>> {
    RESOURCES.iter().filter_map(Entry::of)
}

impl Entry<'static> {
    /// An entry of the table; None without a schema.
    #[must_use]
    pub fn of(resource: &'static Resource) -> Option<Self> {
        let found = kind_of(resource)?;
        let own = Kind::from(&found.kind);
        let mut subresources: Vec<_> = resource
            .subresources
            .iter()
            .map(|part| Subresource {
                name: part.name,
                kind: part.kind.unwrap_or(own),
                verbs: part.verbs,
            })
            .collect();
        if resource.status {
            subresources.push(Subresource {
                name: "status",
                kind: own,
                verbs: STATUS,
            });
        }
        subresources.sort_by_key(|part| part.name);
        let stored = match resource.conversion {
            Some(conversion) => conversion.stored,
            None => own,
        };
        Some(Self {
            resource: found,
            schemas: Schemas::builtin(),
            short_names: resource.short_names.to_vec(),
            categories: resource.categories.to_vec(),
            verbs: resource.verbs,
            subresources,
            stored: (!resource.key.is_empty()).then_some(stored),
            strategic_merge: true,
        })
    }
}

impl<'a> Entry<'a> {
    /// What its objects say that they are.
    #[must_use]
    pub fn kind(&self) -> Kind<'a> {
        Kind::from(&self.resource.kind)
    }
}

impl<'a> From<&'a GroupVersionKind> for Kind<'a> {
    fn from(kind: &'a GroupVersionKind) -> Self {
        Self {
            group: &kind.group,
            version: &kind.version,
            kind: &kind.kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_the_table_has_a_schema() {
        for resource in RESOURCES {
            let found = kind_of(resource);
            assert!(found.is_some(), "{} {}", resource.group, resource.name);
        }
        assert_eq!(builtin().count(), RESOURCES.len());
    }

    #[test]
    fn every_kind_of_a_subresource_has_a_schema() {
        for entry in builtin() {
            for part in &entry.subresources {
                let found = entry.schemas.types().any(|(_, named)| {
                    let kind = named.kind.as_ref().map(Kind::from);
                    kind == Some(part.kind)
                });
                assert!(found, "{part:?}");
            }
        }
    }
}

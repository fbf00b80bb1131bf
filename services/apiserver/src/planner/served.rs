//! What is served: the table of resources, joined with the schemas.

use kinds::{
    Verb,
    resources::{RESOURCES, Resource, Subresource},
};
use objects::{
    decode::Target,
    schema::{Resource as Schema, Schemas},
    status::Qualified,
};
use std::collections::BTreeMap;

/// A resource in one version, and its schema.
#[derive(Debug, Clone, Copy)]
pub struct Served {
    /// Of the table.
    pub resource: &'static Resource,
    /// Kind, scope, fields.
    pub schema: &'static Schema,
    /// The resource whose objects are stored: itself, or another version.
    pub stored: &'static Resource,
    /// Of what is stored.
    pub stored_schema: &'static Schema,
}

impl Served {
    /// As answers name the resource: `deployments.apps`.
    #[must_use]
    pub fn qualified(&self) -> Qualified<'static> {
        Qualified::new(self.resource.group, self.resource.name)
    }

    /// As answers name the kind: `Deployment.apps`.
    #[must_use]
    pub fn qualified_kind(&self) -> Qualified<'static> {
        Qualified::new(self.resource.group, &self.schema.kind.kind)
    }

    /// `v1`, `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        self.schema.kind.api_version()
    }

    /// What bodies are decoded to.
    #[must_use]
    pub fn target(&self) -> Target<'static> {
        Target::Type(Schemas::builtin(), self.schema.type_id)
    }

    /// A subresource; None where it has no such one. `status` is one of those that have it.
    #[must_use]
    pub fn subresource(&self, name: &str) -> Option<Part> {
        if name == "status" && self.resource.status {
            return Some(Part::Status);
        }
        let mut subresources = self.resource.subresources.iter();
        subresources.find(|one| one.name == name).map(Part::Other)
    }

    /// Whether something can be done with it, or with a part of it.
    #[must_use]
    pub fn allows(&self, part: Option<Part>, verb: Verb) -> bool {
        match part {
            None => self.resource.verbs.contains(&verb),
            Some(Part::Status) => matches!(verb, Verb::Get | Verb::Update | Verb::Patch),
            Some(Part::Other(subresource)) => subresource.verbs.contains(&verb),
        }
    }
}

/// A subresource.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    /// Written apart from the rest.
    Status,
    /// One of the table's.
    Other(&'static Subresource),
}

/// All that is served.
#[derive(Debug)]
pub struct Catalogue(BTreeMap<(&'static str, &'static str, &'static str), Served>);

impl Catalogue {
    /// The built-in one. Each entry of the table has its schema: a test holds it.
    #[must_use]
    pub fn builtin() -> Self {
        let schemas: BTreeMap<_, _> = Schemas::builtin()
            .resources()
            .iter()
            .map(|schema| {
                let kind = &schema.kind;
                ((&*kind.group, &*kind.version, &*schema.plural), schema)
            })
            .collect();
        let schema_of = |resource: &Resource| {
            schemas
                .get(&(resource.group, resource.version, resource.name))
                .copied()
        };
        let served = RESOURCES.iter().filter_map(|resource| {
            let schema = schema_of(resource)?;
            let stored = match resource.conversion {
                None => resource,
                Some(conversion) => RESOURCES.iter().find(|other| {
                    let stored = conversion.stored;
                    (other.group, other.version, other.name)
                        == (stored.group, stored.version, resource.name)
                })?,
            };
            let key = (resource.group, resource.version, resource.name);
            let served = Served {
                resource,
                schema,
                stored,
                stored_schema: schema_of(stored)?,
            };
            Some((key, served))
        });
        Self(served.collect())
    }

    /// One by group, version and plural name.
    #[must_use]
    pub fn find(&self, group: &str, version: &str, name: &str) -> Option<&Served> {
        // The key's strings are static, those that are asked for are not.
        self.0
            .range((group_key(group), "", "")..)
            .map(|(_, served)| served)
            .take_while(|served| served.resource.group == group)
            .find(|served| served.resource.version == version && served.resource.name == name)
    }

    /// All, by group, version and name.
    pub fn iter(&self) -> impl Iterator<Item = &Served> {
        self.0.values()
    }
}

/// The static string of a group: that of the table, or one before which nothing sorts.
fn group_key(group: &str) -> &'static str {
    let known = RESOURCES.iter().find(|resource| resource.group == group);
    known.map_or("", |resource| resource.group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_of_the_table_has_its_schema() {
        let catalogue = Catalogue::builtin();
        for resource in RESOURCES {
            let found = catalogue.find(resource.group, resource.version, resource.name);
            assert!(
                found.is_some(),
                "{}/{} {}",
                resource.group,
                resource.version,
                resource.name
            );
        }
        assert!(catalogue.find("no", "v1", "pods").is_none());
        assert!(catalogue.find("", "v2", "pods").is_none());
    }
}

//! The page of the reference that tells which rules each type has.

use crate::{
    entry::kind_of,
    resources::{RESOURCES, Resource},
    rules::{AGE, NAME},
};
use objects::schema::{Kind, Schema, Schemas, TypeId};
use std::collections::BTreeSet;

const HEAD: &str = "\
# Kinds

Written from the table of resources (`libs/kinds`). What a cell leaves empty, a type has not: then what holds for all types
holds for it.

- Defaults: *schema* where a field's description in the API says its default, *own* where it depends on more than that.
- Validation, update, status: mistakes are found in the object by itself, in what an update changes, in what a change of the
  status changes. A type without status has *-*.
- Warnings: the server comments on a write that it carries out.
- Columns: of `kubectl get` besides name and age; those in brackets with `-o wide`.
- Fields: what a field selector may name besides `metadata.name` and `metadata.namespace`.

| Kind | Defaults | Validation | Update | Status | Warnings | Columns | Fields |
| --- | --- | --- | --- | --- | --- | --- | --- |
";

/// The page, as Markdown: a line for each resource and version of the table.
#[must_use]
pub fn reference() -> String {
    let lines = RESOURCES.iter().map(line);
    std::iter::once(HEAD.to_owned()).chain(lines).collect()
}

fn line(resource: &Resource) -> String {
    format!("| {} |\n", cells(resource).join(" | "))
}

/// What the page says of a resource, in the order of its head.
fn cells(resource: &Resource) -> [String; 8] {
    let rules = resource.rules;
    let (name, default) = match kind_of(resource) {
        Some(found) => (
            format!("{} {}", found.kind.api_version(), found.kind.kind),
            has_default(Schemas::builtin(), found.type_id),
        ),
        None => (resource.name.to_owned(), false),
    };
    let yes = |has: bool| if has { "yes" } else { "" }.to_owned();
    let defaults = match (default, rules.has_defaults()) {
        (true, true) => "schema, own",
        (true, false) => "schema",
        (false, true) => "own",
        (false, false) => "",
    };
    let status = match (resource.status, rules.has_status_validation()) {
        (false, _) => "-".to_owned(),
        (true, has) => yes(has),
    };
    let columns: Vec<String> = rules
        .columns
        .iter()
        .filter(|column| column.name != NAME.name && column.name != AGE.name)
        .map(|column| match column.priority {
            0 => column.name.to_owned(),
            _ => format!("({})", column.name),
        })
        .collect();
    let fields: Vec<String> = rules
        .selectable
        .iter()
        .map(|selectable| format!("`{}`", selectable.field))
        .collect();
    [
        name,
        defaults.to_owned(),
        yes(rules.has_validation()),
        yes(rules.has_update_validation()),
        status,
        yes(rules.has_warnings() || resource.warning.is_some()),
        columns.join(", "),
        fields.join(", "),
    ]
}

/// Whether a field of the type, or of a type that it leads to, has a default.
fn has_default(schemas: &Schemas, id: TypeId) -> bool {
    let mut seen = BTreeSet::from([id]);
    let mut open = vec![id];
    while let Some(named) = open.pop().and_then(|id| schemas.get(id)) {
        let mut found = Vec::new();
        if within(&named.schema, &mut found) {
            return true;
        }
        open.extend(found.into_iter().filter(|id| seen.insert(*id)));
    }
    false
}

/// The same without the types that are referred to; these are found.
fn within(schema: &Schema, found: &mut Vec<TypeId>) -> bool {
    schema.default.is_some()
        || match &schema.kind {
            Kind::Reference(id) => {
                found.push(*id);
                false
            }
            Kind::Map(inner, _) | Kind::Array(inner, _) => within(inner, found),
            Kind::Object(object) => object
                .fields
                .values()
                .any(|field| within(&field.schema, found)),
            _ => false,
        }
}

#[cfg(test)]
mod tests;

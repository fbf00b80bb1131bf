//! Schemas as OpenAPI has them: what a document keeps under `definitions` (version 2) or `components.schemas` (version 3).
//!
//! ```text
//!   add(Pod) ──> names of all types that Pod leads to ──each, when asked──> its definition, a JSON value
//! ```
//!
//! A definition is made when it is asked for, so that a document of a megabyte is never a tree in memory. Types of several
//! [`Schemas`] come together by their names: a custom resource's own and the built-in metadata.
//!
//! The forms are those of `kube-openapi`, with two differences that no client can act upon. A default is published only where
//! the server fills it in; upstream also publishes Go's zero value for each field that is no pointer. Required fields are in
//! alphabetical order; upstream's are in that of its structs.

mod schema;
#[cfg(test)]
mod tests;

use crate::schema::{Kind, NamedType, Schema, Schemas, TypeId};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The version of OpenAPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// 2.0, "Swagger": what it cannot say is left out, as upstream does (null, alternatives, defaults).
    V2,
    /// 3.0.
    V3,
}

impl Form {
    /// A reference to a type, such as `#/components/schemas/io.k8s.api.core.v1.Pod`.
    #[must_use]
    pub fn pointer(self, name: &str) -> String {
        match self {
            Self::V2 => format!("#/definitions/{name}"),
            Self::V3 => format!("#/components/schemas/{name}"),
        }
    }

    /// A schema that only refers to a type.
    #[must_use]
    pub fn reference(self, name: &str) -> Value {
        json!({"$ref": self.pointer(name)})
    }
}

/// The types that one document needs.
///
/// ```
/// use orlop_objects::openapi::{Definitions, Form};
/// use orlop_objects::schema::Schemas;
///
/// let schemas = Schemas::builtin();
/// let mut definitions = Definitions::new(Form::V3);
/// definitions.add(schemas, schemas.find("io.k8s.api.core.v1.Toleration").unwrap());
/// let (name, toleration) = definitions.iter().next().unwrap();
/// assert_eq!(name, "io.k8s.api.core.v1.Toleration");
/// assert_eq!(toleration["properties"]["tolerationSeconds"]["format"], "int64");
/// ```
#[derive(Debug, Clone)]
pub struct Definitions<'a> {
    form: Form,
    types: BTreeMap<&'a str, (&'a Schemas, &'a NamedType)>,
}

impl<'a> Definitions<'a> {
    /// None yet.
    #[must_use]
    pub const fn new(form: Form) -> Self {
        Self {
            form,
            types: BTreeMap::new(),
        }
    }

    /// Adds a type and all types that it leads to. One whose name is there already stays as it was; a place that is not in
    /// `schemas` adds nothing.
    pub fn add(&mut self, schemas: &'a Schemas, id: TypeId) {
        let mut open = vec![id];
        while let Some(named) = open.pop().and_then(|id| schemas.get(id)) {
            if self.types.contains_key(&*named.name) {
                continue;
            }
            self.types.insert(&named.name, (schemas, named));
            references(&named.schema, &mut open);
        }
    }

    /// Adds a type by its name, like [`Self::add`]; false if there is none.
    pub fn add_named(&mut self, schemas: &'a Schemas, name: &str) -> bool {
        let id = schemas.find(name);
        if let Some(id) = id {
            self.add(schemas, id);
        }
        id.is_some()
    }

    /// Whether a type is among them.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.types.contains_key(name)
    }

    /// Names and definitions, by name; each is made when it is asked for.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Value)> {
        self.types
            .iter()
            .map(|(name, (schemas, named))| (*name, self.definition(schemas, named)))
    }

    fn definition(&self, schemas: &Schemas, named: &NamedType) -> Value {
        let mut definition = schema::named(self.form, schemas, named);
        if let Some(kind) = &named.kind {
            let kind = json!({
                "group": *kind.group,
                "version": *kind.version,
                "kind": *kind.kind,
            });
            definition.insert("x-kubernetes-group-version-kind".into(), json!([kind]));
        }
        Value::Object(definition)
    }
}

/// The types that a schema refers to, without those that these refer to.
fn references(schema: &Schema, found: &mut Vec<TypeId>) {
    match &schema.kind {
        Kind::Reference(id) => found.push(*id),
        Kind::Map(inner, _) | Kind::Array(inner, _) => references(inner, found),
        Kind::Object(object) => {
            for field in object.fields.values() {
                references(&field.schema, found);
            }
        }
        _ => {}
    }
}

/// A JSON object.
type Members = Map<String, Value>;

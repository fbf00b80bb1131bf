//! What the schema says of the place where a patch is.

use crate::patch::order::Identity;
use crate::schema::{Kind, Schema, Schemas};

/// Longest chain of types that are only names for other types.
const REFERENCES_MAX: usize = 16;

/// A place in the object: its schema, where there is one. What nobody knows merges like any object.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    schemas: &'a Schemas,
    schema: Option<&'a Schema>,
}

impl<'a> At<'a> {
    pub(super) fn new(schemas: &'a Schemas, schema: &'a Schema) -> Self {
        At {
            schemas,
            schema: Some(schema),
        }
    }

    /// A field of the object, or a value of the map, that is here.
    pub(super) fn field(self, name: &str) -> At<'a> {
        let schema = match self.kind() {
            Some(Kind::Object(object)) => object.fields.get(name).map(|field| &field.schema),
            Some(Kind::Map(values, _)) => Some(&**values),
            _ => None,
        };
        At { schema, ..self }
    }

    /// The items of the list that is here.
    pub(super) fn items(self) -> At<'a> {
        let schema = match self.kind() {
            Some(Kind::Array(items, _)) => Some(&**items),
            _ => None,
        };
        At { schema, ..self }
    }

    /// Whether the list that is here is merged.
    pub(super) fn merges(self) -> bool {
        self.schema.is_some_and(|schema| schema.patch.merge)
    }

    /// The field that tells the items of the list here apart.
    pub(super) fn merge_key(self) -> Option<&'a str> {
        self.schema?.patch.merge_key.as_deref()
    }

    /// By what the items of the list here are told apart.
    pub(super) fn identity(self) -> Identity<'a> {
        self.merge_key().map_or(Identity::Whole, Identity::Field)
    }

    /// The name of its type in Go, for a message.
    pub(super) fn go_kind(self) -> &'static str {
        match self.kind() {
            Some(Kind::Object(_)) => "struct",
            Some(Kind::Map(..)) => "map",
            _ => "interface",
        }
    }

    fn kind(self) -> Option<&'a Kind> {
        let mut schema = self.schema?;
        for _ in 0..REFERENCES_MAX {
            match &schema.kind {
                Kind::Reference(id) => schema = &self.schemas.get(*id)?.schema,
                kind => return Some(kind),
            }
        }
        None
    }
}

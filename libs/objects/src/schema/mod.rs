//! The one form of a schema, for built-in and custom resources alike.
//!
//! ```text
//!   Schemas                       named types, by their OpenAPI names
//!     └── Schema                  of one value: its kind, and what is true of it
//!           ├── Kind::Object      named fields (each with a Schema, its protobuf tag, whether it is required)
//!           ├── Kind::Map         any keys, values of one Schema
//!           ├── Kind::Array       items of one Schema; atomic, a set, or a map by keys of its items
//!           ├── Kind::Reference   another named type: types may contain themselves
//!           └── scalars
//! ```

use serde_json::Value;
use std::collections::BTreeMap;

/// A named type's place in [`Schemas`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(u32);

/// All types of one origin: built-in ones, or those of one custom resource.
#[derive(Debug, Default)]
pub struct Schemas {
    /// By [`TypeId`].
    types: Vec<NamedType>,
    /// OpenAPI name, such as `io.k8s.api.core.v1.Pod`, to its place.
    by_name: BTreeMap<Box<str>, TypeId>,
}

/// A type with a name.
#[derive(Debug)]
pub struct NamedType {
    /// As in OpenAPI: `io.k8s.api.core.v1.Pod`.
    pub name: Box<str>,
    /// What it is.
    pub schema: Schema,
}

/// What is true of one value.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// Its shape.
    pub kind: Kind,
    /// JSON's null stands for a value (`nullable`), and is not the same as absence.
    pub nullable: bool,
    /// Taken when the field is absent.
    pub default: Option<Box<Value>>,
    /// OpenAPI's format: `int32`, `int64`, `double`, `byte`, `date-time`.
    pub format: Option<Box<str>>,
    /// How a strategic merge patch treats it.
    pub patch: Patch,
}

/// The shape of a value.
#[derive(Debug, Clone, Default)]
pub enum Kind {
    /// Anything (`RawExtension`, `JSON`, fields whose names nobody knows).
    #[default]
    Any,
    /// Named fields.
    Object(Box<Object>),
    /// Any keys; values of one schema. The flag: replaced whole (`x-kubernetes-map-type: atomic`).
    Map(Box<Schema>, Atomic),
    /// Items of one schema.
    Array(Box<Schema>, List),
    /// Another named type.
    Reference(TypeId),
    /// Text.
    String,
    /// A whole number: 32 or 64 bits by the format.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// `IntOrString`: a port's number or name, a count or a percentage.
    IntOrString,
    /// `Quantity`: text, and in requests also a number.
    Quantity,
}

/// Named fields.
#[derive(Debug, Clone, Default)]
pub struct Object {
    /// By their JSON names.
    pub fields: BTreeMap<Box<str>, Field>,
    /// Replaced whole (`x-kubernetes-map-type: atomic`).
    pub atomic: Atomic,
    /// Other fields than the named ones are kept (`x-kubernetes-preserve-unknown-fields`).
    pub preserves_unknown: bool,
}

/// A field of an object.
#[derive(Debug, Clone, Default)]
pub struct Field {
    /// Of its value.
    pub schema: Schema,
    /// Absence is a mistake.
    pub required: bool,
    /// Its number in protobuf; none in custom resources.
    pub tag: Option<u32>,
}

/// Whether a server-side apply has one owner for all of a value.
pub type Atomic = bool;

/// How items of a list are told apart (KEP-555).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum List {
    /// By nothing: the list is one value.
    #[default]
    Atomic,
    /// By themselves.
    Set,
    /// By these fields of theirs.
    Map(Vec<Box<str>>),
}

/// How a strategic merge patch treats a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch {
    /// Lists: merged and not replaced.
    pub merge: bool,
    /// Objects: fields that the patch does not name go (`retainKeys`).
    pub retain_keys: bool,
    /// Lists of objects: items are told apart by this field of theirs.
    pub merge_key: Option<Box<str>>,
}

impl Schemas {
    /// The type of this OpenAPI name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).copied()
    }

    /// A type by its place, which came from here.
    #[must_use]
    pub fn get(&self, id: TypeId) -> Option<&NamedType> {
        self.types.get(usize::try_from(id.0).ok()?)
    }
}

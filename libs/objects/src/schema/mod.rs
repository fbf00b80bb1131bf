//! The one form of a schema, for built-in and custom resources alike.
//!
//! ```text
//!   Schemas                       named types, by their OpenAPI names; which of them are resources
//!     └── Schema                  of one value: its kind, and what is true of it
//!           ├── Kind::Object      named fields (each with a Schema, its protobuf tag, whether it is required)
//!           ├── Kind::Map         any keys, values of one Schema
//!           ├── Kind::Array       items of one Schema; atomic, a set, or a map by keys of its items
//!           ├── Kind::Reference   another named type: types may contain themselves
//!           └── scalars
//! ```
//!
//! The built-in ones are [`Schemas::builtin`]; what they say to people is apart, in [`Descriptions`].

mod descriptions;
mod text;

pub use descriptions::Descriptions;
pub use text::FormError;

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
    /// What is served under an URL of its own.
    resources: Vec<Resource>,
}

/// A type with a name.
#[derive(Debug)]
pub struct NamedType {
    /// As in OpenAPI: `io.k8s.api.core.v1.Pod`.
    pub name: Box<str>,
    /// What it is.
    pub schema: Schema,
    /// Of types whose values say what they are (`apiVersion` and `kind`).
    pub kind: Option<GroupVersionKind>,
}

/// What a value says that it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupVersionKind {
    /// `apps`; the empty string is the core group.
    pub group: Box<str>,
    /// `v1`.
    pub version: Box<str>,
    /// `Deployment`.
    pub kind: Box<str>,
}

/// A kind that is served under an URL of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// What its objects say that they are.
    pub kind: GroupVersionKind,
    /// In URLs: `deployments`.
    pub plural: Box<str>,
    /// What a person may write for one: `deployment`.
    pub singular: Box<str>,
    /// Its objects lie in namespaces.
    pub namespaced: bool,
    /// Kind of its lists; none where there is nothing to list (`SubjectAccessReview`).
    pub list_kind: Option<Box<str>>,
    /// Type of its objects.
    pub type_id: TypeId,
}

/// What is true of one value.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// Its shape.
    pub kind: Kind,
    /// JSON's null stands for a value (`nullable`), and is not the same as absence.
    pub nullable: bool,
    /// It does not change once it is set.
    pub immutable: bool,
    /// The type that it refers to has one owner here (`x-kubernetes-map-type: atomic` beside a reference).
    pub atomic: Atomic,
    /// Taken when the field is absent.
    pub default: Option<Box<Value>>,
    /// OpenAPI's format: `int32`, `int64`, `double`, `byte`, `date-time`.
    pub format: Option<Box<str>>,
    /// How a strategic merge patch treats it.
    pub patch: Patch,
    /// What else must hold; none in built-in types, whose rules are code.
    pub constraints: Option<Box<Constraints>>,
    /// For people; none in built-in types, whose texts are [`Descriptions`].
    pub description: Option<Box<str>>,
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
    /// Its number in protobuf; none in custom resources, and in the few fields that protobuf leaves out.
    pub tag: Option<u32>,
    /// Numbers of the messages that it lies in, from the outermost: protobuf has a message where JSON shows the message's
    /// fields as the object's own (`Volume.hostPath` is in number 2 of `Volume`). Mostly empty.
    pub within: Box<[u32]>,
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

/// What a structural schema of a custom resource may demand beyond shapes: OpenAPI's words, each absent where the schema
/// does not say it.
#[derive(Debug, Clone, Default)]
pub struct Constraints {
    /// The values that there are (`enum`).
    pub values: Vec<Value>,
    /// A regular expression that the text matches somewhere.
    pub pattern: Option<Box<str>>,
    /// Smallest number.
    pub minimum: Option<serde_json::Number>,
    /// The smallest number is itself too small.
    pub exclusive_minimum: bool,
    /// Largest number.
    pub maximum: Option<serde_json::Number>,
    /// The largest number is itself too large.
    pub exclusive_maximum: bool,
    /// The number is so many times this one.
    pub multiple_of: Option<serde_json::Number>,
    /// Characters of a text, items of a list or fields of an object: the fewest.
    pub min_size: Option<u64>,
    /// The most of them.
    pub max_size: Option<u64>,
}

impl Schemas {
    /// Those of Kubernetes' own types, read once; a failure would be the generator's, and a test of this crate finds it.
    #[must_use]
    pub fn builtin() -> &'static Self {
        text::builtin()
    }

    /// The type of this OpenAPI name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).copied()
    }

    /// The type whose values say that they are this: `find_kind("policy", "v1", "Eviction")`. All types are looked at.
    #[must_use]
    pub fn find_kind(&self, group: &str, version: &str, kind: &str) -> Option<TypeId> {
        let is = |found: &GroupVersionKind| {
            (&*found.group, &*found.version, &*found.kind) == (group, version, kind)
        };
        self.types()
            .find(|(_, named)| named.kind.as_ref().is_some_and(is))
            .map(|(id, _)| id)
    }

    /// A type by its place, which came from here.
    #[must_use]
    pub fn get(&self, id: TypeId) -> Option<&NamedType> {
        self.types.get(usize::try_from(id.0).ok()?)
    }

    /// All types, in the order in which they came.
    pub fn types(&self) -> impl Iterator<Item = (TypeId, &NamedType)> {
        (0..).map(TypeId).zip(&self.types)
    }

    /// What is served under an URL of its own, by group, version and plural.
    #[must_use]
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// Adds a type; one of the same name is replaced, and keeps its place.
    ///
    /// # Panics
    /// After four thousand million types.
    pub fn insert(&mut self, named: NamedType) -> TypeId {
        if let Some(id) = self.find(&named.name) {
            if let Some(place) = usize::try_from(id.0)
                .ok()
                .and_then(|i| self.types.get_mut(i))
            {
                *place = named;
            }
            return id;
        }
        let id = TypeId(u32::try_from(self.types.len()).expect("fewer than 2^32 types"));
        self.by_name.insert(named.name.clone(), id);
        self.types.push(named);
        id
    }
}

impl Schema {
    /// The schema that this one refers to, itself if it refers to none. A reference to a type that is not in `schemas`, or
    /// that ends nowhere, stands for anything.
    #[must_use]
    pub fn resolve<'a>(&'a self, schemas: &'a Schemas) -> &'a Self {
        static ANYTHING: Schema = Schema::ANY;
        let mut found = self;
        for _ in 0..=schemas.types.len() {
            let Kind::Reference(id) = &found.kind else {
                return found;
            };
            match schemas.get(*id) {
                Some(named) => found = &named.schema,
                None => break,
            }
        }
        &ANYTHING
    }

    /// Anything.
    pub const ANY: Self = Self {
        kind: Kind::Any,
        nullable: false,
        immutable: false,
        atomic: false,
        default: None,
        format: None,
        patch: Patch {
            merge: false,
            retain_keys: false,
            merge_key: None,
        },
        constraints: None,
        description: None,
    };
}

impl GroupVersionKind {
    /// As objects write it: `apps/v1`, and `v1` in the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

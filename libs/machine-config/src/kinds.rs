//! The one table of kinds. A kind is added by its type in `documents/` and one line in [`kinds!`];
//! parsing, schema, reference page, YAML output and difference follow from it.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Serialize, ser::Error as _};
use serde_json::Value;

use crate::documents::{Cluster, Link, Machine, Resolver, Time};
use crate::limits::MAX_LINKS;
use crate::problem::Position;
use crate::schema;
use crate::secret::to_value_exposed;

/// The only API version.
pub const API_VERSION: &str = "v1alpha1";

/// How many documents of a kind a config may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Exactly one.
    One,
    /// None or one.
    Optional,
    /// From none to this many.
    Many(usize),
}

/// An entry of the table of kinds.
#[derive(Debug)]
pub struct Kind {
    /// The `kind` of its documents.
    pub name: &'static str,
    /// How many documents a config may hold.
    pub count: Count,
    /// Makes the JSON Schema, without `apiVersion` and `kind`.
    pub(crate) schema: fn() -> Value,
    /// Puts a checked document into its place.
    pub(crate) place: fn(&mut Documents, Placed<Value>) -> Result<(), serde_json::Error>,
}

/// A document with the number and position where it stands.
#[derive(Debug)]
pub(crate) struct Placed<T> {
    /// Number of the YAML document, from 1.
    pub(crate) document: usize,
    pub(crate) position: Position,
    pub(crate) value: T,
}

impl Placed<Value> {
    fn typed<T: DeserializeOwned>(self) -> Result<Placed<T>, serde_json::Error> {
        Ok(Placed {
            document: self.document,
            position: self.position,
            value: serde_json::from_value(self.value)?,
        })
    }
}

/// What the field of [`MachineConfig`] is for a count.
macro_rules! field {
    (one $type:ty) => { $type };
    (optional $type:ty) => { Option<$type> };
    (many $max:ident $type:ty) => { Vec<$type> };
}

macro_rules! count {
    (one) => {
        Count::One
    };
    (optional) => {
        Count::Optional
    };
    (many $max:ident) => {
        Count::Many($max)
    };
}

/// From the documents that were read to the field.
macro_rules! take {
    ($from:expr, one) => {
        $from.into_iter().next()?.value
    };
    ($from:expr, optional) => {
        $from.into_iter().next().map(|placed| placed.value)
    };
    ($from:expr, many $max:ident) => {
        $from.into_iter().map(|placed| placed.value).collect()
    };
}

/// Every value of a field, whatever its count.
macro_rules! each {
    ($field:expr, one) => {
        std::iter::once(&$field)
    };
    ($field:expr, optional) => {
        $field.iter()
    };
    ($field:expr, many $max:ident) => {
        $field.iter()
    };
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $field:ident: [$($count:tt)+] $type:ident,)+) => {
        /// Every kind of document, in the order in which they are written and documented.
        pub static KINDS: &[Kind] = &[$(Kind {
            name: stringify!($type),
            count: count!($($count)+),
            schema: schema_of::<$type>,
            place: |documents, placed| {
                documents.$field.push(placed.typed()?);
                Ok(())
            },
        }),+];

        /// A whole, valid machine config. Only [`parse`](crate::parse) promises that it is valid;
        /// one that a program puts together is checked by writing and parsing it.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct MachineConfig {
            $($(#[$doc])* pub $field: field!($($count)+ $type),)+
        }

        /// The typed documents of a text, before the counts are known to be right.
        #[derive(Debug, Default)]
        pub(crate) struct Documents {
            $(pub(crate) $field: Vec<Placed<$type>>,)+
        }

        impl Documents {
            /// The config; `None` when a kind that must be there is missing.
            pub(crate) fn into_config(self) -> Option<MachineConfig> {
                Some(MachineConfig { $($field: take!(self.$field, $($count)+),)+ })
            }
        }

        impl MachineConfig {
            /// Kind and content of every document, in the order of [`KINDS`].
            fn values(&self, write: Writer) -> Result<Vec<(&'static str, Value)>, serde_json::Error> {
                let mut values = Vec::new();
                $(for document in each!(self.$field, $($count)+) {
                    values.push((stringify!($type), write.value(document)?));
                })+
                Ok(values)
            }
        }
    };
}

kinds! {
    /// The machine.
    machine: [one] Machine,
    /// Its cluster. Without it the machine runs no Kubernetes.
    cluster: [optional] Cluster,
    /// Links in the order of the file; the first that fits a link counts.
    links: [many MAX_LINKS] Link,
    /// How names are looked up.
    resolver: [optional] Resolver,
    /// Where the clock comes from.
    time: [optional] Time,
}

/// Whether secrets are written in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    Exposed,
    Redacted,
}

impl Writer {
    fn value<T: Serialize>(self, document: &T) -> Result<Value, serde_json::Error> {
        match self {
            Self::Exposed => to_value_exposed(document),
            Self::Redacted => serde_json::to_value(document),
        }
    }
}

impl MachineConfig {
    /// Kind and content of every document, without `apiVersion` and `kind`.
    pub(crate) fn documents(&self, write: Writer) -> Vec<(&'static str, Value)> {
        self.values(write)
            .map_err(|error| serde_json::Error::custom(error.to_string()))
            .expect("all keys of the document types are text, and their serialisation cannot fail")
    }

    /// The documents as JSON with every secret replaced by `<redacted>`: for readers of a lesser
    /// role and for logs.
    #[must_use]
    pub fn redacted(&self) -> Vec<Value> {
        self.documents(Writer::Redacted)
            .into_iter()
            .map(|(kind, value)| with_header(kind, value))
            .collect()
    }
}

/// Adds `apiVersion` and `kind`.
pub(crate) fn with_header(kind: &str, mut value: Value) -> Value {
    value["apiVersion"] = API_VERSION.into();
    value["kind"] = kind.into();
    value
}

fn schema_of<T: JsonSchema>() -> Value {
    schema::generate::<T>()
}

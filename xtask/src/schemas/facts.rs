//! What neither crate has, or what one of them has for its own sake. Each fact has its reason; `cargo xtask schemas` names what is missing here.

use super::openapi::{Field, Resource, Shape, Type};

/// The package of what every object has.
pub(super) const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// Constants that a default refers to by name (`+default=ref(Name)`).
pub(super) const CONSTANTS: &[(&str, &str)] = &[
    ("AzureDataDiskCachingReadWrite", "ReadWrite"),
    ("AzureSharedBlobDisk", "Shared"),
];

/// Messages which JSON does not show, and whose fields are named differently from their types: the field's plain name,
/// and the type.
pub(super) const EMBEDDED: &[(&str, &str)] = &[("handler", "probehandler")];

/// Types that are no messages, with the reason.
const NO_MESSAGE: &[(&str, &str)] = &[
    (
        "io.k8s.apimachinery.pkg.version.Info",
        "/version is always JSON",
    ),
    (
        "io.k8s.apimachinery.pkg.apis.meta.v1.Table",
        "tables are always JSON",
    ),
    (
        "io.k8s.apimachinery.pkg.apis.meta.v1.TableColumnDefinition",
        "tables are always JSON",
    ),
    (
        "io.k8s.apimachinery.pkg.apis.meta.v1.TableRow",
        "tables are always JSON",
    ),
    (
        "io.k8s.apimachinery.pkg.apis.meta.v1.TableRowCondition",
        "tables are always JSON",
    ),
];

/// Whether a type is no message for a reason that is known.
pub(super) fn is_no_message(name: &str) -> bool {
    NO_MESSAGE.iter().any(|(known, _)| *known == name)
}

/// Whether a field has no tag for a reason that is known.
pub(super) fn has_no_tag(name: &str) -> bool {
    // In protobuf, a message lies in an envelope that has both (`runtime.Unknown`).
    matches!(name, "apiVersion" | "kind")
}

/// Whether a default is never seen: Go's value when there is none, in a field that Go then leaves out. The defaults that
/// are such values but are seen (`GRPCAction.service`) are in fields that are pointers.
pub(super) fn is_unseen_default(of: &str, name: &str, default: &str) -> bool {
    let short = of.rsplit('.').next().unwrap_or(of);
    match name {
        "name" => default == "\"\"",
        "replicas" => short == "ScaleSpec",
        "minReadySeconds" => short == "ReplicationControllerSpec",
        _ => false,
    }
}

/// Kinds that neither crate calls a resource, though requests and answers name them.
pub(super) const KINDS: &[(&str, &str)] = &[
    (
        "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
        "DeleteOptions",
    ),
    (
        "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent",
        "WatchEvent",
    ),
];

/// Types that k8s-openapi leaves out: representations of others, which a client asks for by its Accept header
/// (`meta.k8s.io/v1`).
pub(super) fn types() -> Vec<Type> {
    let string = || Shape::String(String::new());
    let own = |name: &str| Shape::Reference(format!("{META}.{name}"));
    let list = |shape| Shape::Array(Box::new(shape));
    let raw = || Shape::Reference("io.k8s.apimachinery.pkg.runtime.RawExtension".to_owned());
    vec![
        kind(
            "PartialObjectMetadata",
            "An object of which only the metadata is shown.",
            vec![("metadata", own("ObjectMeta"), false, "")],
        ),
        kind(
            "PartialObjectMetadataList",
            "Objects of which only the metadata is shown.",
            vec![
                ("metadata", own("ListMeta"), false, ""),
                ("items", list(own("PartialObjectMetadata")), true, ""),
            ],
        ),
        kind(
            "Table",
            "Objects as rows of a table, as a person reads them.",
            vec![
                (
                    "metadata",
                    own("ListMeta"),
                    false,
                    "Of the list that the rows are from.",
                ),
                (
                    "columnDefinitions",
                    list(own("TableColumnDefinition")),
                    true,
                    "What the cells of each row hold, in their order.",
                ),
                ("rows", list(own("TableRow")), true, "One for each object."),
            ],
        ),
        plain(
            "TableColumnDefinition",
            "One column of a table.",
            vec![
                ("name", string(), true, "Its heading."),
                ("type", string(), true, "The OpenAPI type of its cells."),
                (
                    "format",
                    string(),
                    true,
                    "The OpenAPI format of its cells, or nothing.",
                ),
                ("description", string(), true, "What it shows."),
                (
                    "priority",
                    Shape::Integer("int32".to_owned()),
                    true,
                    "0 is always shown; the higher, the sooner it is left out where room is short.",
                ),
            ],
        ),
        plain(
            "TableRow",
            "One row of a table.",
            vec![
                (
                    "cells",
                    list(Shape::Any),
                    true,
                    "One value for each column.",
                ),
                (
                    "conditions",
                    list(own("TableRowCondition")),
                    false,
                    "What is notable about the row.",
                ),
                (
                    "object",
                    raw(),
                    false,
                    "The object, its metadata, or nothing, as the request asks.",
                ),
            ],
        ),
        plain(
            "TableRowCondition",
            "Something notable about a row.",
            vec![
                (
                    "type",
                    string(),
                    true,
                    "What: `Completed` is the one that is known.",
                ),
                ("status", string(), true, "`True`, `False` or `Unknown`."),
                ("reason", string(), false, "Why, as one word."),
                ("message", string(), false, "Why, for people."),
            ],
        ),
    ]
}

/// A field in the table above: name, shape, whether it is required, description.
type Row = (&'static str, Shape, bool, &'static str);

/// A type that says what it is.
fn kind(name: &str, description: &str, mut rows: Vec<Row>) -> Type {
    let string = || Shape::String(String::new());
    rows.push(("apiVersion", string(), false, "`meta.k8s.io/v1`."));
    rows.push(("kind", string(), false, "The type's own name."));
    Type {
        resource: Some(Resource {
            group: "meta.k8s.io".to_owned(),
            version: "v1".to_owned(),
            kind: name.to_owned(),
            ..Resource::default()
        }),
        ..plain(name, description, rows)
    }
}

fn plain(name: &str, description: &str, rows: Vec<Row>) -> Type {
    Type {
        name: format!("{META}.{name}"),
        package: "meta.v1",
        message: format!("apimachinery::pkg::apis::meta::v1::{name}"),
        description: description.to_owned(),
        shape: Shape::Object,
        fields: rows
            .into_iter()
            .map(|(name, shape, required, description)| {
                let field = Field {
                    shape,
                    description: description.to_owned(),
                    required,
                };
                (name.to_owned(), field)
            })
            .collect(),
        resource: None,
    }
}

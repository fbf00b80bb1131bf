//! Types of the one crate meet the messages of the other. A field whose tag is not found is an error, unless a table of
//! [`facts`](super::facts) says why.

use super::facts;
use super::openapi::{self, Shape, Type};
use super::protobuf::{Markers, Message, Messages, key, plain};
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};

/// All types, by package and by name.
pub(super) type Model = BTreeMap<&'static str, BTreeMap<String, Merged>>;

/// A type with all that is known of it.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) shape: Shape,
    pub(super) atomic: bool,
    /// Served under an URL of its own.
    pub(super) resource: Option<openapi::Resource>,
    /// Group, version and kind, of types that carry them.
    pub(super) kind: Option<(String, String, String)>,
    pub(super) fields: BTreeMap<String, Field>,
}

/// A field with all that is known of it.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) shape: Shape,
    pub(super) description: String,
    pub(super) required: bool,
    /// Numbers of the messages that it lies in, from the outermost, and its own; none if protobuf does not have it.
    pub(super) tags: Vec<u32>,
    pub(super) list: Option<String>,
    pub(super) atomic: bool,
    pub(super) patch: Option<String>,
    pub(super) merge_key: Option<String>,
    pub(super) immutable: bool,
    pub(super) default: Option<String>,
}

/// Merges all types.
pub(super) fn merge(types: Vec<Type>, messages: &Messages) -> Result<Model> {
    let mut model = Model::new();
    let mut unexplained = Vec::new();
    let mut all = Vec::new();
    for found in types.into_iter().chain(facts::types()) {
        if let Some(list) = list(&found, messages)? {
            all.push(list);
        }
        all.push(found);
    }
    for found in all {
        let package = found.package;
        let merged = one(found, messages, &mut unexplained)?;
        let short = merged
            .name
            .rsplit('.')
            .next()
            .unwrap_or_default()
            .to_owned();
        model.entry(package).or_default().insert(short, merged);
    }
    if !unexplained.is_empty() {
        bail!(
            "no protobuf tag for these, and no fact about them:\n  {}",
            unexplained.join("\n  ")
        );
    }
    Ok(model)
}

/// The list of a resource: k8s-openapi has one generic type for all.
fn list(of: &Type, messages: &Messages) -> Result<Option<Type>> {
    let Some(resource) = &of.resource else {
        return Ok(None);
    };
    let Some(kind) = &resource.list_kind else {
        return Ok(None);
    };
    let (module, _) = of.message.rsplit_once("::").context("a type outside")?;
    let path = format!("{module}::{kind}");
    let message = messages
        .get(&key(&path))
        .with_context(|| format!("{kind} is not in k8s-pb"))?;
    let (prefix, _) = of.name.rsplit_once('.').context("a name without a dot")?;
    let text = |name: &str| {
        message
            .fields
            .get(name)
            .map(|field| field.description.clone())
            .unwrap_or_default()
    };
    let own = |name: &str| {
        of.fields
            .get(name)
            .map(|field| field.description.clone())
            .unwrap_or_default()
    };
    let field = |shape, description, required| openapi::Field {
        shape,
        description,
        required,
    };
    let string = || Shape::String(String::new());
    let meta = format!("{}.ListMeta", facts::META);
    let items = Shape::Array(Box::new(Shape::Reference(of.name.clone())));
    let fields = [
        ("apiVersion", field(string(), own("apiVersion"), false)),
        ("kind", field(string(), own("kind"), false)),
        (
            "metadata",
            field(Shape::Reference(meta), text("metadata"), false),
        ),
        ("items", field(items, text("items"), true)),
    ];
    Ok(Some(Type {
        name: format!("{prefix}.{kind}"),
        package: of.package,
        message: path,
        description: message.description.clone(),
        shape: Shape::Object,
        fields: fields
            .into_iter()
            .map(|(name, field)| (name.to_owned(), field))
            .collect(),
        resource: Some(openapi::Resource {
            group: resource.group.clone(),
            version: resource.version.clone(),
            kind: kind.clone(),
            ..openapi::Resource::default()
        }),
    }))
}

fn one(found: Type, messages: &Messages, unexplained: &mut Vec<String>) -> Result<Merged> {
    let empty = Message::default();
    let message = messages.get(&key(&found.message));
    let none = message.is_none();
    let message = message.unwrap_or(&empty);
    let mut fields = BTreeMap::new();
    let shown: BTreeSet<String> = found.fields.keys().map(|name| plain(name)).collect();
    for (name, field) in found.fields {
        let place = place(&name, &shown, message, messages);
        let no_markers = Markers::default();
        let (tags, markers) = match &place {
            Some((tags, markers, _)) => (tags.clone(), *markers),
            None => {
                let full = format!("{}.{name}", found.name);
                let explained =
                    facts::has_no_tag(&name) || (none && facts::is_no_message(&found.name));
                if !explained {
                    unexplained.push(full);
                }
                (Vec::new(), &no_markers)
            }
        };
        let mut field = with_markers(field, tags, markers)
            .with_context(|| format!("{}, field {name}", found.name))?;
        // k8s-openapi requires both where upstream does not: it spares its users an `Option`.
        if (name == "metadata" && found.resource.is_some()) || field.default.is_some() {
            field.required = false;
        }
        field.default = field
            .default
            .filter(|default| !facts::is_unseen_default(&found.name, &name, default));
        if let (true, Some((.., description))) = (field.description.is_empty(), place) {
            description.clone_into(&mut field.description);
        }
        fields.insert(name, field);
    }
    let (resource, mut kind) = kind(found.resource);
    if let Some((_, name)) = facts::KINDS.iter().find(|(name, _)| *name == found.name) {
        kind = Some((String::new(), "v1".to_owned(), (*name).to_owned()));
    }
    Ok(Merged {
        name: found.name,
        description: found.description,
        shape: found.shape,
        atomic: message.markers.get("structType") == Some("atomic"),
        resource,
        kind,
        fields,
    })
}

/// What is served under an URL of its own, and what is only a kind.
fn kind(
    found: Option<openapi::Resource>,
) -> (Option<openapi::Resource>, Option<(String, String, String)>) {
    match found {
        None => (None, None),
        Some(found) if found.plural.is_empty() || found.scope == "SubResourceScope" => {
            (None, Some((found.group, found.version, found.kind)))
        }
        Some(found) => {
            let kind = (
                found.group.clone(),
                found.version.clone(),
                found.kind.clone(),
            );
            (Some(found), Some(kind))
        }
    }
}

/// Where a message has a field: itself, or in a message which JSON does not show. Such a one is a field that is named as
/// its own type (Go embeds it), and not one of the fields that JSON shows: the `kind` of a `RoleBinding` is not that of
/// its `roleRef`.
fn place<'a>(
    name: &str,
    shown: &BTreeSet<String>,
    message: &'a Message,
    messages: &'a Messages,
) -> Option<(Vec<u32>, &'a Markers, &'a str)> {
    if let Some(field) = message.fields.get(&plain(name)) {
        return Some((vec![field.tag], &field.markers, &field.description));
    }
    message.fields.iter().find_map(|(own, field)| {
        let inner = field.message.as_ref()?;
        let short = inner.rsplit("::").next()?;
        if shown.contains(own) {
            return None;
        }
        if plain(short) != *own && !facts::EMBEDDED.contains(&(own.as_str(), short)) {
            return None;
        }
        let (inner, markers, description) = place(name, shown, messages.get(inner)?, messages)?;
        let tags = std::iter::once(field.tag).chain(inner).collect();
        Some((tags, markers, description))
    })
}

fn with_markers(field: openapi::Field, tags: Vec<u32>, markers: &Markers) -> Result<Field> {
    // In a few places upstream marks what is no list (a map, `JSONSchemaPropsOrArray`); it means nothing there.
    let is_list = matches!(field.shape, Shape::Array(_));
    let list = match markers.get("listType").filter(|_| is_list) {
        None => None,
        Some("map") => {
            let keys: Vec<&str> = markers.all("listMapKey").collect();
            ensure!(!keys.is_empty(), "a list that is a map has no keys");
            Some(format!("map:{}", keys.join(",")))
        }
        Some(kind @ ("atomic" | "set")) => Some(kind.to_owned()),
        Some(other) => bail!("list type {other}"),
    };
    let atomic = [markers.get("mapType"), markers.get("structType")].contains(&Some("atomic"));
    let patch = markers
        .get("patchStrategy")
        .filter(|kind| *kind != "replace");
    let default = match markers.get("default") {
        None => None,
        Some(text) => Some(default(text)?),
    };
    Ok(Field {
        shape: field.shape,
        description: field.description,
        required: field.required,
        tags,
        list,
        atomic,
        patch: patch.map(str::to_owned),
        merge_key: markers.get("patchMergeKey").map(str::to_owned),
        immutable: markers.get("k8s:immutable").is_some(),
        default,
    })
}

/// JSON, or a reference to a constant.
fn default(text: &str) -> Result<String> {
    if let Some(name) = text
        .strip_prefix("ref(")
        .and_then(|rest| rest.strip_suffix(')'))
    {
        let (_, value) = facts::CONSTANTS
            .iter()
            .find(|(known, _)| *known == name)
            .with_context(|| format!("the default is {name}, which no table has"))?;
        return Ok(serde_json::Value::from(*value).to_string());
    }
    let value: serde_json::Value =
        serde_json::from_str(text).with_context(|| format!("the default `{text}` is no JSON"))?;
    Ok(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemas::protobuf;

    fn message(fields: &[(&str, u32, Option<&str>)]) -> Message {
        let mut message = Message::default();
        for (name, tag, inner) in fields {
            let field = protobuf::Field {
                tag: *tag,
                description: String::new(),
                markers: Markers::default(),
                message: inner.map(str::to_owned),
            };
            message.fields.insert(plain(name), field);
        }
        message
    }

    #[test]
    fn a_field_is_found_in_the_messages_that_json_does_not_show() {
        let messages: Messages = [
            (
                "a::volumesource".to_owned(),
                message(&[("hostPath", 1, None)]),
            ),
            (
                "a::rule".to_owned(),
                message(&[("volumeSource", 3, Some("a::volumesource"))]),
            ),
            ("a::other".to_owned(), message(&[("secret", 7, None)])),
        ]
        .into();
        let volume = message(&[
            ("name", 1, None),
            ("rule", 2, Some("a::rule")),
            ("mine", 4, Some("a::other")),
        ]);
        let nothing = BTreeSet::new();
        let tags = |name| place(name, &nothing, &volume, &messages).map(|(tags, ..)| tags);
        assert_eq!(tags("name"), Some(vec![1]));
        assert_eq!(tags("hostPath"), Some(vec![2, 3, 1]));
        assert_eq!(
            tags("secret"),
            None,
            "a field of its own name holds an object of its own"
        );
        let shown = BTreeSet::from(["rule".to_owned()]);
        assert!(
            place("hostPath", &shown, &volume, &messages).is_none(),
            "what JSON shows is not embedded"
        );
    }

    #[test]
    fn defaults_are_json_or_known_constants() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(default(text).ok().as_deref(), expect, "{text}");
        };
        check("\"TCP\"", Some("\"TCP\""));
        check("1", Some("1"));
        check("ref(AzureSharedBlobDisk)", Some("\"Shared\""));
        check("ref(Nothing)", None);
        check("TCP", None);
    }
}

//! Messages as k8s-pb has them: tags from prost's attributes, markers (`+listType=map`) from comments.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use syn::{Attribute, Expr, ExprLit, GenericArgument, Item, Lit, Meta, PathArguments};

/// A message.
#[derive(Debug, Default)]
pub(super) struct Message {
    /// What its comment says, markers left out.
    pub(super) description: String,
    pub(super) markers: Markers,
    /// By [`plain`] names.
    pub(super) fields: BTreeMap<String, Field>,
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) tag: u32,
    pub(super) description: String,
    pub(super) markers: Markers,
    /// Of a single message: its key.
    pub(super) message: Option<String>,
}

/// Markers of one comment: name and value, in their order.
#[derive(Debug, Default)]
pub(super) struct Markers(Vec<(String, String)>);

impl Markers {
    /// The value of the first marker of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.0.iter().filter(|(found, _)| found == name);
        all.next().map(|(_, value)| value.as_str())
    }

    /// The values of all markers of this name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A Rust path as a key: prost writes `IscsiVolumeSource` where all others have `ISCSIVolumeSource`.
pub(super) fn key(path: &str) -> String {
    path.to_ascii_lowercase()
}

/// All messages, by the [`key`]s of their Rust paths: `api::core::v1::pod`.
pub(super) type Messages = BTreeMap<String, Message>;

/// A name without what differs between JSON, Go and Rust: `clusterIPs` and `cluster_i_ps` are `clusterips`.
pub(super) fn plain(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

/// Reads all messages below the directory.
pub(super) fn read(top: &Path) -> Result<Messages> {
    let mut messages = Messages::new();
    read_directory(top, &mut Vec::new(), &mut messages)?;
    ensure!(!messages.is_empty(), "no messages in {}", top.display());
    Ok(messages)
}

fn read_directory(path: &Path, module: &mut Vec<String>, messages: &mut Messages) -> Result<()> {
    let mut entries: Vec<_> = fs::read_dir(path)
        .and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>())
        .with_context(|| format!("list {}", path.display()))?
        .into_iter()
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    for entry in entries {
        let name = entry
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        if entry.is_dir() {
            module.push(name);
            read_directory(&entry, module, messages)?;
            module.pop();
        } else if name == "mod.rs" {
            read_file(&entry, module, messages)
                .with_context(|| format!("read {}", entry.display()))?;
        }
    }
    Ok(())
}

fn read_file(path: &Path, module: &[String], messages: &mut Messages) -> Result<()> {
    for item in syn::parse_file(&fs::read_to_string(path)?)?.items {
        let Item::Struct(found) = item else { continue };
        let (description, markers) = comment(&found.attrs);
        let mut message = Message {
            description,
            markers,
            fields: BTreeMap::new(),
        };
        for field in &found.fields {
            let (Some(name), Some(tag)) = (&field.ident, tag(&field.attrs)?) else {
                continue;
            };
            let (description, markers) = comment(&field.attrs);
            let value = Field {
                tag,
                description,
                markers,
                message: single_message(&field.ty, module),
            };
            let name = name.to_string();
            let name = plain(name.strip_prefix("r#").unwrap_or(&name));
            message.fields.insert(name, value);
        }
        messages.insert(
            key(&format!("{}::{}", module.join("::"), found.ident)),
            message,
        );
    }
    Ok(())
}

/// The text and the markers of a comment. A marker begins its line: in the comments of examples it does not.
fn comment(attributes: &[Attribute]) -> (String, Markers) {
    let mut lines = Vec::new();
    let mut markers = Markers::default();
    for attribute in attributes {
        let Meta::NameValue(pair) = &attribute.meta else {
            continue;
        };
        let Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) = &pair.value
        else {
            continue;
        };
        let text = text.value();
        let line = text.strip_prefix(' ').unwrap_or(&text);
        if let Some(marker) = line.strip_prefix('+') {
            let (name, value) = marker.split_once('=').unwrap_or((marker, ""));
            markers
                .0
                .push((name.trim().to_owned(), value.trim().to_owned()));
        } else {
            lines.push(line.trim_end().to_owned());
        }
    }
    let text = lines.join("\n");
    (text.trim().to_owned(), markers)
}

/// The number in `#[prost(string, optional, tag = "3")]`.
fn tag(attributes: &[Attribute]) -> Result<Option<u32>> {
    for attribute in attributes {
        let Meta::List(list) = &attribute.meta else {
            continue;
        };
        if !list.path.is_ident("prost") {
            continue;
        }
        let text = list.tokens.to_string();
        let number = text
            .rsplit_once("tag = \"")
            .and_then(|(_, rest)| rest.split('"').next())
            .with_context(|| format!("no tag in `{text}`"))?;
        return Ok(Some(number.parse()?));
    }
    Ok(None)
}

/// `Option<super::super::meta::v1::ObjectMeta>`, a box around it or not: the message's key.
fn single_message(of: &syn::Type, module: &[String]) -> Option<String> {
    let syn::Type::Path(found) = of else {
        return None;
    };
    let last = found.path.segments.last()?;
    if last.ident == "Option" || last.ident == "Box" {
        let PathArguments::AngleBracketed(arguments) = &last.arguments else {
            return None;
        };
        return match arguments.args.first()? {
            GenericArgument::Type(inner) => single_message(inner, module),
            _ => None,
        };
    }
    if found.path.leading_colon.is_some() {
        return None;
    }
    let names: Vec<String> = found
        .path
        .segments
        .iter()
        .map(|segment| segment.ident.to_string())
        .collect();
    let up = names.iter().take_while(|name| *name == "super").count();
    let outer = module.get(..module.len().checked_sub(up)?)?;
    let path: Vec<&str> = outer
        .iter()
        .chain(&names[up..])
        .map(String::as_str)
        .collect();
    Some(key(&path.join("::")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_with_all_that_it_may_have() {
        let source = r#"
            /// A thing. It has
            /// two lines.
            /// +structType=atomic
            pub struct IscsiThing {
                /// Its ports.
                ///     // +listType=set
                /// +listType=map
                /// +listMapKey=port
                /// +listMapKey=protocol
                #[prost(message, repeated, tag = "12")]
                pub cluster_i_ps: ::prost::alloc::vec::Vec<Port>,
                #[prost(message, optional, boxed, tag = "3")]
                pub r#type: ::core::option::Option<::prost::alloc::boxed::Box<super::super::meta::v1::Meta>>,
            }
        "#;
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("api/core/v1");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("mod.rs"), source).unwrap();
        let messages = read(directory.path()).unwrap();
        let message = &messages[&key("api::core::v1::ISCSIThing")];
        assert_eq!(message.description, "A thing. It has\ntwo lines.");
        assert_eq!(message.markers.get("structType"), Some("atomic"));
        let ports = &message.fields[&plain("clusterIPs")];
        assert_eq!((ports.tag, &ports.message), (12, &None));
        assert_eq!(ports.markers.get("listType"), Some("map"));
        let keys: Vec<&str> = ports.markers.all("listMapKey").collect();
        assert_eq!(keys, ["port", "protocol"]);
        let found = &message.fields["type"];
        assert_eq!(found.tag, 3);
        assert_eq!(found.message.as_deref(), Some("api::meta::v1::meta"));
    }
}

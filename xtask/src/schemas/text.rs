//! The files: schemas, one line for each field, and descriptions apart from them, since only documentation needs those.
//!
//! ```text
//!   package io.k8s.api.core.v1                        names below are within it
//!   type ServicePort object [atomic]
//!     @resource group=- version=v1 kind=Service plural=services singular=service scope=namespaced list=ServiceList
//!     @kind group=- version=v1 kind=ServiceList       carries a kind, but has no URL of its own
//!     port integer:int32 required tag=3
//!     ports []*ServicePort tag=1 list=map:port,protocol patch=merge mergeKey=port
//! ```
//!
//! Shapes: `any`, `object`, `boolean`, `string[:format]`, `integer:format`, `number:format`, `int-or-string`, `quantity`,
//! `[]items`, `{}values`, `*Name` of this package or `*whole.name`. `tag=2.1`: the first of the message with number 2.
//! `default=` is JSON and ends its line.

use super::File;
use super::merge::{Field, Merged, Model};
use super::openapi::Shape;

const HEADER: &str =
    "# Written by `cargo xtask schemas`; its form is in xtask/src/schemas/text.rs.\n";

/// All files, by their paths.
pub(super) fn files(model: &Model, directory: &str) -> Vec<File> {
    let mut files = Vec::new();
    for (package, types) in model {
        let prefix = types
            .values()
            .next()
            .and_then(|first| first.name.rsplit_once('.'))
            .map_or("", |(prefix, _)| prefix);
        let mut schemas = format!("{HEADER}package {prefix}\n");
        let mut descriptions = format!("{HEADER}package {prefix}\n");
        for (short, found) in types {
            schemas.push_str(&one(short, found, prefix));
            descriptions.push_str(&described(short, found));
        }
        files.push((format!("{directory}/{package}.txt"), schemas));
        files.push((
            format!("{directory}/{package}.descriptions.txt"),
            descriptions,
        ));
    }
    files
}

fn one(short: &str, found: &Merged, prefix: &str) -> String {
    let mut text = format!("\ntype {short} {}", shape(&found.shape, prefix));
    if found.atomic {
        text.push_str(" atomic");
    }
    text.push('\n');
    if let Some((group, version, kind)) = &found.kind {
        let group = if group.is_empty() { "-" } else { group };
        match &found.resource {
            None => text.push_str(&format!(
                "  @kind group={group} version={version} kind={kind}\n"
            )),
            Some(resource) => {
                let scope = match resource.scope.as_str() {
                    "NamespaceResourceScope" => "namespaced",
                    _ => "cluster",
                };
                let list = resource.list_kind.as_deref().unwrap_or("-");
                text.push_str(&format!(
                    "  @resource group={group} version={version} kind={kind} plural={} singular={} scope={scope} list={list}\n",
                    resource.plural,
                    kind.to_lowercase(),
                ));
            }
        }
    }
    for (name, found) in &found.fields {
        text.push_str(&format!("  {name} {}\n", field(found, prefix)));
    }
    text
}

fn field(found: &Field, prefix: &str) -> String {
    let mut text = shape(&found.shape, prefix);
    let mut add = |option: String| {
        text.push(' ');
        text.push_str(&option);
    };
    if found.required {
        add("required".to_owned());
    }
    if !found.tags.is_empty() {
        let tags: Vec<String> = found.tags.iter().map(u32::to_string).collect();
        add(format!("tag={}", tags.join(".")));
    }
    if let Some(list) = &found.list {
        add(format!("list={list}"));
    }
    if found.atomic {
        add("atomic".to_owned());
    }
    if let Some(patch) = &found.patch {
        add(format!("patch={patch}"));
    }
    if let Some(key) = &found.merge_key {
        add(format!("mergeKey={key}"));
    }
    if found.immutable {
        add("immutable".to_owned());
    }
    if let Some(default) = &found.default {
        add(format!("default={default}"));
    }
    text
}

fn shape(found: &Shape, prefix: &str) -> String {
    let with = |name: &str, format: &str| match format {
        "" => name.to_owned(),
        format => format!("{name}:{format}"),
    };
    match found {
        Shape::Any => "any".to_owned(),
        Shape::Object => "object".to_owned(),
        Shape::Boolean => "boolean".to_owned(),
        Shape::String(format) => with("string", format),
        Shape::Integer(format) => with("integer", format),
        Shape::Number(format) => with("number", format),
        Shape::Map(values) => format!("{{}}{}", shape(values, prefix)),
        Shape::Array(items) => format!("[]{}", shape(items, prefix)),
        Shape::IntOrString => "int-or-string".to_owned(),
        Shape::Quantity => "quantity".to_owned(),
        Shape::Reference(name) => match name.rsplit_once('.') {
            Some((package, short)) if package == prefix => format!("*{short}"),
            _ => format!("*{name}"),
        },
    }
}

/// `type NAME TEXT` and `  FIELD TEXT`, the text as JSON, so that it stays on one line.
fn described(short: &str, found: &Merged) -> String {
    let line = |text: &str| serde_json::Value::from(text).to_string();
    let mut text = format!("\ntype {short} {}\n", line(&found.description));
    for (name, field) in &found.fields {
        if !field.description.is_empty() {
            text.push_str(&format!("  {name} {}\n", line(&field.description)));
        }
    }
    text
}

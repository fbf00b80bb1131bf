//! Types as k8s-openapi has them. Each type is one file; what is needed lies in the tokens of its `json_schema!` (a JSON
//! value, with calls where another type is referred to), in `schema_name`, and in the constants of `impl Resource`.

use super::Package;
use crate::workspace;
use anyhow::{Context, Result, bail, ensure};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use syn::{ImplItem, Item, ItemImpl};

/// A named type.
#[derive(Debug)]
pub(super) struct Type {
    /// OpenAPI name: `io.k8s.api.core.v1.Pod`.
    pub(super) name: String,
    /// Name of its file: `core.v1`.
    pub(super) package: &'static str,
    /// Key of the message in k8s-pb: `api::core::v1::Pod`.
    pub(super) message: String,
    pub(super) description: String,
    pub(super) shape: Shape,
    /// Of an object.
    pub(super) fields: BTreeMap<String, Field>,
    pub(super) resource: Option<Resource>,
}

/// A field as JSON has it.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) shape: Shape,
    pub(super) description: String,
    pub(super) required: bool,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Any,
    Object,
    Boolean,
    /// The format, or nothing.
    String(String),
    Integer(String),
    Number(String),
    Map(Box<Shape>),
    Array(Box<Shape>),
    /// An OpenAPI name; while types are read, a Rust path.
    Reference(String),
    IntOrString,
    Quantity,
}

/// What `impl Resource` says.
#[derive(Debug, Default)]
pub(super) struct Resource {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    pub(super) plural: String,
    pub(super) scope: String,
    pub(super) list_kind: Option<String>,
}

/// Types whose JSON is whatever it is: the crate says "object", or "one of".
const ANY: &[&str] = &[
    "FieldsV1",
    "JSON",
    "JSONSchemaPropsOrArray",
    "JSONSchemaPropsOrBool",
    "JSONSchemaPropsOrStringArray",
    "Patch",
    "RawExtension",
];

/// Types that are objects without fields.
const EMPTY: &[&str] = &["CustomResourceSubresourceStatus"];

/// Reads all types of the packages.
pub(super) fn read(top: &Path, packages: &[Package]) -> Result<Vec<Type>> {
    let mut types = Vec::new();
    for package in packages {
        for path in workspace::sorted_entries(&top.join(package.directory))? {
            if path.is_file() && path.file_name().is_some_and(|name| name != "mod.rs") {
                let read = || read_file(&path, package);
                types.extend(read().with_context(|| format!("read {}", path.display()))?);
            }
        }
    }
    let names: BTreeMap<String, String> = types
        .iter()
        .map(|found| (found.message.clone(), found.name.clone()))
        .collect();
    for found in &mut types {
        for (field, value) in &mut found.fields {
            resolve(&mut value.shape, &names)
                .with_context(|| format!("{}, field {field}", found.name))?;
        }
    }
    Ok(types)
}

/// Rust paths become OpenAPI names.
fn resolve(shape: &mut Shape, names: &BTreeMap<String, String>) -> Result<()> {
    match shape {
        Shape::Map(inner) | Shape::Array(inner) => resolve(inner, names),
        Shape::Reference(path) => {
            *path = names
                .get(path)
                .with_context(|| format!("refers to {path}, which no package has"))?
                .clone();
            Ok(())
        }
        _ => Ok(()),
    }
}

fn read_file(path: &Path, package: &Package) -> Result<Option<Type>> {
    let file = syn::parse_file(&fs::read_to_string(path)?)?;
    let impls: Vec<&ItemImpl> = file
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Impl(item) => Some(item),
            _ => None,
        })
        .collect();
    let of = |name: &str| {
        impls.iter().copied().find(|found| {
            found
                .trait_
                .as_ref()
                .and_then(|(_, path, _)| path.segments.last())
                .is_some_and(|last| last.ident == name)
        })
    };
    let Some(schema) = of("JsonSchema") else {
        return Ok(None);
    };
    let name = method(schema, "schema_name")
        .and_then(first_string)
        .context("`schema_name` is no text")?;
    let tokens = method(schema, "json_schema").context("there is no `json_schema`")?;
    let json = braces(&tokens)
        .context("`json_schema!` has no braces")
        .and_then(object)?;
    let short = name.rsplit('.').next().unwrap_or(&name).to_owned();
    let description = json.text("description").unwrap_or_default();
    let (shape, fields) =
        body(&short, &json).with_context(|| format!("the schema of {name} is of no known form"))?;
    let resource = of("Resource").map(|found| resource(found, of("ListableResource")));
    Ok(Some(Type {
        message: format!("{}::{short}", package.directory.replace('/', "::")),
        name,
        package: package.name,
        description,
        shape,
        fields,
        resource,
    }))
}

/// The shape of a type, and the fields of an object.
fn body(short: &str, json: &Json) -> Result<(Shape, BTreeMap<String, Field>)> {
    let none = BTreeMap::new();
    if short == "Quantity" {
        return Ok((Shape::Quantity, none));
    }
    if ANY.contains(&short) {
        return Ok((Shape::Any, none));
    }
    let Some(Json::Object(properties)) = json.get("properties") else {
        let shape = shape(json)?;
        ensure!(
            shape != Shape::Object || EMPTY.contains(&short),
            "an object without properties that no table explains"
        );
        return Ok((shape, none));
    };
    let required: Vec<String> = match json.get("required") {
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_text).collect(),
        _ => Vec::new(),
    };
    let mut fields = BTreeMap::new();
    for (name, value) in properties {
        let field = Field {
            shape: shape(value).with_context(|| format!("field {name}"))?,
            description: value.text("description").unwrap_or_default(),
            required: required.contains(name),
        };
        fields.insert(name.clone(), field);
    }
    Ok((Shape::Object, fields))
}

/// The shape of a value.
fn shape(json: &Json) -> Result<Shape> {
    if let Json::Reference { path, .. } = json {
        return Ok(Shape::Reference(path.clone()));
    }
    if json.get("x-kubernetes-int-or-string").is_some() {
        return Ok(Shape::IntOrString);
    }
    let format = json.text("format").unwrap_or_default();
    Ok(match json.text("type").as_deref() {
        Some("string") => Shape::String(format),
        Some("integer") => Shape::Integer(format),
        Some("number") => Shape::Number(format),
        Some("boolean") => Shape::Boolean,
        Some("array") => Shape::Array(Box::new(shape(
            json.get("items").context("an array without items")?,
        )?)),
        Some("object") => match json.get("additionalProperties") {
            Some(values) => Shape::Map(Box::new(shape(values)?)),
            None => Shape::Object,
        },
        other => bail!("type {other:?}"),
    })
}

fn resource(found: &ItemImpl, list: Option<&ItemImpl>) -> Resource {
    let mut resource = Resource {
        list_kind: list.and_then(|list| constant(list, "LIST_KIND")),
        ..Resource::default()
    };
    let text = |name| constant(found, name).unwrap_or_default();
    resource.group = text("GROUP");
    resource.version = text("VERSION");
    resource.kind = text("KIND");
    resource.plural = text("URL_PATH_SEGMENT");
    resource.scope = found
        .items
        .iter()
        .find_map(|item| match item {
            ImplItem::Type(item) => match &item.ty {
                syn::Type::Path(path) => {
                    path.path.segments.last().map(|last| last.ident.to_string())
                }
                _ => None,
            },
            _ => None,
        })
        .unwrap_or_default();
    resource
}

fn constant(found: &ItemImpl, name: &str) -> Option<String> {
    found.items.iter().find_map(|item| match item {
        ImplItem::Const(item) if item.ident == name => match &item.expr {
            syn::Expr::Lit(literal) => match &literal.lit {
                syn::Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    })
}

/// The tokens of a function whose body is one expression or macro.
fn method(found: &ItemImpl, name: &str) -> Option<TokenStream> {
    use syn::{Expr, Stmt};
    found.items.iter().find_map(|item| match item {
        ImplItem::Fn(item) if item.sig.ident == name => match item.block.stmts.first()? {
            Stmt::Macro(statement) => Some(statement.mac.tokens.clone()),
            Stmt::Expr(Expr::Macro(expression), _) => Some(expression.mac.tokens.clone()),
            Stmt::Expr(Expr::MethodCall(call), _) => match call.receiver.as_ref() {
                Expr::Lit(literal) => match &literal.lit {
                    syn::Lit::Str(text) => Some(TokenTree::from(text.token()).into()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        },
        _ => None,
    })
}

fn first_string(tokens: TokenStream) -> Option<String> {
    tokens.into_iter().find_map(|token| string(&token))
}

fn string(token: &TokenTree) -> Option<String> {
    match token {
        TokenTree::Literal(literal) => match syn::Lit::new(literal.clone()) {
            syn::Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

/// What stands in the tokens of `json_schema!`.
#[derive(Debug)]
enum Json {
    Text(String),
    Boolean,
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
    /// A call for another type's schema.
    Reference {
        path: String,
        description: Option<String>,
    },
}

impl Json {
    fn get(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(entries) => entries
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    fn as_text(&self) -> Option<String> {
        match self {
            Json::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        match self {
            Json::Reference { description, .. } if name == "description" => description.clone(),
            _ => self.get(name).and_then(Json::as_text),
        }
    }
}

/// The tokens within the outer braces.
fn braces(tokens: &TokenStream) -> Option<TokenStream> {
    tokens.clone().into_iter().find_map(|token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group.stream()),
        _ => None,
    })
}

/// `"key": value, ...`.
fn object(tokens: TokenStream) -> Result<Json> {
    let mut entries = Vec::new();
    let mut tokens = tokens.into_iter();
    while let Some(key) = tokens.next() {
        let key = string(&key).with_context(|| format!("`{key}` is no key"))?;
        tokens.next().context("a key without a colon")?;
        let value_tokens: Vec<TokenTree> = tokens
            .by_ref()
            .take_while(|token| !matches!(token, TokenTree::Punct(comma) if comma.as_char() == ','))
            .collect();
        let found = match value_tokens.as_slice() {
            [] => bail!("{key} has no value"),
            [token] => value(token)?,
            // A call, without the parentheses that most of them have.
            _ => reference(value_tokens.into_iter().collect())?,
        };
        entries.push((key, found));
    }
    Ok(Json::Object(entries))
}

fn value(token: &TokenTree) -> Result<Json> {
    if let Some(text) = string(token) {
        return Ok(Json::Text(text));
    }
    match token {
        TokenTree::Ident(name) if name == "true" || name == "false" => Ok(Json::Boolean),
        TokenTree::Group(group) => match group.delimiter() {
            Delimiter::Brace => object(group.stream()),
            Delimiter::Bracket => group
                .stream()
                .into_iter()
                .filter(|token| !matches!(token, TokenTree::Punct(_)))
                .map(|token| value(&token))
                .collect::<Result<_>>()
                .map(Json::Array),
            Delimiter::Parenthesis | Delimiter::None => reference(group.stream()),
        },
        other => bail!("`{other}` is no value"),
    }
}

/// `__gen.subschema_for::<crate::a::b::C>()`, alone or in a block that adds a description.
fn reference(tokens: TokenStream) -> Result<Json> {
    let mut flat = Vec::new();
    flatten(tokens, &mut flat);
    let mut path: Vec<String> = Vec::new();
    let mut inside = false;
    for token in &flat {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '<' => inside = true,
            TokenTree::Punct(punct) if punct.as_char() == '>' => break,
            TokenTree::Ident(name) if inside => path.push(name.to_string()),
            _ => {}
        }
    }
    ensure!(
        path.first().is_some_and(|first| first == "crate"),
        "a call without a type"
    );
    let description = flat.iter().filter_map(string).nth(1);
    Ok(Json::Reference {
        path: path[1..].join("::"),
        description,
    })
}

fn flatten(tokens: TokenStream, flat: &mut Vec<TokenTree>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => flatten(group.stream(), flat),
            token => flat.push(token),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shape of one value in `json_schema!`.
    fn check(tokens: &str, expect: &Shape) {
        let tokens: TokenStream = tokens.parse().unwrap();
        let json = value(&tokens.into_iter().next().unwrap()).unwrap();
        assert_eq!(&shape(&json).unwrap(), expect);
    }

    #[test]
    fn shapes() {
        let pod = || Shape::Reference("api::core::v1::Pod".to_owned());
        check(
            r#"{"description": "A, b: {c}", "type": "integer", "format": "int32",}"#,
            &Shape::Integer("int32".to_owned()),
        );
        check(
            "(__gen.subschema_for::<crate::api::core::v1::Pod>())",
            &pod(),
        );
        check(
            r#"{"type": "array", "items": (__gen.subschema_for::<crate::api::core::v1::Pod>()),}"#,
            &Shape::Array(Box::new(pod())),
        );
        check(
            r#"{"additionalProperties": __gen.subschema_for::<crate::api::core::v1::Pod>(), "type": "object"}"#,
            &Shape::Map(Box::new(pod())),
        );
        check(
            r#"{"x-kubernetes-int-or-string": true}"#,
            &Shape::IntOrString,
        );
    }

    #[test]
    fn a_reference_has_a_description_of_its_own() {
        let tokens: TokenStream = r#"({
            let mut schema_obj = __gen.subschema_for::<crate::api::core::v1::Pod>();
            schema_obj.ensure_object().insert("description".into(), "What it is.".into());
            schema_obj
        })"#
        .parse()
        .unwrap();
        let json = value(&tokens.into_iter().next().unwrap()).unwrap();
        assert_eq!(json.text("description").as_deref(), Some("What it is."));
    }
}

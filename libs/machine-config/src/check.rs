//! Checks the tree of one document against the schema of its kind and makes the JSON value that
//! serde turns into the type.
//!
//! Nothing stops the walk: what is wrong is reported and left out, so that the rest of the document
//! is still checked. A document that misses nothing but optional parts can then be typed, and the
//! rules between fields and documents are checked too.

mod scalar;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub(crate) use scalar::choices;

use crate::kinds::{API_VERSION, KINDS};
use crate::limits::MAX_QUOTED;
use crate::problem::{Collector, Position, Problem, below, below_unknown, show_unknown};
use crate::schema;
use crate::tree::{Content, Entry, Meaning, Node, resolve};
use crate::values::format;

/// Largest distance, in edits, at which another name is suggested.
const SUGGESTION_DISTANCE: usize = 3;

/// Positions of a document's values by path.
pub(crate) type Positions = BTreeMap<String, Position>;

/// The kind of a document, one of `known`; `None` after a problem was reported.
pub(crate) fn kind_of<'k>(
    node: &Node,
    document: usize,
    known: &[&'k str],
    problems: &mut Collector,
) -> Option<&'k str> {
    let mut report = |path: &str, at: Position, message: String, hint: Option<String>| {
        problems.add(problem(document, path, at, message, hint));
    };
    let Content::Mapping(entries) = &node.content else {
        let message = format!("a document must be a mapping, found {}", describe(node));
        report("", node.position, message, None);
        return None;
    };
    let first = |key: &str| entries.iter().find(|entry| *entry.key == key);
    match first("apiVersion").map(|entry| (&entry.value, text_of(&entry.value))) {
        Some((_, Some(API_VERSION))) => {}
        Some((value, _)) => {
            let message = "unknown apiVersion".to_owned();
            let hint = Some(format!("write {API_VERSION}"));
            report("apiVersion", value.position, message, hint);
        }
        None => {
            let hint = format!("begin the document with \"apiVersion: {API_VERSION}\"");
            report(
                "apiVersion",
                node.position,
                "is missing".to_owned(),
                Some(hint),
            );
        }
    }
    let kinds = || format!("the kinds are {}", known.join(", "));
    let Some(entry) = first("kind") else {
        report(
            "kind",
            node.position,
            "is missing".to_owned(),
            Some(kinds()),
        );
        return None;
    };
    let name = text_of(&entry.value).unwrap_or_default();
    let found = known.iter().copied().find(|kind| *kind == name);
    if found.is_none() {
        let hint = suggestion(name, known.iter().copied()).unwrap_or_else(kinds);
        let message = match show_unknown(name) {
            Some(name) => format!("unknown kind {name}"),
            None => "unknown kind".to_owned(),
        };
        report("kind", entry.value.position, message, Some(hint));
    }
    found
}

/// Checks the document against the schema of its kind and returns what could be made of it, with
/// the positions of its values.
pub(crate) fn document(
    node: &Node,
    kind: &str,
    schema: &Value,
    number: usize,
    problems: &mut Collector,
) -> (Option<Value>, Positions) {
    let mut checker = Checker {
        problems,
        document: number,
        kind,
        root: schema,
        positions: Positions::new(),
    };
    let value = checker.node(node, schema, kind, false);
    (value, checker.positions)
}

/// Text of a scalar.
fn text_of(node: &Node) -> Option<&str> {
    match &node.content {
        Content::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

/// What a node is, in words and without its value.
fn describe(node: &Node) -> &'static str {
    match &node.content {
        Content::Sequence(_) => "a list",
        Content::Mapping(_) => "a mapping",
        Content::Scalar { plain: false, .. } => "text",
        Content::Scalar { text, .. } => match resolve(text) {
            Meaning::Null => "no value",
            Meaning::Boolean(_) => "a boolean",
            Meaning::Integer => "a whole number",
            Meaning::Float => "a number with a fraction",
            Meaning::Text => "text",
        },
    }
}

fn problem(
    document: usize,
    path: &str,
    at: Position,
    message: String,
    hint: Option<String>,
) -> Problem {
    Problem {
        document,
        path: path.to_owned(),
        line: at.line,
        column: at.column,
        message,
        hint,
    }
}

/// `did you mean "x"?`, when a name is close enough.
fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    // The distance of two texts takes memory of the product of their lengths.
    if name.len() > MAX_QUOTED {
        return None;
    }
    let lower = name.to_ascii_lowercase().replace(['-', '_'], "");
    known
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&lower, &candidate.to_ascii_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= SUGGESTION_DISTANCE.min(candidate.len() / 2))
        .min()
        .map(|(_, candidate)| format!("did you mean \"{candidate}\"?"))
}

struct Checker<'a> {
    problems: &'a mut Collector,
    document: usize,
    /// Name of the kind, where every path begins.
    kind: &'a str,
    /// Schema of the kind.
    root: &'a Value,
    positions: Positions,
}

impl Checker<'_> {
    fn report(
        &mut self,
        path: &str,
        at: Position,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let problem = problem(self.document, path, at, message.into(), hint);
        self.problems.add(problem);
    }

    /// Checks one node. `secret` holds for everything below a secret: values are not repeated.
    fn node(&mut self, node: &Node, schema: &Value, path: &str, secret: bool) -> Option<Value> {
        let secret = secret || schema["writeOnly"] == true;
        self.positions.insert(path.to_owned(), node.position);
        if schema["format"] == "text" {
            return self.free_text(node, schema, path);
        }
        if let Some(choices) = choices(schema) {
            return self.choice(node, &choices, path);
        }
        match schema["type"].as_str() {
            Some("object") => self.mapping(node, schema, path, secret),
            Some("array") => self.list(node, schema, path, secret),
            Some("string") => self.string(node, schema, path, secret),
            Some("integer") => self.integer(node, schema, path),
            Some("boolean") => self.boolean(node, path),
            other => unreachable!("no type of a document makes the schema type {other:?}"),
        }
    }

    fn wrong_type(&mut self, node: &Node, path: &str, wanted: &str, hint: Option<String>) {
        let found = describe(node);
        let hint = match (found, hint) {
            ("no value", _) => Some("give it a value or remove the key".to_owned()),
            (_, hint) => hint,
        };
        self.report(
            path,
            node.position,
            format!("must be {wanted}, found {found}"),
            hint,
        );
    }

    fn mapping(&mut self, node: &Node, schema: &Value, path: &str, secret: bool) -> Option<Value> {
        let Content::Mapping(entries) = &node.content else {
            self.wrong_type(node, path, "a mapping", None);
            return None;
        };
        let known = schema["properties"].as_object();
        let mut seen: BTreeMap<&str, Position> = BTreeMap::new();
        let mut value = Map::new();
        for entry in entries {
            if path == self.kind && matches!(entry.key.as_str(), "apiVersion" | "kind") {
                self.duplicate(entry, &mut seen, &entry.key);
                continue;
            }
            let unknown = || below_unknown(path, &entry.key);
            let schema = match known.and_then(|known| known.get(entry.key.as_str())) {
                Some(schema) => schema,
                None if schema["additionalProperties"].is_object() => {
                    if !self.key_is_well_formed(entry, schema, &unknown()) {
                        continue;
                    }
                    &schema["additionalProperties"]
                }
                None => {
                    self.unknown_key(entry, known, &unknown());
                    continue;
                }
            };
            let inner = below(path, &entry.key);
            if self.duplicate(entry, &mut seen, &inner) {
                continue;
            }
            if let Some(item) = self.node(&entry.value, schema, &inner, secret) {
                value.insert(entry.key.to_string(), item);
            }
        }
        if let Some(max) = schema["maxProperties"].as_u64()
            && u64::try_from(entries.len()).is_ok_and(|length| length > max)
        {
            self.report(
                path,
                node.position,
                format!("has more than {max} entries"),
                None,
            );
        }
        self.required(node, schema, path, &seen)?;
        // A required field that is there but wrong leaves the whole unusable, reported already.
        let whole = required_names(schema).all(|name| value.contains_key(name));
        whole.then_some(Value::Object(value))
    }

    fn duplicate<'n>(
        &mut self,
        entry: &'n Entry,
        seen: &mut BTreeMap<&'n str, Position>,
        path: &str,
    ) -> bool {
        if let Some(first) = seen.get(entry.key.as_str()) {
            let hint = format!("the first one is on line {}", first.line);
            self.report(path, entry.key_position, "duplicate key", Some(hint));
            return true;
        }
        seen.insert(&entry.key, entry.key_position);
        false
    }

    fn key_is_well_formed(&mut self, entry: &Entry, schema: &Value, path: &str) -> bool {
        let Some(format) = schema["propertyNames"]["format"].as_str().and_then(format) else {
            return true;
        };
        match (format.check)(&entry.key) {
            Ok(()) => true,
            Err(why) => {
                let hint = Some(format!("wanted is {}", format.about));
                self.report(path, entry.key_position, format!("the key {why}"), hint);
                false
            }
        }
    }

    fn unknown_key(&mut self, entry: &Entry, known: Option<&Map<String, Value>>, path: &str) {
        let names = known.into_iter().flat_map(Map::keys).map(String::as_str);
        let hint = if self.problems.is_full() {
            None
        } else if *entry.key == "<<" {
            Some("merge keys are not used in a machine config; write the fields out".to_owned())
        } else {
            suggestion(&entry.key, names).or_else(|| self.place_of(&entry.key))
        };
        self.report(path, entry.key_position, "unknown key", hint);
    }

    /// Where a key that is unknown here belongs, if some kind has it.
    fn place_of(&self, key: &str) -> Option<String> {
        let others = KINDS.iter().filter(|kind| kind.name != self.kind);
        std::iter::once((self.kind, self.root))
            .chain(others.filter_map(|kind| Some((kind.name, schema::of(kind.name)?))))
            .find_map(|(kind, schema)| find_key(schema, key, kind))
            .map(|place| format!("it belongs to {place}"))
    }

    fn required(
        &mut self,
        node: &Node,
        schema: &Value,
        path: &str,
        seen: &BTreeMap<&str, Position>,
    ) -> Option<()> {
        let mut complete = true;
        for name in required_names(schema).filter(|name| !seen.contains_key(name)) {
            complete = false;
            let about = schema["properties"][name]["description"].as_str();
            let hint = about
                .and_then(|text| text.split_inclusive('.').next())
                .map(str::to_owned);
            self.report(&below(path, name), node.position, "is required", hint);
        }
        complete.then_some(())
    }

    fn list(&mut self, node: &Node, schema: &Value, path: &str, secret: bool) -> Option<Value> {
        let Content::Sequence(items) = &node.content else {
            let hint = Some("write each item on its own line after \"- \"".to_owned());
            self.wrong_type(node, path, "a list", hint);
            return None;
        };
        let length = u64::try_from(items.len()).unwrap_or(u64::MAX);
        if let Some(max) = schema["maxItems"].as_u64()
            && length > max
        {
            self.report(
                path,
                node.position,
                format!("has {length} items; at most {max} are taken"),
                None,
            );
            return None;
        }
        if schema["minItems"].as_u64().is_some_and(|min| length < min) {
            self.report(path, node.position, "must not be empty", None);
            return None;
        }
        let values = items.iter().enumerate().filter_map(|(index, item)| {
            self.node(item, &schema["items"], &format!("{path}[{index}]"), secret)
        });
        Some(values.collect::<Vec<_>>().into())
    }
}

fn required_names(schema: &Value) -> impl Iterator<Item = &str> {
    let names = schema["required"].as_array();
    names.into_iter().flatten().filter_map(Value::as_str)
}

/// The path of the first field with this name.
fn find_key(schema: &Value, key: &str, path: &str) -> Option<String> {
    let properties = schema["properties"].as_object()?;
    if properties.contains_key(key) {
        return Some(format!("{path}.{key}"));
    }
    properties.iter().find_map(|(name, inner)| {
        let path = format!("{path}.{name}");
        find_key(inner, key, &path).or_else(|| find_key(&inner["items"], key, &path))
    })
}

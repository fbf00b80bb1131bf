//! YAML to nodes, and nodes as serde's events. The grammar is the `granit-parser` crate's. Meaning is that of upstream's
//! decoder, whatever YAML 1.2 says: booleans of YAML 1.1, octal numbers with a leading zero, underscores in numbers, merge
//! keys (`<<`), keys that are no text become text, and mappings come in the order of their keys.
//!
//! An anchored node is kept once and shared. What its aliases stand for is counted when they are met, so that a small text
//! cannot become a large value.

mod plain;

use super::MAX_DEPTH;
use super::report::quoted;
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError};
use plain::{scalar, whole};
use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Nodes that aliases may add. Upstream's bound is a ratio; hand-written manifests repeat a few dozen.
const MAX_ALIASED_NODES: usize = 100_000;

/// Bytes of text that aliases may add.
const MAX_ALIASED_BYTES: usize = 1 << 20;

/// Keys that are there twice of which is spoken.
const MAX_REPEATED: usize = 100;

/// Upstream drops all documents but the first; here nothing that a client sent is dropped in silence.
const SECOND: &str = "more than one document";

/// A text that is one document.
#[derive(Debug)]
pub(super) struct Document {
    root: Node,
    repeated: Vec<String>,
}

#[derive(Debug, Clone)]
enum Node {
    Null,
    Boolean(bool),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Text(Box<str>),
    Sequence(Vec<Node>),
    Mapping(BTreeMap<Box<str>, Node>),
    Shared(Rc<Shared>),
}

/// An anchored node, and what an alias to it adds.
#[derive(Debug)]
struct Shared {
    node: Node,
    cost: Cost,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    nodes: usize,
    bytes: usize,
    height: usize,
}

impl Document {
    /// Keys that are there twice: a text for each, with its line.
    pub(super) fn repeated_keys(&self) -> &[String] {
        &self.repeated
    }

    /// The document for serde.
    pub(super) fn events(&self) -> Events<'_> {
        Events(&self.root)
    }
}

/// Reads one document; the text of the fault is without its prefix.
pub(super) fn read(bytes: &[u8]) -> Result<Document, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("invalid UTF-8 at byte {}", error.valid_up_to()))?;
    let options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder::default();
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| syntax(&error))?;
        let line = span.start.line();
        builder
            .event(event, line)
            .map_err(|fault| format!("line {line}: {fault}"))?;
    }
    Ok(Document {
        root: builder.root.unwrap_or(Node::Null),
        repeated: builder.repeated,
    })
}

fn syntax(error: &ScanError) -> String {
    let line = error.marker().line();
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => {
            format!("line {line}: nested more than {MAX_DEPTH} levels deep")
        }
        ErrorKind::UnknownAnchor => format!("line {line}: unknown anchor referenced"),
        kind => format!("line {line}: {kind}"),
    }
}

/// A sequence or mapping whose end has not been read yet.
struct Open {
    collection: Collection,
    anchor: usize,
    line: usize,
}

enum Collection {
    Sequence(Vec<Node>),
    Mapping {
        entries: BTreeMap<Box<str>, Node>,
        key: Option<Key>,
    },
}

enum Key {
    Named(Box<str>, usize),
    /// `<<`: the value's entries become the mapping's own.
    Merge,
}

#[derive(Default)]
struct Builder {
    root: Option<Node>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Rc<Shared>>,
    documents: usize,
    aliased: Cost,
    repeated: Vec<String>,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, line: usize) -> Result<(), String> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let tag = tag.as_deref();
                if plain && tag.is_none() && text == "<<" && self.awaits_key() {
                    self.set_key(Key::Merge);
                    return Ok(());
                }
                let node = scalar(&text, plain, tag)?;
                self.complete(node, anchor, line)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.begin(Collection::Sequence(Vec::new()), anchor, line)
            }
            Event::MappingStart(_, anchor, _) => {
                let collection = Collection::Mapping {
                    entries: BTreeMap::new(),
                    key: None,
                };
                self.begin(collection, anchor, line)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => {
                    let node = match open.collection {
                        Collection::Sequence(items) => Node::Sequence(items),
                        Collection::Mapping { entries, .. } => Node::Mapping(entries),
                    };
                    self.complete(node, open.anchor, open.line)
                }
                None => Ok(()),
            },
            Event::Alias(id) => {
                let Some(shared) = self.anchors.get(&id).cloned() else {
                    return Err("an anchor's value contains itself".to_owned());
                };
                self.spend(shared.cost)?;
                self.attach(Node::Shared(shared), line)
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, collection: Collection, anchor: usize, line: usize) -> Result<(), String> {
        if self.is_second() {
            return Err(SECOND.to_owned());
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("nested more than {MAX_DEPTH} levels deep"));
        }
        self.open.push(Open {
            collection,
            anchor,
            line,
        });
        Ok(())
    }

    /// What begins is the root of another document. One without content is none: a text may end with `---`.
    fn is_second(&self) -> bool {
        self.open.is_empty() && self.documents > 1
    }

    /// Counts what an alias, or a merge, adds.
    fn spend(&mut self, cost: Cost) -> Result<(), String> {
        self.aliased.nodes = self.aliased.nodes.saturating_add(cost.nodes);
        self.aliased.bytes = self.aliased.bytes.saturating_add(cost.bytes);
        if self.aliased.nodes > MAX_ALIASED_NODES || self.aliased.bytes > MAX_ALIASED_BYTES {
            return Err("document contains excessive aliasing".to_owned());
        }
        if self.open.len() + cost.height > MAX_DEPTH {
            return Err(format!("nested more than {MAX_DEPTH} levels deep"));
        }
        Ok(())
    }

    /// A whole node has been read: it is remembered if it is anchored, and put where it belongs.
    fn complete(&mut self, node: Node, anchor: usize, line: usize) -> Result<(), String> {
        if anchor == 0 {
            return self.attach(node, line);
        }
        let cost = node.cost();
        let shared = Rc::new(Shared { node, cost });
        self.anchors.insert(anchor, Rc::clone(&shared));
        self.attach(Node::Shared(shared), line)
    }

    fn awaits_key(&self) -> bool {
        matches!(
            self.open.last().map(|open| &open.collection),
            Some(Collection::Mapping { key: None, .. })
        )
    }

    fn set_key(&mut self, next: Key) {
        if let Some(Open {
            collection: Collection::Mapping { key, .. },
            ..
        }) = self.open.last_mut()
        {
            *key = Some(next);
        }
    }

    fn attach(&mut self, node: Node, line: usize) -> Result<(), String> {
        let Some(open) = self.open.last_mut() else {
            if self.documents > 1 && !matches!(node, Node::Null) {
                return Err(SECOND.to_owned());
            }
            self.root.get_or_insert(node);
            return Ok(());
        };
        let (entries, key) = match &mut open.collection {
            Collection::Sequence(items) => {
                items.push(node);
                return Ok(());
            }
            Collection::Mapping { entries, key } => (entries, key),
        };
        match key.take() {
            None => *key = Some(Key::Named(node.key()?, line)),
            Some(Key::Named(name, line)) => {
                if entries.contains_key(&name) && self.repeated.len() < MAX_REPEATED {
                    let name = quoted(&name);
                    self.repeated
                        .push(format!("line {line}: key {name} already set in map"));
                }
                entries.insert(name, node);
            }
            Some(Key::Merge) => return self.merge(&node),
        }
        Ok(())
    }

    /// `<<: *mapping`, or a list of mappings, of which the first counts most.
    fn merge(&mut self, node: &Node) -> Result<(), String> {
        let wrong = || Err("map merge requires map or sequence of maps as the value".to_owned());
        match node.shown() {
            Node::Mapping(added) => {
                // What is shared stays shared; the rest is copied, and counted as if an alias had named it.
                self.spend(node.cost())?;
                if let Some(Open {
                    collection: Collection::Mapping { entries, .. },
                    ..
                }) = self.open.last_mut()
                {
                    entries.extend(
                        added
                            .iter()
                            .map(|(key, value)| (key.clone(), value.clone())),
                    );
                }
                Ok(())
            }
            Node::Sequence(items) => {
                for item in items.iter().rev() {
                    if !matches!(item.shown(), Node::Mapping(_)) {
                        return wrong();
                    }
                    self.merge(item)?;
                }
                Ok(())
            }
            _ => wrong(),
        }
    }
}

impl Node {
    /// The node itself, not that it is shared.
    fn shown(&self) -> &Node {
        match self {
            Node::Shared(shared) => &shared.node,
            node => node,
        }
    }

    fn cost(&self) -> Cost {
        let mut cost = Cost {
            nodes: 1,
            ..Cost::default()
        };
        let mut add = |inner: Cost| {
            cost.nodes = cost.nodes.saturating_add(inner.nodes);
            cost.bytes = cost.bytes.saturating_add(inner.bytes);
            cost.height = cost.height.max(inner.height + 1);
        };
        match self {
            Node::Shared(shared) => return shared.cost,
            Node::Text(text) => cost.bytes = text.len(),
            Node::Sequence(items) => items.iter().for_each(|item| add(item.cost())),
            Node::Mapping(entries) => {
                for (key, value) in entries {
                    let mut inner = value.cost();
                    inner.bytes = inner.bytes.saturating_add(key.len());
                    add(inner);
                }
            }
            _ => {}
        }
        cost
    }

    /// As a key: JSON's keys are text.
    fn key(&self) -> Result<Box<str>, String> {
        Ok(match self.shown() {
            Node::Text(text) => text.clone(),
            Node::Boolean(value) => value.to_string().into(),
            Node::Integer(value) => value.to_string().into(),
            Node::Unsigned(value) => value.to_string().into(),
            Node::Float(value) => value.to_string().into(),
            Node::Null => return Err("a key is null".to_owned()),
            _ => return Err("a key is a list or a mapping".to_owned()),
        })
    }
}

/// A node as serde sees it.
#[derive(Clone, Copy)]
pub(super) struct Events<'n>(&'n Node);

impl<'de> Deserializer<'de> for Events<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.shown() {
            Node::Null | Node::Shared(_) => visitor.visit_unit(),
            Node::Boolean(value) => visitor.visit_bool(*value),
            Node::Integer(value) => visitor.visit_i64(*value),
            Node::Unsigned(value) => visitor.visit_u64(*value),
            Node::Float(value) if !value.is_finite() => {
                Err(Error::custom(format!("unsupported value: {value}")))
            }
            // On its way through JSON a fraction without a fractional part becomes a whole number.
            Node::Float(value) => match whole(*value) {
                Some(value) => visitor.visit_i64(value),
                None => visitor.visit_f64(*value),
            },
            Node::Text(text) => visitor.visit_str(text),
            Node::Sequence(items) => {
                visitor.visit_seq(SeqDeserializer::new(items.iter().map(Events)))
            }
            Node::Mapping(entries) => visitor.visit_map(MapDeserializer::new(
                entries.iter().map(|(key, value)| (&**key, Events(value))),
            )),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
    }
}

impl IntoDeserializer<'_, Error> for Events<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

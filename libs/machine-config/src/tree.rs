//! YAML text to a tree that knows the position of every node.
//!
//! The YAML grammar is the `granit-parser` crate's; this file turns its events into nodes and holds
//! the bounds: depth, number of documents, nodes and bytes after aliases are expanded. Scalars keep
//! their text; what type they have is asked by the reader ([`resolve`], YAML 1.2 core schema).
//! All text is wiped when the tree is dropped, since any of it may be a secret.

use std::collections::BTreeMap;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError};
use zeroize::Zeroizing;

use crate::limits::{MAX_DEPTH, MAX_DOCUMENTS, MAX_EXPANDED_BYTES, MAX_NODES};
use crate::problem::Position;

/// One value of the text.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) position: Position,
    pub(crate) content: Content,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Text; `plain` when it was written without quotes and may thus mean a number or a boolean.
    Scalar {
        text: Zeroizing<String>,
        plain: bool,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping in the order of the text; keys may repeat.
    Mapping(Vec<Entry>),
}

/// One `key: value` of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Zeroizing<String>,
    pub(crate) key_position: Position,
    pub(crate) value: Node,
}

/// What plain text means in the YAML 1.2 core schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Null,
    Boolean(bool),
    Integer,
    Float,
    Text,
}

/// Something that is wrong with the YAML itself.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) document: usize,
    pub(crate) position: Position,
    pub(crate) message: String,
    pub(crate) hint: Option<&'static str>,
}

/// The documents of a text. Empty documents are kept, so that numbers stay true.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) documents: Vec<Node>,
    pub(crate) faults: Vec<Fault>,
    /// False when a fault ended the reading, so that documents may be missing.
    pub(crate) complete: bool,
}

/// Reads all documents.
pub(crate) fn load(text: &str) -> Stream {
    let options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder::default();
    for next in Parser::new_from_str_with_options(text, options) {
        let step = match next {
            Ok((event, span)) => builder.event(event, position(&span.start)),
            Err(error) => Err(builder.syntax(&error)),
        };
        if let Err(fault) = step {
            builder.stream.faults.push(fault);
            return builder.stream;
        }
    }
    builder.stream.complete = true;
    builder.stream
}

/// The meaning of plain text: YAML 1.2.2, section 10.3.2.
pub(crate) fn resolve(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Null,
        "true" | "True" | "TRUE" => return Meaning::Boolean(true),
        "false" | "False" | "FALSE" => return Meaning::Boolean(false),
        ".nan" | ".NaN" | ".NAN" => return Meaning::Float,
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Meaning::Float;
    }
    let digits =
        |text: &str, radix: u32| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    let prefixed =
        |prefix: &str, radix: u32| text.strip_prefix(prefix).is_some_and(|t| digits(t, radix));
    if digits(unsigned, 10) || prefixed("0x", 16) || prefixed("0o", 8) {
        return Meaning::Integer;
    }
    if is_float(unsigned) {
        Meaning::Float
    } else {
        Meaning::Text
    }
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`, the sign already taken.
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some((whole, part)) => digits(whole) && digits(part) && whole.len() + part.len() > 0,
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_ok = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_ok && exponent_ok
}

fn position(marker: &Marker) -> Position {
    Position {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

impl Node {
    /// Nodes, bytes of text and height, as expanding an alias to this node would add them.
    fn cost(&self) -> (usize, usize, usize) {
        match &self.content {
            Content::Scalar { text, .. } => (1, text.len(), 0),
            Content::Sequence(items) => items.iter().map(Node::cost).fold((1, 0, 1), add),
            Content::Mapping(entries) => entries.iter().fold((1, 0, 1), |sum, entry| {
                add((sum.0, sum.1 + entry.key.len(), sum.2), entry.value.cost())
            }),
        }
    }
}

fn add(sum: (usize, usize, usize), child: (usize, usize, usize)) -> (usize, usize, usize) {
    (sum.0 + child.0, sum.1 + child.1, sum.2.max(child.2 + 1))
}

/// A list or mapping whose end has not been read yet.
struct Open {
    node: Node,
    anchor: usize,
    key: Option<(Zeroizing<String>, Position)>,
}

#[derive(Default)]
struct Builder {
    stream: Stream,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    bytes: usize,
    /// Number of the document being read, from 1.
    document: usize,
    filled: bool,
}

impl Builder {
    fn fault(&self, position: Position, message: &str, hint: Option<&'static str>) -> Fault {
        Fault {
            document: self.document,
            position,
            message: message.to_owned(),
            hint,
        }
    }

    /// The grammar's message; the one kind that repeats a character of the text does not get to.
    fn syntax(&self, error: &ScanError) -> Fault {
        let (message, hint) = match error.kind() {
            ErrorKind::UnexpectedCharacter { .. } => {
                ("YAML syntax: unexpected character".to_owned(), None)
            }
            ErrorKind::RecursionLimitExceeded => (
                format!("nested more than {MAX_DEPTH} levels deep"),
                Some("no kind needs more than a few levels"),
            ),
            ErrorKind::UnknownAnchor => (
                "an alias (*name) without an anchor (&name) before it".to_owned(),
                Some("a text that begins with * must be quoted"),
            ),
            kind => (format!("YAML syntax: {kind}"), None),
        };
        Fault {
            document: self.document,
            position: position(error.marker()),
            message,
            hint,
        }
    }

    fn event(&mut self, event: Event<'_>, at: Position) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(..) => {
                self.document += 1;
                self.filled = false;
                if self.document > MAX_DOCUMENTS {
                    let message = format!("more than {MAX_DOCUMENTS} documents");
                    return Err(self.fault(at, &message, None));
                }
            }
            Event::DocumentEnd => {
                self.anchors.clear();
                if !self.filled {
                    self.stream.documents.push(empty(at));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), at);
                let node = Node {
                    position: at,
                    content: Content::Scalar {
                        text: Zeroizing::new(text.into_owned()),
                        plain: style == ScalarStyle::Plain,
                    },
                };
                self.complete(node, anchor)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), at);
                self.begin(Content::Sequence(Vec::new()), at, anchor)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), at);
                self.begin(Content::Mapping(Vec::new()), at, anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    self.complete(open.node, open.anchor)?;
                }
            }
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id) else {
                    return Err(self.fault(at, "an alias inside the value that it names", None));
                };
                let (nodes, bytes, height) = node.cost();
                if self.open.len() + height > MAX_DEPTH {
                    let message = format!("aliases nest more than {MAX_DEPTH} levels deep");
                    return Err(self.fault(at, &message, None));
                }
                self.spend(nodes, bytes, at)?;
                let node = self.anchors[&id].clone();
                self.attach(node)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn refuse_tag(&mut self, tagged: bool, at: Position) {
        if tagged {
            let fault = self.fault(
                at,
                "YAML tags (!name) are not used in a machine config",
                Some("remove the tag; quote the value if it is text"),
            );
            self.stream.faults.push(fault);
        }
    }

    /// Counts what is kept against the budgets.
    fn spend(&mut self, nodes: usize, bytes: usize, at: Position) -> Result<(), Fault> {
        self.nodes += nodes;
        self.bytes += bytes;
        if self.nodes > MAX_NODES {
            let message = format!("more than {MAX_NODES} values, aliases expanded");
            return Err(self.fault(at, &message, None));
        }
        if self.bytes > MAX_EXPANDED_BYTES {
            let message = format!("more than {MAX_EXPANDED_BYTES} bytes of text, aliases expanded");
            return Err(self.fault(at, &message, None));
        }
        Ok(())
    }

    fn begin(&mut self, content: Content, at: Position, anchor: usize) -> Result<(), Fault> {
        if self.open.len() >= MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} levels deep");
            return Err(self.fault(at, &message, Some("no kind needs more than a few levels")));
        }
        self.spend(1, 0, at)?;
        self.open.push(Open {
            node: Node {
                position: at,
                content,
            },
            anchor,
            key: None,
        });
        Ok(())
    }

    /// A whole node has been read: remember it if it is anchored, and put it where it belongs.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        if let Content::Scalar { text, .. } = &node.content {
            self.spend(1, text.len(), node.position)?;
        }
        if anchor != 0 {
            let (nodes, bytes, _) = node.cost();
            self.spend(nodes, bytes, node.position)?;
            self.anchors.insert(anchor, node.clone());
        }
        self.attach(node)
    }

    fn attach(&mut self, node: Node) -> Result<(), Fault> {
        let document = self.document;
        let Some(open) = self.open.last_mut() else {
            self.stream.documents.push(node);
            self.filled = true;
            return Ok(());
        };
        match &mut open.node.content {
            Content::Sequence(items) => items.push(node),
            Content::Mapping(entries) => match open.key.take() {
                Some((key, key_position)) => entries.push(Entry {
                    key,
                    key_position,
                    value: node,
                }),
                None => {
                    let Content::Scalar { text, .. } = node.content else {
                        return Err(Fault {
                            document,
                            position: node.position,
                            message: "a key must be text, not a list or mapping".to_owned(),
                            hint: None,
                        });
                    };
                    open.key = Some((text, node.position));
                }
            },
            Content::Scalar { .. } => unreachable!("only lists and mappings are opened"),
        }
        Ok(())
    }
}

fn empty(position: Position) -> Node {
    Node {
        position,
        content: Content::Scalar {
            text: Zeroizing::new(String::new()),
            plain: true,
        },
    }
}

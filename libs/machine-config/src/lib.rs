//! The machine config: one YAML text that says what a machine is.
//!
//! ```text
//!   bytes ──size, UTF-8──> text ──tree──> documents with positions
//!                                             │ check: against the JSON Schema of the kind's type
//!                                             v
//!                                       typed documents ──rules──> MachineConfig
//!   every step adds to one list of problems; only an empty list gives a config
//! ```
//!
//! - [`parse`]: bytes to a [`MachineConfig`], or every problem at once with document, path, line,
//!   column and hint.
//! - [`to_yaml`], [`to_redacted_yaml`]: back to text, with or without secrets.
//! - [`diff`], [`requires_reboot`]: what a new config changes, and what of it waits for a reboot.
//! - [`json_schema`], [`reference_page`]: generated from the types.
//! - [`salvage`]: whom a machine trusts by a config that is not valid any more.
//! - [`KINDS`]: the one table of kinds.
//!
//! This crate is pure: no files, no clock, no network, no randomness. It does not know how
//! certificates are made or checked beyond the outer form of PEM; that is the pki crate's.
//!
//! ```
//! let problems = orlop_machine_config::parse(b"apiVersion: v1alpha1\nkind: Machne\n").unwrap_err();
//! assert_eq!(
//!     problems.to_string().lines().next(),
//!     Some("document 1, line 2:7: kind: unknown kind Machne (did you mean \"Machine\"?)")
//! );
//! ```

mod check;
mod diff;
pub mod documents;
mod emit;
mod kinds;
pub mod limits;
pub mod parts;
mod problem;
mod reference;
mod rules;
pub mod salvage;
mod schema;
mod secret;
mod tree;
pub mod values;

use std::collections::BTreeMap;

pub use diff::{Change, diff, requires_reboot};
pub use documents::{
    CertificateAndKey, Cluster, ClusterNetwork, ClusterSecrets, ComponentOptions, Dhcp4, DiskFacts,
    DiskSelector, Install, Kernel, KernelModule, Link, LinkFacts, LinkSelector, Machine,
    Registries, RegistryCredentials, RegistryMirror, Resolver, Role, Route, Taint, TaintEffect,
    Time,
};
pub use emit::{to_redacted_yaml, to_yaml, value_to_yaml};
pub use kinds::{API_VERSION, Count, KINDS, Kind, MachineConfig};
pub use problem::{Position, Problem, Problems};
pub use reference::{reference_files, reference_page};
pub use schema::json_schema;
pub use secret::{REDACTED, SecretString, to_value_exposed};

use kinds::{Documents, Placed};
use limits::MAX_BYTES;
use problem::Collector;
use tree::{Content, Meaning, Node, Stream};

/// Parses and checks a machine config.
///
/// # Errors
/// Every problem of the text, in its order: size, encoding, YAML syntax, unknown and duplicate
/// keys, wrong types, bad values, missing fields, impossible combinations. Never a secret.
pub fn parse(bytes: &[u8]) -> Result<MachineConfig, Problems> {
    let mut problems = Collector::default();
    let documents = match text_of(bytes) {
        Ok(text) => check_stream(&tree::load(text), &mut problems),
        Err(problem) => {
            problems.add(problem);
            Documents::default()
        }
    };
    match documents.into_config() {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems.finish()),
    }
}

/// The bytes as text, when they may be one at all.
fn text_of(bytes: &[u8]) -> Result<&str, Problem> {
    let whole = |line: usize, column: usize, message: String, hint: &str| Problem {
        document: 0,
        path: String::new(),
        line,
        column,
        message,
        hint: Some(hint.to_owned()),
    };
    if bytes.len() > MAX_BYTES {
        let message = format!(
            "the config has {} bytes; at most {MAX_BYTES} are taken",
            bytes.len()
        );
        return Err(whole(
            1,
            1,
            message,
            "a machine config is a few KiB; is this the right file?",
        ));
    }
    let bad = match std::str::from_utf8(bytes) {
        Ok(text) => match text.find('\0') {
            None => return Ok(text),
            Some(at) => (at, "a zero byte"),
        },
        Err(error) => match bytes[..error.valid_up_to()]
            .iter()
            .position(|byte| *byte == 0)
        {
            Some(at) => (at, "a zero byte"),
            None => (error.valid_up_to(), "a byte that is not UTF-8"),
        },
    };
    let (at, what) = bad;
    let before = String::from_utf8_lossy(&bytes[..at]);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |last| last.chars().count())
        + 1;
    Err(whole(
        line,
        column,
        what.to_owned(),
        "save the file as UTF-8 text",
    ))
}

/// Parses and checks a text of exactly one document of one kind that is no part of a machine config
/// (the secrets file), just as strictly.
///
/// # Errors
/// Every problem of the text, as [`parse`].
pub fn parse_document<T>(bytes: &[u8], kind: &str) -> Result<T, Problems>
where
    T: serde::de::DeserializeOwned + schemars::JsonSchema,
{
    let mut problems = Collector::default();
    let mut typed = None;
    match text_of(bytes) {
        Ok(text) => {
            let stream = tree::load(text);
            add_faults(&stream, &mut problems);
            let mut filled = stream
                .documents
                .iter()
                .enumerate()
                .filter(|(_, node)| !is_empty(node));
            match filled.next() {
                Some((index, node))
                    if check::kind_of(node, index + 1, &[kind], &mut problems).is_some() =>
                {
                    let schema = schema::generate::<T>();
                    let (value, _) = check::document(node, kind, &schema, index + 1, &mut problems);
                    typed = value.and_then(|value| serde_json::from_value(value).ok());
                    if typed.is_none() && problems.is_empty() {
                        problems.add(misfit(index + 1, kind, node));
                    }
                }
                None if stream.complete => problems.add(missing(kind)),
                _ => {}
            }
            if let Some((index, node)) = filled.next() {
                problems.add(Problem {
                    document: index + 1,
                    path: String::new(),
                    line: node.position.line,
                    column: node.position.column,
                    message: "one document too many".to_owned(),
                    hint: Some(format!("the file holds exactly one {kind} document")),
                });
            }
        }
        Err(problem) => problems.add(problem),
    }
    match typed {
        Some(value) if problems.is_empty() => Ok(value),
        _ => Err(problems.finish()),
    }
}

/// Checks all documents and gives those that could be typed.
fn check_stream(stream: &Stream, problems: &mut Collector) -> Documents {
    add_faults(stream, problems);
    let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    let mut documents = Documents::default();
    let mut positions = BTreeMap::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut all_known = stream.complete;
    for (index, node) in stream.documents.iter().enumerate() {
        let number = index + 1;
        if is_empty(node) {
            continue;
        }
        let name = check::kind_of(node, number, &names, problems);
        let Some(kind) = KINDS.iter().find(|kind| Some(kind.name) == name) else {
            all_known = false;
            continue;
        };
        let count = counts.entry(kind.name).or_default();
        *count += 1;
        too_many(kind, *count, number, node, problems);
        let schema = schema::of(kind.name).expect("every kind of the table has a schema");
        let (value, found) = check::document(node, kind.name, schema, number, problems);
        positions.insert(number, found);
        let Some(value) = value else { continue };
        let placed = Placed {
            document: number,
            position: node.position,
            value,
        };
        if (kind.place)(&mut documents, placed).is_err() {
            problems.add(misfit(number, kind.name, node));
        }
    }
    if all_known {
        let absent = |kind: &&Kind| kind.count == Count::One && !counts.contains_key(kind.name);
        for kind in KINDS.iter().filter(absent) {
            problems.add(missing(kind.name));
        }
    }
    rules::check(&documents, &positions, problems);
    documents
}

fn add_faults(stream: &Stream, problems: &mut Collector) {
    for fault in &stream.faults {
        problems.add(Problem {
            document: fault.document,
            path: String::new(),
            line: fault.position.line,
            column: fault.position.column,
            message: fault.message.clone(),
            hint: fault.hint.map(str::to_owned),
        });
    }
}

/// What the schema took and the type does not. Cannot happen while the two agree, which a property
/// test holds. Serde's message may quote a secret, so it is not repeated.
fn misfit(document: usize, kind: &str, node: &Node) -> Problem {
    Problem {
        document,
        path: kind.to_owned(),
        line: node.position.line,
        column: node.position.column,
        message: "does not fit the kind's type".to_owned(),
        hint: Some("this is a bug of the checker; please report it".to_owned()),
    }
}

/// An empty document, as between two `---` or after the last one.
fn is_empty(node: &Node) -> bool {
    matches!(&node.content, Content::Scalar { text, plain: true }
        if tree::resolve(text) == Meaning::Null)
}

fn too_many(kind: &Kind, count: usize, number: usize, node: &Node, problems: &mut Collector) {
    let max = match kind.count {
        Count::One | Count::Optional => 1,
        Count::Many(max) => max,
    };
    if count > max {
        let words = schema::count_in_words(kind.count);
        problems.add(Problem {
            document: number,
            path: kind.name.to_owned(),
            line: node.position.line,
            column: node.position.column,
            message: format!("one {} document too many: a config has {words}", kind.name),
            hint: Some("merge the documents or remove one".to_owned()),
        });
    }
}

fn missing(kind: &str) -> Problem {
    Problem {
        document: 0,
        path: String::new(),
        line: 1,
        column: 1,
        message: format!("no {kind} document"),
        hint: Some(format!(
            "add a document with \"apiVersion: {API_VERSION}\" and \"kind: {kind}\""
        )),
    }
}

#[cfg(test)]
mod tests;

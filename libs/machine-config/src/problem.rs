//! What is wrong with a config, and where: every problem at once, in the order of the file.
//!
//! A message never repeats a secret: values below a secret path are not quoted, keys are quoted
//! only when they look like keys.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::limits::{MAX_PROBLEMS, MAX_QUOTED};

/// A place in the text; lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Number of the YAML document, from 1; 0 when the whole file is meant.
    pub document: usize,
    /// Dotted path that begins with the kind, such as `Machine.install.disk`; empty when the
    /// problem concerns no field (YAML syntax, the whole file).
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    /// `document 1, line 4:3: Machine.instal: unknown key (did you mean "install"?)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.document > 0 {
            write!(f, "document {}, ", self.document)?;
        }
        write!(f, "line {}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// All problems of a config, in the order of the file; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problems {
    /// The first problems, at most [`MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub omitted: usize,
}

impl fmt::Display for Problems {
    /// One line per problem, with a last line that counts what was left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        if self.omitted > 0 {
            write!(f, "\nand {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Gathers problems while a config is checked.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    problems: Vec<Problem>,
    /// (document, path) of every problem, to keep a rule from repeating what a type check said.
    places: BTreeSet<(usize, String)>,
    omitted: usize,
}

impl Collector {
    pub(crate) fn add(&mut self, problem: Problem) {
        // A hard bound on what is kept, well above what is shown, since sorting comes last.
        if self.is_full() {
            self.omitted += 1;
            return;
        }
        self.places.insert((problem.document, problem.path.clone()));
        self.problems.push(problem);
    }

    /// Whether something at, above or below this path has been reported already.
    pub(crate) fn covers(&self, document: usize, path: &str) -> bool {
        self.places
            .iter()
            .filter(|(at, _)| *at == document)
            .any(|(_, known)| is_same_or_inside(known, path) || is_same_or_inside(path, known))
    }

    /// Whether more problems are only counted, so that nobody needs to think of a hint.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.len() >= MAX_PROBLEMS * 16
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    pub(crate) fn finish(mut self) -> Problems {
        self.problems
            .sort_by(|a, b| (a.line, a.column, &a.path).cmp(&(b.line, b.column, &b.path)));
        self.problems.dedup();
        let beyond = self.problems.len().saturating_sub(MAX_PROBLEMS);
        self.problems.truncate(MAX_PROBLEMS);
        Problems {
            problems: self.problems,
            omitted: self.omitted + beyond,
        }
    }
}

/// Whether `inner` is `outer` or lies below it. The kind alone is no ancestor here: an unrelated
/// problem of the document must not hide the others.
fn is_same_or_inside(outer: &str, inner: &str) -> bool {
    outer.contains('.')
        && inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('['))
}

/// The user's text for a message: quoted, escaped, cut at [`MAX_QUOTED`] characters, so that no
/// control character reaches a terminal.
pub(crate) fn quote(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_QUOTED).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("\"{}\"", shown.escape_debug())
}

/// The path of a key that has been checked, so that it is short and printable: `a.b`, or `a["x.y"]`
/// for keys with other characters than those of field names.
pub(crate) fn below(path: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if key.chars().all(plain) {
        format!("{path}.{key}")
    } else {
        format!("{path}[\"{key}\"]")
    }
}

/// Longest name with digits in it that is repeated although nothing knows it: shorter than any
/// generated token, so that a token that slipped into a name's place stays hidden.
const UNKNOWN_NAME_MAX: usize = 20;

/// A key or kind that nothing knows, for a message. What does not look like a name may be a value in
/// the wrong place, even a secret, and is not repeated.
pub(crate) fn show_unknown(name: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let token = name.len() > UNKNOWN_NAME_MAX && name.contains(|c: char| c.is_ascii_digit());
    let shown = !name.is_empty() && name.len() <= MAX_QUOTED && name.chars().all(plain) && !token;
    shown.then_some(name)
}

/// The path of a key that nothing knows, or that is malformed.
pub(crate) fn below_unknown(path: &str, key: &str) -> String {
    match show_unknown(key) {
        Some(key) => below(path, key),
        None => format!("{path}[(not a name)]"),
    }
}

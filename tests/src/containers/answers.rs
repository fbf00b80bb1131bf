//! Answers of CRI as lines, so that those of two runtimes can be compared.

use std::fmt::Debug;
use tonic::{Code, Status};

/// One line: the path of a field, and its value.
pub type Line = (String, String);

/// Fields whose values are of the moment.
const TIMES: &[&str] = &["created_at", "started_at", "finished_at", "timestamp"];
/// Counts that no two programs share.
const COUNTS: &[&str] = &["value", "usage_nano_cores", "size"];

/// Digits of an ID, and of a digest.
const ID: usize = 64;

/// What is known by other names in each run, as it is written in answers: the longer ones first.
#[derive(Debug, Default, Clone)]
pub struct Names(Vec<(String, String)>);

impl Names {
    /// From now on `what` is written as `<name>`.
    pub fn add(&mut self, what: impl Into<String>, name: &str) {
        self.0.push((what.into(), format!("<{name}>")));
        self.0
            .sort_by_key(|(what, _)| std::cmp::Reverse(what.len()));
    }

    /// A text with these names.
    #[must_use]
    pub fn of(&self, text: &str) -> String {
        let named = self.0.iter().fold(text.to_owned(), |text, (what, name)| {
            text.replace(what, name)
        });
        without_ids(&named)
    }

    /// An answer or an error, as lines.
    #[must_use]
    pub fn lines<T: Debug>(&self, answer: &Result<T, Status>) -> Vec<Line> {
        match answer {
            Ok(answer) => self.fields(&format!("{answer:#?}")),
            Err(status) => vec![
                ("error".to_owned(), code(status.code()).to_owned()),
                ("message".to_owned(), self.of(status.message())),
            ],
        }
    }

    /// Fields of what `{:#?}` has written: one per line, with what they are in above them.
    fn fields(&self, text: &str) -> Vec<Line> {
        let mut above: Vec<&str> = Vec::new();
        let mut lines = Vec::new();
        for line in text.lines().map(str::trim) {
            let bare = line.trim_end_matches(',');
            if matches!(bare, "}" | ")" | "]") {
                above.pop();
                continue;
            }
            let (key, value) = match bare.split_once(": ") {
                Some((key, value)) => (key.trim_matches('"'), value),
                None => ("", bare),
            };
            if bare.ends_with(['{', '(', '[']) {
                above.push(key);
                continue;
            }
            let path: Vec<&str> = above
                .iter()
                .copied()
                .chain([key])
                .filter(|part| !part.is_empty())
                .collect();
            lines.push((path.join("."), self.value(key, value)));
        }
        lines
    }

    fn value(&self, key: &str, value: &str) -> String {
        if TIMES.contains(&key) && value != "0" {
            return "<time>".to_owned();
        }
        if COUNTS.contains(&key) && value != "0" && value.parse::<u64>().is_ok() {
            return "<count>".to_owned();
        }
        self.of(value)
    }
}

/// An ID that has no name is only that: one of another run is another.
fn without_ids(text: &str) -> String {
    let mut out = String::new();
    let mut hex = String::new();
    for character in text.chars().map(Some).chain([None]) {
        if let Some(digit) = character.filter(char::is_ascii_hexdigit) {
            hex.push(digit);
            continue;
        }
        out.push_str(if hex.len() == ID { "<id>" } else { &hex });
        hex.clear();
        out.extend(character);
    }
    out
}

const fn code(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug)]
    #[allow(dead_code)] // only their text counts
    struct Inner {
        created_at: i64,
        labels: BTreeMap<&'static str, &'static str>,
        of: Vec<&'static str>,
    }

    #[derive(Debug)]
    #[allow(dead_code)] // only their text counts
    struct Outer {
        id: &'static str,
        inner: Option<Inner>,
        none: Option<Inner>,
    }

    #[test]
    fn fields_have_what_they_are_in_before_them() {
        let mut names = Names::default();
        names.add("abc", "sandbox");
        assert_eq!(
            names.of(&format!("is {} it", "0f".repeat(32))),
            "is <id> it"
        );
        assert_eq!(names.of(&"0f".repeat(33)), "0f".repeat(33));
        let outer = Outer {
            id: "abc",
            inner: Some(Inner {
                created_at: 7,
                labels: [("a", "b: c")].into(),
                of: vec!["x", "y"],
            }),
            none: None,
        };
        let lines = names.lines(&Ok(outer));
        let lines: Vec<String> = lines
            .iter()
            .map(|(path, value)| format!("{path}={value}"))
            .collect();
        assert_eq!(
            lines,
            [
                "id=\"<sandbox>\"",
                "inner.created_at=<time>",
                "inner.labels.a=\"b: c\"",
                "inner.of=\"x\"",
                "inner.of=\"y\"",
                "none=None"
            ]
        );
    }
}

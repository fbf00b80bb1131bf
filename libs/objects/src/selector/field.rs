//! Field selectors: `metadata.name=x,spec.nodeName!=y`.
//!
//! In a value, `\,`, `\=` and `\\` stand for the characters themselves.

use std::fmt;

use super::{SelectorError, TERMS_MAX};
use crate::go::{quote, quote_all};

/// One term: a field that has a value, or has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldTerm {
    /// The field's path.
    pub field: Box<str>,
    /// Its value, as text.
    pub value: Box<str>,
    /// Whether it must have the value, or must not.
    pub equal: bool,
}

/// All of these terms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<FieldTerm>,
}

/// In which words a kind refuses a field; upstream has two forms, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsupported {
    /// `field label not supported: x`: of kinds with fields of their own.
    OwnFields,
    /// `"x" is not a known field selector: only "metadata.name", "metadata.namespace"`: of all others.
    MetadataOnly,
}

impl FieldSelector {
    /// Reads a selector's text; the empty one means every object.
    ///
    /// # Errors
    /// When a term has no operator or an escape that nobody knows, or with more than [`TERMS_MAX`] terms.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parts = Vec::new();
        for part in split(text) {
            if part.is_empty() {
                continue;
            }
            if parts.len() == TERMS_MAX {
                return Err(SelectorError::too_many_terms());
            }
            parts.push(part);
        }
        parts.sort_unstable();
        let terms = parts.into_iter().map(|part| {
            let Some((field, equal, value)) = cut(part) else {
                let message = format!("invalid selector: '{text}'; can't understand '{part}'");
                return Err(SelectorError(message));
            };
            Ok(FieldTerm {
                field: field.into(),
                value: unescape(value)?.into(),
                equal,
            })
        });
        Ok(FieldSelector {
            terms: terms.collect::<Result<_, _>>()?,
        })
    }

    /// Refuses fields that a kind does not offer.
    ///
    /// # Errors
    /// Of the first such field, in the words of its kind.
    pub fn check(&self, known: &[&str], words: Unsupported) -> Result<(), SelectorError> {
        let unknown = self
            .terms
            .iter()
            .find(|term| !known.contains(&&*term.field));
        let Some(FieldTerm { field, .. }) = unknown else {
            return Ok(());
        };
        Err(SelectorError(match words {
            Unsupported::OwnFields => format!("field label not supported: {field}"),
            Unsupported::MetadataOnly => format!(
                "{} is not a known field selector: only {}",
                quote(field),
                quote_all(["metadata.name", "metadata.namespace"])
            ),
        }))
    }

    /// Whether the fields have the values; a field that is absent has the empty one.
    pub fn matches<'a>(&self, mut value_of: impl FnMut(&str) -> Option<&'a str>) -> bool {
        self.terms.iter().all(|term| {
            let value = value_of(&term.field).unwrap_or_default();
            (value == &*term.value) == term.equal
        })
    }

    /// Whether pairs of fields and values match.
    #[must_use]
    pub fn matches_pairs(&self, pairs: &[(&str, &str)]) -> bool {
        self.matches(|field| {
            let pair = pairs.iter().find(|(name, _)| *name == field);
            pair.map(|(_, value)| *value)
        })
    }

    /// The terms, in the order of their texts.
    #[must_use]
    pub fn terms(&self) -> &[FieldTerm] {
        &self.terms
    }

    /// Whether every object is meant.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The one value that a field must have.
    #[must_use]
    pub fn requires(&self, field: &str) -> Option<&str> {
        let mut exact = self.terms.iter().filter(|term| term.equal);
        let term = exact.find(|term| &*term.field == field)?;
        Some(&term.value)
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            let operator = if term.equal { "=" } else { "!=" };
            write!(f, "{}{operator}", term.field)?;
            for c in term.value.chars() {
                if matches!(c, '\\' | ',' | '=') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

/// Terms between commas that are not escaped.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c| {
        let comma = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        comma
    })
}

/// Field, whether it must be equal, and value, at the first operator.
fn cut(term: &str) -> Option<(&str, bool, &str)> {
    let place = term.find('=')?;
    // An exclamation mark directly before belongs to the operator, and none before it can.
    match term[..place].strip_suffix('!') {
        Some(field) => Some((field, false, &term[place + 1..])),
        None => {
            let value = &term[place + 1..];
            Some((
                &term[..place],
                true,
                value.strip_prefix('=').unwrap_or(value),
            ))
        }
    }
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                other => {
                    let sequence: String = ['\\'].into_iter().chain(other).collect();
                    return Err(SelectorError(format!(
                        "invalid field selector: invalid escape sequence: {sequence}"
                    )));
                }
            },
            // As upstream, the character's number.
            ',' | '=' => {
                return Err(SelectorError(format!(
                    "invalid field selector: unescaped character in value: {}",
                    u32::from(c)
                )));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Checks the canonical form, or the message.
    #[track_caller]
    fn check(text: &str, expect: Result<&str, &str>) {
        let found = FieldSelector::parse(text);
        let found = found.map(|s| s.to_string()).map_err(|e| e.to_string());
        let found = found.as_deref().map_err(String::as_str);
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn the_grammar() {
        check("", Ok(""));
        check(",,", Ok(""));
        check(
            "metadata.name=x,spec.nodeName!=y",
            Ok("metadata.name=x,spec.nodeName!=y"),
        );
        check("b==2,a=1", Ok("a=1,b=2"));
        check("a=", Ok("a="));
        check(r"a=x\,y\=z\\", Ok(r"a=x\,y\=z\\"));
        check("a", Err("invalid selector: 'a'; can't understand 'a'"));
        check(
            "a=b=c",
            Err("invalid field selector: unescaped character in value: 61"),
        );
        check(
            r"a=\b",
            Err(r"invalid field selector: invalid escape sequence: \b"),
        );
        check(
            r"a=\",
            Err(r"invalid field selector: invalid escape sequence: \"),
        );
        let many = vec!["a=b"; TERMS_MAX + 1].join(",");
        check(&many, Err("more than 2000 terms in a selector"));
    }

    #[test]
    fn matching() {
        let pairs = [("metadata.name", "x"), ("spec.nodeName", "a,b")];
        let check = |text: &str, expect: bool| {
            let selector = FieldSelector::parse(text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(selector.matches_pairs(&pairs), expect, "{text}");
        };
        check("", true);
        check("metadata.name=x", true);
        check("metadata.name!=x", false);
        check(r"spec.nodeName=a\,b,metadata.name==x", true);
        check("absent=", true);
        check("absent!=x", true);
        check("absent=x", false);
        let selector = FieldSelector::parse("b!=1,a=2").unwrap_or_default();
        assert_eq!(
            (selector.requires("a"), selector.requires("b")),
            (Some("2"), None)
        );
    }

    #[test]
    fn fields_that_a_kind_has_not() {
        let selector = FieldSelector::parse("x=1").unwrap_or_default();
        let known = ["metadata.name", "metadata.namespace"];
        let message = |words| selector.check(&known, words).map_err(|e| e.to_string());
        assert_eq!(
            message(Unsupported::OwnFields),
            Err("field label not supported: x".to_owned())
        );
        assert_eq!(
            message(Unsupported::MetadataOnly),
            Err(
                r#""x" is not a known field selector: only "metadata.name", "metadata.namespace""#
                    .to_owned()
            )
        );
        assert_eq!(selector.check(&["x"], Unsupported::OwnFields), Ok(()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(text in "([ab.]{1,3}(=|==|!=)([ab]|\\\\[,=\\\\]){0,4},){0,4}") {
            let selector = FieldSelector::parse(&text).expect("by the grammar");
            let again = FieldSelector::parse(&selector.to_string()).expect("by the grammar");
            let sorted = |s: FieldSelector| { let mut t = s.terms; t.sort_by_key(|t| (t.field.clone(), t.value.clone(), t.equal)); t };
            prop_assert_eq!(sorted(again), sorted(selector));
        }

        #[test]
        fn no_text_breaks_the_reader(text in "[a=!,\\\\\u{e9}]{0,40}") {
            let _ = FieldSelector::parse(&text);
        }
    }
}

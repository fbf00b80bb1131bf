//! Label selectors from text, and what they match.

use std::fmt;

use super::{Labels, Operator, Requirement, SelectorError, parser};

/// All of these requirements, or nothing at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSelector {
    /// By key; none: no object is meant.
    requirements: Option<Vec<Requirement>>,
}

impl LabelSelector {
    /// Every object.
    #[must_use]
    pub fn everything() -> Self {
        Self::new(Vec::new())
    }

    /// No object.
    #[must_use]
    pub fn nothing() -> Self {
        LabelSelector { requirements: None }
    }

    /// The objects that meet all of these.
    #[must_use]
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key().cmp(b.key()));
        LabelSelector {
            requirements: Some(requirements),
        }
    }

    /// Reads a selector's text; the empty one means every object.
    ///
    /// # Errors
    /// Where the text breaks the grammar or has more than [`TERMS_MAX`](super::TERMS_MAX) terms.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        parser::parse(text).map(Self::new)
    }

    /// The objects whose labels have all of these values.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let equals = |(key, value)| Requirement::unchecked(key, Operator::Equals, &[value]);
        Self::new(pairs.into_iter().map(equals).collect())
    }

    /// Whether the labels are as all requirements want them.
    #[must_use]
    pub fn matches(&self, labels: impl Labels) -> bool {
        match &self.requirements {
            None => false,
            Some(requirements) => requirements.iter().all(|r| r.matches(&labels)),
        }
    }

    /// Whether every object is meant.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        matches!(&self.requirements, Some(requirements) if requirements.is_empty())
    }

    /// Whether surely no object is meant.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.requirements.is_none()
    }

    /// The requirements by key.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        self.requirements.as_deref().unwrap_or(&[])
    }

    /// The one value that a label must have.
    #[must_use]
    pub fn requires(&self, key: &str) -> Option<&str> {
        let requirement = self.requirements().iter().find(|r| r.key() == key)?;
        let exact = matches!(
            requirement.operator(),
            Operator::Equals | Operator::DoubleEquals | Operator::In
        );
        let mut values = requirement.values();
        match (values.next(), values.next()) {
            (Some(value), None) if exact => Some(value),
            _ => None,
        }
    }
}

impl fmt::Display for LabelSelector {
    /// The canonical text: by key, without spaces that say nothing. That of no object is empty, as upstream's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements().iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{requirement}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::TERMS_MAX;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Checks the canonical form, or the beginning of the message.
    #[track_caller]
    fn check(text: &str, expect: Result<&str, &str>) {
        match (LabelSelector::parse(text), expect) {
            (Ok(selector), Ok(canonical)) => assert_eq!(selector.to_string(), canonical),
            (Err(error), Err(message)) => {
                assert!(error.to_string().starts_with(message), "{error}");
            }
            (found, _) => panic!("{text:?} gives {found:?}"),
        }
    }

    #[test]
    fn the_grammar() {
        check("", Ok(""));
        check("  ", Ok(""));
        check(" a = b , c!=d", Ok("a=b,c!=d"));
        check("z,a==b", Ok("a==b,z"));
        check("e in (y,x,y),f notin (z)", Ok("e in (x,y),f notin (z)"));
        check("g,!h", Ok("g,!h"));
        check("x>5,x<6", Ok("x>5,x<6"));
        check("a=", Ok("a="));
        check("a=,b", Ok("a=,b"));
        check("a in ()", Ok("a in ()"));
        check("a in (,b)", Ok("a in (,b)"));
        check("in in (in,notin)", Ok("in in (in,notin)"));
        check("x.io/a notin (1)", Ok("x.io/a notin (1)"));
    }

    #[test]
    fn what_breaks_it() {
        check(
            "a b",
            Err("unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        );
        check("a=b,", Err("found '', expected: identifier after ','"));
        check(
            ",a",
            Err("found ',', expected: !, identifier, or 'end of string'"),
        );
        check(
            "a in b",
            Err("unable to parse requirement: found 'b' expected: '('"),
        );
        check(
            "a in (b",
            Err("unable to parse requirement: found '', expected: ',' or ')'"),
        );
        check(
            "a in (b c)",
            Err("unable to parse requirement: found 'c', expected: ',' or ')'"),
        );
        check(
            "a in (=)",
            Err("unable to parse requirement: found '=', expected: ',', ')' or identifier"),
        );
        check("!a=b", Err("found '=', expected: ',' or 'end of string'"));
        check("a==b c", Err("found 'c', expected: ',' or 'end of string'"));
        check(
            "a>x",
            Err(
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
        );
        check(
            "-a",
            Err(
                "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of",
            ),
        );
        check(
            "a=-b",
            Err(
                "unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label must be",
            ),
        );
    }

    #[test]
    fn terms_are_bounded() {
        let many = |count: usize| vec!["a=b"; count].join(",");
        assert!(LabelSelector::parse(&many(TERMS_MAX)).is_ok());
        check(
            &many(TERMS_MAX + 1),
            Err("more than 2000 terms in a selector"),
        );
        check(&many(100_000), Err("more than 2000 terms in a selector"));
        let set = format!("a in ({})", vec!["b"; TERMS_MAX + 1].join(","));
        check(
            &set,
            Err("unable to parse requirement: more than 2000 terms in a selector"),
        );
    }

    #[test]
    fn matching() {
        let labels: BTreeMap<String, String> = [("a", "b"), ("n", "5"), ("e", "")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let check = |text: &str, expect: bool| {
            let selector = LabelSelector::parse(text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(selector.matches(&labels), expect, "{text}");
        };
        for text in [
            "",
            "a",
            "a=b",
            "a==b",
            "a!=c",
            "z!=c",
            "!z",
            "a in (c,b)",
            "z notin (b)",
            "n>4",
            "n<6",
            "e=",
            "e in (,x)",
        ] {
            check(text, true);
        }
        for text in [
            "z",
            "a=c",
            "a!=b",
            "!a",
            "a in (c)",
            "a notin (b)",
            "n>5",
            "n<5",
            "a>1",
            "z>1",
            "a=b,z",
            "e!=",
        ] {
            check(text, false);
        }
        assert!(!LabelSelector::nothing().matches(&labels));
        assert!(LabelSelector::everything().matches(None::<&BTreeMap<String, String>>));
        assert!(LabelSelector::from_pairs([("a", "b")]).matches(&labels));
    }

    #[test]
    fn a_label_that_must_have_one_value() {
        let requires = |text: &str| {
            let selector = LabelSelector::parse(text).unwrap_or_else(|error| panic!("{error}"));
            selector.requires("a").map(str::to_owned)
        };
        assert_eq!(requires("z,a=b").as_deref(), Some("b"));
        assert_eq!(requires("a in (b)").as_deref(), Some("b"));
        assert_eq!(requires("a in (b,c)"), None);
        assert_eq!(requires("a!=b"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(text in "([!]?[abz](|=[ab5]|!=[a5]|==| in \\([ab,]{0,5}\\)| notin \\(b\\)|>5|<6),){0,5}[ab]") {
            let selector = LabelSelector::parse(&text);
            if let Ok(selector) = selector {
                prop_assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector));
            }
        }

        #[test]
        fn no_text_breaks_the_reader(text in "[a5=!(),<> in\u{e9}\\x00]{0,60}") {
            let _ = LabelSelector::parse(&text);
        }
    }
}

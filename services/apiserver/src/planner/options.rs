//! What a request's query asks for, checked as upstream checks it.
//!
//! Sources: the API concepts page ("Resource versions"), and upstream's answers to options that do not go together.

use objects::{
    field::{ErrorList, FieldError, Path},
    selector::{FieldSelector, LabelSelector},
    status::{Qualified, Status},
};
use url::form_urlencoded;

/// The parameters of a query, decoded. Of those that are given twice, the first counts.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

/// Most parameters of a query; those beyond are not looked at.
const PARAMETERS_MAX: usize = 64;

impl Query {
    /// Reads what follows the question mark.
    #[must_use]
    pub fn parse(text: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(text.unwrap_or_default().as_bytes());
        Self(
            pairs
                .take(PARAMETERS_MAX)
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }

    /// A parameter; None where it is absent or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// With another term of a selector, or another parameter.
    #[must_use]
    pub fn with(&self, name: &str, term: &str) -> Self {
        let mut query = self.clone();
        match query.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, value)) if !value.is_empty() => {
                value.push(',');
                value.push_str(term);
            }
            _ => query.0.insert(0, (name.to_owned(), term.to_owned())),
        }
        query
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_str())
    }

    /// Whether a parameter is there at all, if only by its name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// A parameter that is true or false, as upstream reads it: its mere name is true.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        let value = self.0.iter().find(|(known, _)| known == name);
        value.is_some_and(|(_, value)| !matches!(value.as_str(), "false" | "0"))
    }

    fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, Status> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            Status::bad_request(format!(
                "strconv.ParseInt: parsing \"{text}\": invalid syntax: parameter {name}"
            ))
        })
    }
}

/// Which state of the objects is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The latest: nothing that was done before the request is missing.
    Latest,
    /// Whatever is at hand.
    Any,
    /// This or a later one.
    NotOlderThan(u64),
    /// This one.
    Exact(u64),
}

/// How many, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continue {
    /// The revision of the first page; None: what is left, as it is now.
    pub revision: Option<u64>,
    /// The first key of the rest, relative to the resource's keys.
    pub start: String,
}

/// Options of a list or a watch.
#[derive(Debug, Clone)]
pub struct ListOptions {
    /// Of which labels.
    pub labels: LabelSelector,
    /// Of which fields; whether the resource has them is not checked yet.
    pub fields: FieldSelector,
    /// Which state.
    pub version: Version,
    /// Most objects; 0 for all.
    pub limit: usize,
    /// The rest of a list.
    pub next: Option<Continue>,
    /// For how long to watch.
    pub timeout_seconds: Option<u64>,
    /// Whether a watch tells how far it is.
    pub bookmarks: bool,
    /// Whether a watch begins with what is there.
    pub initial_events: bool,
}

impl ListOptions {
    /// Reads and checks them.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn parse(query: &Query, watch: bool) -> Result<Self, Status> {
        let selector =
            |error: objects::selector::SelectorError| Status::bad_request(error.to_string());
        let labels = LabelSelector::parse(query.get("labelSelector").unwrap_or_default());
        let fields = FieldSelector::parse(query.get("fieldSelector").unwrap_or_default());
        let revision = query.get("resourceVersion");
        let matching = query.get("resourceVersionMatch");
        let token = query.get("continue");
        let initial = query
            .has("sendInitialEvents")
            .then(|| query.flag("sendInitialEvents"));
        let bookmarks = query.flag("allowWatchBookmarks");
        check(revision, matching, token, initial, watch, bookmarks)?;
        let number = match revision {
            None => None,
            Some(text) => Some(parse_revision(text)?),
        };
        let version = match (number, matching) {
            (None, _) => Version::Latest,
            (Some(0), _) => Version::Any,
            (Some(number), Some("Exact")) => Version::Exact(number),
            (Some(number), _) => Version::NotOlderThan(number),
        };
        let limit: Option<i64> = query.number("limit")?;
        Ok(Self {
            labels: labels.map_err(selector)?,
            fields: fields.map_err(selector)?,
            version,
            limit: usize::try_from(limit.unwrap_or_default()).unwrap_or_default(),
            next: token
                .map(|token| Continue::read(token, number))
                .transpose()?,
            timeout_seconds: query.number("timeoutSeconds")?,
            bookmarks,
            initial_events: initial.unwrap_or_default(),
        })
    }
}

/// What goes together; upstream's `ValidateListOptions`.
fn check(
    revision: Option<&str>,
    matching: Option<&str>,
    token: Option<&str>,
    initial: Option<bool>,
    watch: bool,
    bookmarks: bool,
) -> Result<(), Status> {
    let mut errors = ErrorList::default();
    let match_path = Path::new("resourceVersionMatch");
    let initial_path = Path::new("sendInitialEvents");
    let mut forbid = |path: &Path<'_>, why: &str| errors.push(FieldError::forbidden(path, why));
    if watch {
        match (initial, matching) {
            (None, Some(_)) => forbid(
                &match_path,
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ),
            (Some(_), None) => forbid(
                &match_path,
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ),
            (Some(_), Some(other)) if other != "NotOlderThan" => errors.push(
                FieldError::not_supported(&match_path, other, &["NotOlderThan"]),
            ),
            (Some(_), _) if !bookmarks => forbid(
                &initial_path,
                "sendInitialEvents is forbidden for watch unless allowWatchBookmarks is set",
            ),
            _ => {}
        }
    } else {
        if initial.is_some() {
            forbid(&initial_path, "sendInitialEvents is forbidden for list");
        }
        if let Some(matching) = matching {
            if revision.is_none() {
                forbid(
                    &match_path,
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                );
            }
            if token.is_some() {
                forbid(
                    &match_path,
                    "resourceVersionMatch is forbidden when continue is provided",
                );
            }
            if !matches!(matching, "Exact" | "NotOlderThan") {
                errors.push(FieldError::not_supported(
                    &match_path,
                    matching,
                    &["Exact", "NotOlderThan"],
                ));
            } else if matching == "Exact" && revision == Some("0") {
                errors.push(FieldError::forbidden(
                    &match_path,
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                ));
            }
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(
        Qualified::new("meta.k8s.io", "ListOptions"),
        "",
        &errors,
    ))
}

/// A resourceVersion: opaque to clients, a revision of the store to us.
///
/// # Errors
/// It is none.
pub fn parse_revision(text: &str) -> Result<u64, Status> {
    text.parse().map_err(|_| {
        Status::bad_request(format!(
            "Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"
        ))
    })
}

impl Continue {
    /// As clients hand it back: they are not to look into it.
    #[must_use]
    pub fn token(&self) -> String {
        let revision = self
            .revision
            .map_or(-1, |revision| i64::try_from(revision).unwrap_or(i64::MAX));
        let json = serde_json::json!({
            "v": "meta.k8s.io/v1",
            "rv": revision,
            "start": self.start,
        });
        base64url(json.to_string().as_bytes())
    }

    fn read(token: &str, version: Option<u64>) -> Result<Self, Status> {
        let bad = |why: &str| Status::bad_request(format!("continue key is not valid: {why}"));
        if version.is_some_and(|version| version != 0) {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let bytes = base64url_read(token).ok_or_else(|| bad("illegal base64 data"))?;
        let json: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| bad(&error.to_string()))?;
        if json.get("v").and_then(serde_json::Value::as_str) != Some("meta.k8s.io/v1") {
            return Err(bad("server does not recognize this encoded version"));
        }
        let start = json.get("start").and_then(serde_json::Value::as_str);
        let start = start
            .filter(|start| !start.is_empty())
            .ok_or_else(|| bad("encoded start key empty (version meta.k8s.io/v1)"))?;
        // A start that climbs out of its resource's keys.
        if start.starts_with('/') || start.split('/').any(|segment| segment == "..") {
            return Err(bad("encoded start key is not within the resource"));
        }
        let revision = match json.get("rv").and_then(serde_json::Value::as_i64) {
            Some(-1) => None,
            Some(number) if number > 0 => u64::try_from(number).ok(),
            _ => {
                return Err(bad(
                    "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
                ));
            }
        };
        Ok(Self {
            revision,
            start: start.to_owned(),
        })
    }
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

fn base64url_read(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str, watch: bool) -> Result<ListOptions, Status> {
        ListOptions::parse(&Query::parse(Some(query)), watch)
    }

    #[test]
    fn versions() {
        let check = |query: &str, watch, expect| {
            assert_eq!(parse(query, watch).expect(query).version, expect, "{query}");
        };
        check("", false, Version::Latest);
        check("resourceVersion=", false, Version::Latest);
        check("resourceVersion=0", false, Version::Any);
        check("resourceVersion=7", false, Version::NotOlderThan(7));
        check(
            "resourceVersion=7&resourceVersionMatch=Exact",
            false,
            Version::Exact(7),
        );
        check(
            "resourceVersion=7&resourceVersionMatch=NotOlderThan",
            false,
            Version::NotOlderThan(7),
        );
        check("", true, Version::Latest);
        check("resourceVersion=0", true, Version::Any);
        check("resourceVersion=7", true, Version::NotOlderThan(7));
        check(
            "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
            true,
            Version::Latest,
        );
    }

    #[test]
    fn what_does_not_go_together() {
        let check = |query: &str, watch, code, expect: &str| {
            let status = parse(query, watch).expect_err(query);
            assert_eq!(status.code, code, "{query}");
            assert!(status.message.contains(expect), "{}", status.message);
        };
        check(
            "resourceVersionMatch=Exact",
            false,
            422,
            "forbidden unless resourceVersion is provided",
        );
        check(
            "resourceVersion=0&resourceVersionMatch=Exact",
            false,
            422,
            "is forbidden for resourceVersion \"0\"",
        );
        check(
            "resourceVersion=1&resourceVersionMatch=No",
            false,
            422,
            "Unsupported value: \"No\"",
        );
        check("sendInitialEvents=true", false, 422, "forbidden for list");
        check(
            "sendInitialEvents=true",
            true,
            422,
            "requires setting resourceVersionMatch",
        );
        check(
            "resourceVersionMatch=NotOlderThan",
            true,
            422,
            "unless sendInitialEvents is provided",
        );
        check("resourceVersion=a", false, 400, "Invalid value: \"a\"");
        check("limit=a", false, 400, "invalid syntax");
        check("labelSelector=a%3D%3D%3D", false, 400, "");
        check("fieldSelector=a", false, 400, "invalid selector");
        check("continue=%21", false, 400, "continue key is not valid");
    }

    #[test]
    fn a_continue_token_comes_back() {
        for token in [
            Continue {
                revision: Some(7),
                start: "default/a\0".to_owned(),
            },
            Continue {
                revision: None,
                start: "b".to_owned(),
            },
        ] {
            let read = parse(&format!("continue={}", token.token()), false).expect("good");
            assert_eq!(read.next, Some(token));
        }
        let climbing = Continue {
            revision: Some(1),
            start: "../secrets/a".to_owned(),
        };
        assert!(parse(&format!("continue={}", climbing.token()), false).is_err());
    }

    #[test]
    fn flags() {
        let query = Query::parse(Some("a&b=true&c=false&d=0&e=1"));
        let read = ["a", "b", "c", "d", "e", "f"].map(|name| query.flag(name));
        assert_eq!(read, [true, true, false, false, true, false]);
    }
}

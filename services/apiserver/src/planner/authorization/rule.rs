//! A rule of a role: what it allows.

use super::Action;
use objects::go::quote;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// What all of a rule's lists together allow: each verb on each of its resources in each of its groups, or on each path.
/// `*` is everything. Rules only add: none takes away.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// `get`, `*`.
    #[serde(deserialize_with = "or_empty")]
    pub verbs: Vec<String>,
    /// Empty text: the core group.
    #[serde(deserialize_with = "or_empty", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// `pods`, `pods/log`, `*/scale`, `*`.
    #[serde(deserialize_with = "or_empty", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Only objects of these names; empty: all.
    #[serde(deserialize_with = "or_empty", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// Paths; a `*` at the end stands for anything.
    #[serde(
        rename = "nonResourceURLs",
        deserialize_with = "or_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub non_resource_urls: Vec<String>,
}

/// A list that may be null.
pub(super) fn or_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    source: D,
) -> Result<Vec<T>, D::Error> {
    Option::<Vec<T>>::deserialize(source).map(Option::unwrap_or_default)
}

impl Rule {
    /// Whether it allows this.
    #[must_use]
    pub fn allows(&self, action: &Action<'_>) -> bool {
        match *action {
            Action::Resource {
                verb,
                group,
                resource,
                subresource,
                name,
                ..
            } => {
                any(&self.verbs, verb)
                    && any(&self.api_groups, group)
                    && self.has_resource(resource, subresource)
                    && (self.resource_names.is_empty() || has(&self.resource_names, name))
            }
            Action::Path { verb, path } => {
                any(&self.verbs, verb)
                    && self
                        .non_resource_urls
                        .iter()
                        .any(|known| path_covers(known, path))
            }
        }
    }

    fn has_resource(&self, resource: &str, subresource: &str) -> bool {
        let is = |known: &String| {
            if known == "*" {
                return true;
            }
            if subresource.is_empty() {
                return known == resource;
            }
            // A resource may have a slash in its own name nowhere: the first one parts it.
            let Some((of, part)) = known.split_once('/') else {
                return false;
            };
            part == subresource && (of == "*" || of == resource)
        };
        self.resources.iter().any(is)
    }
}

/// Whether a path of a rule, with its `*`, is or covers another, with its own.
pub(super) fn path_covers(known: &str, path: &str) -> bool {
    known == path || (known.ends_with('*') && path.starts_with(known.trim_end_matches('*')))
}

/// Whether a list has a text.
pub(super) fn has(list: &[String], text: &str) -> bool {
    list.iter().any(|known| known == text)
}

/// Whether a list has a text, or everything.
pub(super) fn any(list: &[String], text: &str) -> bool {
    list.iter().any(|known| known == "*" || known == text)
}

impl fmt::Display for Rule {
    /// As answers tell it: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        let told = lists.iter().filter(|(_, list)| !list.is_empty());
        let told: Vec<String> = told
            .map(|(name, list)| format!("{name}:{}", quote_list(list)))
            .collect();
        write!(f, "{{{}}}", told.join(", "))
    }
}

/// `["a" "b"]`: a list of texts as Go writes it.
pub(in crate::planner) fn quote_list(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|text| quote(text)).collect();
    format!("[{}]", quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: &str, action: &str, expect: bool) {
        let rule: Rule = serde_json::from_str(rule).expect("a rule");
        // verb group resource subresource name, or verb /path; `-` is empty.
        let words: Vec<&str> = action
            .split(' ')
            .map(|word| if word == "-" { "" } else { word })
            .collect();
        let action = match words[..] {
            [verb, path] => Action::Path { verb, path },
            [verb, group, resource, subresource, name] => Action::Resource {
                verb,
                group,
                resource,
                subresource,
                name,
                namespace: "",
            },
            _ => panic!("{action}"),
        };
        assert_eq!(rule.allows(&action), expect, "{rule} {action:?}");
    }

    #[test]
    fn resources() {
        let pods = r#"{"verbs":["get","list"],"apiGroups":[""],"resources":["pods","pods/log"]}"#;
        check(pods, "get - pods - a", true);
        check(pods, "get - pods log a", true);
        check(pods, "get - pods exec a", false);
        check(pods, "delete - pods - a", false);
        check(pods, "get apps pods - a", false);
        check(pods, "get - pod - a", false);
        check(pods, "get /pods", false);
        let all = r#"{"verbs":["*"],"apiGroups":["*"],"resources":["*"]}"#;
        check(all, "get a b c d", true);
        check(all, "get /a", false);
        let scale = r#"{"verbs":["get"],"apiGroups":["*"],"resources":["*/scale"]}"#;
        check(scale, "get apps deployments scale a", true);
        check(scale, "get apps deployments - a", false);
        check(scale, "get apps deployments downscale a", false);
        let named = r#"{"verbs":["get","create"],"apiGroups":[""],"resources":["pods"],"resourceNames":["a"]}"#;
        check(named, "get - pods - a", true);
        check(named, "get - pods - b", false);
        // The name of what is made is not known yet.
        check(named, "create - pods - -", false);
        check(
            r#"{"verbs":null,"resources":null}"#,
            "get - pods - a",
            false,
        );
        // A part that looks like a resource.
        let part = r#"{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}"#;
        check(part, "get - pods pods a", false);
    }

    #[test]
    fn paths() {
        let some = r#"{"verbs":["get"],"nonResourceURLs":["/healthz","/api/*"]}"#;
        check(some, "get /healthz", true);
        check(some, "get /healthz/", false);
        check(some, "get /api/", true);
        check(some, "get /api/v1", true);
        check(some, "get /api", false);
        check(some, "post /healthz", false);
        check(r#"{"verbs":["*"],"nonResourceURLs":["*"]}"#, "put /a", true);
    }

    #[test]
    fn rules_are_told_as_upstream_tells() {
        let rule = Rule {
            verbs: vec!["get".to_owned(), "list".to_owned()],
            api_groups: vec![String::new()],
            resources: vec!["pods".to_owned()],
            ..Rule::default()
        };
        assert_eq!(
            rule.to_string(),
            r#"{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}"#
        );
    }
}

//! Names that generators of clients make functions of.

use crate::resources::Kind;

/// A group and version as words of an operation's name: `RbacAuthorizationV1`. The core group is `Core`.
pub(super) fn group_version(group: &str, version: &str) -> String {
    self::group(group) + &title(version)
}

/// A group as a word: `apiextensions.k8s.io` is `Apiextensions`, `example.com` is `ExampleCom`.
pub(super) fn group(group: &str) -> String {
    match group {
        "" => "Core".to_owned(),
        _ => short(group).split('.').map(title).collect(),
    }
}

/// The tag of a group's operations: `rbacAuthorization_v1`; without a version `rbacAuthorization`.
pub(super) fn tag(group: &str, version: &str) -> String {
    let mut tag = lower(&self::group(group));
    if !version.is_empty() {
        tag.push('_');
        tag.push_str(version);
    }
    tag
}

/// The name of an operation: `patch` `AppsV1` ` ` `Namespaced` `Deployment` `Scale`.
pub(super) struct OperationName<'a> {
    /// `list`, `create`, `read`, `replace`, `patch`, `delete`, `watch`.
    pub(super) verb: &'a str,
    pub(super) kind: Kind<'a>,
    /// Of many, by deleting them.
    pub(super) collection: bool,
    pub(super) namespaced: bool,
    /// A subresource, or an empty word.
    pub(super) part: &'a str,
    /// `List`, `ForAllNamespaces`, or an empty word.
    pub(super) suffix: &'a str,
}

impl OperationName<'_> {
    pub(super) fn text(&self) -> String {
        let Kind {
            group,
            version,
            kind,
        } = self.kind;
        [
            self.verb,
            &group_version(group, version),
            if self.collection { "Collection" } else { "" },
            if self.namespaced { "Namespaced" } else { "" },
            kind,
            &title(self.part),
            self.suffix,
        ]
        .concat()
    }
}

/// A group without the domain of Kubernetes' own groups.
fn short(group: &str) -> &str {
    group.strip_suffix(".k8s.io").unwrap_or(group)
}

fn title(word: &str) -> String {
    change_first(word, |first| first.to_ascii_uppercase())
}

fn lower(word: &str) -> String {
    change_first(word, |first| first.to_ascii_lowercase())
}

fn change_first(word: &str, change: impl Fn(char) -> char) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(change)
        .into_iter()
        .chain(letters)
        .filter(|letter| *letter != '-')
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_groups() {
        let check = |name: &str, expect: &str, expect_tag: &str| {
            assert_eq!(group_version(name, "v1beta1"), expect);
            assert_eq!(tag(name, "v1beta1"), expect_tag);
        };
        check("", "CoreV1beta1", "core_v1beta1");
        check("apps", "AppsV1beta1", "apps_v1beta1");
        check(
            "rbac.authorization.k8s.io",
            "RbacAuthorizationV1beta1",
            "rbacAuthorization_v1beta1",
        );
        check(
            "flowcontrol.apiserver.k8s.io",
            "FlowcontrolApiserverV1beta1",
            "flowcontrolApiserver_v1beta1",
        );
        check(
            "stable.example-site.com",
            "StableExamplesiteComV1beta1",
            "stableExamplesiteCom_v1beta1",
        );
        assert_eq!(tag("apps", ""), "apps");
    }
}

//! What the server says that it serves: groups, versions, resources, in the plain form and in the aggregated one.
//!
//! ```text
//!   /api           versions()                    /apis           groups()
//!   /api/v1        resources("", "v1")           /apis/G         group(G)
//!   either, aggregated: aggregated(Root)         /apis/G/V       resources(G, V)
//! ```
//!
//! All from entries, which are those of the table and, at run time, those of custom resources; entries of one group and version
//! are told in the order in which they come. Sources: the API reference (`APIGroup`, `APIResourceList`) and KEP-3352.

use crate::{
    entry::{Entry, Subresource},
    hash::Hash,
    resources::Kind,
    verb::Verb,
};
use serde_json::{Map, Value, json};
use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

/// Built-in groups in upstream's order, which decides whose resource a bare name means (`events`). Custom groups come behind
/// them, by name.
const GROUPS: [&str; 23] = [
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "resource.k8s.io",
    "storagemigration.k8s.io",
];

/// Where aggregated discovery is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// `/api`: the core group.
    Core,
    /// `/apis`: all others.
    Groups,
}

/// A group's place among all, first by upstream's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct GroupOrder<'a>(usize, &'a str);

/// A version's place within its group, the preferred one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct VersionOrder<'a>(&'a str);

type Groups<'a, 'e> = BTreeMap<GroupOrder<'a>, BTreeMap<VersionOrder<'a>, Vec<&'e Entry<'a>>>>;

/// `/api`: `APIVersions`. `address`: host and port at which clients of any network reach the server.
#[must_use]
pub fn versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

/// `/apis`: `APIGroupList`.
#[must_use]
pub fn groups<'a, 'e>(entries: impl IntoIterator<Item = &'e Entry<'a>>) -> Value
where
    'a: 'e,
{
    let groups: Vec<Value> = sorted(entries)
        .iter()
        .filter(|(group, _)| !group.1.is_empty())
        .map(|(group, versions)| Value::Object(api_group(group.1, versions.keys())))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/G`: `APIGroup`; None where no entry is of the group.
#[must_use]
pub fn group<'a, 'e>(entries: impl IntoIterator<Item = &'e Entry<'a>>, name: &str) -> Option<Value>
where
    'a: 'e,
{
    let groups = sorted(entries);
    let (group, versions) = groups.iter().find(|(group, _)| group.1 == name)?;
    let mut found = api_group(group.1, versions.keys());
    found.insert("kind".into(), "APIGroup".into());
    found.insert("apiVersion".into(), "v1".into());
    Some(found.into())
}

/// `/api/v1`, `/apis/G/V`: `APIResourceList`; None where no entry is of the group and version.
#[must_use]
pub fn resources<'a, 'e>(
    entries: impl IntoIterator<Item = &'e Entry<'a>>,
    group: &str,
    version: &str,
) -> Option<Value>
where
    'a: 'e,
{
    let mut list = Vec::new();
    for entry in entries {
        let kind = entry.kind();
        if (kind.group, kind.version) == (group, version) {
            list.push(Value::Object(api_resource(entry)));
            list.extend(entry.subresources.iter().map(|part| api_part(entry, part)));
        }
    }
    (!list.is_empty()).then(|| {
        json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": group_version(group, version),
            "resources": list,
        })
    })
}

/// `/api` and `/apis` for those who ask for `apidiscovery.k8s.io/v2`: `APIGroupDiscoveryList`.
#[must_use]
pub fn aggregated<'a, 'e>(entries: impl IntoIterator<Item = &'e Entry<'a>>, root: Root) -> Value
where
    'a: 'e,
{
    let items: Vec<Value> = sorted(entries)
        .iter()
        .filter(|(group, _)| group.1.is_empty() == (root == Root::Core))
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|(version, entries)| {
                    let resources: Vec<Value> =
                        entries.iter().map(|entry| discovered(entry)).collect();
                    json!({
                        "version": version.0,
                        "resources": resources,
                        "freshness": "Current",
                    })
                })
                .collect();
            let metadata = match group.1 {
                "" => json!({}),
                name => json!({"name": name}),
            };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

/// The version of a group that clients take when nobody names one.
#[must_use]
pub fn preferred_version<'a>(versions: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    versions.into_iter().min_by_key(|name| VersionOrder(name))
}

/// `apps/v1`, and `v1` in the core group.
#[must_use]
pub fn group_version(group: &str, version: &str) -> String {
    match group {
        "" => version.to_owned(),
        _ => format!("{group}/{version}"),
    }
}

/// Groups and versions in the order in which all forms of discovery, and the index of OpenAPI, tell them.
pub(crate) fn group_versions<'a, 'e>(
    entries: impl IntoIterator<Item = &'e Entry<'a>>,
) -> Vec<(&'a str, &'a str)>
where
    'a: 'e,
{
    let groups = sorted(entries).into_iter();
    groups
        .flat_map(|(group, versions)| {
            let versions = versions.into_keys();
            versions.map(move |version| (group.1, version.0))
        })
        .collect()
}

fn sorted<'a, 'e>(entries: impl IntoIterator<Item = &'e Entry<'a>>) -> Groups<'a, 'e>
where
    'a: 'e,
{
    let mut groups = Groups::new();
    for entry in entries {
        let kind = entry.kind();
        let place = GROUPS.iter().position(|name| *name == kind.group);
        groups
            .entry(GroupOrder(place.unwrap_or(GROUPS.len()), kind.group))
            .or_default()
            .entry(VersionOrder(kind.version))
            .or_default()
            .push(entry);
    }
    groups
}

fn api_group<'a: 'v, 'v>(
    name: &str,
    versions: impl Iterator<Item = &'v VersionOrder<'a>>,
) -> Map<String, Value> {
    let versions: Vec<Value> = versions
        .map(|version| {
            json!({
                "groupVersion": group_version(name, version.0),
                "version": version.0,
            })
        })
        .collect();
    Map::from_iter([
        ("name".into(), name.into()),
        (
            "preferredVersion".into(),
            versions.first().cloned().unwrap_or_default(),
        ),
        ("versions".into(), versions.into()),
    ])
}

fn api_resource(entry: &Entry<'_>) -> Map<String, Value> {
    let resource = entry.resource;
    let mut members = Map::from_iter([
        ("name".into(), (*resource.plural).into()),
        ("singularName".into(), (*resource.singular).into()),
        ("namespaced".into(), resource.namespaced.into()),
        ("kind".into(), (*resource.kind.kind).into()),
        ("verbs".into(), verbs(entry.verbs)),
    ]);
    names(&mut members, entry);
    if let Some(stored) = entry.stored {
        let text = format!("{}/{}/{}", stored.group, stored.version, stored.kind);
        let hash = Hash::of(text.as_bytes()).base64();
        members.insert("storageVersionHash".into(), hash.into());
    }
    members
}

fn api_part(entry: &Entry<'_>, part: &Subresource<'_>) -> Value {
    let own = entry.kind();
    let mut members = Map::from_iter([
        (
            "name".into(),
            format!("{}/{}", entry.resource.plural, part.name).into(),
        ),
        ("singularName".into(), "".into()),
        ("namespaced".into(), entry.resource.namespaced.into()),
        ("kind".into(), part.kind.kind.into()),
        ("verbs".into(), verbs(part.verbs)),
    ]);
    if (part.kind.group, part.kind.version) != (own.group, own.version) {
        members.insert("group".into(), part.kind.group.into());
        members.insert("version".into(), part.kind.version.into());
    }
    members.into()
}

fn discovered(entry: &Entry<'_>) -> Value {
    let resource = entry.resource;
    let scope = match resource.namespaced {
        true => "Namespaced",
        false => "Cluster",
    };
    let mut members = Map::from_iter([
        ("resource".into(), (*resource.plural).into()),
        ("responseKind".into(), kind(entry.kind())),
        ("scope".into(), scope.into()),
        ("singularResource".into(), (*resource.singular).into()),
        ("verbs".into(), verbs(entry.verbs)),
    ]);
    names(&mut members, entry);
    let parts: Vec<Value> = entry
        .subresources
        .iter()
        .map(|part| {
            json!({
                "subresource": part.name,
                "responseKind": kind(part.kind),
                "verbs": verbs(part.verbs),
            })
        })
        .collect();
    if !parts.is_empty() {
        members.insert("subresources".into(), parts.into());
    }
    members.into()
}

fn names(members: &mut Map<String, Value>, entry: &Entry<'_>) {
    for (name, words) in [
        ("shortNames", &entry.short_names),
        ("categories", &entry.categories),
    ] {
        if !words.is_empty() {
            members.insert(name.into(), words.clone().into());
        }
    }
}

fn kind(kind: Kind<'_>) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

fn verbs(verbs: &[Verb]) -> Value {
    verbs.iter().map(|verb| verb.as_str()).collect()
}

impl Ord for VersionOrder<'_> {
    /// Stable versions, then beta, then alpha, each from the highest; then all that is not of the form, by name.
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |version: &Self| {
            let parts = version.parts();
            (parts.is_none(), Reverse(parts))
        };
        rank(self)
            .cmp(&rank(other))
            .then_with(|| self.0.cmp(other.0))
    }
}

impl PartialOrd for VersionOrder<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl VersionOrder<'_> {
    /// Of `v1`, `v1beta2`: stability, major and minor.
    fn parts(&self) -> Option<(u8, u64, u64)> {
        let rest = self.0.strip_prefix('v')?;
        for (stability, word) in [(1, "beta"), (0, "alpha")] {
            if let Some((major, minor)) = rest.split_once(word) {
                return Some((stability, number(major)?, number(minor)?));
            }
        }
        Some((2, number(rest)?, 0))
    }
}

/// Digits, the first not zero.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && !text.starts_with('0')).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests;

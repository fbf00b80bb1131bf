//! How the tables are written: lists are words with spaces between them.

use super::{
    super::{GROUP, Kind, Rule},
    Wanted,
};
use serde_json::{Map, Value, json};

/// A role.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) name: &'static str,
    pub(super) rules: &'static [Line],
    /// The role that gathers this one: `edit` for the label `aggregate-to-edit`.
    pub(super) gathered_by: &'static str,
    /// It gathers those with the label of its own name, and has no rules itself.
    pub(super) gathers: bool,
}

/// A rule.
#[derive(Debug)]
pub(super) struct Line {
    verbs: &'static str,
    /// `core` is the group without a name.
    groups: &'static str,
    resources: &'static str,
    names: &'static str,
    paths: &'static str,
}

/// A binding of the role of the same name, unless it says another.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) role: &'static str,
    pub(super) to: &'static [Bound],
}

/// To whom.
#[derive(Debug)]
pub(super) enum Bound {
    User(&'static str),
    Group(&'static str),
    /// A service account of `kube-system`.
    Account(&'static str),
}

pub(super) const READ: &str = "get list watch";
pub(super) const WRITE: &str = "create delete deletecollection patch update";
pub(super) const ALL: &str = "create delete deletecollection get list patch update watch";
/// Whoever reports events.
pub(super) const EVENTS: Line = on("create patch update", "core events.k8s.io", "events");

pub(super) const fn on(verbs: &'static str, groups: &'static str, resources: &'static str) -> Line {
    Line {
        verbs,
        groups,
        resources,
        names: "",
        paths: "",
    }
}

pub(super) const fn paths(verbs: &'static str, paths: &'static str) -> Line {
    Line {
        paths,
        ..on(verbs, "", "")
    }
}

pub(super) const fn role(name: &'static str, rules: &'static [Line]) -> Role {
    Role {
        name,
        rules,
        gathered_by: "",
        gathers: false,
    }
}

pub(super) const fn bind(name: &'static str, to: &'static [Bound]) -> Binding {
    Binding {
        name,
        kind: "ClusterRole",
        role: name,
        to,
    }
}

impl Line {
    /// Only objects of these names.
    pub(super) const fn named(self, names: &'static str) -> Self {
        Self { names, ..self }
    }

    fn rule(&self) -> Rule {
        // As upstream has them, in order.
        let words = |text: &str| {
            let mut words: Vec<String> = text
                .split_whitespace()
                .map(|word| if word == "core" { "" } else { word }.to_owned())
                .collect();
            words.sort_unstable();
            words
        };
        Rule {
            verbs: words(self.verbs),
            api_groups: words(self.groups),
            resources: words(self.resources),
            resource_names: words(self.names),
            non_resource_urls: words(self.paths),
        }
    }
}

impl Role {
    /// The same, gathered by another role.
    pub(super) const fn gathered_by(self, role: &'static str) -> Self {
        Self {
            gathered_by: role,
            ..self
        }
    }

    /// The same, gathering others.
    pub(super) const fn gathers(self) -> Self {
        Self {
            gathers: true,
            ..self
        }
    }

    /// In a namespace; empty: of the cluster.
    pub(super) fn object(&self, namespace: &str) -> Wanted {
        let kind = match namespace {
            "" => Kind::ClusterRole,
            _ => Kind::Role,
        };
        let label = |role: &str| format!("{GROUP}/aggregate-to-{role}");
        let mut labels = Map::new();
        if !self.gathered_by.is_empty() {
            labels.insert(label(self.gathered_by), "true".into());
        }
        let mut fields = Map::new();
        let rules: Vec<Rule> = self.rules.iter().map(Line::rule).collect();
        if self.gathers {
            let selector = Map::from_iter([(label(self.name), Value::from("true"))]);
            let selectors = json!([{"matchLabels": selector}]);
            fields.insert(
                "aggregationRule".to_owned(),
                json!({"clusterRoleSelectors": selectors}),
            );
            fields.insert("rules".to_owned(), Value::Null);
        } else {
            fields.insert("rules".to_owned(), json!(rules));
        }
        made(kind, namespace, self.name, labels, fields)
    }
}

impl Binding {
    /// Of a role of the namespace.
    pub(super) const fn of_role(self, role: &'static str) -> Self {
        Self {
            kind: "Role",
            role,
            ..self
        }
    }

    /// In a namespace; empty: of the cluster.
    pub(super) fn object(&self, namespace: &str, to: &[Bound]) -> Wanted {
        bound(namespace, self.name, self.kind, self.role, to)
    }
}

/// A binding.
pub(super) fn bound(
    namespace: &str,
    name: &str,
    role_kind: &str,
    role: &str,
    to: &[Bound],
) -> Wanted {
    let subject = |bound: &Bound| match bound {
        Bound::User(name) => json!({"apiGroup": GROUP, "kind": "User", "name": name}),
        Bound::Group(name) => json!({"apiGroup": GROUP, "kind": "Group", "name": name}),
        Bound::Account(name) => {
            json!({"kind": "ServiceAccount", "name": name, "namespace": "kube-system"})
        }
    };
    let kind = match namespace {
        "" => Kind::ClusterRoleBinding,
        _ => Kind::RoleBinding,
    };
    let mut fields = Map::new();
    fields.insert(
        "roleRef".to_owned(),
        json!({"apiGroup": GROUP, "kind": role_kind, "name": role}),
    );
    if !to.is_empty() {
        let subjects: Vec<Value> = to.iter().map(subject).collect();
        fields.insert("subjects".to_owned(), subjects.into());
    }
    made(kind, namespace, name, Map::new(), fields)
}

fn made(
    kind: Kind,
    namespace: &str,
    name: &str,
    mut labels: Map<String, Value>,
    rest: Map<String, Value>,
) -> Wanted {
    let kind_name = match kind {
        Kind::ClusterRole => "ClusterRole",
        Kind::ClusterRoleBinding => "ClusterRoleBinding",
        Kind::Role => "Role",
        Kind::RoleBinding => "RoleBinding",
    };
    labels.insert(
        "kubernetes.io/bootstrapping".to_owned(),
        "rbac-defaults".into(),
    );
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), name.into());
    let mut key = name.to_owned();
    if !namespace.is_empty() {
        metadata.insert("namespace".to_owned(), namespace.into());
        key = format!("{namespace}/{name}");
    }
    metadata.insert("labels".to_owned(), labels.into());
    metadata.insert(
        "annotations".to_owned(),
        json!({(super::reconcile::AUTO_UPDATE): "true"}),
    );
    let mut value = Map::new();
    value.insert("apiVersion".to_owned(), format!("{GROUP}/v1").into());
    value.insert("kind".to_owned(), kind_name.into());
    value.insert("metadata".to_owned(), metadata.into());
    value.extend(rest);
    Wanted {
        kind,
        key,
        value: value.into(),
    }
}

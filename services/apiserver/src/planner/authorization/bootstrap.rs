//! Roles and bindings that each cluster has from its birth, as tables; and what is to be done so that it has them.
//!
//! ```text
//!   tables ──objects()──> Wanted{kind, key, value} ──reconcile(what is there)──> Create | Update | Recreate | nothing
//! ```
//!
//! The roles are those of Kubernetes 1.35 with its feature gates as they are by default: clients, controllers and people's
//! bindings count on their names and rules. At each start, rules and subjects that are missing are added; what people have
//! added stays; who sets the annotation `rbac.authorization.kubernetes.io/autoupdate` to `false` is left alone.
//!
//! Source: the page on RBAC ("Wanted roles and role bindings", "Auto-reconciliation").

mod cluster;
mod controllers;
mod namespaced;
mod reconcile;
mod table;

pub use reconcile::{Step, reconcile};

use super::Kind;
use serde_json::Value;
use table::Bound;

/// An object that each cluster has.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// What it is.
    pub kind: Kind,
    /// `name`, or `namespace/name`.
    pub key: String,
    /// As it is made.
    pub value: Value,
}

/// All of them, roles before the bindings that name them. `nodes_by_role`: kubelets get their role by their group, since no
/// Node authorizer knows them (upstream's default binding has no subject).
#[must_use]
pub fn objects(nodes_by_role: bool) -> Vec<Wanted> {
    let mut objects = Vec::new();
    for role in cluster::ROLES.iter().chain(controllers::ROLES) {
        objects.push(role.object(""));
    }
    for (namespace, role) in namespaced::ROLES {
        objects.push(role.object(namespace));
    }
    for binding in cluster::BINDINGS {
        let nodes = nodes_by_role && binding.name == "system:node";
        let bound: &[Bound] = if nodes {
            &[Bound::Group(super::super::user::NODES)]
        } else {
            binding.to
        };
        objects.push(binding.object("", bound));
    }
    for role in controllers::ROLES {
        objects.push(controllers::binding(role));
    }
    for (namespace, binding) in namespaced::BINDINGS {
        objects.push(binding.object(namespace, binding.to));
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Action, Attributes, Policy},
        *,
    };
    use crate::planner::user::User;
    use std::collections::BTreeSet;

    fn policy(nodes_by_role: bool) -> Policy {
        let mut policy = Policy::default();
        for object in objects(nodes_by_role) {
            let json = object.value.to_string();
            policy
                .put(object.kind, &object.key, json.as_bytes())
                .expect(&object.key);
        }
        policy
    }

    fn user(name: &str, groups: &[&str]) -> User {
        let groups = groups.iter().map(ToString::to_string).collect();
        let name = name.to_owned();
        User {
            name,
            groups,
            ..User::default()
        }
        .authenticated()
    }

    #[track_caller]
    fn check(user: &User, action: Action<'_>, expect: bool) {
        let attributes = Attributes { user, action };
        let decision = policy(true).decide(&attributes);
        assert_eq!(decision.is_allowed(), expect, "{attributes}: {decision:?}");
    }

    fn on<'a>(verb: &'a str, group: &'a str, resource: &'a str, namespace: &'a str) -> Action<'a> {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Action::Resource {
            verb,
            group,
            resource,
            subresource,
            name: "x",
            namespace,
        }
    }

    fn path<'a>(verb: &'a str, path: &'a str) -> Action<'a> {
        Action::Path { verb, path }
    }

    #[test]
    fn all_are_there_once_and_are_valid() {
        let objects = objects(false);
        let keys: BTreeSet<(&str, &str)> = objects
            .iter()
            .map(|object| (object.kind.resource(), object.key.as_str()))
            .collect();
        assert_eq!(keys.len(), objects.len());
        let count = |kind| objects.iter().filter(|object| object.kind == kind).count();
        assert_eq!(count(Kind::Role), 7);
        assert_eq!(count(Kind::RoleBinding), 7);
        for object in &objects {
            let metadata = objects::metadata::Metadata::of(&object.value);
            let (namespace, name) = object.key.split_once('/').unwrap_or(("", &object.key));
            assert_eq!((metadata.namespace(), metadata.name()), (namespace, name));
            assert_eq!(
                metadata.label("kubernetes.io/bootstrapping"),
                Some("rbac-defaults")
            );
            let annotation = metadata.annotation("rbac.authorization.kubernetes.io/autoupdate");
            assert_eq!(annotation, Some("true"));
            // What is bound is there.
            if let Some(role) = object.value.get("roleRef") {
                let name = role["name"].as_str().expect("a name");
                let key = match role["kind"].as_str() {
                    Some("Role") => ("roles", format!("{namespace}/{name}")),
                    _ => ("clusterroles", name.to_owned()),
                };
                assert!(keys.contains(&(key.0, key.1.as_str())), "{key:?}");
            } else if metadata.name().starts_with("system:") {
                let rules = object.value["rules"].as_array().expect("rules");
                assert!(!rules.is_empty(), "{}", object.key);
            }
        }
    }

    #[test]
    fn a_role_is_as_upstream_writes_it() {
        let objects = objects(false);
        let find = |key: &str| {
            let found = objects.iter().find(|object| object.key == key);
            found.expect(key).value.clone()
        };
        assert_eq!(
            find("edit"),
            serde_json::json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {
                    "name": "edit",
                    "labels": {
                        "kubernetes.io/bootstrapping": "rbac-defaults",
                        "rbac.authorization.k8s.io/aggregate-to-admin": "true",
                    },
                    "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
                },
                "aggregationRule": {"clusterRoleSelectors": [
                    {"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}}]},
                "rules": null,
            })
        );
        assert_eq!(
            find("kube-system/system::leader-locking-kube-scheduler")["kind"],
            "Role"
        );
        let binding = find("system:controller:job-controller");
        assert_eq!(
            binding["rules"][0]["verbs"],
            serde_json::json!(["get", "list", "patch", "update", "watch"])
        );
    }

    #[test]
    fn who_may_do_what_at_birth() {
        let nobody = User::anonymous();
        check(&nobody, path("get", "/healthz"), true);
        check(&nobody, path("get", "/version"), true);
        check(&nobody, path("get", "/api"), false);
        check(&nobody, path("get", "/openid/v1/jwks"), false);
        check(&nobody, on("list", "", "pods", ""), false);
        let jane = user("jane", &[]);
        check(&jane, path("get", "/apis/apps/v1"), true);
        check(&jane, path("get", "/openapi/v3"), true);
        check(&jane, path("get", "/metrics"), false);
        let review = |resource| on("create", "authorization.k8s.io", resource, "");
        check(&jane, review("selfsubjectaccessreviews"), true);
        check(&jane, review("subjectaccessreviews"), false);
        check(&jane, on("get", "", "pods", "default"), false);
        let robot = User::service_account("a", "b", "").authenticated();
        check(&robot, path("get", "/openid/v1/jwks"), true);
        let scheduler = user("system:kube-scheduler", &[]);
        check(&scheduler, on("create", "", "pods/binding", "a"), true);
        check(
            &scheduler,
            on("list", "storage.k8s.io", "storageclasses", ""),
            true,
        );
        check(&scheduler, on("get", "", "secrets", "a"), false);
        let leases = on("update", "coordination.k8s.io", "leases", "kube-system");
        check(&scheduler, leases, true);
        let node = user("system:node:n", &["system:nodes"]);
        check(&node, on("patch", "", "nodes/status", ""), true);
        check(&node, on("create", "", "serviceaccounts/token", "a"), true);
        check(&node, on("delete", "", "secrets", "a"), false);
        let collector = User::service_account("kube-system", "generic-garbage-collector", "");
        check(&collector, on("delete", "any.group", "things", "a"), true);
        let pods = User::service_account("kube-system", "horizontal-pod-autoscaler", "");
        check(&pods, on("update", "apps", "deployments/scale", "a"), true);
        check(&pods, on("update", "apps", "deployments", "a"), false);
        let monitor = user("m", &["system:monitoring"]);
        check(&monitor, path("get", "/metrics"), true);
    }

    #[test]
    fn nodes_have_no_role_when_another_authorizer_knows_them() {
        let node = user("system:node:n", &["system:nodes"]);
        let attributes = Attributes {
            user: &node,
            action: on("patch", "", "nodes/status", ""),
        };
        assert!(policy(true).decide(&attributes).is_allowed());
        assert!(!policy(false).decide(&attributes).is_allowed());
    }
}

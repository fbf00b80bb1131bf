//! Nobody gives what he has not: roles and bindings are written only by who holds all that they give, or may give it away.
//!
//! Source: the page on RBAC ("Privilege escalation prevention and bootstrapping").

use super::{
    super::user::{MASTERS, User},
    Action, Attributes, GROUP, Policy, RoleRef, Rule, missing,
    policy::aggregate,
    rule::quote_list,
};
use objects::{
    go::quote,
    metadata::Metadata,
    status::{Qualified, Status},
};
use serde_json::Value;

/// A role or a binding that is to be written.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// `roles`, `clusterroles`, `rolebindings` or `clusterrolebindings`.
    pub resource: &'a str,
    /// Empty: of the cluster.
    pub namespace: &'a str,
    /// As it will be.
    pub new: &'a Value,
    /// As it is; None: it is made.
    pub old: Option<&'a Value>,
}

/// Whether somebody may write this. What is neither role nor binding may be written as far as this is concerned.
///
/// # Errors
/// The answer to the client.
pub fn check(policy: &Policy, user: &User, write: &Write<'_>) -> Result<(), Status> {
    if user.is_in(MASTERS)
        || write
            .old
            .is_some_and(|old| is_for_collection_only(write.new, old))
    {
        return Ok(());
    }
    match write.resource {
        "roles" | "clusterroles" => role(policy, user, write),
        "rolebindings" | "clusterrolebindings" => binding(policy, user, write),
        _ => Ok(()),
    }
}

fn role(policy: &Policy, user: &User, write: &Write<'_>) -> Result<(), Status> {
    let name = Metadata::of(write.new).name();
    let escalate = Attributes {
        user,
        action: Action::Resource {
            verb: "escalate",
            group: GROUP,
            resource: write.resource,
            subresource: "",
            // The name of what is made is no part of the request.
            name: write.old.map_or("", |_| name),
            namespace: write.namespace,
        },
    };
    if policy.decide(&escalate).is_allowed() {
        return Ok(());
    }
    let rules = write.new.get("rules").cloned().unwrap_or_default();
    // What is no list of rules gives nothing; validation names the mistake.
    let rules: Vec<Rule> = serde_json::from_value(rules).unwrap_or_default();
    hold(policy, user, write, &rules).map_err(|why| forbidden(write, &why))?;
    let gathers = |role: &Value| {
        role.get("aggregationRule")
            .is_some_and(|rule| !rule.is_null())
    };
    if write.resource == "clusterroles" && (gathers(write.new) || write.old.is_some_and(gathers)) {
        hold(policy, user, write, &everything()).map_err(|_| {
            forbidden(
                write,
                "must have cluster-admin privileges to use the aggregationRule",
            )
        })?;
    }
    Ok(())
}

fn binding(policy: &Policy, user: &User, write: &Write<'_>) -> Result<(), Status> {
    let role = write.new.get("roleRef").cloned().unwrap_or_default();
    let role: RoleRef = serde_json::from_value(role).unwrap_or_default();
    let resource = match role.kind.as_str() {
        "ClusterRole" => "clusterroles",
        "Role" => "roles",
        // Validation names the mistake, and it binds nothing.
        _ => return Ok(()),
    };
    let bind = Attributes {
        user,
        action: Action::Resource {
            verb: "bind",
            group: GROUP,
            resource,
            subresource: "",
            name: &role.name,
            namespace: write.namespace,
        },
    };
    if policy.decide(&bind).is_allowed() {
        return Ok(());
    }
    let rules = policy
        .role(write.namespace, &role)
        .map_err(|kind| Status::not_found(Qualified::new(GROUP, kind), &role.name))?;
    hold(policy, user, write, rules).map_err(|why| forbidden(write, &why))
}

/// Whether a user holds all of these rules where the object is written; else why not.
fn hold(policy: &Policy, user: &User, write: &Write<'_>, rules: &[Rule]) -> Result<(), String> {
    let held = policy.rules_for(user, write.namespace);
    let missing = missing(&held.rules, rules).map_err(|error| error.to_string())?;
    if missing.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let mut why = format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        quote(&user.name),
        quote_list(&user.groups),
        told.join("\n")
    );
    if !held.errors.is_empty() {
        why.push_str(&format!(
            "; resolution errors: [{}]",
            aggregate(held.errors)
        ));
    }
    Err(why)
}

fn forbidden(write: &Write<'_>, why: &str) -> Status {
    let name = Metadata::of(write.new).name();
    Status::forbidden(Qualified::new(GROUP, write.resource), name, why)
}

fn everything() -> [Rule; 2] {
    let all = || vec!["*".to_owned()];
    [
        Rule {
            verbs: all(),
            api_groups: all(),
            resources: all(),
            ..Rule::default()
        },
        Rule {
            verbs: all(),
            non_resource_urls: all(),
            ..Rule::default()
        },
    ]
}

/// Whether an update changes only what the garbage collector needs to change: anybody who may update may do that.
fn is_for_collection_only(new: &Value, old: &Value) -> bool {
    let rest = |object: &Value| {
        let mut object = object.clone();
        let fields = objects::metadata::edit(&mut object);
        for name in [
            "ownerReferences",
            "finalizers",
            "selfLink",
            "managedFields",
            "resourceVersion",
        ] {
            fields.remove(name);
        }
        object
    };
    rest(new) == rest(old)
}

#[cfg(test)]
mod tests {
    use super::{super::Kind, *};
    use serde_json::json;

    fn user(name: &str) -> User {
        User {
            name: name.to_owned(),
            groups: vec!["g".to_owned()],
            ..User::default()
        }
    }

    /// `reader` may get pods in namespace `a`; `admin` may do everything; `giver` may bind and escalate.
    fn policy() -> Policy {
        let mut policy = Policy::default();
        let mut put = |kind, key: &str, object: Value| {
            policy
                .put(kind, key, object.to_string().as_bytes())
                .expect("good");
        };
        let roles = [
            (
                "pods",
                json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]),
            ),
            (
                "all",
                json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]}]),
            ),
            (
                "give",
                json!([{"verbs": ["bind", "escalate"], "apiGroups": [GROUP], "resources": ["roles", "clusterroles"]}]),
            ),
        ];
        for (name, rules) in roles {
            put(Kind::ClusterRole, name, json!({"rules": rules}));
        }
        let bind = |role: &str, user: &str| json!({"roleRef": {"kind": "ClusterRole", "name": role}, "subjects": [{"kind": "User", "name": user}]});
        put(Kind::RoleBinding, "a/reader", bind("pods", "reader"));
        put(Kind::ClusterRoleBinding, "admin", bind("all", "admin"));
        put(Kind::ClusterRoleBinding, "giver", bind("give", "giver"));
        policy
    }

    #[track_caller]
    fn check_write(by: &str, resource: &str, namespace: &str, new: Value, expect: &str) {
        let write = Write {
            resource,
            namespace,
            new: &new,
            old: None,
        };
        let told = match check(&policy(), &user(by), &write) {
            Ok(()) => "ok".to_owned(),
            Err(status) => format!("{} {}", status.code, status.message),
        };
        assert_eq!(told, expect);
    }

    #[test]
    fn roles() {
        let pods = json!({"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
        check_write("reader", "roles", "a", pods.clone(), "ok");
        check_write("admin", "clusterroles", "", pods.clone(), "ok");
        check_write("giver", "clusterroles", "", pods.clone(), "ok");
        check_write(
            "reader",
            "roles",
            "b",
            pods,
            "403 roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"reader\" (groups=[\"g\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\"]}",
        );
        let gathers = json!({"metadata": {"name": "r"}, "aggregationRule": {"clusterRoleSelectors": []}, "rules": null});
        check_write("admin", "clusterroles", "", gathers.clone(), "ok");
        check_write(
            "reader",
            "clusterroles",
            "",
            gathers,
            "403 clusterroles.rbac.authorization.k8s.io \"r\" is forbidden: must have cluster-admin privileges to use the aggregationRule",
        );
    }

    #[test]
    fn bindings() {
        let binding = |role: &str| json!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role}});
        check_write("reader", "rolebindings", "a", binding("pods"), "ok");
        check_write("giver", "clusterrolebindings", "", binding("all"), "ok");
        check_write("admin", "clusterrolebindings", "", binding("all"), "ok");
        check_write(
            "reader",
            "rolebindings",
            "a",
            binding("none"),
            "404 clusterrole.rbac.authorization.k8s.io \"none\" not found",
        );
        check_write(
            "reader",
            "clusterrolebindings",
            "",
            binding("pods"),
            "403 clusterrolebindings.rbac.authorization.k8s.io \"b\" is forbidden: user \"reader\" (groups=[\"g\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\"]}",
        );
    }

    #[test]
    fn what_the_garbage_collector_does_is_left_alone() {
        let old = json!({"metadata": {"name": "r", "finalizers": ["x"]}, "rules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]});
        let mut new = old.clone();
        new["metadata"] = json!({"name": "r", "ownerReferences": [{}]});
        let write = |new: &Value| {
            check(
                &policy(),
                &user("reader"),
                &Write {
                    resource: "roles",
                    namespace: "a",
                    new,
                    old: Some(&old),
                },
            )
        };
        assert_eq!(write(&new), Ok(()));
        new["metadata"]["labels"] = json!({"a": "b"});
        assert!(write(&new).is_err());
    }
}

//! Decisions, as a table.

use super::{super::Action, *};
use serde_json::{Value, json};

/// A policy of cluster roles `read-pods`, `one-secret`, `health`; role `own` in namespace `a`; bindings of them.
fn policy() -> Policy {
    let mut policy = Policy::default();
    let mut put = |kind, key: &str, object: Value| {
        let json = object.to_string();
        policy
            .put(kind, key, json.as_bytes())
            .expect("a good object");
    };
    let rule = |verbs: &[&str], resources: &[&str]| json!({"verbs": verbs, "apiGroups": [""], "resources": resources});
    put(
        Kind::ClusterRole,
        "read-pods",
        json!({"rules": [rule(&["get", "list"], &["pods"])]}),
    );
    put(
        Kind::ClusterRole,
        "one-secret",
        json!({"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["s"]}]}),
    );
    put(
        Kind::ClusterRole,
        "health",
        json!({"rules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}]}),
    );
    put(
        Kind::Role,
        "a/own",
        json!({"rules": [rule(&["*"], &["configmaps"])]}),
    );
    let bind = |kind: &str, role: &str, subjects: Value| json!({"roleRef": {"kind": kind, "name": role}, "subjects": subjects});
    put(
        Kind::ClusterRoleBinding,
        "all-read",
        bind(
            "ClusterRole",
            "read-pods",
            json!([{"kind": "Group", "name": "readers"}]),
        ),
    );
    put(
        Kind::ClusterRoleBinding,
        "public",
        bind(
            "ClusterRole",
            "health",
            json!([{"kind": "Group", "name": "system:unauthenticated"}]),
        ),
    );
    put(
        Kind::ClusterRoleBinding,
        "homeless",
        bind(
            "ClusterRole",
            "read-pods",
            json!([{"kind": "ServiceAccount", "name": "d"}]),
        ),
    );
    put(
        Kind::RoleBinding,
        "a/jane",
        bind("Role", "own", json!([{"kind": "User", "name": "jane"}])),
    );
    put(
        Kind::RoleBinding,
        "a/secret",
        bind(
            "ClusterRole",
            "one-secret",
            json!([{"kind": "ServiceAccount", "name": "d"}, {"kind": "ServiceAccount", "name": "d", "namespace": "b"}]),
        ),
    );
    put(
        Kind::RoleBinding,
        "b/gone",
        bind("Role", "none", json!([{"kind": "User", "name": "jane"}])),
    );
    put(
        Kind::RoleBinding,
        "b/none",
        json!({"roleRef": {"kind": "Role", "name": "none"}, "subjects": null}),
    );
    policy
}

fn user(name: &str, groups: &[&str]) -> User {
    User {
        name: name.to_owned(),
        groups: groups.iter().map(ToString::to_string).collect(),
        ..User::default()
    }
}

/// `verb resource namespace name`, or `verb /path`.
fn action(text: &str) -> Action<'_> {
    let words: Vec<&str> = text
        .split(' ')
        .map(|word| if word == "-" { "" } else { word })
        .collect();
    match words[..] {
        [verb, path] => Action::Path { verb, path },
        [verb, resource, namespace, name] => Action::Resource {
            verb,
            group: "",
            resource,
            subresource: "",
            name,
            namespace,
        },
        _ => panic!("{text}"),
    }
}

fn told(policy: &Policy, user: &User, text: &str) -> String {
    let attributes = Attributes {
        user,
        action: action(text),
    };
    let decision = policy.decide(&attributes);
    let allowed = if decision.is_allowed() { "yes" } else { "no" };
    format!("{allowed} {}", decision.reason()).trim().to_owned()
}

#[test]
fn decisions() {
    let policy = policy();
    let check = |user: &User, text: &str, expect: &str| {
        assert_eq!(told(&policy, user, text), expect, "{} {text}", user.name);
    };
    let jane = user("jane", &["readers", "system:authenticated"]);
    check(
        &jane,
        "list pods - -",
        r#"yes RBAC: allowed by ClusterRoleBinding "all-read" of ClusterRole "read-pods" to Group "readers""#,
    );
    check(
        &jane,
        "get pods x y",
        r#"yes RBAC: allowed by ClusterRoleBinding "all-read" of ClusterRole "read-pods" to Group "readers""#,
    );
    check(&jane, "delete pods x y", "no");
    check(
        &jane,
        "delete configmaps a x",
        r#"yes RBAC: allowed by RoleBinding "jane/a" of Role "own" to User "jane""#,
    );
    check(&jane, "delete configmaps - x", "no");
    check(
        &jane,
        "delete configmaps b x",
        r#"no RBAC: role.rbac.authorization.k8s.io "none" not found"#,
    );
    check(&jane, "get /healthz", "no");
    let robot = User::service_account("a", "d", "");
    check(
        &robot,
        "get secrets a s",
        r#"yes RBAC: allowed by RoleBinding "secret/a" of ClusterRole "one-secret" to ServiceAccount "d/a""#,
    );
    check(&robot, "get secrets a t", "no");
    check(&robot, "list pods - -", "no");
    let other = User::service_account("b", "d", "");
    check(
        &other,
        "get secrets a s",
        r#"yes RBAC: allowed by RoleBinding "secret/a" of ClusterRole "one-secret" to ServiceAccount "d/b""#,
    );
    check(
        &User::anonymous(),
        "get /healthz",
        r#"yes RBAC: allowed by ClusterRoleBinding "public" of ClusterRole "health" to Group "system:unauthenticated""#,
    );
    check(&User::anonymous(), "get /metrics", "no");
    check(&user("root", &[MASTERS]), "delete anything - -", "yes");
    check(&user("root", &[MASTERS]), "delete /anything", "yes");
    check(&User::default(), "get pods - -", "no");
}

#[test]
fn changes_take_effect() {
    let mut policy = policy();
    let jane = user("jane", &[]);
    assert!(told(&policy, &jane, "get configmaps a x").starts_with("yes"));
    policy.remove(Kind::Role, "a/own");
    assert_eq!(
        told(&policy, &jane, "get configmaps a x"),
        r#"no RBAC: role.rbac.authorization.k8s.io "own" not found"#
    );
    let role = br#"{"rules":[{"verbs":["list"],"apiGroups":[""],"resources":["configmaps"]}]}"#;
    policy.put(Kind::Role, "a/own", role).expect("a role");
    assert_eq!(told(&policy, &jane, "get configmaps a x"), "no");
    assert!(told(&policy, &jane, "list configmaps a -").starts_with("yes"));
    // Another subject instead of her.
    let binding =
        br#"{"roleRef":{"kind":"Role","name":"own"},"subjects":[{"kind":"User","name":"joe"}]}"#;
    policy
        .put(Kind::RoleBinding, "a/jane", binding)
        .expect("a binding");
    assert_eq!(told(&policy, &jane, "list configmaps a -"), "no");
    assert!(told(&policy, &user("joe", &[]), "list configmaps a -").starts_with("yes"));
    // What cannot be read allows nothing.
    assert!(policy.put(Kind::RoleBinding, "a/jane", b"[1]").is_err());
    assert_eq!(
        told(&policy, &user("joe", &[]), "list configmaps a -"),
        "no"
    );
    for kind in Kind::ALL {
        policy.clear(kind);
    }
    assert_eq!(told(&policy, &User::anonymous(), "get /healthz"), "no");
}

#[test]
fn nothing_is_left_of_what_is_removed() {
    let mut policy = policy();
    for key in ["all-read", "public", "homeless", "absent"] {
        policy.remove(Kind::ClusterRoleBinding, key);
    }
    for key in ["a/jane", "a/secret", "b/gone", "b/none", "c/absent"] {
        policy.remove(Kind::RoleBinding, key);
    }
    assert!(policy.bindings.is_empty());
    assert!(policy.cluster_bindings.users.is_empty() && policy.cluster_bindings.groups.is_empty());
}

#[test]
fn rules_of_a_user() {
    let policy = policy();
    let jane = user("jane", &["readers", "readers"]);
    let rules = policy.rules_for(&jane, "a");
    let told: Vec<String> = rules.rules.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            r#"{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}"#,
            r#"{APIGroups:[""], Resources:["configmaps"], Verbs:["*"]}"#
        ]
    );
    assert_eq!(policy.rules_for(&jane, "").rules.len(), 1);
    let errors = policy.rules_for(&jane, "b").errors;
    assert_eq!(
        errors,
        [r#"role.rbac.authorization.k8s.io "none" not found"#]
    );
}

#[test]
fn a_decision_does_not_look_at_what_is_bound_to_others() {
    let mut policy = policy();
    for number in 0..10_000 {
        let binding = json!({
            "roleRef": {"kind": "ClusterRole", "name": "one-secret"},
            "subjects": [{"kind": "User", "name": format!("user-{number}")}],
        });
        let key = format!("binding-{number}");
        policy
            .put(
                Kind::ClusterRoleBinding,
                &key,
                binding.to_string().as_bytes(),
            )
            .expect("a binding");
    }
    let mut seen = 0;
    let user = user("user-77", &["readers"]);
    let _: ControlFlow<()> = policy.visit(&user, "a", |_, _| {
        seen += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(seen, 2);
}

proptest::proptest! {
    #[test]
    fn any_object_is_read(json in "\\PC{0,60}", key in "\\PC{0,10}") {
        let mut policy = Policy::default();
        for kind in Kind::ALL {
            let _ = policy.put(kind, &key, json.as_bytes());
            policy.remove(kind, &key);
        }
    }
}

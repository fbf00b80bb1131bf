//! Cluster roles that gather the rules of others: `admin` has all that roles with the label `aggregate-to-admin` have.
//!
//! Source: the page on RBAC ("Aggregated ClusterRoles"): the rules are written by the control plane, in the order of the
//! selectors and then of the roles' names, each once; what a client has written there is replaced.

use objects::{metadata::Metadata, selector::LabelSelector};
use serde_json::Value;
use std::collections::HashSet;

/// Bytes of the rules that a role gathers. The store takes a little more in one object.
pub const GATHERED_MAX: usize = 1024 * 1024;

/// The rules that a role would gather are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it would gather more than {GATHERED_MAX} bytes of rules")]
pub struct TooLarge;

/// Whether a role gathers.
#[must_use]
pub fn gathers(role: &Value) -> bool {
    role.get("aggregationRule")
        .is_some_and(|rule| !rule.is_null())
}

/// The role with the rules of those that it selects; None: it has them, or gathers nothing. `all`: the cluster's roles, by name.
///
/// A selector that is none selects nothing: validation does not let one in.
///
/// # Errors
/// The rules are too many: the role is to keep what it has.
pub fn gathered(role: &Value, all: &[Value]) -> Result<Option<Value>, TooLarge> {
    if !gathers(role) {
        return Ok(None);
    }
    let own = Metadata::of(role).name();
    let selectors = role.pointer("/aggregationRule/clusterRoleSelectors");
    let selectors = selectors.and_then(Value::as_array).into_iter().flatten();
    let (mut rules, mut known, mut bytes) = (Vec::new(), HashSet::new(), 0);
    for selector in selectors {
        let Ok(selector) = LabelSelector::from_object(Some(selector)) else {
            continue;
        };
        let selected = all.iter().filter(|other| {
            let metadata = Metadata::of(other);
            metadata.name() != own && selector.matches(metadata.labels())
        });
        for rule in selected.flat_map(rules_of) {
            let text = rule.to_string();
            let length = text.len();
            if known.insert(text) {
                bytes += length;
                if bytes > GATHERED_MAX {
                    return Err(TooLarge);
                }
                rules.push(rule);
            }
        }
    }
    if rules_of(role).eq(rules.iter().copied()) {
        return Ok(None);
    }
    let rules: Value = rules.into_iter().cloned().collect();
    let mut role = role.clone();
    if let Value::Object(fields) = &mut role {
        fields.insert("rules".to_owned(), rules);
    }
    Ok(Some(role))
}

fn rules_of(role: &Value) -> impl Iterator<Item = &Value> {
    let rules = role.get("rules").and_then(Value::as_array);
    rules.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn role(name: &str, labels: Value, rules: &[&str]) -> Value {
        let rules: Vec<Value> = rules
            .iter()
            .map(|verb| json!({"verbs": [verb], "apiGroups": [""], "resources": ["pods"]}))
            .collect();
        json!({"metadata": {"name": name, "labels": labels}, "rules": rules})
    }

    fn gathering(name: &str, labels: &[&str]) -> Value {
        let selectors: Vec<Value> = labels
            .iter()
            .map(|label| json!({"matchLabels": {*label: "true"}}))
            .collect();
        json!({
            "metadata": {"name": name, "labels": {"to-all": "true"}},
            "aggregationRule": {"clusterRoleSelectors": selectors},
            "rules": null,
        })
    }

    fn change(role: &Value, all: &[Value]) -> Option<Value> {
        gathered(role, all).expect("not too large")
    }

    fn verbs(role: &Value) -> Vec<&str> {
        let rules = rules_of(role);
        rules.filter_map(|rule| rule["verbs"][0].as_str()).collect()
    }

    #[test]
    fn rules_come_in_the_order_of_selectors_and_names_and_once() {
        let all = [
            role("a", json!({"to-view": "true"}), &["get", "list"]),
            role("b", json!({"to-edit": "true"}), &["list", "update"]),
            role("c", json!({"to-view": "true"}), &["watch", "get"]),
            role("d", json!({"to-view": "false"}), &["delete"]),
        ];
        let made = change(&gathering("x", &["to-edit", "to-view"]), &all).expect("a change");
        assert_eq!(verbs(&made), ["list", "update", "get", "watch"]);
        assert!(change(&made, &all).is_none(), "it has them");
        let fewer = change(&made, &all[..1]).expect("a change");
        assert_eq!(verbs(&fewer), ["get", "list"]);
    }

    #[test]
    fn a_role_does_not_gather_its_own_and_others_are_left_alone() {
        let own = gathering("x", &["to-all"]);
        let plain = role("y", json!({"to-all": "true"}), &["get"]);
        let all = [own.clone(), plain.clone()];
        let made = change(&own, &all).expect("a change");
        assert_eq!(verbs(&made), ["get"]);
        assert!(change(&plain, &all).is_none());
        assert!(change(&gathering("x", &[]), &all).is_none());
        let odd = json!({"metadata": {"name": "o"}, "aggregationRule": {"clusterRoleSelectors": [
            {"matchExpressions": [{"key": "a", "operator": "Sometimes"}]}]}, "rules": []});
        assert!(change(&odd, &all).is_none());
    }
    /// As the executor does it: what one role has gathered, the next one sees.
    #[test]
    fn roles_that_gather_each_other_come_to_rest() {
        let mut all = [
            gathering("a", &["to-a"]),
            gathering("b", &["to-b"]),
            role("m1", json!({"to-a": "true"}), &["get"]),
            role("m2", json!({"to-b": "true"}), &["list"]),
        ];
        all[0]["metadata"]["labels"] = json!({"to-b": "true"});
        all[1]["metadata"]["labels"] = json!({"to-a": "true"});
        let mut rounds = 0;
        loop {
            let mut changed = false;
            for at in 0..all.len() {
                if let Some(made) = change(&all[at], &all) {
                    all[at] = made;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
            rounds += 1;
            assert!(rounds < 5, "{all:?}");
        }
        for gathers in &all[..2] {
            assert_eq!(verbs(gathers).len(), 2);
        }
    }

    #[test]
    fn too_many_rules_are_not_gathered_and_cost_little() {
        let names: Vec<String> = (0..40_000).map(|number| format!("v{number:030}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let all = [role("a", json!({"to-all": "true"}), &names)];
        assert_eq!(gathered(&gathering("x", &["to-all"]), &all), Err(TooLarge));
        let all = [role("a", json!({"to-all": "true"}), &names[..1_000])];
        let made = change(&gathering("x", &["to-all"]), &all).expect("a change");
        assert_eq!(verbs(&made).len(), 1_000);
    }
}

//! Cluster roles that gather the rules of others: `admin` has all that roles with the label `aggregate-to-admin` have.
//!
//! Source: the page on RBAC ("Aggregated ClusterRoles"): the rules are written by the control plane, in the order of the
//! selectors and then of the roles' names, each once; what a client has written there is replaced.

use objects::{metadata::Metadata, selector::LabelSelector};
use serde_json::Value;

/// Whether a role gathers.
#[must_use]
pub fn gathers(role: &Value) -> bool {
    role.get("aggregationRule")
        .is_some_and(|rule| !rule.is_null())
}

/// The role with the rules of those that it selects; None: it has them, or gathers nothing. `all`: the cluster's roles, by name.
///
/// A selector that is none selects nothing: validation does not let one in.
#[must_use]
pub fn gathered(role: &Value, all: &[Value]) -> Option<Value> {
    if !gathers(role) {
        return None;
    }
    let own = Metadata::of(role).name();
    let selectors = role.pointer("/aggregationRule/clusterRoleSelectors");
    let selectors = selectors.and_then(Value::as_array).into_iter().flatten();
    let mut rules: Vec<&Value> = Vec::new();
    for selector in selectors {
        let Ok(selector) = LabelSelector::from_object(Some(selector)) else {
            continue;
        };
        let selected = all.iter().filter(|other| {
            let metadata = Metadata::of(other);
            metadata.name() != own && selector.matches(metadata.labels())
        });
        for rule in selected.flat_map(rules_of) {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    }
    if rules_of(role).eq(rules.iter().copied()) {
        return None;
    }
    let rules: Value = rules.into_iter().cloned().collect();
    let mut role = role.clone();
    role.as_object_mut()?.insert("rules".to_owned(), rules);
    Some(role)
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
        let made = gathered(&gathering("x", &["to-edit", "to-view"]), &all).expect("a change");
        assert_eq!(verbs(&made), ["list", "update", "get", "watch"]);
        assert!(gathered(&made, &all).is_none(), "it has them");
        let fewer = gathered(&made, &all[..1]).expect("a change");
        assert_eq!(verbs(&fewer), ["get", "list"]);
    }

    #[test]
    fn a_role_does_not_gather_its_own_and_others_are_left_alone() {
        let own = gathering("x", &["to-all"]);
        let plain = role("y", json!({"to-all": "true"}), &["get"]);
        let all = [own.clone(), plain.clone()];
        let made = gathered(&own, &all).expect("a change");
        assert_eq!(verbs(&made), ["get"]);
        assert!(gathered(&plain, &all).is_none());
        assert!(gathered(&gathering("x", &[]), &all).is_none());
        let odd = json!({"metadata": {"name": "o"}, "aggregationRule": {"clusterRoleSelectors": [
            {"matchExpressions": [{"key": "a", "operator": "Sometimes"}]}]}, "rules": []});
        assert!(gathered(&odd, &all).is_none());
    }
}

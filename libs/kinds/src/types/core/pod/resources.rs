//! What a pod asks for as a whole.

use std::collections::BTreeMap;

use objects::field::{ErrorList, FieldError, Path};
use objects::quantity::Quantity;
use serde_json::Value;

use super::{container::is_restartable, spec::Context};
use crate::{
    types::core::resource_list::{
        Of, amounts, is_huge_page, is_overcommit_allowed, validate_requirements,
    },
    value::Fields,
};

/// Amounts by name.
pub type Amounts = BTreeMap<String, Quantity>;

/// Whether a resource can be asked for by a pod as a whole.
#[must_use]
pub fn is_of_pods(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge_page(name)
}

/// What a pod's containers need together, of `requests` or of `limits`: the regular ones and the sidecars at once, and at least what
/// each init container needs beside the sidecars that were started before it.
#[must_use]
pub fn aggregate(spec: &Value, list: &str) -> Amounts {
    let of = |container: &Value| -> Amounts {
        let amounts = amounts(container.part("resources"), list);
        amounts
            .into_iter()
            .map(|(name, amount)| (name.to_owned(), amount))
            .collect()
    };
    let mut all = Amounts::new();
    for container in spec.items("containers") {
        add(&mut all, &of(container));
    }
    let (mut sidecars, mut initial) = (Amounts::new(), Amounts::new());
    for container in spec.items("initContainers") {
        let mut own = of(container);
        if is_restartable(container) {
            add(&mut all, &own);
            add(&mut sidecars, &own);
            own.clone_from(&sidecars);
        } else {
            add(&mut own, &sidecars);
        }
        at_least(&mut initial, &own);
    }
    at_least(&mut all, &initial);
    all
}

fn add(sum: &mut Amounts, amounts: &Amounts) {
    for (name, amount) in amounts {
        let entry = sum.entry(name.clone()).or_default();
        *entry = entry.add(amount);
    }
}

fn at_least(most: &mut Amounts, amounts: &Amounts) {
    for (name, amount) in amounts {
        let entry = most.entry(name.clone()).or_insert_with(|| amount.clone());
        if *entry < *amount {
            *entry = amount.clone();
        }
    }
}

/// Fills in what a pod that says something as a whole does not say (KEP-2837). Comes after its containers' own.
pub fn defaults(spec: &mut Value) {
    let resources = spec.part("resources");
    let is_empty = |name: &str| resources.count(name) == 0;
    if !spec.has("resources") || (is_empty("limits") && is_empty("requests")) {
        return;
    }
    let limits = aggregate(spec, "limits");
    let requests = aggregate(spec, "requests");
    let pages: Amounts = limits
        .into_iter()
        .filter(|(name, _)| is_huge_page(name))
        .collect();
    let Some(resources) = spec.object_mut("resources") else {
        return;
    };
    for (name, amount) in pages {
        if !resources.part("requests").has(&name) {
            set_absent(resources, "limits", &name, &amount);
        }
    }
    let own_limits: Vec<(String, Quantity)> = amounts(resources, "limits")
        .into_iter()
        .map(|(name, amount)| (name.to_owned(), amount))
        .collect();
    if own_limits.is_empty() {
        return;
    }
    let of_containers = requests.into_iter();
    let of_containers = of_containers.filter(|(name, _)| is_overcommit_allowed(name));
    for (name, amount) in of_containers.chain(own_limits) {
        if is_of_pods(&name) {
            set_absent(resources, "requests", &name, &amount);
        }
    }
}

fn set_absent(resources: &mut Value, list: &str, name: &str, amount: &Quantity) {
    if let Some(list) = resources.object_mut(list) {
        list.set_absent(name, amount.to_string());
    }
}

pub(super) fn validate(context: &Context<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(resources) = context.spec.field("resources") else {
        return;
    };
    if resources.has("claims") {
        let message = "claims cannot be set for Resources at pod-level";
        errors.push(FieldError::forbidden(&path.child("claims"), message));
    }
    validate_requirements(resources, Of::Pod, &context.claims, path, errors);
    let requests = path.child("requests");
    for (name, together) in aggregate(context.spec, "requests") {
        let own = resources
            .part("requests")
            .quantity(&name)
            .unwrap_or_default();
        if together > own {
            let message = format!(
                "must be greater than or equal to aggregate container requests of {together}"
            );
            errors.push(FieldError::invalid(
                &requests.key(&name),
                own.to_string(),
                message,
            ));
        }
    }
    let list = path.child("containers");
    for (index, container) in context.spec.items("containers").iter().enumerate() {
        for (name, limit) in amounts(container.part("resources"), "limits") {
            let most = resources.part("limits").quantity(name);
            if let Some(most) = most.filter(|most| limit > *most) {
                let message = format!("must be less than or equal to pod limits of {most}");
                let path = list.index(index);
                let path = path.key(name);
                errors.push(FieldError::invalid(
                    &path.child("limits"),
                    limit.to_string(),
                    message,
                ));
            }
        }
    }
}

/// The class by which a pod is preferred when its node has too little: `Guaranteed`, `Burstable`, `BestEffort`.
#[must_use]
pub fn quality_of_service(spec: &Value) -> &'static str {
    let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
    let mut guaranteed = true;
    let counted = |resources: &Value, list: &str| -> Amounts {
        let amounts = amounts(resources, list).into_iter();
        let amounts = amounts.filter(|(name, amount)| {
            matches!(*name, "cpu" | "memory") && *amount > Quantity::default()
        });
        amounts
            .map(|(name, amount)| (name.to_owned(), amount))
            .collect()
    };
    if let Some(resources) = spec.field("resources") {
        add(&mut requests, &counted(resources, "requests"));
        add(&mut limits, &counted(resources, "limits"));
        guaranteed = resources.count("limits") == 0 || limits.len() == 2;
    } else {
        let containers = spec.items("containers").iter();
        for container in containers.chain(spec.items("initContainers")) {
            let resources = container.part("resources");
            add(&mut requests, &counted(resources, "requests"));
            let own = counted(resources, "limits");
            guaranteed &= own.len() == 2;
            add(&mut limits, &own);
        }
    }
    match () {
        () if requests.is_empty() && limits.is_empty() => "BestEffort",
        () if guaranteed && requests == limits => "Guaranteed",
        () => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn container(requests: &Value, limits: &Value) -> Value {
        json!({"resources": {"requests": requests, "limits": limits}})
    }

    #[test]
    fn classes() {
        let check =
            |spec: Value, expect: &str| assert_eq!(quality_of_service(&spec), expect, "{spec}");
        let both = json!({"cpu": "1", "memory": "1Gi"});
        check(json!({"containers": [{}]}), "BestEffort");
        check(
            json!({"containers": [container(&both, &both)]}),
            "Guaranteed",
        );
        check(
            json!({"containers": [container(&both, &both), {}]}),
            "Burstable",
        );
        check(
            json!({"containers": [container(&both, &json!({}))]}),
            "Burstable",
        );
        check(
            json!({"containers": [container(&json!({"x.y/z": "1"}), &json!({}))]}),
            "BestEffort",
        );
        check(
            json!({"containers": [{}], "resources": {"requests": both, "limits": both}}),
            "Guaranteed",
        );
    }

    #[test]
    fn sidecars_are_there_beside_the_others() {
        let cpu = |amount: &str| container(&json!({ "cpu": amount }), &json!({}));
        let mut sidecar = cpu("1");
        sidecar.set("restartPolicy", "Always");
        let spec =
            json!({"containers": [cpu("2")], "initContainers": [cpu("1"), sidecar, cpu("4")]});
        assert_eq!(aggregate(&spec, "requests")["cpu"].to_string(), "5");
        let spec =
            json!({"containers": [cpu("6")], "initContainers": [cpu("1"), sidecar, cpu("4")]});
        assert_eq!(aggregate(&spec, "requests")["cpu"].to_string(), "7");
    }

    #[test]
    fn a_pod_asks_for_what_its_containers_do() {
        let mut spec = json!({
            "containers": [container(&json!({"cpu": "1"}), &json!({}))],
            "resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
        });
        defaults(&mut spec);
        assert_eq!(
            spec["resources"]["requests"],
            json!({"cpu": "1", "memory": "1Gi"})
        );
    }
}

//! Objects, besides roles (`authorization::bootstrap`), that each cluster has from its birth.
//!
//! They are made where they are not there, as a client would make them, and never changed: defaults and metadata are filled
//! in by the write path. Sources: the pages on namespaces ("Initial namespaces"), on pod priority, and on ServiceCIDRs.

use serde_json::{Value, json};

/// A namespace that cannot be lost.
pub const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// An object, and which resource it is of.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// API group; empty for the core one.
    pub group: &'static str,
    /// The plural name.
    pub resource: &'static str,
    /// As it is made. None of them has a namespace.
    pub value: Value,
}

/// All of them; `service_cidrs`: the ranges of `--service-cluster-ip-range`, one or two.
#[must_use]
pub fn objects(service_cidrs: &[String]) -> Vec<Object> {
    let namespaces = NAMESPACES.map(|name| Object {
        group: "",
        resource: "namespaces",
        value: json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
    });
    let priority = |name: &str, value: i64, description: &str| Object {
        group: "scheduling.k8s.io",
        resource: "priorityclasses",
        value: json!({
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": description,
        }),
    };
    let mut objects = Vec::from(namespaces);
    objects.push(priority(
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ));
    objects.push(priority(
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ));
    if !service_cidrs.is_empty() {
        objects.push(Object {
            group: "networking.k8s.io",
            resource: "servicecidrs",
            value: json!({
                "apiVersion": "networking.k8s.io/v1",
                "kind": "ServiceCIDR",
                "metadata": {"name": "kubernetes"},
                "spec": {"cidrs": service_cidrs},
            }),
        });
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::served::Catalogue;

    #[test]
    fn all_are_of_resources_that_are_served() {
        let catalogue = Catalogue::builtin();
        let objects = objects(&["10.96.0.0/16".to_owned()]);
        assert_eq!(objects.len(), 7);
        for object in objects {
            let served = catalogue.find(object.group, "v1", object.resource);
            let served = served.expect(object.resource);
            assert_eq!(object.value["apiVersion"], served.api_version());
            assert_eq!(object.value["kind"], *served.schema.kind.kind);
        }
    }
}

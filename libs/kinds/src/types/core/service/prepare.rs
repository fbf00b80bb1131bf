//! What of a service a client means that does not say all.
//!
//! Clients know a service's first address by one field or by two, send back what they have read or only what they know, and change
//! a service's type without taking away what belongs to the old one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{is_externally_accessible, needs_cluster_ip, needs_health_check, needs_node_port};
use crate::value::Fields;

pub(super) fn create(service: &mut Value) {
    // Upstream never leaves it out, since it is no pointer.
    service.set("status", json!({"loadBalancer": {}}));
    let Some(spec) = service.field_mut("spec") else {
        return;
    };
    let address = spec.text("clusterIP").to_owned();
    if !address.is_empty() && spec.items("clusterIPs").is_empty() {
        spec.set("clusterIPs", vec![address]);
    }
}

pub(super) fn update(service: &mut Value, old: &Value) {
    let old = old.part("spec");
    let Some(spec) = service.field_mut("spec") else {
        return;
    };
    keep_given(spec, old);
    addresses(spec, old);
    one_family_less(spec, old);
    drop_of_old_type(spec, old);
}

/// What was given out, and is not mentioned, stays.
fn keep_given(spec: &mut Value, old: &Value) {
    if needs_cluster_ip(old) && needs_cluster_ip(spec) {
        if spec.text("clusterIP").is_empty() && old.has("clusterIP") {
            spec.copy_from(old, "clusterIP");
        }
        if spec.items("clusterIPs").is_empty() && spec.part("clusterIP") == old.part("clusterIP") {
            spec.copy_from(old, "clusterIPs");
        }
    }
    if needs_node_port(old) && needs_node_port(spec) {
        node_ports(spec, old);
    }
    let port = "healthCheckNodePort";
    if needs_health_check(old)
        && needs_health_check(spec)
        && spec.whole(port).unwrap_or_default() == 0
    {
        spec.copy_from(old, port);
    }
}

fn node_ports(spec: &mut Value, old: &Value) {
    let number = |port: &Value| port.whole("nodePort").unwrap_or_default();
    let of_old: Vec<i64> = old.items("ports").iter().map(number).collect();
    let mut used: Vec<i64> = spec.items("ports").iter().map(number).collect();
    used.retain(|number| *number != 0 && of_old.contains(number));
    let by_name: BTreeMap<&str, i64> = old
        .items("ports")
        .iter()
        .map(|port| (port.text("name"), number(port)))
        .collect();
    for port in spec.items_mut("ports") {
        let known = by_name.get(port.text("name")).copied().unwrap_or_default();
        if number(port) == 0 && known != 0 && !used.contains(&known) {
            port.set("nodePort", known);
            used.push(known);
        }
    }
}

/// Brings the one address and the list of them together, as whoever changed one of them means it.
fn addresses(spec: &mut Value, old: &Value) {
    let (one, all) = ("clusterIP", "clusterIPs");
    let same_list = spec.items(all) == old.items(all);
    if spec.text(one) == old.text(one) {
        if spec.items(all).is_empty() && !old.items(all).is_empty() {
            spec.copy_from(old, all);
        }
    } else if same_list {
        match spec.text(one).to_owned() {
            address if address.is_empty() => {
                spec.remove(all);
            }
            address => spec.set(all, vec![address]),
        }
    }
}

/// Whoever asks for a single family gives up the second.
fn one_family_less(spec: &mut Value, old: &Value) {
    let single = |spec: &Value| matches!(spec.text("ipFamilyPolicy"), "" | "SingleStack");
    if single(old) || spec.text("ipFamilyPolicy") != "SingleStack" {
        return;
    }
    for list in ["clusterIPs", "ipFamilies"] {
        let items = spec.items(list);
        if items.len() > 1 && items == old.items(list) {
            let first = items[..1].to_vec();
            spec.set(list, first);
        }
    }
}

/// What belonged to the old type goes with it, unless it was changed, too, which validation refuses.
fn drop_of_old_type(spec: &mut Value, old: &Value) {
    let lost = |needs: fn(&Value) -> bool, spec: &Value| needs(old) && !needs(spec);
    let is_balancer: fn(&Value) -> bool = |spec| spec.text("type") == "LoadBalancer";
    let mut fields: Vec<&[&str]> = Vec::new();
    if lost(needs_cluster_ip, spec) {
        let own: [&[&str]; 3] = [
            &["clusterIP", "clusterIPs"],
            &["ipFamilies"],
            &["ipFamilyPolicy"],
        ];
        fields.extend(own);
    }
    if lost(needs_health_check, spec) {
        fields.push(&["healthCheckNodePort"]);
    }
    if lost(is_balancer, spec) {
        let own: [&[&str]; 2] = [&["allocateLoadBalancerNodePorts"], &["loadBalancerClass"]];
        fields.extend(own);
    }
    if lost(is_externally_accessible, spec) {
        fields.push(&["externalTrafficPolicy"]);
    }
    for names in fields {
        if names.iter().all(|name| spec.part(name) == old.part(name)) {
            for name in names {
                spec.remove(name);
            }
        }
    }
    let ports = |spec: &Value| -> Vec<Option<i64>> {
        spec.items("ports")
            .iter()
            .map(|port| port.whole("nodePort"))
            .collect()
    };
    if lost(needs_node_port, spec) && ports(spec) == ports(old) {
        for port in spec.items_mut("ports") {
            port.remove("nodePort");
        }
    }
}

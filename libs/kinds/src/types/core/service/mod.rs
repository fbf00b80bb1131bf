//! Services.
//!
//! Addresses and ports are given out by the server, after [`prepare`](self) and before validation. What is here is what a service
//! may ask for, and what of the given ones an update keeps.

mod columns;
mod prepare;
mod update;
mod validate;

use objects::field::{ErrorList, Path};
use objects::metadata::NameRule;
use objects::names;
use serde_json::{Value, json};

use crate::{
    check::value::{ip, one_of, subdomain},
    rules::{Rules, Selectable},
    value::Fields,
};

use objects::field::FieldError;

/// How long a client stays with one endpoint, in seconds, and how long it may at most.
const AFFINITY_DEFAULT: i64 = 10_800;
const AFFINITY_MAX: i64 = 86_400;

const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    prepare_create: prepare::create,
    prepare_update: prepare::update,
    validate: validate::validate,
    validate_update: update::validate,
    validate_status,
    warnings,
    name: NameRule::Label1035,
    columns: columns::COLUMNS,
    selectable: &[
        Selectable::new("spec.clusterIP"),
        Selectable::new("spec.type"),
    ],
    ..Rules::NONE
};

fn defaults(service: &mut Value) {
    let Some(spec) = service.object_mut("spec") else {
        return;
    };
    affinity(spec);
    spec.set_empty("type", "ClusterIP");
    for port in spec.items_mut("ports") {
        port.set_empty("protocol", "TCP");
        if let Some(number) = port.field("port").cloned() {
            port.set_empty("targetPort", number);
        }
    }
    if is_externally_accessible(spec) {
        spec.set_empty("externalTrafficPolicy", "Cluster");
    }
    if needs_cluster_ip(spec) {
        spec.set_absent("internalTrafficPolicy", "Cluster");
    }
    if spec.text("type") != "LoadBalancer" {
        return;
    }
    spec.set_absent("allocateLoadBalancerNodePorts", true);
    let status = service.field_mut("status");
    if let Some(balancer) = status.and_then(|status| status.field_mut("loadBalancer")) {
        for ingress in balancer.items_mut("ingress") {
            if !ingress.text("ip").is_empty() {
                ingress.set_absent("ipMode", "VIP");
            }
        }
    }
}

fn affinity(spec: &mut Value) {
    spec.set_empty("sessionAffinity", "None");
    match spec.text("sessionAffinity") {
        "None" => {
            spec.remove("sessionAffinityConfig");
        }
        "ClientIP" => {
            let config = spec.part("sessionAffinityConfig").part("clientIP");
            if !config.has("timeoutSeconds") {
                let config = json!({"clientIP": {"timeoutSeconds": AFFINITY_DEFAULT}});
                spec.set("sessionAffinityConfig", config);
            }
        }
        _ => (),
    }
}

/// Whether a service has an address in the cluster, or none of its own choice.
#[must_use]
pub fn needs_cluster_ip(spec: &Value) -> bool {
    matches!(spec.text("type"), "ClusterIP" | "NodePort" | "LoadBalancer")
}

/// Whether a service has ports on every node.
#[must_use]
pub fn needs_node_port(spec: &Value) -> bool {
    matches!(spec.text("type"), "NodePort" | "LoadBalancer")
}

/// Whether load balancers ask a port of their own which nodes have endpoints.
#[must_use]
pub fn needs_health_check(spec: &Value) -> bool {
    spec.text("type") == "LoadBalancer" && spec.text("externalTrafficPolicy") == "Local"
}

/// Whether a service is reached from outside.
#[must_use]
pub fn is_externally_accessible(spec: &Value) -> bool {
    let has_addresses = !spec.items("externalIPs").is_empty();
    needs_node_port(spec) || (spec.text("type") == "ClusterIP" && has_addresses)
}

/// Whether a service has no address of its own.
#[must_use]
pub fn is_headless(spec: &Value) -> bool {
    spec.items("clusterIPs") == ["None"]
}

fn validate_status(service: &Value, _: &Value, errors: &mut ErrorList) {
    let (status, path) = (service.part("status"), Path::new("status"));
    let (balancer, path) = (status.part("loadBalancer"), path.child("loadBalancer"));
    let path = path.child("ingress");
    let ingresses = balancer.items("ingress");
    if service.part("spec").text("type") != "LoadBalancer" && !ingresses.is_empty() {
        let message = "may only be used when `spec.type` is 'LoadBalancer'";
        errors.push(FieldError::forbidden(&path, message));
        return;
    }
    validate_ingresses(ingresses, &path, errors);
}

/// Where a load balancer is: of Services and of Ingresses (the latter without modes).
pub fn validate_ingresses(ingresses: &[Value], path: &Path<'_>, errors: &mut ErrorList) {
    for (index, ingress) in ingresses.iter().enumerate() {
        let path = path.index(index);
        let (address, hostname) = (ingress.text("ip"), ingress.text("hostname"));
        if !address.is_empty() {
            ip(address, &path.child("ip"), errors);
        }
        let mode = path.child("ipMode");
        match (ingress.has("ipMode"), address.is_empty()) {
            (false, false) => {
                let message = "must be specified when `ip` is set";
                errors.push(FieldError::required(&mode, message));
            }
            (true, true) => {
                let message = "may not be specified when `ip` is not set";
                errors.push(FieldError::forbidden(&mode, message));
            }
            (true, false) => one_of(ingress.text("ipMode"), &["Proxy", "VIP"], &mode, errors),
            (false, true) => (),
        }
        if !hostname.is_empty() {
            let path = path.child("hostname");
            subdomain(hostname, &path, errors);
            if names::parse_ip(hostname).is_some() {
                let message = "must be a DNS name, not an IP address";
                errors.push(FieldError::invalid(&path, hostname, message));
            }
        }
    }
}

fn warnings(service: &Value, _: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    let (spec, path) = (service.part("spec"), Path::new("spec"));
    let annotations = service.part("metadata").part("annotations");
    if annotations.has(TOPOLOGY_HINTS) {
        warnings.push(format!(
            "annotation {TOPOLOGY_HINTS} is deprecated, please use {TOPOLOGY_MODE} instead"
        ));
    }
    let headless = spec.text("clusterIP") == "None";
    if !headless {
        let path = path.child("clusterIPs");
        for (index, address) in spec.texts("clusterIPs").enumerate() {
            warnings.extend(names::ip_warnings(&path.index(index), address));
        }
    }
    if headless && spec.text("type") == "ClusterIP" {
        if !spec.text("loadBalancerIP").is_empty() {
            warnings.push("spec.loadBalancerIP is ignored for headless services".to_owned());
        }
        if !spec.items("externalIPs").is_empty() {
            warnings.push("spec.externalIPs is ignored for headless services".to_owned());
        }
        if spec.text("sessionAffinity") != "None" {
            warnings.push("spec.SessionAffinity is ignored for headless services".to_owned());
        }
    }
    let addresses = path.child("externalIPs");
    for (index, address) in spec.texts("externalIPs").enumerate() {
        warnings.extend(names::ip_warnings(&addresses.index(index), address));
    }
    let address = spec.text("loadBalancerIP");
    if !address.is_empty() {
        warnings.extend(names::ip_warnings(&path.child("loadBalancerIP"), address));
    }
    let ranges = path.child("loadBalancerSourceRanges");
    for (index, range) in spec.texts("loadBalancerSourceRanges").enumerate() {
        warnings.extend(names::cidr_warnings(&ranges.index(index), range));
    }
    let external = spec.text("type") == "ExternalName";
    if external && !spec.items("externalIPs").is_empty() {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if !external && !spec.text("externalName").is_empty() {
        warnings
            .push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec.text("trafficDistribution") == "PreferClose" {
        warnings.push(
            "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\""
                .to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests;

//! What is wrong with a service.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::{Value, json};

use super::{
    AFFINITY_MAX, TOPOLOGY_HINTS, TOPOLOGY_MODE, is_externally_accessible, is_headless,
    needs_cluster_ip, needs_health_check,
};
use crate::{
    check::value::{
        dual_stack, ip, label, labels, one_of, optional_one_of, port, port_or_name, qualified,
        required_one_of, subdomain,
    },
    value::Fields,
};

const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const BALANCER_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";

pub(super) fn validate(service: &Value, errors: &mut ErrorList) {
    let (spec, path) = (service.part("spec"), Path::new("spec"));
    let kind = spec.text("type");
    annotations(service.part("metadata").part("annotations"), errors);
    if spec.items("ports").is_empty() && !is_headless(spec) && kind != "ExternalName" {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    of_type(spec, &path, errors);
    ports(spec, &path.child("ports"), errors);
    labels(spec, "selector", &path, errors);
    session_affinity(spec, &path, errors);
    if kind != "ExternalName" {
        addresses(spec, &path, errors);
    }
    let list = path.child("externalIPs");
    for (index, address) in spec.texts("externalIPs").enumerate() {
        let path = list.index(index);
        let before = errors.len();
        ip(address, &path, errors);
        if errors.len() == before {
            errors.extend(names::special_ip(&path, address));
        }
    }
    let types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    required_one_of(kind, &types, &path.child("type"), errors);
    duplicate_ports(spec, &path.child("ports"), errors);
    source_ranges(service, &path, errors);
    balancer(spec, &path, errors);
    traffic(spec, &path, errors);
}

fn annotations(annotations: &Value, errors: &mut ErrorList) {
    let (mode, hints) = (
        annotations.field(TOPOLOGY_MODE),
        annotations.field(TOPOLOGY_HINTS),
    );
    if let (Some(mode), Some(hints)) = (mode, hints)
        && mode != hints
    {
        let metadata = Path::new("metadata");
        let path = metadata.child("annotations");
        let message = format!("must match annotations[{TOPOLOGY_HINTS}] when both are specified");
        errors.push(FieldError::invalid(
            &path.key(TOPOLOGY_MODE),
            mode.clone(),
            message,
        ));
    }
}

fn of_type(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    match spec.text("type") {
        kind @ ("LoadBalancer" | "NodePort") if is_headless(spec) => {
            let message = format!("may not be set to 'None' for {kind} services");
            let path = path.child("clusterIPs");
            errors.push(FieldError::invalid(&path.index(0), "None", message));
        }
        "ExternalName" => {
            for name in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if spec.has(name)
                    && spec
                        .part(name)
                        .as_array()
                        .is_none_or(|list| !list.is_empty())
                {
                    let message = "may not be set for ExternalName services";
                    errors.push(FieldError::forbidden(&path.child(name), message));
                }
            }
            let name = spec.text("externalName");
            let name = name.strip_suffix('.').unwrap_or(name);
            let path = path.child("externalName");
            if name.is_empty() {
                errors.push(FieldError::required(&path, ""));
            } else {
                subdomain(name, &path, errors);
            }
        }
        _ => (),
    }
}

fn ports(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let mut seen = BTreeSet::new();
    let ports = spec.items("ports");
    for (index, item) in ports.iter().enumerate() {
        let path = path.index(index);
        let (name, name_path) = (item.text("name"), path.child("name"));
        if name.is_empty() {
            if ports.len() > 1 {
                errors.push(FieldError::required(&name_path, ""));
            }
        } else {
            label(name, &name_path, errors);
            if !seen.insert(name) {
                errors.push(FieldError::duplicate(&name_path, name));
            }
        }
        port(
            item.whole("port").unwrap_or_default(),
            &path.child("port"),
            errors,
        );
        required_one_of(
            item.text("protocol"),
            &["SCTP", "TCP", "UDP"],
            &path.child("protocol"),
            errors,
        );
        port_or_name(item.part("targetPort"), &path.child("targetPort"), errors);
        if item.has("appProtocol") {
            qualified(item.text("appProtocol"), &path.child("appProtocol"), errors);
        }
    }
}

fn duplicate_ports(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let ports = spec.items("ports");
    let number = |port: &Value, name: &str| port.whole(name).unwrap_or_default();
    if spec.text("type") == "ClusterIP" {
        for (index, _) in ports
            .iter()
            .enumerate()
            .filter(|(_, port)| number(port, "nodePort") != 0)
        {
            let message = "may not be used when `type` is 'ClusterIP'";
            let path = path.index(index);
            errors.push(FieldError::forbidden(&path.child("nodePort"), message));
        }
    }
    let (mut on_nodes, mut own) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        let (protocol, node_port) = (port.text("protocol"), number(port, "nodePort"));
        if node_port != 0 && !on_nodes.insert((protocol, node_port)) {
            errors.push(FieldError::duplicate(&path.child("nodePort"), node_port));
        }
    }
    for (index, port) in ports.iter().enumerate() {
        let (protocol, number) = (port.text("protocol"), number(port, "port"));
        if !own.insert((protocol, number)) {
            let shown = json!({"protocol": protocol, "port": number});
            errors.push(FieldError::duplicate(&path.index(index), shown));
        }
    }
}

fn session_affinity(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let affinity = spec.text("sessionAffinity");
    required_one_of(
        affinity,
        &["ClientIP", "None"],
        &path.child("sessionAffinity"),
        errors,
    );
    let config = spec.part("sessionAffinityConfig");
    let path = path.child("sessionAffinityConfig");
    match affinity {
        "ClientIP" => {
            let message = "when session affinity type is ClientIP";
            let client = path.child("clientIP");
            let seconds_path = client.child("timeoutSeconds");
            let missing = if config.is_null() {
                &path
            } else if !config.has("clientIP") {
                &client
            } else {
                &seconds_path
            };
            match config.part("clientIP").whole("timeoutSeconds") {
                None => errors.push(FieldError::required(missing, message)),
                Some(seconds) if !(1..=AFFINITY_MAX).contains(&seconds) => {
                    let message = format!("must be greater than 0 and less than {AFFINITY_MAX}");
                    errors.push(FieldError::invalid(&seconds_path, seconds, message));
                }
                Some(_) => (),
            }
        }
        "None" if !config.is_null() => {
            let message = "must not be set when session affinity is None";
            errors.push(FieldError::forbidden(&path, message));
        }
        _ => (),
    }
}

/// Addresses in the cluster and their families.
fn addresses(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let addresses: Vec<&str> = spec.texts("clusterIPs").collect();
    let families: Vec<&str> = spec.texts("ipFamilies").collect();
    let (list, shown) = (path.child("clusterIPs"), spec.items("clusterIPs").to_vec());
    let one = spec.text("clusterIP");
    match addresses.first() {
        None if !one.is_empty() => errors.push(FieldError::required(&list, "")),
        Some(_) if one.is_empty() => {
            let message = "must be empty when `clusterIP` is not specified";
            errors.push(FieldError::invalid(&list, shown.clone(), message));
        }
        Some(first) if *first != one => {
            let message = "first value must match `clusterIP`";
            errors.push(FieldError::invalid(&list, shown.clone(), message));
        }
        _ => (),
    }
    let families_path = path.child("ipFamilies");
    let mut seen = BTreeSet::new();
    for (index, family) in families.iter().enumerate() {
        one_of(
            family,
            &["IPv4", "IPv6"],
            &families_path.index(index),
            errors,
        );
        if !seen.insert(family) {
            errors.push(FieldError::duplicate(&families_path.index(index), *family));
        }
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    optional_one_of(spec, "ipFamilyPolicy", &policies, path, errors);
    let before = errors.len();
    for (index, address) in addresses.iter().enumerate() {
        if index == 0 && *address == "None" {
            if addresses.len() > 1 {
                let message = "'None' must be the first and only value";
                errors.push(FieldError::invalid(&list, shown.clone(), message));
            }
            continue;
        }
        ip(address, &list.index(index), errors);
    }
    let malformed = errors.len() > before;
    if addresses.len() > 2 {
        errors.push(FieldError::invalid(
            &list,
            shown.clone(),
            "may only hold up to 2 values",
        ));
    }
    if malformed {
        return;
    }
    if addresses.len() > 1 && dual_stack(&addresses) != Some(true) {
        let message = "may specify no more than one IP for each IP family";
        errors.push(FieldError::invalid(&list, shown, message));
    }
    if is_headless(spec) {
        return;
    }
    for (index, (address, family)) in addresses.iter().zip(&families).enumerate() {
        let six = names::parse_ip(address).is_some_and(|address| address.is_ipv6());
        if (*family == "IPv4" && six) || (*family == "IPv6" && !six) {
            let message =
                format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
            errors.push(FieldError::invalid(&list.index(index), *address, message));
        }
    }
}

fn source_ranges(service: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let spec = service.part("spec");
    let balancer = spec.text("type") == "LoadBalancer";
    if !spec.items("loadBalancerSourceRanges").is_empty() {
        // Upstream's spelling.
        let path = path.child("LoadBalancerSourceRanges");
        if !balancer {
            errors.push(FieldError::forbidden(&path, BALANCER_ONLY));
        }
        for (index, range) in spec.texts("loadBalancerSourceRanges").enumerate() {
            errors.extend(names::cidr(&path.index(index), range.trim()));
        }
        return;
    }
    let annotations = service.part("metadata").part("annotations");
    if !annotations.has(SOURCE_RANGES) {
        return;
    }
    let metadata = Path::new("metadata");
    let path = metadata.child("annotations");
    let path = path.key(SOURCE_RANGES);
    if !balancer {
        errors.push(FieldError::forbidden(&path, BALANCER_ONLY));
    }
    let ranges = annotations.text(SOURCE_RANGES).trim();
    for range in ranges.split(',').filter(|_| !ranges.is_empty()) {
        errors.extend(names::cidr(&path, range.trim()));
    }
}

fn balancer(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let balancer = spec.text("type") == "LoadBalancer";
    let (allocate, class) = ("allocateLoadBalancerNodePorts", "loadBalancerClass");
    match (spec.has(allocate), balancer) {
        (true, false) => errors.push(FieldError::forbidden(&path.child(allocate), BALANCER_ONLY)),
        // Upstream's path has no `spec`.
        (false, true) => errors.push(FieldError::required(&Path::new(allocate), "")),
        _ => (),
    }
    match (spec.has(class), balancer) {
        (true, true) => qualified(spec.text(class), &path.child(class), errors),
        (true, false) => errors.push(FieldError::forbidden(&path.child(class), BALANCER_ONLY)),
        _ => (),
    }
}

/// Where traffic goes that comes from outside and from inside.
fn traffic(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (policy, policy_path) = (
        spec.text("externalTrafficPolicy"),
        path.child("externalTrafficPolicy"),
    );
    if is_externally_accessible(spec) {
        required_one_of(policy, &["Cluster", "Local"], &policy_path, errors);
    } else if !policy.is_empty() {
        let message = "may only be set for externally-accessible services";
        errors.push(FieldError::invalid(&policy_path, policy, message));
    }
    let (number, number_path) = (
        spec.whole("healthCheckNodePort").unwrap_or_default(),
        path.child("healthCheckNodePort"),
    );
    match (needs_health_check(spec), number) {
        (true, 0) => errors.push(FieldError::required(&number_path, "")),
        (true, number) => port(number, &number_path, errors),
        (false, 0) => (),
        (false, number) => {
            let message = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.push(FieldError::invalid(&number_path, number, message));
        }
    }
    if needs_cluster_ip(spec) && !spec.has("internalTrafficPolicy") {
        errors.push(FieldError::required(
            &path.child("internalTrafficPolicy"),
            "",
        ));
    }
    optional_one_of(
        spec,
        "internalTrafficPolicy",
        &["Cluster", "Local"],
        path,
        errors,
    );
    let distributions = ["PreferClose", "PreferSameNode", "PreferSameZone"];
    optional_one_of(spec, "trafficDistribution", &distributions, path, errors);
}

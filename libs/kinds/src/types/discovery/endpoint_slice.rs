//! Endpoint slices.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use crate::{
    cells, check,
    rules::{AGE, Column, NAME, Rules},
    value::{Fields, same},
};

/// Most endpoints of a slice.
const ENDPOINTS_MAX: usize = 1000;
/// Most addresses of an endpoint.
const ADDRESSES_MAX: usize = 100;
/// Most ports of a slice.
const PORTS_MAX: usize = 20_000;
/// Most entries of an endpoint's topology.
const TOPOLOGY_MAX: usize = 16;
/// Most zones, and most nodes, that an endpoint is meant for.
const HINTS_MAX: usize = 8;
/// What a table shows of a list.
const SHOWN_MAX: usize = 3;
/// The entry of a topology that is a field of its own now.
const ZONE: &str = "topology.kubernetes.io/zone";

/// Who writes a slice, and those who write addresses as they should be, whom it takes too long to check.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const CONTROLLERS: [&str; 2] = [
    "endpointslice-controller.k8s.io",
    "endpointslicemirroring-controller.k8s.io",
];

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    prepare_create: drop_topology,
    prepare_update,
    validate,
    validate_update,
    warnings,
    columns: &[
        NAME,
        Column::new(
            "AddressType",
            "string",
            "What its addresses are.",
            |o, _| o.text("addressType").into(),
        ),
        Column::new("Ports", "string", "Ports of all endpoints.", ports_shown),
        Column::new("Endpoints", "string", "Addresses.", endpoints_shown),
        AGE,
    ],
    ..Rules::NONE
};

fn defaults(slice: &mut Value) {
    for port in slice.items_mut("ports") {
        port.set_absent("name", "");
        port.set_absent("protocol", "TCP");
    }
}

/// This version does not write what is deprecated in it.
fn drop_topology(slice: &mut Value) {
    for endpoint in slice.items_mut("endpoints") {
        endpoint.remove("deprecatedTopology");
    }
}

fn prepare_update(new: &mut Value, old: &Value) {
    if !same(new.part("endpoints"), old.part("endpoints")) {
        drop_topology(new);
    }
}

fn validate(slice: &Value, errors: &mut ErrorList) {
    let kind = slice.text("addressType");
    let path = Path::new("addressType");
    match kind {
        "" => errors.push(FieldError::required(&path, "")),
        "FQDN" | "IPv4" | "IPv6" => {}
        _ => {
            let known = ["FQDN", "IPv4", "IPv6"];
            errors.push(FieldError::not_supported(&path, kind, &known));
        }
    }
    let (endpoints, path) = (slice.items("endpoints"), Path::new("endpoints"));
    if endpoints.len() > ENDPOINTS_MAX {
        errors.push(FieldError::too_many(&path, endpoints.len(), ENDPOINTS_MAX));
    } else {
        for (index, one) in endpoints.iter().enumerate() {
            endpoint(one, kind, &path.index(index), errors);
        }
    }
    ports(slice.items("ports"), &Path::new("ports"), errors);
}

fn endpoint(endpoint: &Value, kind: &str, path: &Path<'_>, errors: &mut ErrorList) {
    addresses(endpoint, kind, &path.child("addresses"), errors);
    if let Some(node) = endpoint.part("nodeName").as_str() {
        let path = path.child("nodeName");
        errors.push_invalid(&path, node, names::dns1123_subdomain(node));
    }
    let topology_path = path.child("deprecatedTopology");
    let count = endpoint.count("deprecatedTopology");
    if count > TOPOLOGY_MAX {
        errors.push(FieldError::too_many(&topology_path, count, TOPOLOGY_MAX));
    }
    check::labels(endpoint, "deprecatedTopology", path, errors);
    if endpoint.part("deprecatedTopology").has(ZONE) {
        let message = "reserved key was not removed in conversion";
        errors.push(FieldError::internal(&topology_path.key(ZONE), message));
    }
    if let Some(host) = endpoint.part("hostname").as_str() {
        errors.push_invalid(&path.child("hostname"), host, names::dns1123_label(host));
    }
    if let Some(hints) = endpoint.field("hints") {
        let path = path.child("hints");
        hint(hints, "forZones", names::label_value, &path, errors);
        hint(hints, "forNodes", names::dns1123_subdomain, &path, errors);
    }
}

fn addresses(endpoint: &Value, kind: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let count = endpoint.items("addresses").len();
    if count == 0 {
        let message = "must contain at least 1 address";
        errors.push(FieldError::required(path, message));
    } else if count > ADDRESSES_MAX {
        errors.push(FieldError::too_many(path, count, ADDRESSES_MAX));
    }
    for (index, address) in endpoint.texts("addresses").enumerate() {
        let path = path.index(index);
        match kind {
            "IPv4" => {
                errors.extend(names::ipv4(&path, address));
                errors.extend(names::special_ip(&path, address));
            }
            "IPv6" => {
                errors.extend(names::ipv6(&path, address));
                errors.extend(names::special_ip(&path, address));
            }
            "FQDN" => check::qualified_domain(address, &path, errors),
            _ => {}
        }
    }
}

fn hint(
    hints: &Value,
    field: &str,
    check: fn(&str) -> Vec<String>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let (path, hints) = (path.child(field), hints.items(field));
    if hints.len() > HINTS_MAX {
        errors.push(FieldError::too_many(&path, hints.len(), HINTS_MAX));
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, hint) in hints.iter().enumerate() {
        let name = hint.text("name");
        let path = path.index(index);
        let path = path.child("name");
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path, name));
        }
        errors.push_invalid(&path, name, check(name));
    }
}

fn ports(ports: &[Value], path: &Path<'_>, errors: &mut ErrorList) {
    if ports.len() > PORTS_MAX {
        errors.push(FieldError::too_many(path, ports.len(), PORTS_MAX));
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        let (name, name_path) = (port.text("name"), path.child("name"));
        if !name.is_empty() {
            errors.push_invalid(&name_path, name, names::dns1123_label(name));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&name_path, name));
        }
        if port.has("protocol") {
            let known = ["SCTP", "TCP", "UDP"];
            check::one_of(port, "protocol", &known, &path, errors);
        } else {
            errors.push(FieldError::required(&path.child("protocol"), ""));
        }
        if let Some(protocol) = port.part("appProtocol").as_str() {
            let path = path.child("appProtocol");
            errors.push_invalid(&path, protocol, names::qualified_name(protocol));
        }
    }
}

fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let kind = new.text("addressType");
    if kind != old.text("addressType") {
        let path = Path::new("addressType");
        errors.push(FieldError::invalid(&path, kind, check::IMMUTABLE));
    }
}

fn warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    if new.text("addressType") == "FQDN" {
        if old.is_none() {
            warnings.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
        }
        return warnings;
    }
    let manager = new.part("metadata").part("labels").text(MANAGED_BY);
    if CONTROLLERS.contains(&manager) {
        return warnings;
    }
    let path = Path::new("endpoints");
    for (index, endpoint) in new.items("endpoints").iter().enumerate() {
        let path = path.index(index);
        let path = path.child("addresses");
        for (index, address) in endpoint.texts("addresses").enumerate() {
            warnings.extend(names::ip_warnings(&path.index(index), address));
        }
    }
    warnings
}

fn ports_shown(slice: &Value, _: i64) -> Value {
    let ports = slice.items("ports").iter();
    let texts: Vec<String> = ports
        .map(
            |port| match (port.whole("port"), port.part("name").as_str()) {
                (Some(number), _) => number.to_string(),
                (None, Some(name)) => name.to_owned(),
                (None, None) => "*".to_owned(),
            },
        )
        .collect();
    match cells::first(&texts, SHOWN_MAX) {
        text if text.is_empty() => cells::UNSET.into(),
        text => text.into(),
    }
}

fn endpoints_shown(slice: &Value, _: i64) -> Value {
    let endpoints = slice.items("endpoints").iter();
    let texts: Vec<String> = endpoints
        .flat_map(|endpoint| endpoint.texts("addresses"))
        .map(str::to_owned)
        .collect();
    cells::first(&texts, SHOWN_MAX).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_update, created, row};
    use serde_json::json;

    fn slice(kind: &str, endpoint: Value, port: Value) -> Value {
        json!({"metadata": {"name": "s"}, "addressType": kind, "endpoints": [endpoint], "ports": [port]})
    }

    #[test]
    fn creates() {
        let check = |kind: &str, endpoint: Value, port: Value, expect: &[&str]| {
            check_create(&RULES, &slice(kind, endpoint, port), expect);
        };
        check(
            "IPv4",
            json!({"addresses": ["10.0.0.1"]}),
            json!({"port": 80}),
            &[],
        );
        check(
            "FQDN",
            json!({"addresses": ["a.example.com."]}),
            json!({}),
            &[],
        );
        check(
            "x",
            json!({"addresses": []}),
            json!({"protocol": "x", "name": "A", "appProtocol": "-"}),
            &[
                "addressType: Unsupported value: \"x\": supported values: \"FQDN\", \"IPv4\", \"IPv6\"",
                "endpoints[0].addresses: Required value: must contain at least 1 address",
                "ports[0].protocol: Unsupported value: \"x\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
                "ports[0].name: Invalid value: \"A\"",
                "ports[0].appProtocol: Invalid value: \"-\"",
            ],
        );
        check(
            "IPv6",
            json!({"addresses": ["10.0.0.1", "::1"], "nodeName": "", "hostname": "a.b",
                "hints": {"forZones": [{"name": "z"}, {"name": "z"}], "forNodes": [{"name": "-"}]}}),
            json!({}),
            &[
                "endpoints[0].addresses[0]: Invalid value: \"10.0.0.1\": must be a valid IPv6 address",
                "endpoints[0].addresses[1]: Invalid value: \"::1\": may not be in the loopback range",
                "endpoints[0].nodeName: Invalid value: \"\"",
                "endpoints[0].hostname: Invalid value: \"a.b\": must not contain dots",
                "endpoints[0].hints.forZones[1].name: Duplicate value: \"z\"",
                "endpoints[0].hints.forNodes[0].name: Invalid value: \"-\"",
            ],
        );
        check(
            "FQDN",
            json!({"addresses": ["example"]}),
            json!({}),
            &[
                "endpoints[0].addresses[0]: Invalid value: \"example\": should be a domain with at least two segments",
            ],
        );
        let many = json!({"addressType": "IPv4", "endpoints": vec![json!({}); 1001]});
        check_create(
            &RULES,
            &many,
            &["endpoints: Too many: 1001: must have at most 1000 items"],
        );
    }

    #[test]
    fn topology_is_not_written() {
        let endpoint = json!({"addresses": ["10.0.0.1"], "deprecatedTopology": {ZONE: "z"}});
        let object = slice("IPv4", endpoint, json!({}));
        let created = created(&RULES, &object);
        assert_eq!(created["endpoints"][0], json!({"addresses": ["10.0.0.1"]}));
        assert_eq!(created["ports"][0], json!({"name": "", "protocol": "TCP"}));
        let expect = "endpoints[0].deprecatedTopology[topology.kubernetes.io/zone]: Internal error";
        check_update(&RULES, &object, &object, &[expect]);
    }

    #[test]
    fn updates() {
        let endpoint = json!({"addresses": ["10.0.0.1"]});
        let old = slice("IPv4", endpoint.clone(), json!({}));
        let new = slice("FQDN", json!({"addresses": ["a.b"]}), json!({}));
        let expect = ["addressType: Invalid value: \"FQDN\": field is immutable"];
        check_update(&RULES, &old, &new, &expect);
    }

    #[test]
    fn warned_of_and_shown() {
        let object = slice("IPv4", json!({"addresses": ["010.0.0.1"]}), json!({}));
        assert_eq!(warnings(&object, None).len(), 1);
        let object = slice(
            "FQDN",
            json!({"addresses": ["1", "2", "3", "4", "5"]}),
            json!({"name": "a"}),
        );
        assert_eq!(
            warnings(&object, None),
            ["spec.addressType: FQDN endpoints are deprecated"]
        );
        let expect = json!(["s", "FQDN", "a", "1,2,3 + 2 more...", "<unknown>"]);
        assert_eq!(Value::from(row(&RULES, &object, 0)), expect);
    }
}

//! Network policies.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::{Value, json};

use crate::{
    cells, check,
    rules::{AGE, Column, NAME, Rules},
    value::Fields,
};

/// Directions, with the list of peers that each has.
const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    validate,
    warnings,
    columns: &[
        NAME,
        Column::new(
            "Pod-Selector",
            "string",
            "Labels of the pods that it is for.",
            |o, _| cells::selector(o.part("spec").part("podSelector")),
        ),
        AGE,
    ],
    ..Rules::NONE
};

fn defaults(policy: &mut Value) {
    let Some(spec) = policy.field_mut("spec") else {
        return;
    };
    if spec.items("policyTypes").is_empty() {
        let types = if spec.items("egress").is_empty() {
            json!(["Ingress"])
        } else {
            json!(["Ingress", "Egress"])
        };
        spec.set("policyTypes", types);
    }
    for (direction, _) in DIRECTIONS {
        for rule in spec.items_mut(direction) {
            for port in rule.items_mut("ports") {
                port.set_absent("protocol", "TCP");
            }
        }
    }
}

fn validate(policy: &Value, errors: &mut ErrorList) {
    let (spec, path) = (policy.part("spec"), Path::new("spec"));
    check::label_selector(spec, "podSelector", &path, errors);
    for (direction, peers) in DIRECTIONS {
        let path = path.child(direction);
        for (index, rule) in spec.items(direction).iter().enumerate() {
            let path = path.index(index);
            let ports_path = path.child("ports");
            for (index, one) in rule.items("ports").iter().enumerate() {
                port(one, &ports_path.index(index), errors);
            }
            let path = path.child(peers);
            for (index, one) in rule.items(peers).iter().enumerate() {
                peer(one, &path.index(index), errors);
            }
        }
    }
    let (types, path) = (spec.items("policyTypes"), path.child("policyTypes"));
    if types.len() > DIRECTIONS.len() {
        let message = "may not specify more than two policyTypes";
        errors.push(FieldError::invalid(&path, types, message));
        return;
    }
    for (index, kind) in spec.texts("policyTypes").enumerate() {
        let known = ["Ingress", "Egress"];
        if !known.contains(&kind) {
            errors.push(FieldError::not_supported(&path.index(index), kind, &known));
        }
    }
}

fn port(port: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if port.has("protocol") {
        check::one_of(port, "protocol", &["TCP", "UDP", "SCTP"], path, errors);
    }
    let (port_path, end_path) = (path.child("port"), path.child("endPort"));
    let end = port.whole("endPort");
    match port.part("port") {
        Value::String(name) => {
            if let Some(end) = end {
                let message = "may not be specified when `port` is non-numeric";
                errors.push(FieldError::invalid(&end_path, end, message));
            }
            errors.push_invalid(&port_path, name, names::port_name(name));
        }
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or(0);
            let wrong = |message| FieldError::invalid(&port_path, number, message);
            errors.extend(names::port_number(number).into_iter().map(wrong));
            let Some(end) = end else {
                return;
            };
            if end < number {
                let message = "must be greater than or equal to `port`";
                errors.push(FieldError::invalid(&end_path, number, message));
            }
            let wrong = |message| FieldError::invalid(&end_path, end, message);
            errors.extend(names::port_number(end).into_iter().map(wrong));
        }
        _ => {
            if let Some(end) = end {
                let message = "may not be specified when `port` is not specified";
                errors.push(FieldError::invalid(&end_path, end, message));
            }
        }
    }
}

fn peer(peer: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let selectors = ["podSelector", "namespaceSelector"];
    for field in selectors {
        check::label_selector(peer, field, path, errors);
    }
    let selected = selectors.into_iter().any(|field| peer.has(field));
    match (peer.field("ipBlock"), selected) {
        (None, true) => {}
        (None, false) => errors.push(FieldError::required(path, "must specify a peer")),
        (Some(block), selected) => {
            ip_block(block, &path.child("ipBlock"), errors);
            if selected {
                let message = "may not specify both ipBlock and another peer";
                errors.push(FieldError::forbidden(path, message));
            }
        }
    }
}

fn ip_block(block: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (cidr, cidr_path) = (block.text("cidr"), path.child("cidr"));
    if cidr.is_empty() {
        errors.push(FieldError::required(&cidr_path, ""));
        return;
    }
    errors.extend(names::cidr(&cidr_path, cidr));
    let Some((network, bits)) = names::parse_cidr(cidr) else {
        return;
    };
    let path = path.child("except");
    for (index, except) in block.texts("except").enumerate() {
        let path = path.index(index);
        errors.extend(names::cidr(&path, except));
        let Some((address, except_bits)) = names::parse_cidr(except) else {
            continue;
        };
        let inside = network.is_ipv4() == address.is_ipv4()
            && except_bits > bits
            && check::masked(address, bits) == check::masked(network, bits);
        if !inside {
            let message = "must be a strict subset of `cidr`";
            errors.push(FieldError::invalid(&path, except, message));
        }
    }
}

fn warnings(new: &Value, _: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    let path = Path::new("spec");
    for (direction, peers) in DIRECTIONS {
        let path = path.child(direction);
        for (index, rule) in new.part("spec").items(direction).iter().enumerate() {
            let path = path.index(index);
            let path = path.child(peers);
            for (index, peer) in rule.items(peers).iter().enumerate() {
                let path = path.index(index);
                let (block, path) = (peer.part("ipBlock"), path.child("ipBlock"));
                let cidr = block.text("cidr");
                warnings.extend(names::cidr_warnings(&path.child("cidr"), cidr));
                let path = path.child("except");
                for (index, except) in block.texts("except").enumerate() {
                    warnings.extend(names::cidr_warnings(&path.index(index), except));
                }
            }
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, created, row};

    fn policy(rule: Value) -> Value {
        json!({"metadata": {"name": "p"}, "spec": {"podSelector": {}, "ingress": [rule]}})
    }

    #[test]
    fn what_is_not_said() {
        let object = created(&RULES, &policy(json!({"ports": [{"port": 80}]})));
        assert_eq!(object["spec"]["policyTypes"], json!(["Ingress"]));
        let ports = &object["spec"]["ingress"][0]["ports"];
        assert_eq!(*ports, json!([{"port": 80, "protocol": "TCP"}]));
        let egress = created(&RULES, &json!({"spec": {"egress": [{}]}}));
        assert_eq!(egress["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    }

    #[test]
    fn creates() {
        let check = |rule: Value, expect: &[&str]| check_create(&RULES, &policy(rule), expect);
        check(
            json!({"ports": [{"port": "http"}, {"port": 80, "endPort": 90}], "from": [{"podSelector": {}}]}),
            &[],
        );
        check(
            json!({"ports": [{"port": "-", "endPort": 1}, {"port": 0, "endPort": 70_000}, {"port": 9, "endPort": 8}, {"endPort": 5, "protocol": "x"}]}),
            &[
                "spec.ingress[0].ports[0].endPort: Invalid value: 1: may not be specified when `port` is non-numeric",
                "spec.ingress[0].ports[0].port: Invalid value: \"-\": must contain at least one letter",
                "spec.ingress[0].ports[0].port: Invalid value: \"-\": must not begin or end with a hyphen",
                "spec.ingress[0].ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.ingress[0].ports[1].endPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
                "spec.ingress[0].ports[2].endPort: Invalid value: 9: must be greater than or equal to `port`",
                "spec.ingress[0].ports[3].endPort: Invalid value: 5: may not be specified when `port` is not specified",
                "spec.ingress[0].ports[3].protocol: Unsupported value: \"x\": supported values: \"TCP\", \"UDP\", \"SCTP\"",
            ],
        );
        check(
            json!({"from": [{}, {"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "11.0.0.0/16", "10.0.0.0/8", "x"]}}, {"ipBlock": {}}]}),
            &[
                "spec.ingress[0].from[0]: Required value: must specify a peer",
                "spec.ingress[0].from[1]: Forbidden: may not specify both ipBlock and another peer",
                "spec.ingress[0].from[1].ipBlock.except[1]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`",
                "spec.ingress[0].from[1].ipBlock.except[2]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`",
                "spec.ingress[0].from[1].ipBlock.except[3]: Invalid value: \"x\": must be a valid CIDR value",
                "spec.ingress[0].from[2].ipBlock.cidr: Required value",
            ],
        );
        let mut types = policy(json!({}));
        types["spec"]["policyTypes"] = json!(["x"]);
        let expect = "spec.policyTypes[0]: Unsupported value: \"x\": supported values: \"Ingress\", \"Egress\"";
        check_create(&RULES, &types, &[expect]);
        types["spec"]["policyTypes"] = json!(["Ingress", "Egress", "Ingress"]);
        let expect = "spec.policyTypes: Invalid value: [\"Ingress\",\"Egress\",\"Ingress\"]: may not specify more than two policyTypes";
        check_create(&RULES, &types, &[expect]);
    }

    #[test]
    fn warned_of_and_shown() {
        let object = policy(json!({"from": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}));
        let warned = warnings(&object, None);
        assert!(
            warned[0].starts_with("spec.ingress[0].from[0].ipBlock.cidr: CIDR value"),
            "{warned:?}"
        );
        let expect = json!(["p", "<none>", "<unknown>"]);
        assert_eq!(Value::from(row(&RULES, &object, 0)), expect);
    }
}

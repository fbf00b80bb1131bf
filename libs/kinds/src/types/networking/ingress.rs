//! Ingresses.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::{Value, json};

use super::ingress_backend;
use crate::{
    cells,
    rules::{AGE, Column, NAME, Rules},
    value::{Fields, same},
};

/// What named the class before there was a field for it.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
/// Hosts that a table shows.
const HOSTS_MAX: usize = 3;

/// What is this type's own.
pub const RULES: Rules = Rules {
    prepare_create: |ingress| ingress.set_absent("status", json!({"loadBalancer": {}})),
    validate,
    validate_create,
    validate_update,
    validate_status,
    warnings,
    columns: &[
        NAME,
        Column::new("Class", "string", "Its ingress class.", |o, _| {
            let class = o.part("spec").part("ingressClassName").as_str();
            class.unwrap_or(cells::NONE).into()
        }),
        Column::new("Hosts", "string", "Hosts that its rules are for.", hosts),
        Column::new("Address", "string", "Where requests come in.", address),
        Column::new("Ports", "string", "Ports that are open.", |o, _| {
            let secure = !o.part("spec").items("tls").is_empty();
            if secure { "80, 443" } else { "80" }.into()
        }),
        AGE,
    ],
    ..Rules::NONE
};

/// But for what was stored before it was a mistake, which an update may keep.
fn validate(ingress: &Value, errors: &mut ErrorList) {
    let (spec, path) = (ingress.part("spec"), Path::new("spec"));
    let rules = spec.items("rules");
    if rules.is_empty() && !spec.has("defaultBackend") {
        let message = "either `defaultBackend` or `rules` must be specified";
        errors.push(FieldError::invalid(&path, Value::Null, message));
    }
    if let Some(backend) = spec.field("defaultBackend") {
        ingress_backend::backend(backend, &path.child("defaultBackend"), errors);
    }
    let rules_path = path.child("rules");
    for (index, rule) in rules.iter().enumerate() {
        let path = rules_path.index(index);
        host(rule.text("host"), &path.child("host"), errors);
        if !rule.text("host").contains('*') {
            ingress_backend::rule(rule, &path, errors);
        }
    }
    let tls_path = path.child("tls");
    for (index, tls) in spec.items("tls").iter().enumerate() {
        let path = tls_path.index(index);
        let path = path.child("hosts");
        for (index, host) in tls.texts("hosts").enumerate() {
            errors.push_invalid(&path.index(index), host, domain(host));
        }
    }
    if let Some(class) = spec.part("ingressClassName").as_str() {
        let path = path.child("ingressClassName");
        errors.push_invalid(&path, class, names::dns1123_subdomain(class));
    }
}

fn host(host: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if host.is_empty() {
        return;
    }
    if names::parse_ip(host).is_some() {
        let message = "must be a DNS name, not an IP address";
        errors.push(FieldError::invalid(path, host, message));
    }
    errors.push_invalid(path, host, domain(host));
}

fn domain(host: &str) -> Vec<String> {
    if host.contains('*') {
        names::wildcard_dns1123_subdomain(host)
    } else {
        names::dns1123_subdomain(host)
    }
}

fn validate_create(ingress: &Value, errors: &mut ErrorList) {
    secret_names(ingress, errors);
    wildcard_rules(ingress, errors);
    let metadata = ingress.part("metadata");
    let annotation = metadata.part("annotations").part(CLASS_ANNOTATION).as_str();
    let class = ingress.part("spec").part("ingressClassName").as_str();
    if let (Some(annotation), Some(class)) = (annotation, class)
        && annotation != class
    {
        let path = Path::new("annotations");
        let message = "must match `ingressClassName` when both are specified";
        let path = path.child(CLASS_ANNOTATION);
        errors.push(FieldError::invalid(&path, annotation, message));
    }
}

fn secret_names(ingress: &Value, errors: &mut ErrorList) {
    let path = Path::new("spec");
    let path = path.child("tls");
    for (index, tls) in ingress.part("spec").items("tls").iter().enumerate() {
        let secret = tls.text("secretName");
        if !secret.is_empty() {
            let path = path.index(index);
            let path = path.child("secretName");
            errors.push_invalid(&path, secret, names::dns1123_subdomain(secret));
        }
    }
}

fn wildcard_rules(ingress: &Value, errors: &mut ErrorList) {
    let path = Path::new("spec");
    let path = path.child("rules");
    for (index, rule) in ingress.part("spec").items("rules").iter().enumerate() {
        if rule.text("host").contains('*') {
            ingress_backend::rule(rule, &path.index(index), errors);
        }
    }
}

fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    for check in [secret_names, wildcard_rules] {
        let mut stored = ErrorList::default();
        check(old, &mut stored);
        if stored.is_empty() {
            check(new, errors);
        }
    }
}

fn validate_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    let path = Path::new("status");
    let path = path.child("loadBalancer");
    let path = path.child("ingress");
    let balancer = new.part("status").part("loadBalancer");
    for (index, one) in balancer.items("ingress").iter().enumerate() {
        let path = path.index(index);
        let (address, name) = (one.text("ip"), one.text("hostname"));
        if !address.is_empty() {
            errors.extend(names::ip(&path.child("ip"), address));
        }
        if !name.is_empty() {
            let path = path.child("hostname");
            errors.push_invalid(&path, name, names::dns1123_subdomain(name));
            if names::parse_ip(name).is_some() {
                let message = "must be a DNS name, not an IP address";
                errors.push(FieldError::invalid(&path, name, message));
            }
        }
    }
}

fn warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    let annotations = new.part("metadata").part("annotations");
    if old.is_none() && annotations.has(CLASS_ANNOTATION) {
        warnings.push(format!(
            "annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"
        ));
    }
    let balancer = new.part("status").part("loadBalancer");
    let held = old.is_some_and(|old| same(old.part("status").part("loadBalancer"), balancer));
    if !held {
        let path = Path::new("status");
        let path = path.child("loadBalancer");
        let path = path.child("ingress");
        for (index, one) in balancer.items("ingress").iter().enumerate() {
            let path = path.index(index);
            warnings.extend(names::ip_warnings(&path.child("ip"), one.text("ip")));
        }
    }
    warnings
}

fn hosts(ingress: &Value, _: i64) -> Value {
    let rules = ingress.part("spec").items("rules");
    let mut hosts = Vec::new();
    let mut more = false;
    for rule in rules {
        more |= hosts.len() == HOSTS_MAX;
        let host = rule.text("host");
        if !more && !host.is_empty() {
            hosts.push(host);
        }
    }
    if hosts.is_empty() {
        return "*".into();
    }
    let hosts = hosts.join(",");
    if more {
        format!("{hosts} + {} more...", rules.len() - HOSTS_MAX).into()
    } else {
        hosts.into()
    }
}

fn address(ingress: &Value, _: i64) -> Value {
    let balancer = ingress.part("status").part("loadBalancer");
    let points: BTreeSet<&str> = balancer
        .items("ingress")
        .iter()
        .map(|one| match one.text("ip") {
            "" => one.text("hostname"),
            ip => ip,
        })
        .filter(|text| !text.is_empty())
        .collect();
    points.into_iter().collect::<Vec<_>>().join(",").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_status, check_update, row};

    fn backend() -> Value {
        json!({"service": {"name": "web", "port": {"number": 80}}})
    }

    fn with(spec: Value) -> Value {
        json!({"metadata": {"name": "i"}, "spec": spec})
    }

    #[test]
    fn creates() {
        let check = |spec: Value, expect: &[&str]| check_create(&RULES, &with(spec), expect);
        check(json!({"defaultBackend": backend()}), &[]);
        let path = |kind: &str, path: &str| json!({"rules": [{"http": {"paths": [{"pathType": kind, "path": path, "backend": backend()}]}}]});
        check(path("Prefix", "/a"), &[]);
        check(path("ImplementationSpecific", ""), &[]);
        check(
            json!({}),
            &["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
        );
        check(
            path("Exact", "a//b/.."),
            &[
                "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/..\": must be an absolute path",
                "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/..\": must not contain '//'",
                "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/..\": cannot end with '/..'",
            ],
        );
        check(
            path("x", "/"),
            &[
                "spec.rules[0].http.paths[0].pathType: Unsupported value: \"x\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\"",
            ],
        );
        check(
            json!({"rules": [{"host": "10.0.0.1", "http": {"paths": [{}]}}, {"host": "*.a_b", "http": {}}], "ingressClassName": "-",
                "tls": [{"hosts": ["*", "a"], "secretName": "-"}]}),
            &[
                "spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address",
                "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
                "spec.rules[1].host: Invalid value: \"*.a_b\": a wildcard DNS-1123 subdomain",
                "spec.rules[1].http.paths: Required value",
                "spec.ingressClassName: Invalid value: \"-\"",
                "spec.tls[0].hosts[0]: Invalid value: \"*\": a wildcard",
                "spec.tls[0].secretName: Invalid value: \"-\"",
            ],
        );
    }

    #[test]
    fn backends() {
        let check = |backend: Value, expect: &[&str]| {
            check_create(&RULES, &with(json!({"defaultBackend": backend})), expect);
        };
        check(json!({"resource": {"kind": "Bucket", "name": "b"}}), &[]);
        check(
            json!({}),
            &["spec.defaultBackend: Invalid value: \"\": resource or service backend is required"],
        );
        check(
            json!({"resource": {}, "service": {}}),
            &[
                "spec.defaultBackend: Invalid value: \"\": cannot set both resource and service backends",
            ],
        );
        check(
            json!({"resource": {"apiGroup": "-", "name": "a/b"}}),
            &[
                "spec.defaultBackend.resource.apiGroup: Invalid value: \"-\"",
                "spec.defaultBackend.resource.kind: Required value: kind is required",
                "spec.defaultBackend.resource.name: Invalid value: \"a/b\": may not contain '/'",
            ],
        );
        check(
            json!({"service": {}}),
            &[
                "spec.defaultBackend.service.name: Required value",
                "spec.defaultBackend: Required value: port name or number is required",
            ],
        );
        check(
            json!({"service": {"name": "1a", "port": {"number": 70_000}}}),
            &[
                "spec.defaultBackend.service.name: Invalid value: \"1a\": a DNS-1035 label",
                "spec.defaultBackend.service.port.number: Invalid value: 70000: must be between 1 and 65535, inclusive",
            ],
        );
        check(
            json!({"service": {"name": "a", "port": {"number": 7, "name": "x"}}}),
            &["spec.defaultBackend: Invalid value: \"\": cannot set both port name & port number"],
        );
    }

    #[test]
    fn classes_and_updates() {
        let mut object = with(
            json!({"defaultBackend": backend(), "ingressClassName": "a", "tls": [{"secretName": "-"}]}),
        );
        object["metadata"]["annotations"] = json!({CLASS_ANNOTATION: "b"});
        let expect = [
            "annotations.kubernetes.io/ingress.class: Invalid value: \"b\": must match `ingressClassName`",
            "spec.tls[0].secretName: Invalid value: \"-\"",
        ];
        check_create(&RULES, &object, &expect);
        check_update(&RULES, &object, &object, &[]);
        let expect = "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead";
        assert_eq!(warnings(&object, None), [expect]);
        assert!(warnings(&object, Some(&object)).is_empty());
    }

    #[test]
    fn statuses_and_rows() {
        let points = json!([{"ip": "1.2.3.4"}, {"ip": "x"}, {"hostname": "1.1.1.1"}]);
        let status = json!({"status": {"loadBalancer": {"ingress": points}}});
        check_status(
            &RULES,
            &json!({}),
            &status,
            &[
                "status.loadBalancer.ingress[1].ip: Invalid value: \"x\"",
                "status.loadBalancer.ingress[2].hostname: Invalid value: \"1.1.1.1\": must be a DNS name, not an IP address",
            ],
        );
        let rules = json!([{"host": "a"}, {"host": "b"}, {"host": "c"}, {"host": "d"}, {}]);
        let mut object = with(json!({"rules": rules, "tls": [{}]}));
        object["status"] = status["status"].clone();
        let expect = json!([
            "i",
            "<none>",
            "a,b,c + 2 more...",
            "1.1.1.1,1.2.3.4,x",
            "80, 443",
            "<unknown>"
        ]);
        assert_eq!(Value::from(row(&RULES, &object, 0)), expect);
        let expect = json!(["i", "<none>", "*", "", "80", "<unknown>"]);
        assert_eq!(Value::from(row(&RULES, &with(json!({})), 0)), expect);
    }
}

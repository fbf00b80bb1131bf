use super::*;
use crate::testing::{self, cells, created, merged};

fn service(spec: Value) -> Value {
    let base = json!({
        "metadata": {"name": "s", "namespace": "n"},
        "spec": {"ports": [{"port": 80}], "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"]},
    });
    merged(base, json!({ "spec": spec }))
}

#[test]
fn what_is_not_said_is_filled_in() {
    let made = created(
        &RULES,
        &json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "clusterIP": "10.0.0.1"}}),
    );
    assert_eq!(
        made["spec"],
        json!({
            "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
            "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}],
            "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
        })
    );
    let made = created(
        &RULES,
        &json!({"spec": {"type": "LoadBalancer", "sessionAffinity": "ClientIP"}}),
    );
    assert_eq!(
        made["spec"],
        json!({
            "type": "LoadBalancer", "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
            "internalTrafficPolicy": "Cluster", "externalTrafficPolicy": "Cluster",
            "allocateLoadBalancerNodePorts": true,
        })
    );
}

#[test]
fn mistakes() {
    let check =
        |spec: Value, expect: &[&str]| testing::check_create(&RULES, &service(spec), expect);
    check(json!({}), &[]);
    check(json!({"ports": []}), &["spec.ports: Required value"]);
    check(
        json!({"ports": [], "clusterIP": "None", "clusterIPs": ["None"]}),
        &[],
    );
    check(
        json!({"ports": [{"port": 80}, {"port": 0, "name": "UP"}]}),
        &[
            "spec.ports[0].name: Required value",
            r#"spec.ports[1].name: Invalid value: "UP": a lowercase RFC 1123 label"#,
            "spec.ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[1].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
        ],
    );
    check(
        json!({"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]}),
        &[r#"spec.ports[1]: Duplicate value: {"port":80,"protocol":"TCP"}"#],
    );
    check(
        json!({"ports": [{"port": 80, "nodePort": 30000}]}),
        &["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    );
    check(
        json!({"type": "ExternalName"}),
        &[
            "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
            "spec.externalName: Required value",
        ],
    );
    check(
        json!({"type": "NodePort", "clusterIP": "None", "clusterIPs": ["None"]}),
        &[
            r#"spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for NodePort services"#,
        ],
    );
    check(
        json!({"clusterIPs": ["10.96.0.8"]}),
        &[r#"spec.clusterIPs: Invalid value: ["10.96.0.8"]: first value must match `clusterIP`"#],
    );
    check(
        json!({"ipFamilies": ["IPv6"]}),
        &[
            r#"spec.clusterIPs[0]: Invalid value: "10.96.0.7": expected an IPv6 value as indicated by `ipFamilies[0]`"#,
        ],
    );
    check(
        json!({"type": "Other"}),
        &[
            r#"spec.type: Unsupported value: "Other": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort""#,
        ],
    );
    check(
        json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}),
        &["spec.healthCheckNodePort: Required value"],
    );
    check(
        json!({"externalIPs": ["127.0.0.1"], "loadBalancerClass": "a.b/c"}),
        &[
            r#"spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)"#,
            "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
        ],
    );
    check(
        json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}}),
        &[
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and less than 86400",
        ],
    );
    check(
        json!({"internalTrafficPolicy": "Far"}),
        &[
            r#"spec.internalTrafficPolicy: Unsupported value: "Far": supported values: "Cluster", "Local""#,
        ],
    );
}

#[test]
fn updates() {
    let check = |old: Value, new: Value, expect: &[&str]| {
        testing::check_update(&RULES, &service(old), &service(new), expect)
    };
    check(json!({}), json!({"selector": {"a": "b"}}), &[]);
    check(
        json!({}),
        json!({"clusterIP": null, "clusterIPs": null}),
        &[],
    );
    check(
        json!({}),
        json!({"clusterIP": "10.96.0.9"}),
        &[r#"spec.clusterIPs[0]: Invalid value: ["10.96.0.9"]: may not change once set"#],
    );
    check(
        json!({}),
        json!({"type": "ExternalName", "externalName": "x.y"}),
        &[],
    );
    let both = json!({"clusterIPs": ["10.96.0.7", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"});
    check(
        both.clone(),
        merged(both.clone(), json!({"ipFamilyPolicy": "SingleStack"})),
        &[],
    );
    check(
        both.clone(),
        merged(
            both,
            json!({"clusterIPs": ["10.96.0.7"], "ipFamilies": ["IPv4"]}),
        ),
        &[
            r#"spec.ipFamilyPolicy: Invalid value: "PreferDualStack": must be set to 'SingleStack' when releasing the secondary clusterIP"#,
            r#"spec.ipFamilyPolicy: Invalid value: "PreferDualStack": must be set to 'SingleStack' when releasing the secondary ipFamily"#,
        ],
    );
}

#[test]
fn given_ports_stay_and_go_with_the_type() {
    let mut old = service(
        json!({"type": "NodePort", "ports": [{"port": 80, "name": "a", "nodePort": 30001}, {"port": 81, "name": "b", "nodePort": 30002}]}),
    );
    let mut new = service(
        json!({"type": "NodePort", "ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b", "nodePort": 30001}]}),
    );
    for service in [&mut old, &mut new] {
        (RULES.defaults)(service);
    }
    (RULES.prepare_update)(&mut new, &old);
    assert_eq!(new["spec"]["ports"][0].get("nodePort"), None);
    assert_eq!(new["spec"]["ports"][1]["nodePort"], 30001);
    let mut new = service(
        json!({"type": "ClusterIP", "ports": old["spec"]["ports"], "externalTrafficPolicy": "Cluster"}),
    );
    (RULES.defaults)(&mut new);
    (RULES.prepare_update)(&mut new, &old);
    assert_eq!(new["spec"]["ports"][0].get("nodePort"), None);
    assert_eq!(new["spec"].get("externalTrafficPolicy"), None);
}

#[test]
fn statuses() {
    let with = |kind: &str, ingress: Value| {
        merged(
            service(json!({ "type": kind })),
            json!({"status": {"loadBalancer": {"ingress": [ingress]}}}),
        )
    };
    let check = |new: Value, expect: &[&str]| {
        testing::check_status(&RULES, &service(json!({})), &new, expect)
    };
    check(with("LoadBalancer", json!({"hostname": "a.b"})), &[]);
    check(
        with("ClusterIP", json!({"hostname": "a.b"})),
        &[
            "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'",
        ],
    );
    check(
        with("LoadBalancer", json!({"ip": "1.2.3.4"})),
        &[
            "status.loadBalancer.ingress[0].ipMode: Required value: must be specified when `ip` is set",
        ],
    );
}

#[test]
fn rows() {
    let check = |service: &Value, expect: Value| {
        let Value::Array(row) = cells(&RULES, service) else {
            panic!("a row")
        };
        assert_eq!(Value::from(row[1..5].to_vec()), expect);
    };
    let ports = json!([{"port": 80, "protocol": "TCP", "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]);
    check(
        &service(json!({"type": "NodePort", "ports": ports})),
        json!(["NodePort", "10.96.0.7", "<none>", "80:30080/TCP,53/UDP"]),
    );
    let balancer =
        service(json!({"type": "LoadBalancer", "ports": null, "externalIPs": ["9.9.9.9"]}));
    check(
        &balancer,
        json!(["LoadBalancer", "10.96.0.7", "9.9.9.9", "<none>"]),
    );
    check(
        &service(json!({"type": "LoadBalancer", "ports": null})),
        json!(["LoadBalancer", "10.96.0.7", "<pending>", "<none>"]),
    );
    let balancer = merged(
        balancer,
        json!({"status": {"loadBalancer": {"ingress": [{"ip": "5.6.7.8"}, {"hostname": "1.example"}]}}}),
    );
    check(
        &balancer,
        json!([
            "LoadBalancer",
            "10.96.0.7",
            "1.example,5.6.7.8,9.9.9.9",
            "<none>"
        ]),
    );
    check(
        &service(
            json!({"type": "ExternalName", "externalName": "x.y", "clusterIP": null, "clusterIPs": null, "ports": null}),
        ),
        json!(["ExternalName", "<none>", "x.y", "<none>"]),
    );
}

//! No rule falls over, whatever it is given.

use objects::field::ErrorList;
use proptest::prelude::*;
use serde_json::Value;

use super::{
    binding, config_map, endpoints, event, limit_range, namespace, node, persistent_volume,
    persistent_volume_claim, pod, pod_template, replication_controller, resource_quota, secret,
    service, service_account,
};
use crate::{
    rules::Rules,
    testing::{any_objects, survive},
};

const ALL: [&Rules; 16] = [
    &binding::RULES,
    &config_map::RULES,
    &endpoints::RULES,
    &event::RULES,
    &limit_range::RULES,
    &namespace::RULES,
    &node::RULES,
    &persistent_volume::RULES,
    &persistent_volume_claim::RULES,
    &pod::RULES,
    &pod_template::RULES,
    &replication_controller::RULES,
    &resource_quota::RULES,
    &secret::RULES,
    &service::RULES,
    &service_account::RULES,
];

/// Names of fields that rules look for, and texts that they know.
#[rustfmt::skip]
const NAMES: &[&str] = &[
    "metadata", "spec", "status", "name", "namespace", "labels", "annotations", "template", "type", "data", "stringData",
    "containers", "initContainers", "ephemeralContainers", "image", "ports", "containerPort", "hostPort", "protocol", "env",
    "valueFrom", "fieldRef", "fieldPath", "metadata.labels['a']", "resourceFieldRef", "divisor", "resources", "requests", "limits",
    "cpu", "memory", "hugepages-2Mi", "hugepages-0", "example.com/gpu", "storage", "1Gi", "-5", "0.5m", "1e40", "livenessProbe",
    "httpGet", "port", "lifecycle", "preStop", "sleep", "seconds", "volumes", "volumeMounts", "volumeDevices", "mountPath",
    "subPath", "projected", "sources", "serviceAccountToken", "configMap", "secret", "items", "path", "../x", "iscsi", "iqn",
    "iqn.2001-04.com:x", "ephemeral", "volumeClaimTemplate", "accessModes", "affinity", "nodeAffinity", "podAffinity",
    "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms",
    "matchExpressions", "key", "operator", "In", "values", "topologySpreadConstraints", "labelSelector", "matchLabels",
    "matchLabelKeys", "maxSkew", "tolerations", "effect", "NoExecute", "schedulingGates", "securityContext", "sysctls",
    "windowsOptions", "runAsUserName", "a\\b", "seccompProfile", "Localhost", "hostNetwork", "hostUsers", "os", "linux", "windows",
    "restartPolicy", "Always", "Never", "dnsConfig", "nameservers", "10.0.0.1", "fd00::1", "10.0.0.0/8", "searches", "overhead",
    "conditions", "containerStatuses", "initContainerStatuses", "state", "terminated", "waiting", "running", "exitCode", "reason",
    "lastState", "finishedAt", "2026-01-01T00:00:00Z", "restartCount", "podIPs", "podIP", "ip", "clusterIP", "clusterIPs", "None",
    "ipFamilies", "IPv6", "LoadBalancer", "ExternalName", "NodePort", "nodePort", "targetPort", "externalIPs", "loadBalancer",
    "ingress", "selector", "capacity", "hostPath", "nfs", "csi", "driver", "claimRef", "subsets", "addresses", "taints", "podCIDRs",
    "hard", "used", "scopes", "scopeSelector", "max", "min", "default", "maxLimitRequestRatio", "Container", "Pod", "involvedObject",
    "eventTime", "series", "lastObservedTime", "finalizers", "target", "secrets", "immutable", "replicas", "creationTimestamp",
    "kubernetes.io/dockercfg", ".dockercfg", "e30=", "allocatable", "claims", "resourceClaims", "resizePolicy",
];

/// An object whose larger parts are where rules look for them.
fn shaped((new, old): (Value, Value), part: Value) -> (Value, Value) {
    let mut shaped = serde_json::json!({"spec": new, "metadata": part, "status": old});
    if let Value::Object(fields) = &old {
        for (name, value) in fields {
            shaped[name] = value.clone();
        }
    }
    (shaped, serde_json::json!({"spec": old, "status": new}))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_value_is_survived(objects in any_objects(NAMES), (part, _) in any_objects(NAMES)) {
        let shaped = shaped(objects.clone(), part.clone());
        let pods = serde_json::json!({"spec": {"containers": [objects.0], "initContainers": [part], "volumes": [objects.1]}});
        for rules in ALL {
            survive(rules, objects.clone())?;
            survive(rules, shaped.clone())?;
            survive(rules, (pods.clone(), shaped.0.clone()))?;
        }
        for (new, old) in [&objects, &shaped] {
            let mut errors = ErrorList::default();
            let mut new = new.clone();
            pod::resize::validate(&new, old, &mut errors);
            pod::ephemeral::validate(&new, old, &mut errors);
            pod::resize::prepare(&mut new, old);
            pod::resize::validate(&new, old, &mut errors);
            pod::ephemeral::prepare(&mut new, old);
            pod::ephemeral::validate(&new, old, &mut errors);
            namespace::prepare_finalize(&mut new, old);
            namespace::validate_finalize(&new, &mut errors);
        }
    }
}

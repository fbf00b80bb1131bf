//! No rule of any group falls over, whatever it is given, and no conversion loses its way.

use proptest::prelude::*;

use crate::{
    resources::RESOURCES,
    rules::Rules,
    testing::{any_objects, survive},
    types::certificates::signing_request,
};
use objects::field::ErrorList;

/// Rules of all groups but the core one, which has a test of its own.
fn all() -> impl Iterator<Item = &'static Rules> {
    let others = RESOURCES
        .iter()
        .filter(|resource| !resource.group.is_empty());
    others.map(|resource| resource.rules)
}

/// Names of fields that rules look for, and texts that they know.
#[rustfmt::skip]
const NAMES: &[&str] = &[
    "metadata", "spec", "status", "name", "namespace", "generateName", "labels", "annotations", "uid", "deletionTimestamp",
    "template", "selector", "matchLabels", "matchExpressions", "key", "operator", "In", "values", "replicas", "strategy",
    "updateStrategy", "type", "RollingUpdate", "OnDelete", "Recreate", "rollingUpdate", "maxSurge", "maxUnavailable", "25%",
    "0%", "101%", "partition", "ordinals", "start", "serviceName", "volumeClaimTemplates",
    "persistentVolumeClaimRetentionPolicy", "podManagementPolicy", "OrderedReady", "containers", "image", "restartPolicy",
    "Never", "data", "revision", "ownerReferences", "controller", "completions", "parallelism", "completionMode", "Indexed",
    "backoffLimitPerIndex", "maxFailedIndexes", "podFailurePolicy", "successPolicy", "rules", "action", "FailJob",
    "onExitCodes", "onPodConditions", "containerName", "succeededIndexes", "succeededCount", "0-1,3", "suspend", "managedBy",
    "acme.io/x", "podReplacementPolicy", "conditions", "Complete", "Failed", "True", "False", "completedIndexes",
    "failedIndexes", "uncountedTerminatedPods", "succeeded", "failed", "active", "ready", "terminating", "startTime",
    "completionTime", "2026-11-30T00:00:00Z", "schedule", "timeZone", "jobTemplate", "manualSelector", "*/5 * * * *",
    "@every 1h", "TZ=UTC * * * * *", "minReplicas", "maxReplicas", "metrics", "currentMetrics", "behavior", "scaleUp",
    "scaleDown", "policies", "value", "periodSeconds", "tolerance", "scaleTargetRef", "kind", "apiVersion", "autoscaling/v1",
    "a/b/c", "Resource", "Object", "object", "external", "pods", "resource", "containerResource", "target", "current",
    "averageUtilization", "averageValue", "describedObject", "metric", "targetCPUUtilizationPercentage",
    "currentCPUUtilizationPercentage", "autoscaling.alpha.kubernetes.io/metrics", "autoscaling.alpha.kubernetes.io/behavior",
    "autoscaling.alpha.kubernetes.io/current-metrics", "autoscaling.alpha.kubernetes.io/conditions",
    "[{\"type\":\"Pods\",\"pods\":{}}]", "{\"ScaleUp\":{}}", "minAvailable", "unhealthyPodEvictionPolicy", "defaultBackend",
    "tls", "hosts", "secretName", "host", "http", "paths", "path", "pathType", "Prefix", "Exact", "backend", "service", "port",
    "number", "ingressClassName", "loadBalancer", "ingress", "egress", "from", "to", "ip", "hostname", "*.a.b", "10.0.0.1",
    "10.0.0.0/8", "::1", "fd00::/8", "010.0.0.1", "ports", "endPort", "protocol", "TCP", "podSelector", "namespaceSelector",
    "ipBlock", "cidr", "except", "policyTypes", "cidrs", "parentRef", "group", "parameters", "scope", "Namespace", "Cluster",
    "addressType", "IPv4", "IPv6", "FQDN", "endpoints", "addresses", "nodeName", "deprecatedTopology",
    "topology.kubernetes.io/zone", "hints", "forZones", "forNodes", "appProtocol", "regarding", "involvedObject", "note",
    "message", "reason", "series", "count", "lastObservedTime", "eventTime", "reportingController", "deprecatedSource",
    "deprecatedFirstTimestamp", "deprecatedCount", "holderIdentity", "leaseDurationSeconds", "leaseTransitions",
    "preferredHolder", "verbs", "apiGroups", "resources", "nonResourceURLs", "/a/*", "aggregationRule", "clusterRoleSelectors",
    "roleRef", "apiGroup", "subjects", "User", "ServiceAccount", "user", "groups", "provisioner", "allowedTopologies",
    "matchLabelExpressions", "reclaimPolicy", "volumeBindingMode", "driverName", "attacher", "source", "persistentVolumeName",
    "inlineVolumeSpec", "attachError", "errorCode", "drivers", "nodeID", "allocatable", "topologyKeys", "tokenRequests",
    "audience", "expirationSeconds", "volumeLifecycleModes", "capacity", "1Gi", "-1", "nodeTopology", "globalDefault",
    "preemptionPolicy", "handler", "overhead", "podFixed", "scheduling", "nodeSelector", "tolerations", "request", "usages",
    "signerName", "acme.io/signer", "client auth", "Approved", "Denied", "certificate",
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1BQT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=", "matchingPrecedence",
    "distinguisherMethod", "priorityLevelConfiguration", "resourceRules", "nonResourceRules", "clusterScope", "namespaces",
    "exempt", "catch-all", "limited", "Limited", "Exempt", "limitResponse", "queuing", "queues", "handSize", "queueLengthLimit",
    "nominalConcurrencyShares", "lendablePercent", "devices", "requests", "constraints", "config", "exactly", "firstAvailable",
    "deviceClassName", "selectors", "cel", "expression", "allocationMode", "All", "opaque", "driver", "matchAttribute",
    "allocation", "results", "reservedFor", "networkData", "ips", "pool", "device", "shareID", "resourceSliceCount", "allNodes",
    "perDeviceNodeSelection", "sharedCounters", "counters", "consumesCounters", "counterSet", "attributes", "version", "string",
    "1.2.3-a+b", "taints", "bindingConditions", "bindingFailureConditions", "requestPolicy", "validValues", "validRange",
    "default", "min", "max", "step", "allowMultipleAllocations", "resourceAttributes", "nonResourceAttributes", "fieldSelector",
    "labelSelector", "rawSelector", "requirements", "token",
];

proptest! {
    #[test]
    fn no_value_breaks_a_rule(objects in any_objects(NAMES)) {
        for rules in all() {
            survive(rules, objects.clone())?;
        }
        let (mut new, old) = objects;
        signing_request::prepare_approval(&mut new, &old);
        signing_request::validate_approval(&new, &old, &mut ErrorList::default());
    }

    #[test]
    fn no_value_breaks_a_conversion((object, _) in any_objects(NAMES)) {
        for conversion in RESOURCES.iter().filter_map(|resource| resource.conversion) {
            let mut stored = object.clone();
            (conversion.to_stored)(&mut stored);
            let mut there = stored.clone();
            (conversion.from_stored)(&mut there);
            let mut again = there.clone();
            (conversion.to_stored)(&mut again);
            let mut twice = again.clone();
            (conversion.from_stored)(&mut twice);
            (conversion.to_stored)(&mut twice);
            // What one way has lost, as upstream's does, another one does not lose again.
            prop_assert_eq!(&again, &twice);
        }
    }
}

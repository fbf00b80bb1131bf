//! Fields of pods whose features are off.

use serde_json::Value;

use crate::{
    disabled::{Feature, drop, in_use},
    value::Fields,
};

/// Of a spec, in a template too.
const SPEC: &[Feature] = &[
    // ClusterTrustBundleProjection: beta, off.
    &["volumes[].projected.sources[].clusterTrustBundle"],
    // PodCertificateRequest: beta, off.
    &["volumes[].projected.sources[].podCertificate"],
    // GenericWorkload: alpha.
    &["workloadRef"],
];

/// ContainerStopSignals: alpha.
const STOP_SIGNALS: &[&str] = &[
    "containers[].lifecycle.stopSignal",
    "initContainers[].lifecycle.stopSignal",
    "ephemeralContainers[].lifecycle.stopSignal",
];

/// Of a status.
const STATUS: &[Feature] = &[
    // InPlacePodLevelResourcesVerticalScaling: alpha.
    &["resources", "allocatedResources"],
    // DRAExtendedResource: alpha.
    &["extendedResourceClaimStatus"],
];

/// ResourceHealthStatus, alpha: dropped even where it is already.
const HEALTH: &[Feature] = &[&[
    "containerStatuses[].allocatedResourcesStatus",
    "initContainerStatuses[].allocatedResourcesStatus",
    "ephemeralContainerStatuses[].allocatedResourcesStatus",
]];

/// Drops from a spec what `old`, null at a create, does not use.
pub(super) fn spec(new: &mut Value, old: &Value) {
    drop(SPEC, new, old);
    if in_use(STOP_SIGNALS, old) {
        return;
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in new.items_mut(list) {
            let Some(lifecycle) = container.field_mut("lifecycle") else {
                continue;
            };
            let dropped = lifecycle
                .remove("stopSignal")
                .is_some_and(|signal| !signal.is_null());
            if dropped && !lifecycle.has("postStart") && !lifecycle.has("preStop") {
                container.remove("lifecycle");
            }
        }
    }
}

/// The same of a status.
pub(super) fn status(new: &mut Value, old: &Value) {
    drop(STATUS, new, old);
    drop(HEALTH, new, &Value::Null);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn specs_lose_what_is_off() {
        let mut made = json!({
            "containers": [
                {"name": "a", "lifecycle": {"stopSignal": "SIGUSR1"}},
                {"name": "b", "lifecycle": {"stopSignal": "SIGUSR1", "preStop": {"sleep": {"seconds": 1}}}},
                {"name": "c", "lifecycle": {}},
            ],
            "volumes": [{"name": "v", "projected": {"sources": [
                {"podCertificate": {"signerName": "a/b"}}, {"clusterTrustBundle": {"name": "t"}}, {"secret": {"name": "s"}},
            ]}}],
            "workloadRef": {"name": "w"},
        });
        let sent = made.clone();
        spec(&mut made, &Value::Null);
        assert_eq!(
            made,
            json!({
                "containers": [
                    {"name": "a"},
                    {"name": "b", "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}},
                    {"name": "c", "lifecycle": {}},
                ],
                "volumes": [{"name": "v", "projected": {"sources": [{}, {}, {"secret": {"name": "s"}}]}}],
            })
        );
        let mut kept = sent.clone();
        spec(&mut kept, &sent);
        assert_eq!(kept, sent);
    }

    #[test]
    fn statuses_lose_what_is_off() {
        let sent = json!({
            "resources": {"requests": {"cpu": "1"}},
            "extendedResourceClaimStatus": {"resourceClaimName": "c"},
            "containerStatuses": [{"name": "a", "allocatedResourcesStatus": [{"name": "gpu"}]}],
        });
        let mut made = sent.clone();
        status(&mut made, &json!({}));
        assert_eq!(made, json!({"containerStatuses": [{"name": "a"}]}));
        let mut kept = sent.clone();
        status(&mut kept, &sent);
        assert_eq!(kept["resources"], sent["resources"]);
        assert_eq!(kept["containerStatuses"], json!([{"name": "a"}]));
    }
}

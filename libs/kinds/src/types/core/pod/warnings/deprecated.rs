//! What will go, or is gone already.

use objects::field::Path;
use objects::names;
use serde_json::Value;

use super::{PREFERRED, REQUIRED};
use crate::value::Fields;

/// Labels of nodes, and those that have taken their place.
const LABELS: &[(&str, &str)] = &[
    (
        "beta.kubernetes.io/arch",
        "deprecated since v1.14; use \"kubernetes.io/arch\" instead",
    ),
    (
        "beta.kubernetes.io/os",
        "deprecated since v1.14; use \"kubernetes.io/os\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
];

const ANNOTATIONS: &[(&str, &str)] = &[
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    (
        "security.alpha.kubernetes.io/sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];

/// A volume's source, how upstream names it, and since when it is on its way out.
const VOLUMES: &[(&str, &str, &str)] = &[
    (
        "photonPersistentDisk",
        "photonPersistentDisk",
        "deprecated in v1.11, non-functional in v1.16+",
    ),
    (
        "gitRepo",
        "gitRepo",
        "deprecated in v1.11, and disabled by default in v1.33+",
    ),
    (
        "scaleIO",
        "scaleIO",
        "deprecated in v1.16, non-functional in v1.22+",
    ),
    (
        "flocker",
        "flocker",
        "deprecated in v1.22, non-functional in v1.25+",
    ),
    (
        "storageos",
        "storageOS",
        "deprecated in v1.22, non-functional in v1.25+",
    ),
    (
        "quobyte",
        "quobyte",
        "deprecated in v1.22, non-functional in v1.25+",
    ),
    (
        "glusterfs",
        "glusterfs",
        "deprecated in v1.25, non-functional in v1.26+",
    ),
    (
        "cephfs",
        "cephfs",
        "deprecated in v1.28, non-functional in v1.31+",
    ),
    (
        "rbd",
        "rbd",
        "deprecated in v1.28, non-functional in v1.31+",
    ),
];

/// What is said of a node's label.
pub fn label(key: &str) -> Option<&'static str> {
    LABELS
        .iter()
        .find(|(label, _)| *label == key)
        .map(|(_, message)| *message)
}

/// Labels of nodes by which nodes are chosen.
pub(super) fn labels(spec: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    let selector = path.child("nodeSelector");
    for (key, _) in spec.entries("nodeSelector") {
        if let Some(message) = label(key) {
            warnings.push(format!("{}: {message}", selector.key(key)));
        }
    }
    let path = path.child("affinity");
    let (nodes, path) = (
        spec.part("affinity").part("nodeAffinity"),
        path.child("nodeAffinity"),
    );
    let list = path.child(REQUIRED);
    let list = list.child("nodeSelectorTerms");
    for (index, required) in nodes
        .part(REQUIRED)
        .items("nodeSelectorTerms")
        .iter()
        .enumerate()
    {
        term(required, false, &list.index(index), warnings);
    }
    let list = path.child(PREFERRED);
    for (index, preferred) in nodes.items(PREFERRED).iter().enumerate() {
        let path = list.index(index);
        term(
            preferred.part("preference"),
            true,
            &path.child("preference"),
            warnings,
        );
    }
}

/// A term by which nodes are chosen. Values that no label can have are refused where the term is required.
fn term(term: &Value, with_values: bool, path: &Path<'_>, warnings: &mut Vec<String>) {
    expressions(term, path, warnings);
    if !with_values {
        return;
    }
    let list = path.child("matchExpressions");
    for (index, expression) in term.items("matchExpressions").iter().enumerate() {
        let path = list.index(index);
        let values = path.child("values");
        for (index, value) in expression.texts("values").enumerate() {
            for message in names::label_value(value) {
                let path = values.index(index);
                warnings.push(format!("{path}: {value} is invalid, {message}"));
            }
        }
    }
}

fn expressions(term: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    let list = path.child("matchExpressions");
    for (index, expression) in term.items("matchExpressions").iter().enumerate() {
        let key = expression.text("key");
        if let Some(message) = label(key) {
            let path = list.index(index);
            warnings.push(format!("{}: {key} is {message}", path.child("key")));
        }
    }
}

/// A selector of nodes by their labels.
pub fn selector(selector: &Value, path: &Path<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    expressions(selector, path, &mut warnings);
    let path = path.child("matchLabels");
    for (key, _) in selector.entries("matchLabels") {
        if let Some(message) = label(key) {
            warnings.push(format!("{}: {message}", path.child(key)));
        }
    }
    warnings
}

pub(super) fn annotations(metadata: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    let path = path.child("annotations");
    for (key, message) in ANNOTATIONS {
        if metadata.part("annotations").has(key) {
            warnings.push(format!("{}: {message}", path.key(key)));
        }
    }
}

pub(super) fn volumes(spec: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    let list = path.child("volumes");
    for (index, volume) in spec.items("volumes").iter().enumerate() {
        let path = list.index(index);
        for (field, shown, message) in VOLUMES {
            if volume.has(field) {
                warnings.push(format!("{}: {message}", path.child(shown)));
            }
        }
        let claim = volume
            .part("ephemeral")
            .part("volumeClaimTemplate")
            .part("spec");
        let claim_path = path.child("ephemeral");
        let claim_path = claim_path.child("volumeClaimTemplate");
        crate::types::core::persistent_volume_claim::spec_warnings(
            claim,
            &claim_path.child("spec"),
            warnings,
        );
    }
}

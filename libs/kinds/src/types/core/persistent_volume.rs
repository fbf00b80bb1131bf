//! Persistent volumes.

mod columns;
mod update;

use objects::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

use super::{
    node_selector, persistent_volume_claim as claim,
    pod::defaults::source as source_defaults,
    resource_list::{self, validate_basic, validate_positive},
    volume_source::{self as common, Source, Volume, source},
};
use crate::{
    check::value::{one_of, optional_one_of, subdomain},
    rules::Rules,
    value::Fields,
};

const ACCESS_MODES: &[&str] = &[
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];

/// The sources that a persistent volume can have, in the order in which they are looked at.
const SOURCES: &[Source] = &[
    source("hostPath", common::host_path),
    Source {
        field: "gcePersistentDisk",
        extra: "gcePersistentDisk",
        path: "persistentDisk",
        check: common::gce,
    },
    source("awsElasticBlockStore", common::aws),
    source("glusterfs", common::gluster_fs),
    source("flocker", common::flocker),
    source("nfs", common::nfs),
    source("rbd", common::rbd),
    source("quobyte", common::quobyte),
    Source {
        field: "cephfs",
        extra: "cephFS",
        path: "cephfs",
        check: common::ceph_fs,
    },
    source("iscsi", common::iscsi),
    source("cinder", common::cinder),
    source("fc", common::fibre_channel),
    source("flexVolume", common::flex),
    source("azureFile", common::azure_file),
    source("vsphereVolume", common::vsphere),
    source("photonPersistentDisk", common::photon),
    source("portworxVolume", common::portworx),
    source("azureDisk", common::azure_disk),
    source("scaleIO", common::scale_io),
    source("local", common::local),
    source("storageos", common::storage_os),
    source("csi", common::csi),
];

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    prepare_create: |volume| volume.set("status", json!({"phase": "Pending"})),
    validate,
    validate_update: update::validate,
    warnings,
    columns: columns::COLUMNS,
    ..Rules::NONE
};

fn defaults(volume: &mut Value) {
    if let Some(status) = volume.object_mut("status") {
        status.set_empty("phase", "Pending");
    }
    if let Some(spec) = volume.object_mut("spec") {
        spec.set_empty("persistentVolumeReclaimPolicy", "Retain");
        spec.set_absent("volumeMode", "Filesystem");
        resource_list::field_defaults(spec, "capacity");
        source_defaults(spec);
    }
}

/// Modes of access that are known and go together.
pub fn validate_access_modes(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for mode in spec.texts("accessModes") {
        one_of(mode, ACCESS_MODES, path, errors);
    }
    let alone = spec
        .texts("accessModes")
        .any(|mode| mode == "ReadWriteOncePod");
    let mut others = spec
        .texts("accessModes")
        .filter(|mode| *mode != "ReadWriteOncePod");
    if alone && others.any(|mode| ACCESS_MODES.contains(&mode)) {
        let message = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden(path, message));
    }
}

/// `RWO,ROX,RWX,RWOP`, of those that there are.
#[must_use]
pub fn access_modes_short(object: &Value) -> String {
    let names = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let there = names
        .iter()
        .filter(|(mode, _)| object.texts("accessModes").any(|other| other == *mode));
    there.map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

fn validate(volume: &Value, errors: &mut ErrorList) {
    let name = volume.part("metadata").text("name");
    validate_spec(volume.part("spec"), name, false, &Path::new("spec"), errors);
}

/// Mistakes in a spec; `inline` where it stands in an attachment and has no claim.
pub fn validate_spec(
    spec: &Value,
    name: &str,
    inline: bool,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let modes = path.child("accessModes");
    if inline {
        inline_only(spec, path, errors);
    }
    if spec.items("accessModes").is_empty() {
        errors.push(FieldError::required(&modes, ""));
    }
    validate_access_modes(spec, &modes, errors);
    let policy = spec.text("persistentVolumeReclaimPolicy");
    let policy_path = path.child("persistentVolumeReclaimPolicy");
    if !inline {
        capacity(spec, &path.child("capacity"), errors);
        if !policy.is_empty() {
            one_of(
                policy,
                &["Delete", "Recycle", "Retain"],
                &policy_path,
                errors,
            );
        }
        if let Some(affinity) = spec.field("nodeAffinity") {
            let path = path.child("nodeAffinity");
            match affinity.field("required") {
                Some(selector) => {
                    node_selector::validate(selector, &path.child("required"), errors)
                }
                None => {
                    let message = "must specify required node constraints";
                    errors.push(FieldError::required(&path.child("required"), message));
                }
            }
        }
    }
    let of = Volume {
        name,
        persistent: true,
    };
    common::validate(spec, of, SOURCES, path, errors);
    if spec.has("local") && !spec.has("nodeAffinity") {
        let message = "Local volume requires node affinity";
        errors.push(FieldError::required(&path.child("nodeAffinity"), message));
    }
    let host_path = spec.part("hostPath").text("path");
    if is_root(host_path) && policy == "Recycle" {
        let message = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(FieldError::forbidden(&policy_path, message));
    }
    if !inline {
        let class = spec.text("storageClassName");
        if !class.is_empty() {
            subdomain(class, &path.child("storageClassName"), errors);
        }
        optional_one_of(spec, "volumeMode", &["Block", "Filesystem"], path, errors);
    }
    attributes_class(spec, path, errors);
}

fn attributes_class(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if !spec.has("volumeAttributesClassName") {
        return;
    }
    let (class, class_path) = (
        spec.text("volumeAttributesClassName"),
        path.child("volumeAttributesClassName"),
    );
    if class.is_empty() {
        errors.push(FieldError::required(
            &class_path,
            "an empty string is disallowed",
        ));
    } else {
        subdomain(class, &class_path, errors);
    }
    if !spec.has("csi") {
        let message = "has to be specified when using volumeAttributesClassName";
        errors.push(FieldError::required(&path.child("csi"), message));
    }
}

fn inline_only(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for name in ["claimRef", "capacity", "nodeAffinity", "storageClassName"] {
        if spec.has(name) {
            let message = "may not be specified in the context of inline volumes";
            errors.push(FieldError::forbidden(&path.child(name), message));
        }
    }
    if !spec.has("csi") {
        let message = "has to be specified in the context of inline volumes";
        errors.push(FieldError::required(&path.child("csi"), message));
    }
    let policy = spec.text("persistentVolumeReclaimPolicy");
    if !matches!(policy, "" | "Retain") {
        let message = "may only be Retain in the context of inline volumes";
        let path = path.child("persistentVolumeReclaimPolicy");
        errors.push(FieldError::forbidden(&path, message));
    }
    if !matches!(spec.text("volumeMode"), "" | "Filesystem") {
        let message =
            "may not specify volumeMode other than Filesystem in the context of inline volumes";
        errors.push(FieldError::forbidden(&path.child("volumeMode"), message));
    }
}

fn capacity(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let capacity = spec.part("capacity");
    if spec.count("capacity") == 0 {
        errors.push(FieldError::required(path, ""));
    }
    if !capacity.has("storage") || spec.count("capacity") > 1 {
        errors.push(FieldError::not_supported(
            path,
            capacity.clone(),
            &["storage"],
        ));
    }
    for (name, amount) in resource_list::amounts(spec, "capacity") {
        validate_basic(&amount, &path.key(name), errors);
        validate_positive(&amount, &path.key(name), errors);
    }
}

/// Whether a path is `/` however it is written.
fn is_root(path: &str) -> bool {
    path.starts_with('/') && path.split('/').all(|part| matches!(part, "" | "." | ".."))
}

fn warnings(volume: &Value, _: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    let (spec, path) = (volume.part("spec"), Path::new("spec"));
    if volume
        .part("metadata")
        .part("annotations")
        .has(claim::BETA_CLASS)
    {
        let metadata = Path::new("metadata");
        let path = metadata.child("annotations");
        warnings.push(format!(
            "{}: deprecated since v1.8; use \"storageClassName\" attribute instead",
            path.key(claim::BETA_CLASS)
        ));
    }
    if spec.text("persistentVolumeReclaimPolicy") == "Recycle" {
        let path = path.child("persistentVolumeReclaimPolicy");
        warnings.push(format!("{path}: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning."));
    }
    for (field, shown, message) in [
        (
            "cephfs",
            "cephfs",
            "deprecated in v1.28, non-functional in v1.31+",
        ),
        (
            "photonPersistentDisk",
            "photonPersistentDisk",
            "deprecated in v1.11, non-functional in v1.16+",
        ),
        (
            "scaleIO",
            "scaleIO",
            "deprecated in v1.16, non-functional in v1.22+",
        ),
        (
            "storageos",
            "storageOS",
            "deprecated in v1.22, non-functional in v1.25+",
        ),
        (
            "glusterfs",
            "glusterfs",
            "deprecated in v1.25, non-functional in v1.26+",
        ),
        (
            "rbd",
            "rbd",
            "deprecated in v1.28, non-functional in v1.31+",
        ),
    ] {
        if spec.has(field) {
            warnings.push(format!("{}: {message}", path.child(shown)));
        }
    }
    let storage = spec.part("capacity").quantity("storage");
    if let Some(storage) = storage.filter(|storage| storage.milli_value() % 1000 != 0) {
        let path = path.child("capacity");
        let path = path.key("storage");
        warnings.push(format!(
            "{path}: fractional byte value \"{storage}\" is invalid, must be an integer"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests;

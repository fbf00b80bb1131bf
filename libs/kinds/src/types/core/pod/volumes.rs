//! A pod's volumes.

mod downward_api;
mod projected;

use std::collections::{BTreeMap, BTreeSet};

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use super::container::pull_policy;
use super::spec::Owner;
use crate::{
    check::value::{label, required},
    types::core::{
        file_path, persistent_volume_claim,
        resource_list::amount,
        volume_source::{self as common, Source, Volume, source},
    },
    value::Fields,
};

pub(super) use downward_api::{field_reference, resource_reference};

/// The sources that a pod's volume can have, in the order in which they are looked at.
const SOURCES: &[Source] = &[
    source("emptyDir", empty_dir),
    source("hostPath", common::host_path),
    source("gitRepo", git_repo),
    Source {
        field: "gcePersistentDisk",
        extra: "gcePersistentDisk",
        path: "persistentDisk",
        check: common::gce,
    },
    source("awsElasticBlockStore", common::aws),
    source("secret", secret),
    source("nfs", common::nfs),
    source("iscsi", common::iscsi),
    source("glusterfs", common::gluster_fs),
    source("flocker", common::flocker),
    source("persistentVolumeClaim", claim),
    source("rbd", common::rbd),
    source("cinder", common::cinder),
    Source {
        field: "cephfs",
        extra: "cephFS",
        path: "cephfs",
        check: common::ceph_fs,
    },
    source("quobyte", common::quobyte),
    Source {
        field: "downwardAPI",
        // Upstream's spelling.
        extra: "downwarAPI",
        path: "downwardAPI",
        check: downward_api::volume,
    },
    source("fc", common::fibre_channel),
    source("flexVolume", common::flex),
    source("configMap", config_map),
    source("azureFile", common::azure_file),
    source("vsphereVolume", common::vsphere),
    source("photonPersistentDisk", common::photon),
    source("portworxVolume", common::portworx),
    source("azureDisk", common::azure_disk),
    source("storageos", common::storage_os),
    source("projected", projected::volume),
    source("scaleIO", common::scale_io),
    source("csi", common::csi),
    source("ephemeral", ephemeral),
    source("image", image),
];

/// Mistakes in volumes. Returns those that are right, by name: what containers may mount.
pub(super) fn validate<'a>(
    volumes: &'a [Value],
    owner: Owner<'_>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) -> BTreeMap<&'a str, &'a Value> {
    let pod = owner.name();
    let created: BTreeSet<String> = volumes
        .iter()
        .filter(|volume| !pod.is_empty() && volume.has("ephemeral"))
        .map(|volume| format!("{pod}-{}", volume.text("name")))
        .collect();
    let mut right = BTreeMap::new();
    for (index, volume) in volumes.iter().enumerate() {
        let path = path.index(index);
        let before = errors.len();
        one(volume, owner, &path, errors);
        let name = volume.text("name");
        if right.contains_key(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        if errors.len() == before {
            right.insert(name, volume);
        }
        let claim = volume.part("persistentVolumeClaim").text("claimName");
        if volume.has("persistentVolumeClaim") && created.contains(claim) {
            let message = "must not reference a PVC that gets created for an ephemeral volume";
            let path = path.child("persistentVolumeClaim");
            errors.push(FieldError::invalid(
                &path.child("claimName"),
                claim,
                message,
            ));
        }
    }
    right
}

fn one(volume: &Value, owner: Owner<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let name = volume.text("name");
    let of = Volume {
        name,
        persistent: false,
    };
    common::validate(volume, of, SOURCES, path, errors);
    let iscsi = volume.part("iscsi");
    if iscsi.has("initiatorName") && name.len() + 1 + iscsi.text("targetPortal").len() > 64 {
        let message = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
        errors.push(FieldError::invalid(&path.child("name"), name, message));
    }
    if volume.has("ephemeral") && !owner.name().is_empty() && !name.is_empty() {
        let claim = format!("{}-{name}", owner.name());
        for message in names::dns1123_subdomain(&claim) {
            let message = format!("PVC name {claim:?}: {message}");
            errors.push(FieldError::invalid(&path.child("name"), name, message));
        }
    }
    if owner.is_pod() && volume.has("image") {
        let path = path.child("image");
        required(
            volume.part("image").text("reference"),
            &path.child("reference"),
            errors,
        );
    }
    if name.is_empty() {
        required(name, &path.child("name"), errors);
    } else {
        label(name, &path.child("name"), errors);
    }
}

fn empty_dir(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    if let Some(limit) = source.field("sizeLimit")
        && amount(limit).is_negative()
    {
        let message = "SizeLimit field must be a valid resource quantity";
        errors.push(FieldError::forbidden(&path.child("sizeLimit"), message));
    }
}

fn git_repo(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    required(source.text("repository"), &path.child("repository"), errors);
    file_path::descending(source.text("directory"), &path.child("directory"), errors);
}

fn secret(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    required(source.text("secretName"), &path.child("secretName"), errors);
    files(source, path, errors);
}

fn config_map(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    required(source.text("name"), &path.child("name"), errors);
    files(source, path, errors);
}

/// Permissions, and which keys become which files.
fn files(source: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    file_path::mode(
        source.whole("defaultMode"),
        &path.child("defaultMode"),
        errors,
    );
    let items = path.child("items");
    for (index, item) in source.items("items").iter().enumerate() {
        key_to_path(item, &items.index(index), errors);
    }
}

/// A key and the file that it becomes.
fn key_to_path(item: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    required(item.text("key"), &path.child("key"), errors);
    let file = path.child("path");
    required(item.text("path"), &file, errors);
    file_path::not_reserved(item.text("path"), &file, errors);
    file_path::mode(item.whole("mode"), &path.child("mode"), errors);
}

fn claim(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    required(source.text("claimName"), &path.child("claimName"), errors);
}

fn ephemeral(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("volumeClaimTemplate");
    match source.field("volumeClaimTemplate") {
        None => errors.push(FieldError::required(&path, "")),
        Some(template) => persistent_volume_claim::validate_template(template, &path, errors),
    }
}

fn image(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    pull_policy(source.text("pullPolicy"), &path.child("pullPolicy"), errors);
}

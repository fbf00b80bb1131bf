//! Sources of volumes that pods' volumes and persistent volumes have in common.
//!
//! A volume has one source: the first that is there counts, and each further one is a mistake.

mod disks;
mod network;

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use super::file_path;
use crate::{
    check::{
        self,
        value::{label, optional_one_of, required, subdomain},
    },
    value::Fields,
};

pub use disks::{aws, azure_disk, azure_file, gce, photon, portworx, vsphere};
pub use network::{
    ceph_fs, cinder, fibre_channel, flex, flocker, gluster_fs, iscsi, nfs, quobyte, rbd, scale_io,
    storage_os,
};

/// What a volume is of, beyond the source itself.
#[derive(Debug, Clone, Copy)]
pub struct Volume<'a> {
    /// The volume's name, or that of the persistent volume.
    pub name: &'a str,
    /// Not of a pod: secrets are named with their namespace.
    pub persistent: bool,
}

/// A source by its field, and what is wrong with one.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// The field.
    pub field: &'static str,
    /// How upstream names it where it is one too many.
    pub extra: &'static str,
    /// How upstream names it where something in it is wrong.
    pub path: &'static str,
    /// What is wrong with it.
    pub check: fn(&Value, Volume<'_>, &Path<'_>, &mut ErrorList),
}

/// A source that upstream names as its field.
#[must_use]
pub const fn source(
    field: &'static str,
    check: fn(&Value, Volume<'_>, &Path<'_>, &mut ErrorList),
) -> Source {
    Source {
        field,
        extra: field,
        path: field,
        check,
    }
}

/// Mistakes in the sources of a volume, of which there must be one.
pub fn validate(
    volume: &Value,
    of: Volume<'_>,
    sources: &[Source],
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let mut found = false;
    for source in sources {
        let Some(value) = volume.field(source.field) else {
            continue;
        };
        if found {
            let message = "may not specify more than 1 volume type";
            errors.push(FieldError::forbidden(&path.child(source.extra), message));
        } else {
            (source.check)(value, of, &path.child(source.path), errors);
        }
        found = true;
    }
    if !found {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
}

const HOST_PATH_TYPES: &[&str] = &[
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];

/// A path of the node.
pub fn host_path(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let text = source.text("path");
    if text.is_empty() {
        required(text, &path.child("path"), errors);
        return;
    }
    file_path::no_backsteps(text, &path.child("path"), errors);
    optional_one_of(source, "type", HOST_PATH_TYPES, path, errors);
}

/// A disk of the node.
pub fn local(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let (text, path) = (source.text("path"), path.child("path"));
    required(text, &path, errors);
    file_path::no_backsteps(text, &path, errors);
}

/// A volume of a CSI driver.
pub fn csi(source: &Value, of: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    check::driver_name(source, "driver", path, errors);
    if of.persistent {
        required(
            source.text("volumeHandle"),
            &path.child("volumeHandle"),
            errors,
        );
        for name in [
            "controllerPublishSecretRef",
            "controllerExpandSecretRef",
            "nodePublishSecretRef",
            "nodeExpandSecretRef",
        ] {
            if let Some(secret) = source.field(name) {
                secret_reference(secret, &path.child(name), errors);
            }
        }
    } else if let Some(secret) = source.field("nodePublishSecretRef") {
        let name = secret.text("name");
        if name.is_empty() {
            let path = path.child("nodePublishSecretRef");
            required(name, &path.child("name"), errors);
        } else {
            subdomain(name, &path.child("name"), errors);
        }
    }
}

/// A secret by namespace and name, both of which must be right.
fn secret_reference(secret: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (name, namespace) = (secret.text("name"), secret.text("namespace"));
    if name.is_empty() {
        required(name, &path.child("name"), errors);
    } else {
        subdomain(name, &path.child("name"), errors);
    }
    if namespace.is_empty() {
        required(namespace, &path.child("namespace"), errors);
    } else {
        label(namespace, &path.child("namespace"), errors);
    }
}

/// A secret that must have a name, and for a persistent volume a namespace.
fn named_secret(source: &Value, of: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    if let Some(secret) = source.field("secretRef") {
        let path = path.child("secretRef");
        required(secret.text("name"), &path.child("name"), errors);
        if of.persistent {
            required(secret.text("namespace"), &path.child("namespace"), errors);
        }
    }
}

/// Texts that a source must have.
fn needs(source: &Value, fields: &[&str], path: &Path<'_>, errors: &mut ErrorList) {
    for field in fields {
        required(source.text(field), &path.child(field), errors);
    }
}

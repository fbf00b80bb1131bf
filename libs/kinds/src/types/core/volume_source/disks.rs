//! Disks of clouds.

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use super::{Volume, needs};
use crate::{check::value as check, value::Fields};

fn partition(source: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if let Some(number) = source.whole("partition")
        && !(0..=255).contains(&number)
    {
        let message = "must be between 1 and 255, inclusive";
        errors.push(FieldError::invalid(
            &path.child("partition"),
            number,
            message,
        ));
    }
}

/// Google's.
pub fn gce(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    needs(source, &["pdName"], path, errors);
    partition(source, path, errors);
}

/// Amazon's.
pub fn aws(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    needs(source, &["volumeID"], path, errors);
    partition(source, path, errors);
}

/// Azure's file share.
pub fn azure_file(source: &Value, of: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    needs(source, &["secretName", "shareName"], path, errors);
    if of.persistent && source.has("secretNamespace") {
        needs(source, &["secretNamespace"], path, errors);
    }
}

/// Azure's disk.
pub fn azure_disk(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    needs(source, &["diskName", "diskURI"], path, errors);
    let modes = ["None", "ReadOnly", "ReadWrite"];
    check::optional_one_of(source, "cachingMode", &modes, path, errors);
    let kinds = ["Dedicated", "Managed", "Shared"];
    check::optional_one_of(source, "kind", &kinds, path, errors);
    let (uri, uri_path) = (source.text("diskURI"), path.child("diskURI"));
    let managed = source.text("kind") == "Managed";
    if managed && !uri.starts_with("/subscriptions/") {
        let known = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
        errors.push(FieldError::not_supported(&uri_path, uri, &[known]));
    }
    if source.has("kind") && !managed && !uri.starts_with("https://") {
        let known = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
        errors.push(FieldError::not_supported(&uri_path, uri, &[known]));
    }
}

/// VMware's.
pub fn vsphere(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    needs(source, &["volumePath"], path, errors);
}

/// Photon's.
pub fn photon(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    needs(source, &["pdID"], path, errors);
}

/// Portworx's.
pub fn portworx(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    needs(source, &["volumeID"], path, errors);
}

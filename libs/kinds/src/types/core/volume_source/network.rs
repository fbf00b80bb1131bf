//! Storage behind a network.

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use super::{Volume, named_secret, needs};
use crate::{
    check::value::{in_range, label, required},
    value::Fields,
};

/// NFS.
pub fn nfs(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    needs(source, &["server", "path"], path, errors);
    let text = source.text("path");
    if !text.starts_with('/') {
        let message = "must be an absolute path";
        errors.push(FieldError::invalid(&path.child("path"), text, message));
    }
}

/// iSCSI.
pub fn iscsi(source: &Value, of: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    needs(source, &["targetPortal"], path, errors);
    let too_long = of.name.len() + 1 + source.text("targetPortal").len() > 64;
    let initiator = source.field("initiatorName").and_then(Value::as_str);
    let message = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
    if of.persistent && initiator.is_some() && too_long {
        let portal = source.text("targetPortal");
        errors.push(FieldError::invalid(
            &path.child("targetportal"),
            portal,
            message,
        ));
    }
    let iqn = source.text("iqn");
    if iqn.is_empty() {
        required(iqn, &path.child("iqn"), errors);
    } else {
        qualified_name(iqn, of, &path.child("iqn"), errors);
    }
    in_range(source.whole("lun"), 0, 255, &path.child("lun"), errors);
    let authenticated = source.flag("chapAuthDiscovery") || source.flag("chapAuthSession");
    if authenticated && !source.has("secretRef") {
        errors.push(FieldError::required(&path.child("secretRef"), ""));
    }
    if of.persistent && source.has("secretRef") {
        let secret = path.child("secretRef");
        required(
            source.part("secretRef").text("name"),
            &secret.child("name"),
            errors,
        );
    }
    if let Some(initiator) = initiator {
        qualified_name(initiator, of, &path.child("initiatorname"), errors);
    }
}

/// The name of an initiator or a target (RFC 3720): `iqn.`, `eui.` or `naa.` and what belongs to it.
fn qualified_name(name: &str, of: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let right = match name.get(..3) {
        Some("iqn") => is_iqn(name),
        Some("eui") => is_identifier(name, 16),
        Some("naa") => is_identifier(name, 32),
        _ => {
            let message = if of.persistent {
                "must be valid format"
            } else {
                "must be valid format starting with iqn, eui, or naa"
            };
            errors.push(FieldError::invalid(path, name, message));
            return;
        }
    };
    if !right {
        errors.push(FieldError::invalid(path, name, "must be valid format"));
    }
}

/// `iqn.2001-04.com.example:storage`.
fn is_iqn(name: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    let Some((authority, target)) = name.split_once(':') else {
        return false;
    };
    let mut parts = authority.splitn(3, '.');
    let (kind, date, host) = (parts.next(), parts.next(), parts.next());
    let is_date = |date: &str| {
        date.split_once('-')
            .is_some_and(|(y, m)| y.len() == 4 && m.len() == 2 && digits(y) && digits(m))
    };
    kind == Some("iqn")
        && date.is_some_and(is_date)
        && host.is_some_and(|host| {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|c| c.is_ascii_alphanumeric() || b"-.".contains(&c))
        })
        && !target.is_empty()
        && !target.contains(|c: char| ",;*&$|".contains(c) || c.is_ascii_whitespace())
}

/// Three letters, a dot and letters and digits of one number.
fn is_identifier(name: &str, length: usize) -> bool {
    name.get(4..)
        .is_some_and(|rest| rest.len() == length && rest.bytes().all(|c| c.is_ascii_alphanumeric()))
}

/// GlusterFS.
pub fn gluster_fs(source: &Value, of: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    needs(source, &["endpoints", "path"], path, errors);
    if of.persistent && source.has("endpointsNamespace") {
        let path = path.child("endpointsNamespace");
        let namespace = source.text("endpointsNamespace");
        if namespace.is_empty() {
            let message = "if the endpointnamespace is set, it must be a valid namespace name";
            errors.push(FieldError::invalid(&path, namespace, message));
        } else {
            label(namespace, &path, errors);
        }
    }
}

/// Flocker.
pub fn flocker(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let name = source.text("datasetName");
    match (name.is_empty(), source.text("datasetUUID").is_empty()) {
        (true, true) => {
            let message = "one of datasetName and datasetUUID is required";
            errors.push(FieldError::required(path, message));
        }
        (false, false) => {
            let message = "datasetName and datasetUUID can not be specified simultaneously";
            errors.push(FieldError::invalid(path, "resource", message));
        }
        _ => (),
    }
    if name.contains('/') {
        let message = "must not contain '/'";
        errors.push(FieldError::invalid(
            &path.child("datasetName"),
            name,
            message,
        ));
    }
}

/// A block device of Ceph.
pub fn rbd(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    ceph_fs(
        source,
        Volume {
            name: "",
            persistent: false,
        },
        path,
        errors,
    );
    needs(source, &["image"], path, errors);
}

/// A file system of Ceph.
pub fn ceph_fs(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    if source.items("monitors").is_empty() {
        errors.push(FieldError::required(&path.child("monitors"), ""));
    }
}

/// OpenStack's Cinder.
pub fn cinder(source: &Value, of: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    needs(source, &["volumeID"], path, errors);
    named_secret(source, of, path, errors);
}

/// Quobyte.
pub fn quobyte(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let registry = source.text("registry");
    let message = "must be a host:port pair or multiple pairs separated by commas";
    if registry.is_empty() {
        errors.push(FieldError::required(&path.child("registry"), message));
    } else if source.text("tenant").len() >= 65 {
        let message = "must be a UUID and may not exceed a length of 64 characters";
        errors.push(FieldError::required(&path.child("tenant"), message));
    } else {
        for pair in registry.split(',') {
            let host = pair.rsplit_once(':').map(|(host, _)| host);
            let right = host.is_some_and(|host| {
                !host.contains(':') || (host.starts_with('[') && host.ends_with(']'))
            });
            if !right {
                errors.push(FieldError::invalid(
                    &path.child("registry"),
                    registry,
                    message,
                ));
            }
        }
    }
    needs(source, &["volume"], path, errors);
}

/// Fibre Channel.
pub fn fibre_channel(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let names = source.items("targetWWNs");
    let names_path = path.child("targetWWNs");
    match (names.is_empty(), source.items("wwids").is_empty()) {
        (true, true) => {
            let message = "must specify either targetWWNs or wwids, but not both";
            errors.push(FieldError::required(&names_path, message));
        }
        (false, false) => {
            let message = "targetWWNs and wwids can not be specified simultaneously";
            errors.push(FieldError::invalid(&names_path, names.to_vec(), message));
        }
        _ => (),
    }
    if !names.is_empty() {
        let path = path.child("lun");
        match source.whole("lun") {
            Some(_) => in_range(source.whole("lun"), 0, 255, &path, errors),
            None => {
                let message = "lun is required if targetWWNs is specified";
                errors.push(FieldError::required(&path, message));
            }
        }
    }
}

/// A plugin on the node.
pub fn flex(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    needs(source, &["driver"], path, errors);
    let options = path.child("options");
    for (key, _) in source.entries("options") {
        let namespace = key.split_once('/').map_or(key, |(namespace, _)| namespace);
        let namespace = format!(".{}", namespace.to_lowercase());
        if namespace.ends_with(".kubernetes.io") || namespace.ends_with(".k8s.io") {
            let message = "kubernetes.io and k8s.io namespaces are reserved";
            errors.push(FieldError::invalid(&options.key(key), key, message));
        }
    }
}

/// ScaleIO.
pub fn scale_io(source: &Value, _: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    needs(source, &["gateway", "system", "volumeName"], path, errors);
}

/// StorageOS.
pub fn storage_os(source: &Value, of: Volume<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let name = source.text("volumeName");
    if name.is_empty() {
        required(name, &path.child("volumeName"), errors);
    } else {
        label(name, &path.child("volumeName"), errors);
    }
    let namespace = source.text("volumeNamespace");
    if !namespace.is_empty() {
        label(namespace, &path.child("volumeNamespace"), errors);
    }
    named_secret(source, of, path, errors);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_iscsi_targets() {
        assert!(is_iqn("iqn.2015-02.example.com:init"));
        assert!(!is_iqn("iqn.2015-02.example.com"));
        assert!(!is_iqn("iqn.2015-02:x"));
        assert!(is_identifier("eui.0123456789ABCDEF", 16));
        assert!(!is_identifier("eui.0123456789ABCDEFGHIJ", 16));
    }
}

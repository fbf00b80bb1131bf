//! Security contexts of pods and containers.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use super::{container, windows};
use crate::{
    check::value::{id, one_of, optional_one_of, required},
    types::core::file_path,
    value::Fields,
};

const PROFILES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];

/// Most bytes of a sysctl's name.
const SYSCTL_MAX: usize = 253;
/// Most bytes of an AppArmor profile's name, that of a path less its end.
const PROFILE_MAX: usize = 4095;

/// Of a whole pod.
pub(super) fn validate_pod(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(security) = spec.field("securityContext") else {
        return;
    };
    for name in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(security.whole(name), &path.child(name), errors);
    }
    let groups = path.child("supplementalGroups");
    for (index, group) in security.items("supplementalGroups").iter().enumerate() {
        id(group.as_i64(), &groups.index(index), errors);
    }
    if spec.flag("shareProcessNamespace") && spec.flag("hostPID") {
        let message = "ShareProcessNamespace and HostPID cannot both be enabled";
        let path = path.child("shareProcessNamespace");
        errors.push(FieldError::invalid(&path, true, message));
    }
    sysctls(security, spec, &path.child("sysctls"), errors);
    optional_one_of(
        security,
        "fsGroupChangePolicy",
        &["Always", "OnRootMismatch"],
        path,
        errors,
    );
    seccomp(security, path, errors);
    windows::validate_options(security, path, errors);
    app_armor(security, path, errors);
    optional_one_of(
        security,
        "supplementalGroupsPolicy",
        &["Merge", "Strict"],
        path,
        errors,
    );
    optional_one_of(
        security,
        "seLinuxChangePolicy",
        &["MountOption", "Recursive"],
        path,
        errors,
    );
}

/// Of a container.
pub(super) fn validate_container(
    security: &Value,
    host_users: bool,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    for name in ["runAsUser", "runAsGroup"] {
        id(security.whole(name), &path.child(name), errors);
    }
    if security.has("procMount") {
        let (mount, path) = (security.text("procMount"), path.child("procMount"));
        one_of(mount, &["Default", "Unmasked"], &path, errors);
        if host_users && mount == "Unmasked" {
            let message = "`hostUsers` must be false to use `Unmasked`";
            errors.push(FieldError::invalid(&path, mount, message));
        }
    }
    seccomp(security, path, errors);
    if security.part("allowPrivilegeEscalation") == &Value::Bool(false) {
        if security.flag("privileged") {
            let message = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(FieldError::invalid(path, security.clone(), message));
        }
        for _ in security
            .part("capabilities")
            .texts("add")
            .filter(|name| *name == "CAP_SYS_ADMIN")
        {
            let message = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(FieldError::invalid(path, security.clone(), message));
        }
    }
    windows::validate_options(security, path, errors);
    app_armor(security, path, errors);
}

fn seccomp(security: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(profile) = security.field("seccompProfile") else {
        return;
    };
    let path = path.child("seccompProfile");
    let (kind, local) = (profile.text("type"), profile.field("localhostProfile"));
    if kind.is_empty() {
        let message = "type is required when seccompProfile is set";
        errors.push(FieldError::required(&path.child("type"), message));
    } else {
        one_of(kind, PROFILES, &path.child("type"), errors);
    }
    let local_path = path.child("localhostProfile");
    match local {
        None if kind == "Localhost" => {
            let message = "must be set when seccomp type is Localhost";
            errors.push(FieldError::required(&local_path, message));
        }
        Some(local) if kind == "Localhost" => {
            file_path::descending(local.as_str().unwrap_or_default(), &local_path, errors);
        }
        Some(_) => {
            let message = "can only be set when seccomp type is Localhost";
            errors.push(FieldError::invalid(&local_path, profile.clone(), message));
        }
        None => (),
    }
}

fn app_armor(security: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(profile) = security.field("appArmorProfile") else {
        return;
    };
    let path = path.child("appArmorProfile");
    let local_path = path.child("localhostProfile");
    let local = profile.text("localhostProfile");
    match profile.text("type") {
        "Localhost" => {
            let message = "must be set when AppArmor type is Localhost";
            if local.trim() != local {
                let message = "must not be padded with whitespace";
                errors.push(FieldError::invalid(&local_path, local, message));
            } else if local.is_empty() {
                errors.push(FieldError::required(&local_path, message));
            }
            if local.len() > PROFILE_MAX {
                errors.push(FieldError::too_long(&local_path, PROFILE_MAX));
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if profile.has("localhostProfile") {
                let message = "can only be set when AppArmor type is Localhost";
                errors.push(FieldError::invalid(&local_path, local, message));
            }
        }
        "" => {
            let message = "type is required when appArmorProfile is set";
            errors.push(FieldError::required(&path.child("type"), message));
        }
        other => one_of(other, PROFILES, &path.child("type"), errors),
    }
}

fn sysctls(security: &Value, spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let mut seen = BTreeSet::new();
    for (index, sysctl) in security.items("sysctls").iter().enumerate() {
        let path = path.index(index);
        let (name, path) = (sysctl.text("name"), path.child("name"));
        if name.is_empty() {
            required(name, &path, errors);
        } else if !is_sysctl(name) {
            let message = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            errors.push(FieldError::invalid(&path, name, message));
        } else if seen.contains(name) {
            errors.push(FieldError::duplicate(&path, name));
        }
        seen.insert(name);
        let dotted = name.replace('/', ".");
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| dotted.starts_with(prefix));
        if spec.flag("hostNetwork") && starts(&["net."]) {
            let message = "may not be specified when 'hostNetwork' is true";
            errors.push(FieldError::invalid(&path, name, message));
        } else if spec.flag("hostIPC")
            && starts(&["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."])
        {
            let message = "may not be specified when 'hostIPC' is true";
            errors.push(FieldError::invalid(&path, name, message));
        }
    }
}

fn is_sysctl(name: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_segment = |segment: &str| {
        let bytes = segment.as_bytes();
        bytes.first().is_some_and(|&c| inner(c))
            && bytes.last().is_some_and(|&c| inner(c))
            && bytes.iter().all(|&c| inner(c) || c == b'-' || c == b'_')
    };
    name.len() <= SYSCTL_MAX && name.split(['.', '/']).all(is_segment)
}

/// A user namespace of the pod's own goes with no other namespace of the host's.
pub(super) fn validate_host_users(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if spec.part("hostUsers") != &Value::Bool(false) {
        return;
    }
    let message = "when `hostUsers` is false";
    // The second and third name are upstream's own spelling.
    for (field, shown) in [
        ("hostNetwork", "hostNetwork"),
        ("hostPID", "HostPID"),
        ("hostIPC", "HostIPC"),
    ] {
        if spec.flag(field) {
            errors.push(FieldError::forbidden(&path.child(shown), message));
        }
    }
    // Devices cannot be mapped to other users.
    container::visit(spec, path, |container, path| {
        if !container.items("volumeDevices").is_empty() {
            errors.push(FieldError::forbidden(&path.child("volumeDevices"), message));
        }
    });
}

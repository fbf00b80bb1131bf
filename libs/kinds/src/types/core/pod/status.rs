//! What a pod's status may say.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use super::{annotations, container::is_restartable};
use crate::{
    check::value::{id, immutable, ip, one_of, one_of_each_family, qualified, subdomain},
    value::Fields,
};

/// The lists of statuses, and of containers whose they are.
const LISTS: [(&str, &str); 3] = [
    ("containerStatuses", "containers"),
    ("initContainerStatuses", "initContainers"),
    ("ephemeralContainerStatuses", "ephemeralContainers"),
];

pub(super) fn validate(new: &Value, old: &Value, errors: &mut ErrorList) {
    let metadata = Path::new("metadata");
    let path = metadata.child("annotations");
    annotations::validate(new.part("metadata"), new.part("spec"), &path, errors);
    annotations::validate_update(new.part("metadata"), old.part("metadata"), &path, errors);
    let (spec, status, before) = (new.part("spec"), new.part("status"), old.part("status"));
    // Upstream puts conditions into metadata.
    let list = metadata.child("conditions");
    for (index, condition) in status.items("conditions").iter().enumerate() {
        let kind = condition.text("type");
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            let path = list.index(index);
            qualified(kind, &path.child("Type"), errors);
        }
    }
    let path = Path::new("status");
    let nominated = status.text("nominatedNodeName");
    if !nominated.is_empty() && nominated != before.text("nominatedNodeName") {
        subdomain(nominated, &path.child("nominatedNodeName"), errors);
    }
    let class = path.child("qosClass");
    immutable(
        status.part("qosClass"),
        before.part("qosClass"),
        &class,
        errors,
    );
    for (statuses, _) in LISTS {
        transitions(new, old, statuses, &path.child(statuses), errors);
    }
    claims(status, spec, &path.child("resourceClaimStatuses"), errors);
    addresses(status, &path, errors);
    for (statuses, containers) in LISTS {
        users(status.items(statuses), spec, &path.child(statuses), errors);
        devices(
            status.items(statuses),
            spec.items(containers),
            statuses,
            &path.child(statuses),
            errors,
        );
    }
}

/// What has ended for good does not run again.
fn transitions(new: &Value, old: &Value, list: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let spec = old.part("spec");
    let policy = match list {
        "ephemeralContainerStatuses" => "Never",
        _ => spec.text("restartPolicy"),
    };
    if policy == "Always" {
        return;
    }
    for (index, before) in old.part("status").items(list).iter().enumerate() {
        let name = before.text("name");
        let Some(terminated) = before.part("state").field("terminated") else {
            continue;
        };
        if terminated.whole("exitCode").unwrap_or_default() != 0 && policy == "OnFailure" {
            continue;
        }
        let containers = spec
            .items("initContainers")
            .iter()
            .chain(spec.items("containers"));
        let mut own = containers.filter(|container| container.text("name") == name);
        // A container that says itself how it is restarted may be.
        let may = own.any(|container| is_restartable(container) || container.has("restartPolicy"));
        if list != "ephemeralContainerStatuses" && may {
            continue;
        }
        for now in new
            .part("status")
            .items(list)
            .iter()
            .filter(|now| now.text("name") == name)
        {
            if !now.part("state").has("terminated") {
                let message = "may not be transitioned to non-terminated state";
                let path = path.index(index);
                errors.push(FieldError::forbidden(&path.child("state"), message));
            }
        }
    }
}

fn claims(status: &Value, spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let mut seen = BTreeSet::new();
    for (index, claim) in status.items("resourceClaimStatuses").iter().enumerate() {
        let path = path.index(index);
        let (name, name_path) = (claim.text("name"), path.child("name"));
        let mut known = spec.items("resourceClaims").iter();
        if !known.any(|known| known.text("name") == name) {
            let message = "must match the name of an entry in `spec.resourceClaims`";
            errors.push(FieldError::invalid(&name_path, name, message));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&name_path, name));
        }
        if claim.has("resourceClaimName") {
            subdomain(claim.text("resourceClaimName"), &name_path, errors);
        }
    }
}

/// Addresses of the pod and of its node: valid, at most one of each family, none twice.
fn addresses(status: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for name in ["podIPs", "hostIPs"] {
        let items = status.items(name);
        let path = path.child(name);
        let texts: Vec<&str> = items.iter().map(|item| item.text("ip")).collect();
        if name == "hostIPs"
            && let Some(first) = texts
                .first()
                .filter(|first| **first != status.text("hostIP"))
        {
            let path = path.index(0);
            let message = "must be equal to `hostIP`";
            errors.push(FieldError::invalid(&path.child("ip"), *first, message));
        }
        for (index, text) in texts.iter().enumerate() {
            ip(text, &path.index(index), errors);
        }
        one_of_each_family(&texts, "IP", status.part(name), &path, errors);
        let mut seen = BTreeSet::new();
        for (index, (item, text)) in items.iter().zip(&texts).enumerate() {
            if !seen.insert(text) {
                errors.push(FieldError::duplicate(&path.index(index), item.clone()));
            }
        }
    }
}

fn users(statuses: &[Value], spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let windows = spec.part("os").text("name") == "windows";
    for (index, status) in statuses.iter().enumerate() {
        let path = path.index(index);
        let path = path.child("linux");
        let Some(user) = status.part("user").field("linux") else {
            continue;
        };
        if windows {
            errors.push(FieldError::forbidden(
                &path,
                "cannot be set for a windows pod",
            ));
            continue;
        }
        id(user.whole("uid"), &path.child("uid"), errors);
        id(user.whole("gid"), &path.child("gid"), errors);
        let groups = path.child("supplementalGroups");
        for (index, group) in user.items("supplementalGroups").iter().enumerate() {
            id(group.as_i64(), &groups.index(index), errors);
        }
    }
}

/// How the devices of containers are.
fn devices(
    statuses: &[Value],
    containers: &[Value],
    list: &str,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    for (index, status) in statuses.iter().enumerate() {
        let path = path.index(index);
        let path = path.child("allocatedResourcesStatus");
        let resources = status.items("allocatedResourcesStatus");
        if list == "ephemeralContainerStatuses" {
            if !resources.is_empty() {
                errors.push(FieldError::forbidden(
                    &path,
                    "must not be specified in container status",
                ));
            }
            continue;
        }
        let own = containers
            .iter()
            .find(|container| container.text("name") == status.text("name"));
        for (index, resource) in resources.iter().enumerate() {
            let path = path.index(index);
            if let Some(container) = own {
                device_name(
                    resource.text("name"),
                    container,
                    &path.child("name"),
                    errors,
                );
            }
            let list = path.child("resources");
            let mut seen = BTreeSet::new();
            for (index, device) in resource.items("resources").iter().enumerate() {
                let path = list.index(index);
                one_of(
                    device.text("health"),
                    &["Healthy", "Unhealthy", "Unknown"],
                    &path.child("health"),
                    errors,
                );
                let name = device.text("resourceID");
                if !seen.insert(name) {
                    errors.push(FieldError::duplicate(&path.child("resourceID"), name));
                }
            }
        }
    }
}

fn device_name(name: &str, container: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let resources = container.part("resources");
    let (found, message) = match name.strip_prefix("claim:") {
        Some(claim) => (
            resources
                .items("claims")
                .iter()
                .any(|own| match own.text("request") {
                    "" => own.text("name") == claim,
                    request => format!("{}/{request}", own.text("name")) == claim,
                }),
            "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty",
        ),
        None => (
            resources.part("requests").has(name),
            "must match one of the container's resource requests",
        ),
    };
    if !found {
        errors.push(FieldError::invalid(path, name, message));
    }
}

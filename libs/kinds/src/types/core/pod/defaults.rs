//! What is filled in where a pod, or the template of one, does not say.

use objects::quantity::Quantity;
use serde_json::{Map, Value, json};

use super::image::default_pull_policy;
use crate::{
    types::core::{persistent_volume_claim, resource_list},
    value::Fields,
};

/// The lists of containers of a pod's spec.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Of any pod's spec, in a template too.
pub fn spec(spec: &mut Value) {
    spec.set_empty("dnsPolicy", "ClusterFirst");
    spec.set_empty("restartPolicy", "Always");
    spec.set_absent("securityContext", json!({}));
    spec.set_absent("terminationGracePeriodSeconds", 30);
    spec.set_empty("schedulerName", "default-scheduler");
    service_account(spec);
    spec.items_mut("volumes").iter_mut().for_each(volume);
    for containers in CONTAINERS {
        spec.items_mut(containers).iter_mut().for_each(container);
    }
    if let Some(overhead) = spec.field_mut("overhead") {
        resource_list::defaults(overhead);
    }
    resource_list::requirements_defaults(spec.field_mut("resources"));
}

/// The service account has an older name, too, and both are shown; the newer one counts.
fn service_account(spec: &mut Value) {
    let (new, old) = ("serviceAccountName", "serviceAccount");
    if spec.text(new).is_empty() && !spec.text(old).is_empty() {
        let name = spec.text(old).to_owned();
        spec.set(new, name);
    } else if !spec.text(new).is_empty() {
        let name = spec.text(new).to_owned();
        spec.set(old, name);
    }
}

/// The first address has a field of its own, which kubelets of long ago know alone: where the two differ, it counts.
pub(super) fn status(status: &mut Value) {
    let address = status.text("podIP").to_owned();
    let first = status
        .items("podIPs")
        .first()
        .map(|first| first.text("ip").to_owned());
    match first {
        _ if !address.is_empty() && first.as_deref() != Some(&*address) => {
            status.set("podIPs", json!([{ "ip": address }]));
        }
        Some(first) if address.is_empty() && !first.is_empty() => status.set("podIP", first),
        _ => (),
    }
    for list in [
        "initContainerStatuses",
        "containerStatuses",
        "ephemeralContainerStatuses",
    ] {
        for container in status.items_mut(list) {
            resource_list::field_defaults(container, "allocatedResources");
            resource_list::requirements_defaults(container.field_mut("resources"));
        }
    }
}

/// A pod in its host's network listens on its host's ports.
fn host_ports(container: &mut Value) {
    for port in container.items_mut("ports") {
        if let Some(number) = port.whole("containerPort") {
            port.set_empty("hostPort", number);
        }
    }
}

fn container(container: &mut Value) {
    let policy = default_pull_policy(container.text("image"));
    container.set_empty("imagePullPolicy", policy);
    container.set_empty("terminationMessagePath", "/dev/termination-log");
    container.set_empty("terminationMessagePolicy", "File");
    for port in container.items_mut("ports") {
        port.set_empty("protocol", "TCP");
    }
    for variable in container.items_mut("env") {
        if let Some(source) = variable.field_mut("valueFrom") {
            field_reference(source);
            if let Some(key) = source.field_mut("fileKeyRef") {
                key.set_absent("optional", false);
            }
        }
    }
    // Upstream never leaves it out, since it is no pointer.
    container.set_absent("resources", json!({}));
    resource_list::requirements_defaults(container.field_mut("resources"));
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.field_mut(name) {
            self::probe(probe);
        }
    }
    if let Some(lifecycle) = container.field_mut("lifecycle") {
        for name in ["postStart", "preStop"] {
            if let Some(handler) = lifecycle.field_mut(name) {
                http_get(handler);
            }
        }
    }
}

fn probe(probe: &mut Value) {
    probe.set_empty("timeoutSeconds", 1);
    probe.set_empty("periodSeconds", 10);
    probe.set_empty("successThreshold", 1);
    probe.set_empty("failureThreshold", 3);
    http_get(probe);
    if let Some(grpc) = probe.field_mut("grpc") {
        grpc.set_absent("service", "");
    }
}

fn http_get(handler: &mut Value) {
    if let Some(get) = handler.field_mut("httpGet") {
        get.set_empty("path", "/");
        get.set_empty("scheme", "HTTP");
    }
}

fn field_reference(source: &mut Value) {
    if let Some(reference) = source.field_mut("fieldRef") {
        reference.set_empty("apiVersion", "v1");
    }
    if let Some(reference) = source.field_mut("resourceFieldRef") {
        // Upstream never leaves it out, since it is no pointer: nothing means one.
        reference.set_absent("divisor", "0");
        resource_list::canonical_field(reference, "divisor");
    }
}

/// A volume that does not say what it is is an empty directory.
fn volume(volume: &mut Value) {
    let has_source = |fields: &Map<String, Value>| {
        fields
            .iter()
            .any(|(name, value)| name != "name" && !value.is_null())
    };
    if !volume.as_object().is_none_or(has_source) {
        volume.set("emptyDir", json!({}));
    }
    if let Some(image) = volume.field_mut("image") {
        let policy = default_pull_policy(image.text("reference"));
        image.set_empty("pullPolicy", policy);
    }
    for name in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = volume.field_mut(name) {
            source.set_absent("defaultMode", 0o644);
        }
    }
    source(volume);
    if let Some(directory) = volume.field_mut("emptyDir") {
        resource_list::canonical_field(directory, "sizeLimit");
    }
    if let Some(items) = volume.field_mut("downwardAPI") {
        items
            .items_mut("items")
            .iter_mut()
            .for_each(field_reference);
    }
    if let Some(projected) = volume.field_mut("projected") {
        projected
            .items_mut("sources")
            .iter_mut()
            .for_each(projection);
    }
    if let Some(template) = volume
        .field_mut("ephemeral")
        .and_then(|source| source.field_mut("volumeClaimTemplate"))
        && let Some(spec) = template.object_mut("spec")
    {
        persistent_volume_claim::spec_defaults(spec);
    }
}

/// What a volume of a pod and a persistent volume have in common.
pub fn source(volume: &mut Value) {
    let defaults: [(&str, &str, Value); 11] = [
        ("hostPath", "type", json!("")),
        ("iscsi", "iscsiInterface", json!("default")),
        ("rbd", "pool", json!("rbd")),
        ("rbd", "user", json!("admin")),
        ("rbd", "keyring", json!("/etc/ceph/keyring")),
        ("azureDisk", "cachingMode", json!("ReadWrite")),
        ("azureDisk", "kind", json!("Shared")),
        ("azureDisk", "fsType", json!("ext4")),
        ("azureDisk", "readOnly", json!(false)),
        ("scaleIO", "storageMode", json!("ThinProvisioned")),
        ("scaleIO", "fsType", json!("xfs")),
    ];
    for (name, field, value) in defaults {
        let pointer = matches!(name, "hostPath" | "azureDisk");
        match volume.field_mut(name) {
            Some(source) if pointer => source.set_absent(field, value),
            Some(source) => source.set_empty(field, value),
            None => (),
        }
    }
}

fn projection(source: &mut Value) {
    if let Some(api) = source.field_mut("downwardAPI") {
        api.items_mut("items").iter_mut().for_each(field_reference);
    }
    if let Some(token) = source.field_mut("serviceAccountToken") {
        token.set_absent("expirationSeconds", 3600);
    }
}

/// Of a pod alone, and not of a template of one: requests that are limits, environment from services. Comes before [`spec`].
pub fn pod(pod: &mut Value) {
    let Some(spec) = pod.object_mut("spec") else {
        return;
    };
    for containers in ["containers", "initContainers"] {
        spec.items_mut(containers).iter_mut().for_each(requests);
    }
    super::resources::defaults(spec);
    spec.set_absent("enableServiceLinks", true);
    if spec.flag("hostNetwork") {
        for containers in ["containers", "initContainers"] {
            spec.items_mut(containers).iter_mut().for_each(host_ports);
        }
    }
}

/// What a container may have at most is what it asks for, where it does not say.
fn requests(container: &mut Value) {
    let Some(resources) = container.field_mut("resources") else {
        return;
    };
    let Some(limits) = resources
        .field("limits")
        .and_then(Value::as_object)
        .cloned()
    else {
        return;
    };
    if let Some(requests) = resources.object_mut("requests") {
        for (name, amount) in limits {
            if Quantity::from_value(&amount).is_ok() {
                requests.set_absent(&name, amount);
            }
        }
    }
}

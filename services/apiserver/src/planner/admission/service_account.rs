//! ServiceAccount: as whom a pod acts, the token with which it does, and what it may mount.
//!
//! Sources: the pages "Managing Service Accounts" and "Static Pods" (mirror pods).

mod secrets;

use super::{Attributes, Cluster, Kind, Operation, Plugin, push};
use kinds::value::Fields;
use objects::{
    metadata::generate_name,
    status::{Qualified, Status},
};
use serde_json::{Value, json};

/// The account of pods that name none.
pub(super) const DEFAULT: &str = "default";
/// On what the API shows of a pod that a kubelet has from a file.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Where programs look for their token.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// What the token's volume is called, before random letters.
const VOLUME: &str = "kube-api-access-";
/// An hour, and seven seconds by which upstream knows the tokens whose life it may extend.
const TOKEN_SECONDS: i64 = 3_607;

pub(super) const PLUGIN: Plugin = Plugin {
    name: "ServiceAccount",
    handles: &[Operation::Create, Operation::Update],
    mutate: Some(mutate),
    validate: Some(validate),
};

fn mutate(
    attributes: &Attributes<'_>,
    pod: &mut Value,
    cluster: &dyn Cluster,
) -> Result<(), Status> {
    if !is_new_pod(attributes) {
        return Ok(());
    }
    // A mirror pod must stay what the kubelet has, or the kubelet deletes it at once.
    if is_mirror(pod) {
        return validate(attributes, pod, cluster);
    }
    if let Some(spec) = pod.object_mut("spec")
        && spec.text("serviceAccountName").is_empty()
    {
        spec.set("serviceAccountName", DEFAULT);
        // The field's older name is shown besides.
        spec.set("serviceAccount", DEFAULT);
    }
    let account = account(attributes, pod, cluster)?;
    if let Some(spec) = pod.object_mut("spec") {
        if automounts(spec, &account) {
            mount_token(spec, attributes.random);
        }
        let secrets = account.items("imagePullSecrets").iter();
        let secrets: Vec<_> = secrets
            .map(|secret| json!({"name": secret.text("name")}))
            .collect();
        if spec.items("imagePullSecrets").is_empty() && !secrets.is_empty() {
            spec.set("imagePullSecrets", secrets);
        }
    }
    validate(attributes, pod, cluster)
}

fn validate(attributes: &Attributes<'_>, pod: &Value, cluster: &dyn Cluster) -> Result<(), Status> {
    let refused = |why: &str| Err(attributes.forbidden(pod, why));
    let ephemeral = attributes.is_any_of("", "pods")
        && attributes.operation == Operation::Update
        && attributes.subresource == "ephemeralcontainers";
    if !ephemeral && !is_new_pod(attributes) {
        return Ok(());
    }
    if !ephemeral && is_mirror(pod) {
        return mirror(attributes, pod);
    }
    let spec = pod.part("spec");
    if spec.text("serviceAccountName").is_empty() {
        let (namespace, name) = (attributes.namespace, pod.part("metadata").text("name"));
        return refused(&format!(
            "no service account specified for pod {namespace}/{name}"
        ));
    }
    let account = account(attributes, pod, cluster)?;
    if !secrets::is_limited(&account) {
        return Ok(());
    }
    let allowed = if ephemeral {
        secrets::limit_ephemeral(&account, spec)
    } else {
        secrets::limit(&account, spec)
    };
    allowed.or_else(|why| refused(&why))
}

/// What the kubelet reports may not give it what the API's pods are given.
fn mirror(attributes: &Attributes<'_>, pod: &Value) -> Result<(), Status> {
    let refused = |why: &str| Err(attributes.forbidden(pod, why));
    let spec = pod.part("spec");
    if !spec.text("serviceAccountName").is_empty() {
        return refused("a mirror pod may not reference service accounts");
    }
    if secrets::references_any(spec) {
        return refused("a mirror pod may not reference secrets");
    }
    let mut sources = spec
        .items("volumes")
        .iter()
        .flat_map(|volume| volume.part("projected").items("sources"));
    if sources.any(|source| source.has("serviceAccountToken")) {
        return refused("a mirror pod may not use ServiceAccountToken volume projections");
    }
    Ok(())
}

fn is_new_pod(attributes: &Attributes<'_>) -> bool {
    attributes.operation == Operation::Create && attributes.is("", "pods")
}

fn is_mirror(pod: &Value) -> bool {
    pod.part("metadata").part("annotations").has(MIRROR)
}

/// The account that a pod names.
fn account(
    attributes: &Attributes<'_>,
    pod: &Value,
    cluster: &dyn Cluster,
) -> Result<Value, Status> {
    let (namespace, name) = (
        attributes.namespace,
        pod.part("spec").text("serviceAccountName"),
    );
    let found = cluster.get(Kind::ServiceAccount, namespace, name)?;
    found.ok_or_else(|| {
        let missing = Status::not_found(Qualified::core("serviceaccount"), name);
        let why = format!(
            "error looking up service account {namespace}/{name}: {}",
            missing.message
        );
        attributes.forbidden(pod, &why)
    })
}

/// Whether a pod gets a token: as it says, or else as its account says.
fn automounts(spec: &Value, account: &Value) -> bool {
    let field = "automountServiceAccountToken";
    let said = [spec, account].map(|of| of.part(field).as_bool());
    said.into_iter().flatten().next().unwrap_or(true)
}

/// Gives each container that has nothing there the token, the CA of the API, and the namespace.
fn mount_token(spec: &mut Value, random: u64) {
    let mut names = spec
        .items("volumes")
        .iter()
        .map(|volume| volume.text("name"));
    let given = names
        .find(|name| name.starts_with(VOLUME))
        .map(str::to_owned);
    // Other bits than those of the pod's own name.
    let name = given
        .clone()
        .unwrap_or_else(|| generate_name(VOLUME, random.rotate_left(32)));
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        for container in spec.items_mut(list) {
            let mut mounts = container.items("volumeMounts").iter();
            if !mounts.any(|mount| mount.text("mountPath") == MOUNT_PATH) {
                let mount = json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH});
                push(container, "volumeMounts", mount);
                mounted = true;
            }
        }
    }
    if mounted && given.is_none() {
        push(spec, "volumes", token_volume(&name));
    }
}

fn token_volume(name: &str) -> Value {
    json!({
        "name": name,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
                {"configMap": {
                    "name": "kube-root-ca.crt",
                    "items": [{"key": "ca.crt", "path": "ca.crt"}],
                }},
                {"downwardAPI": {"items": [{
                    "path": "namespace",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                }]}},
            ],
        },
    })
}

#[cfg(test)]
mod tests;

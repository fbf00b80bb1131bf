//! Secrets that pods refer to, and those that an account lets them.

use kinds::value::Fields;
use serde_json::Value;

/// On an account whose pods may mount no secrets but those that it lists.
const LIMITED: &str = "kubernetes.io/enforce-mountable-secrets";
/// The lists of a pod's containers, and what texts call one of each.
const CONTAINERS: [(&str, &str); 2] = [
    ("initContainers", "init container"),
    ("containers", "container"),
];
/// Volumes, and where each names the secret with which it is mounted.
const VOLUMES: [(&str, &str); 11] = [
    ("azureFile", "/secretName"),
    ("cephfs", "/secretRef"),
    ("cinder", "/secretRef"),
    ("flexVolume", "/secretRef"),
    ("rbd", "/secretRef"),
    ("secret", ""),
    ("scaleIO", "/secretRef"),
    ("iscsi", "/secretRef"),
    ("storageos", "/secretRef"),
    ("csi", "/nodePublishSecretRef"),
    ("projected", "/sources"),
];

/// Whether the account limits its pods' secrets; true is what Go reads as such.
pub(super) fn is_limited(account: &Value) -> bool {
    let annotations = account.part("metadata").part("annotations");
    matches!(
        annotations.text(LIMITED),
        "1" | "t" | "T" | "TRUE" | "true" | "True"
    )
}

/// Whether a pod refers to any secret, in whatever way.
pub(super) fn references_any(spec: &Value) -> bool {
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    let mut containers = lists.iter().flat_map(|list| spec.items(list));
    !spec.items("imagePullSecrets").is_empty()
        || containers.any(|container| of_container(container).next().is_some())
        || spec.items("volumes").iter().any(volume_references)
}

fn volume_references(volume: &Value) -> bool {
    VOLUMES.iter().any(|(source, pointer)| {
        let found = volume.part(source).pointer(pointer);
        match found.unwrap_or(&Value::Null) {
            Value::Null => false,
            Value::String(name) => !name.is_empty(),
            Value::Array(sources) => sources.iter().any(|source| source.has("secret")),
            _ => true,
        }
    })
}

/// A container's secrets: which, and by which variable, if it is by one.
fn of_container(container: &Value) -> impl Iterator<Item = (&str, Option<&str>)> {
    let variables = container.items("env").iter().filter_map(|variable| {
        let secret = variable.part("valueFrom").field("secretKeyRef")?;
        Some((secret.text("name"), Some(variable.text("name"))))
    });
    let sources = container.items("envFrom").iter();
    let whole = sources.filter_map(|source| Some((source.field("secretRef")?.text("name"), None)));
    variables.chain(whole)
}

/// Whether a new pod refers only to what its account lists.
///
/// # Errors
/// The first that it does not.
pub(super) fn limit(account: &Value, spec: &Value) -> Result<(), String> {
    let of = account.part("metadata").text("name");
    let known = |list: &str, name: &str| {
        let mut listed = account.items(list).iter();
        listed.any(|secret| secret.text("name") == name)
    };
    for volume in spec.items("volumes") {
        if let Some(source) = volume.field("secret") {
            let name = source.text("secretName");
            if !known("secrets", name) {
                return Err(format!(
                    "volume with secret.secretName=\"{name}\" is not allowed because service account {of} does not reference that secret"
                ));
            }
        }
    }
    for (list, what) in CONTAINERS {
        limit_containers(account, spec.items(list), what)?;
    }
    for (index, secret) in spec.items("imagePullSecrets").iter().enumerate() {
        let name = secret.text("name");
        if !known("imagePullSecrets", name) {
            return Err(format!(
                "imagePullSecrets[{index}].name=\"{name}\" is not allowed because service account {of} does not reference that imagePullSecret"
            ));
        }
    }
    Ok(())
}

/// The same of containers that are added to a pod. Upstream answers with 500 where they are refused, which says that the server
/// had a fault: here it is 403 as for all others.
///
/// # Errors
/// The first that is not listed.
pub(super) fn limit_ephemeral(account: &Value, spec: &Value) -> Result<(), String> {
    let containers = spec.items("ephemeralContainers");
    limit_containers(account, containers, "ephemeral container")
}

fn limit_containers(account: &Value, containers: &[Value], what: &str) -> Result<(), String> {
    let of = account.part("metadata").text("name");
    for container in containers {
        for (secret, variable) in of_container(container) {
            let mut listed = account.items("secrets").iter();
            if listed.any(|known| known.text("name") == secret) {
                continue;
            }
            let name = container.text("name");
            let how = match variable {
                Some(variable) => format!("envVar {variable}"),
                None => "envFrom".to_owned(),
            };
            return Err(format!(
                "{what} {name} with {how} referencing secret.secretName=\"{secret}\" is not allowed because service account {of} does not reference that secret"
            ));
        }
    }
    Ok(())
}

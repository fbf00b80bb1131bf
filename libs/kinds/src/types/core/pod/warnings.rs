//! What a client should be told of a pod or a template that is taken nevertheless.

pub mod deprecated;
mod paths;
mod ports;

use std::collections::BTreeSet;

use objects::field::Path;
use objects::names;
use serde_json::Value;

use super::{annotations, container};
use crate::{types::core::resource_list::amounts, value::Fields};

const NULL_SELECTOR: &str = "a null labelSelector results in matching no pod";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Of a pod that is made. Updates are done by programs, and are not told anything.
pub(super) fn of_pod(pod: &Value, old: Option<&Value>) -> Vec<String> {
    if old.is_some() {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    let messages = names::dns1123_label(pod.part("metadata").text("name"));
    if !messages.is_empty() {
        let messages = messages.join(" ");
        warnings.push(format!(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [{messages}]"
        ));
    }
    warnings.extend(of(pod, None));
    warnings
}

/// Of a pod (without a path) or a template (with one).
pub(super) fn of(template: &Value, path: Option<&Path<'_>>) -> Vec<String> {
    let nowhere = Path::none();
    let path = path.unwrap_or(&nowhere);
    let (spec_path, meta_path) = (path.child("spec"), path.child("metadata"));
    let (spec, meta) = (template.part("spec"), template.part("metadata"));
    let mut warnings = Vec::new();
    deprecated::labels(spec, &spec_path, &mut warnings);
    spread(spec, &spec_path, &mut warnings);
    deprecated::annotations(meta, &meta_path, &mut warnings);
    deprecated::volumes(spec, &spec_path, &mut warnings);
    paths::overlaps(spec, &mut warnings);
    duplicates(spec, &spec_path, &mut warnings);
    let overhead = serde_json::json!({ "overhead": spec.part("overhead") });
    fractions(
        &overhead,
        "overhead",
        &spec_path.child("overhead"),
        &mut warnings,
    );
    let annotations_path = meta_path.child("annotations");
    profile_annotations(template, &annotations_path, &mut warnings);
    container::visit(spec, &spec_path, |container, path| {
        let resources = path.child("resources");
        for list in ["limits", "requests"] {
            fractions(
                container.part("resources"),
                list,
                &resources.child(list),
                &mut warnings,
            );
        }
        variables(container, &path.child("env"), &mut warnings);
    });
    ports::overlaps(spec, &spec_path, &mut warnings);
    ports::names(spec, &spec_path, &mut warnings);
    if spec
        .whole("terminationGracePeriodSeconds")
        .is_some_and(|seconds| seconds < 0)
    {
        let path = spec_path.child("terminationGracePeriodSeconds");
        warnings.push(format!(
            "{path}: must be >= 0; negative values are invalid and will be treated as 1"
        ));
    }
    affinity(spec, &spec_path, &mut warnings);
    addresses(spec, &spec_path, &mut warnings);
    warnings
}

/// Addresses in forms that will be refused one day.
fn addresses(spec: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    let (config, list) = (spec.part("dnsConfig"), path.child("dnsConfig"));
    let list = list.child("nameservers");
    for (index, server) in config.texts("nameservers").enumerate() {
        warnings.extend(names::ip_warnings(&list.index(index), server));
    }
    let list = path.child("hostAliases");
    for (index, alias) in spec.items("hostAliases").iter().enumerate() {
        let path = list.index(index);
        warnings.extend(names::ip_warnings(&path.child("ip"), alias.text("ip")));
    }
}

fn spread(spec: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    let list = path.child("topologySpreadConstraints");
    for (index, constraint) in spec.items("topologySpreadConstraints").iter().enumerate() {
        let path = list.index(index);
        let key = constraint.text("topologyKey");
        if let Some(message) = deprecated::label(key) {
            warnings.push(format!("{}: {key} is {message}", path.child("topologyKey")));
        }
        if !constraint.has("labelSelector") {
            warnings.push(format!("{}: {NULL_SELECTOR}", path.child("labelSelector")));
        }
    }
}

fn affinity(spec: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    let path = path.child("affinity");
    for name in ["podAffinity", "podAntiAffinity"] {
        let (pods, path) = (spec.part("affinity").part(name), path.child(name));
        let list = path.child(REQUIRED);
        for (index, term) in pods.items(REQUIRED).iter().enumerate() {
            if !term.has("labelSelector") {
                let path = list.index(index);
                warnings.push(format!("{}: {NULL_SELECTOR}", path.child("labelSelector")));
            }
        }
        let list = path.child(PREFERRED);
        for (index, term) in pods.items(PREFERRED).iter().enumerate() {
            if !term.part("podAffinityTerm").has("labelSelector") {
                let path = list.index(index);
                let path = path.child("podAffinityTerm");
                warnings.push(format!("{}: {NULL_SELECTOR}", path.child("labelSelector")));
            }
        }
    }
}

/// What is in a list twice, which a patch would merge into one.
fn duplicates(spec: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    for (list, key) in [("hostAliases", "ip"), ("imagePullSecrets", "name")] {
        let path = path.child(list);
        let mut seen = BTreeSet::new();
        for (index, item) in spec.items(list).iter().enumerate() {
            let text = item.text(key);
            let path = path.index(index);
            if !seen.insert(text) {
                warnings.push(format!("{}: duplicate {key} {text:?}", path.child(key)));
            }
            if list == "imagePullSecrets" && text.is_empty() {
                warnings.push(format!("{}: invalid empty name \"\"", path.child(key)));
            }
        }
    }
}

/// Parts of bytes.
fn fractions(object: &Value, list: &str, path: &Path<'_>, warnings: &mut Vec<String>) {
    for (name, amount) in amounts(object, list) {
        if matches!(name, "memory" | "ephemeral-storage") && amount.milli_value() % 1000 != 0 {
            let path = path.key(name);
            warnings.push(format!(
                "{path}: fractional byte value \"{amount}\" is invalid, must be an integer"
            ));
        }
    }
}

/// Annotations that fields have taken the place of.
fn profile_annotations(template: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    let (spec, meta) = (template.part("spec"), template.part("metadata"));
    let annotations = meta.part("annotations");
    let of_pod = spec.part("securityContext");
    let key = annotations::SECCOMP_POD;
    let seccomp = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
    if annotations.has(key) && !of_pod.has("seccompProfile") {
        warnings.push(format!("{}: {seccomp}", path.key(key)));
    }
    container::visit(spec, path, |container, _| {
        let (name, security) = (container.text("name"), container.part("securityContext"));
        let key = format!("{}{name}", annotations::SECCOMP);
        if annotations.has(&key) && !security.has("seccompProfile") {
            warnings.push(format!("{}: {seccomp}", path.key(&key)));
        }
        let key = format!("{}{name}", annotations::APP_ARMOR);
        let has_field = of_pod.has("appArmorProfile") || security.has("appArmorProfile");
        if annotations.has(&key) && !has_field {
            let message = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
            warnings.push(format!("{}: {message}", path.key(&key)));
        }
    });
}

/// Variables that hide others, unless they are made from them.
fn variables(container: &Value, path: &Path<'_>, warnings: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (index, variable) in container.items("env").iter().enumerate() {
        let (name, value) = (variable.text("name"), variable.text("value"));
        if seen.insert(name) {
            continue;
        }
        let reference = format!("$({name})");
        if variable.has("valueFrom") || value == reference || !value.contains(&reference) {
            let path = path.index(index);
            warnings.push(format!(
                "{path}: hides previous definition of {name:?}, which may be dropped when using apply"
            ));
        }
    }
}

//! Containers: what is wrong with them, in a pod and in a template.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use super::{env, mounts, probe, security, spec::Context};
use crate::{
    check::value::{in_range, label, one_of, optional_one_of, port, required, required_one_of},
    types::core::resource_list::{Of, validate_requirements},
    value::{Fields, is_zero},
};

/// Most rules of one container, and most exit codes of one rule.
const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;

/// What an ephemeral container may say.
const EPHEMERAL_FIELDS: &[&str] = &[
    "args",
    "command",
    "env",
    "envFrom",
    "image",
    "imagePullPolicy",
    "name",
    "securityContext",
    "stdin",
    "stdinOnce",
    "targetContainerName",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "volumeDevices",
    "volumeMounts",
    "workingDir",
];

/// Whether an init container stays beside the others (a sidecar).
#[must_use]
pub fn is_restartable(container: &Value) -> bool {
    container.text("restartPolicy") == "Always"
}

/// All containers of a spec with their paths: init, regular, ephemeral.
pub fn visit(spec: &Value, path: &Path<'_>, mut visit: impl FnMut(&Value, &Path<'_>)) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let path = path.child(list);
        for (index, container) in spec.items(list).iter().enumerate() {
            visit(container, &path.index(index));
        }
    }
}

/// Regular containers, of which there must be one.
pub(super) fn validate_regular(context: &Context<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let containers = context.spec.items("containers");
    if containers.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let mut names = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        let path = path.index(index);
        validate_common(container, context, &path, errors);
        duplicate_name(container, &mut names, &path, errors);
        probe::validate_all(container, context.grace, &path, errors);
        restart_policy(container, &path, errors);
    }
    host_ports(containers, path, errors);
}

/// Init containers, which are run before the others or stay beside them.
pub(super) fn validate_init(context: &Context<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let mut names: BTreeSet<&str> = names(context.spec.items("containers"));
    for (index, container) in context.spec.items("initContainers").iter().enumerate() {
        let list = path;
        let path = path.index(index);
        validate_common(container, context, &path, errors);
        restart_policy(container, &path, errors);
        duplicate_name(container, &mut names, &path, errors);
        host_ports(std::slice::from_ref(container), list, errors);
        if is_restartable(container) {
            probe::validate_all(container, context.grace, &path, errors);
            continue;
        }
        for name in [
            "lifecycle",
            "livenessProbe",
            "readinessProbe",
            "startupProbe",
        ] {
            if container.has(name) {
                let message = "may not be set for init containers without restartPolicy=Always";
                errors.push(FieldError::forbidden(&path.child(name), message));
            }
        }
    }
}

/// Ephemeral containers, which someone looks around with.
pub(super) fn validate_ephemeral(context: &Context<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let mut others = names(context.spec.items("containers"));
    others.extend(names(context.spec.items("initContainers")));
    let mut all = others.clone();
    for (index, container) in context.spec.items("ephemeralContainers").iter().enumerate() {
        let path = path.index(index);
        validate_common(container, context, &path, errors);
        validate_image(container, &path, errors);
        let name = container.text("name");
        if !all.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        let target = container.text("targetContainerName");
        if !target.is_empty() && !others.contains(target) {
            errors.push(FieldError::not_found(
                &path.child("targetContainerName"),
                target,
            ));
        }
        ephemeral_fields(container, &path, errors);
    }
}

fn ephemeral_fields(container: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let message = "cannot be set for an Ephemeral Container";
    for (name, value) in container.as_object().into_iter().flatten() {
        let empty = is_zero(value)
            || value.as_array().is_some_and(Vec::is_empty)
            || (name == "resources" && value.as_object().is_some_and(serde_json::Map::is_empty));
        if !empty && !EPHEMERAL_FIELDS.contains(&name.as_str()) {
            errors.push(FieldError::forbidden(&path.child(name), message));
        }
    }
    let mounts = path.child("volumeMounts");
    for (index, mount) in container.items("volumeMounts").iter().enumerate() {
        for name in ["subPath", "subPathExpr"] {
            if !mount.text(name).is_empty() {
                let path = mounts.index(index);
                errors.push(FieldError::forbidden(&path.child(name), message));
            }
        }
    }
}

fn names(containers: &[Value]) -> BTreeSet<&str> {
    containers
        .iter()
        .map(|container| container.text("name"))
        .collect()
}

fn duplicate_name<'a>(
    container: &'a Value,
    names: &mut BTreeSet<&'a str>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let name = container.text("name");
    if !names.insert(name) {
        errors.push(FieldError::duplicate(&path.child("name"), name));
    }
}

/// What is true of containers of every sort.
fn validate_common(
    container: &Value,
    context: &Context<'_>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let name = container.text("name");
    if name.is_empty() {
        required(name, &path.child("name"), errors);
    } else {
        label(name, &path.child("name"), errors);
    }
    required(container.text("image"), &path.child("image"), errors);
    required_one_of(
        container.text("terminationMessagePolicy"),
        &["File", "FallbackToLogsOnError"],
        &path.child("terminationMessagePolicy"),
        errors,
    );
    ports(container.items("ports"), &path.child("ports"), errors);
    env::validate(container, context, path, errors);
    mounts::validate(container, context, path, errors);
    pull_policy(
        container.text("imagePullPolicy"),
        &path.child("imagePullPolicy"),
        errors,
    );
    let resources = path.child("resources");
    validate_requirements(
        container.part("resources"),
        Of::Container,
        &context.claims,
        &resources,
        errors,
    );
    resize_policy(container, context.spec.text("restartPolicy"), path, errors);
    if let Some(security) = container.field("securityContext") {
        let path = path.child("securityContext");
        security::validate_container(security, context.host_users, &path, errors);
    }
}

/// An image's name without spaces around it; templates are forgiven these.
pub(super) fn validate_image(container: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let image = container.text("image");
    if image.trim().len() != image.len() {
        let message = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(&path.child("image"), image, message));
    }
}

/// When an image is pulled.
pub(super) fn pull_policy(policy: &str, path: &Path<'_>, errors: &mut ErrorList) {
    required_one_of(policy, &["Always", "IfNotPresent", "Never"], path, errors);
}

fn ports(ports: &[Value], path: &Path<'_>, errors: &mut ErrorList) {
    let mut names = BTreeSet::new();
    for (index, item) in ports.iter().enumerate() {
        let path = path.index(index);
        let name = item.text("name");
        if !name.is_empty() {
            let messages = objects::names::port_name(name);
            if !messages.is_empty() {
                errors.push_invalid(&path.child("name"), name, messages);
            } else if !names.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
        }
        match item.whole("containerPort").unwrap_or_default() {
            0 => errors.push(FieldError::required(&path.child("containerPort"), "")),
            number => port(number, &path.child("containerPort"), errors),
        }
        match item.whole("hostPort").unwrap_or_default() {
            0 => (),
            number => port(number, &path.child("hostPort"), errors),
        }
        required_one_of(
            item.text("protocol"),
            &["SCTP", "TCP", "UDP"],
            &path.child("protocol"),
            errors,
        );
    }
}

/// A port of the node may be asked for once.
fn host_ports(containers: &[Value], path: &Path<'_>, errors: &mut ErrorList) {
    let mut taken = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        let path = path.index(index);
        let ports = path.child("ports");
        for (index, port) in container.items("ports").iter().enumerate() {
            let number = port.whole("hostPort").unwrap_or_default();
            let key = format!("{}/{}/{number}", port.text("protocol"), port.text("hostIP"));
            if number != 0 && !taken.insert(key.clone()) {
                let path = ports.index(index);
                errors.push(FieldError::duplicate(&path.child("hostPort"), key));
            }
        }
    }
}

/// How a container is restarted, where it says so itself (KEP-5307).
fn restart_policy(container: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let rules = container.items("restartPolicyRules");
    if !container.has("restartPolicy") {
        if !rules.is_empty() {
            let message = "must specify restartPolicy when restart rules are used";
            errors.push(FieldError::required(&path.child("restartPolicy"), message));
        }
        return;
    }
    optional_one_of(
        container,
        "restartPolicy",
        &["Always", "Never", "OnFailure"],
        path,
        errors,
    );
    let path = path.child("restartPolicyRules");
    if rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(&path, rules.len(), RULES_MAX));
    }
    for (index, rule) in rules.iter().enumerate() {
        let path = path.index(index);
        one_of(
            rule.text("action"),
            &["Restart"],
            &path.child("action"),
            errors,
        );
        let codes_path = path.child("exitCodes");
        let Some(codes) = rule.field("exitCodes") else {
            errors.push(FieldError::required(&codes_path, "must be specified"));
            continue;
        };
        one_of(
            codes.text("operator"),
            &["In", "NotIn"],
            &codes_path.child("operator"),
            errors,
        );
        let values = codes.items("values").len();
        if values > EXIT_CODES_MAX {
            errors.push(FieldError::too_many(
                &codes_path.child("values"),
                values,
                EXIT_CODES_MAX,
            ));
        }
    }
}

/// Whether a change of resources restarts the container.
fn resize_policy(container: &Value, restart_policy: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("resizePolicy");
    let mut seen = BTreeSet::new();
    for (index, policy) in container.items("resizePolicy").iter().enumerate() {
        let (resource, restart) = (policy.text("resourceName"), policy.text("restartPolicy"));
        if !seen.insert(resource) {
            errors.push(FieldError::duplicate(&path.index(index), resource));
        }
        required_one_of(resource, &["cpu", "memory"], &path, errors);
        required_one_of(restart, &["NotRequired", "RestartContainer"], &path, errors);
        if restart_policy == "Never" && restart != "NotRequired" {
            let message = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            errors.push(FieldError::invalid(&path, restart, message));
        }
    }
}

/// In the node's network a port of a container is one of the node.
pub(super) fn host_network_ports(context: &Context<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    if !context.spec.flag("hostNetwork") {
        return;
    }
    let path = path.child("containers");
    for (index, container) in context.spec.items("containers").iter().enumerate() {
        let path = path.index(index);
        let ports = path.child("ports");
        for (index, port) in container.items("ports").iter().enumerate() {
            let host = port.whole("hostPort").unwrap_or_default();
            let wrong = host != port.whole("containerPort").unwrap_or_default();
            if wrong && (context.owner.is_pod() || host != 0) {
                let message = "must match `containerPort` when `hostNetwork` is true";
                let path = ports.index(index);
                errors.push(FieldError::invalid(&path.child("hostPort"), host, message));
            }
        }
    }
}

/// How long a pod may be active at all.
pub(super) fn active_deadline(seconds: Option<i64>, path: &Path<'_>, errors: &mut ErrorList) {
    in_range(seconds, 1, i64::from(i32::MAX), path, errors);
}

//! A pod's spec: what is wrong with it.
//!
//! Upstream lets old objects keep mistakes that it did not look for when they were made. There are no such objects here, so that all
//! of its checks are done always, as at API level 1.35.

use std::collections::{BTreeMap, BTreeSet};

use objects::field::{ErrorList, FieldError, Path};
use objects::metadata;
use serde_json::Value;

use super::{affinity, container, dns, resources, security, volumes, windows};
use crate::{
    check::value::{label, qualified, required_one_of, subdomain},
    types::core::{
        resource_list::{Of, validate_requirements},
        taint,
    },
    value::Fields,
};

/// Whose spec it is. A template is forgiven what a pod is not.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a> {
    /// A pod's; its metadata.
    Pod(&'a Value),
    /// A template's.
    Template,
}

impl Owner<'_> {
    /// Whether it is a pod's.
    #[must_use]
    pub fn is_pod(self) -> bool {
        matches!(self, Owner::Pod(_))
    }

    /// The pod's name; empty for a template.
    pub(super) fn name(&self) -> &str {
        match self {
            Owner::Pod(metadata) => metadata.text("name"),
            Owner::Template => "",
        }
    }
}

/// What containers are checked against.
pub(super) struct Context<'a> {
    /// The spec that they are in.
    pub(super) spec: &'a Value,
    /// Whose spec it is.
    pub(super) owner: Owner<'a>,
    /// Its volumes that are right, by name.
    pub(super) volumes: BTreeMap<&'a str, &'a Value>,
    /// The names of its resource claims.
    pub(super) claims: BTreeSet<&'a str>,
    /// How many seconds it may take to end.
    pub(super) grace: Option<i64>,
    /// Whether its users are those of the node.
    pub(super) host_users: bool,
}

/// Mistakes in a spec.
pub fn validate(spec: &Value, owner: Owner<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let grace = spec.whole("terminationGracePeriodSeconds");
    if grace.is_none() {
        let path = path.child("terminationGracePeriodSeconds");
        errors.push(FieldError::required(&path, ""));
    }
    let volumes = volumes::validate(spec.items("volumes"), owner, &path.child("volumes"), errors);
    let claims = spec
        .items("resourceClaims")
        .iter()
        .map(|claim| claim.text("name"));
    let context = Context {
        spec,
        owner,
        volumes,
        claims: claims.filter(|name| !name.is_empty()).collect(),
        grace,
        host_users: spec.part("hostUsers") != &Value::Bool(false),
    };
    resource_claims(
        spec.items("resourceClaims"),
        &path.child("resourceClaims"),
        errors,
    );
    container::validate_regular(&context, &path.child("containers"), errors);
    container::validate_init(&context, &path.child("initContainers"), errors);
    container::validate_ephemeral(&context, &path.child("ephemeralContainers"), errors);
    resources::validate(&context, &path.child("resources"), errors);
    container::host_network_ports(&context, path, errors);
    let policies = ["Always", "OnFailure", "Never"];
    required_one_of(
        spec.text("restartPolicy"),
        &policies,
        &path.child("restartPolicy"),
        errors,
    );
    dns::validate(spec, path, errors);
    let selector = path.child("nodeSelector");
    errors.extend(metadata::validate_labels(
        spec.part("nodeSelector").as_object(),
        &selector,
    ));
    security::validate_pod(spec, &path.child("securityContext"), errors);
    if let Some(affinity) = spec.field("affinity") {
        affinity::validate(affinity, &path.child("affinity"), errors);
    }
    dns::validate_config(spec, path, errors);
    gates(spec, path, errors);
    let constraints = spec.items("topologySpreadConstraints");
    affinity::validate_spread(
        constraints,
        &path.child("topologySpreadConstraints"),
        errors,
    );
    windows::validate_host_process(spec, path, errors);
    security::validate_host_users(spec, path, errors);
    rest(spec, path, errors);
    windows::validate_os(spec, path, errors);
}

/// The small fields.
fn rest(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for name in ["serviceAccountName", "nodeName"] {
        names(spec, name, path, errors);
    }
    let deadline = spec.whole("activeDeadlineSeconds");
    container::active_deadline(deadline, &path.child("activeDeadlineSeconds"), errors);
    dns::validate_hostname(spec, path, errors);
    taint::validate_tolerations(
        spec.items("tolerations"),
        &path.child("tolerations"),
        errors,
    );
    dns::validate_host_aliases(
        spec.items("hostAliases"),
        &path.child("hostAliases"),
        errors,
    );
    names(spec, "priorityClassName", path, errors);
    if spec.has("runtimeClassName") {
        let path = path.child("runtimeClassName");
        subdomain(spec.text("runtimeClassName"), &path, errors);
    }
    if spec.has("preemptionPolicy") {
        let policies = ["PreemptLowerPriority", "Never"];
        let path = path.child("preemptionPolicy");
        required_one_of(spec.text("preemptionPolicy"), &policies, &path, errors);
    }
    if let Some(overhead) = spec.field("overhead") {
        let overhead = serde_json::json!({ "limits": overhead });
        let path = path.child("overhead");
        validate_requirements(&overhead, Of::Container, &BTreeSet::new(), &path, errors);
    }
}

/// The name of another object, where it is given.
fn names(spec: &Value, field: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let name = spec.text(field);
    if !name.is_empty() {
        subdomain(name, &path.child(field), errors);
    }
}

/// What must be true before a pod is ready, and before it is scheduled.
fn gates(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let list = path.child("readinessGates");
    for (index, gate) in spec.items("readinessGates").iter().enumerate() {
        let path = list.index(index);
        qualified(
            gate.text("conditionType"),
            &path.child("conditionType"),
            errors,
        );
    }
    let list = path.child("schedulingGates");
    let mut seen = BTreeSet::new();
    for (index, gate) in spec.items("schedulingGates").iter().enumerate() {
        let name = gate.text("name");
        qualified(name, &list.index(index), errors);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&list.index(index), name));
        }
    }
}

/// Devices that a pod claims.
fn resource_claims(claims: &[Value], path: &Path<'_>, errors: &mut ErrorList) {
    let mut seen = BTreeSet::new();
    for (index, claim) in claims.iter().enumerate() {
        let path = path.index(index);
        let name = claim.text("name");
        if name.is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        } else if seen.insert(name) {
            label(name, &path.child("name"), errors);
        } else {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        let references = ["resourceClaimName", "resourceClaimTemplateName"];
        match references
            .iter()
            .filter(|reference| claim.has(reference))
            .count()
        {
            0 => {
                let message =
                    "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                errors.push(FieldError::invalid(&path, claim.clone(), message));
            }
            1 => (),
            _ => {
                let message = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                errors.push(FieldError::invalid(&path, claim.clone(), message));
            }
        }
        for reference in references {
            if claim.has(reference) {
                subdomain(claim.text(reference), &path.child(reference), errors);
            }
        }
    }
}

//! Jobs.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use objects::selector::LabelSelector;
use serde_json::{Value, json};

use super::{job_spec, job_status};
use crate::{
    cells, check,
    rules::{AGE, Column, NAME, Rules, Selectable},
    status::{self, is_true},
    types::apps::{
        columns::{CONTAINERS, IMAGES, SELECTOR},
        workload,
    },
    value::{Fields, same},
};

/// Labels of a job's pods that name the job: the second of each pair is from before labels had prefixes.
const NAME_LABELS: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];
const UID_LABELS: [&str; 2] = ["batch.kubernetes.io/controller-uid", "controller-uid"];

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    prepare_create,
    prepare_update: workload::drop_disabled,
    validate,
    validate_update,
    validate_status: job_status::validate,
    warnings,
    columns: &[
        NAME,
        Column::new("Status", "string", "How far the job is.", |job, _| {
            state(job).into()
        }),
        Column::new(
            "Completions",
            "string",
            "Pods that succeeded, of those wanted.",
            completions,
        ),
        Column::new(
            "Duration",
            "string",
            "How long the job takes or took.",
            duration,
        ),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    selectable: &[Selectable {
        field: "status.successful",
        absent: "0",
    }],
    ..Rules::NONE
};

fn defaults(job: &mut Value) {
    let labels = check::template_labels(job.part("spec").part("template"));
    if labels.as_object().is_some_and(|labels| !labels.is_empty())
        && let Some(metadata) = job.object_mut("metadata")
        && metadata.count("labels") == 0
    {
        metadata.set("labels", labels);
    }
    let Some(spec) = job.object_mut("spec") else {
        return;
    };
    if !spec.has("completions") && !spec.has("parallelism") {
        spec.set("completions", 1);
    }
    spec.set_absent("parallelism", 1);
    let limit = if spec.has("backoffLimitPerIndex") {
        i32::MAX
    } else {
        6
    };
    spec.set_absent("backoffLimit", limit);
    spec.set_absent("completionMode", "NonIndexed");
    spec.set_absent("suspend", false);
    let policy = if spec.has("podFailurePolicy") {
        "Failed"
    } else {
        "TerminatingOrFailed"
    };
    spec.set_absent("podReplacementPolicy", policy);
    template_defaults(spec);
}

/// What is filled in in the template of a cron job, too.
pub(super) fn template_defaults(spec: &mut Value) {
    if let Some(policy) = spec.field_mut("podFailurePolicy") {
        for rule in policy.items_mut("rules") {
            for pattern in rule.items_mut("onPodConditions") {
                pattern.set_empty("status", "True");
            }
        }
    }
    workload::template_defaults(spec);
}

/// Labels and a selector that mean no other job's pods, where a client does not choose them itself. A label that a client gave
/// stays, and is refused later when it is wrong.
fn prepare_create(job: &mut Value) {
    status::ensure(job);
    workload::drop_at_create(job);
    if job.part("spec").flag("manualSelector") {
        return;
    }
    let name = job.part("metadata").text("name").to_owned();
    let uid = job.part("metadata").text("uid").to_owned();
    let Some(spec) = job.object_mut("spec") else {
        return;
    };
    let template = spec.object_mut("template");
    let metadata = template.and_then(|template| template.object_mut("metadata"));
    if let Some(labels) = metadata.and_then(|metadata| metadata.object_mut("labels")) {
        for label in NAME_LABELS {
            labels.set_absent(label, name.as_str());
        }
        for label in UID_LABELS {
            labels.set_absent(label, uid.as_str());
        }
    }
    let selector = spec.object_mut("selector");
    if let Some(labels) = selector.and_then(|selector| selector.object_mut("matchLabels")) {
        labels.set_absent(UID_LABELS[0], uid);
    }
}

fn validate(job: &Value, errors: &mut ErrorList) {
    let (spec, path) = (job.part("spec"), Path::new("spec"));
    job_spec::validate(spec, &path, errors);
    if spec.has("selector") {
        check::label_selector(spec, "selector", &path, errors);
    } else {
        errors.push(FieldError::required(&path.child("selector"), ""));
    }
    workload::matches(spec, None, &path, errors);
    generated_selector(job, errors);
    let name = job.part("metadata").text("name");
    let completions = spec.whole("completions").unwrap_or(0);
    if job_spec::is_indexed(spec) && completions > 0 {
        // Pods have their index in their host's name.
        let host = format!("{name}-{}", completions - 1);
        if !names::dns1123_label(&host).is_empty() {
            let path = Path::new("metadata");
            let message = format!("will not able to create pod with invalid DNS label: {host}");
            errors.push(FieldError::invalid(&path.child("name"), name, message));
        }
    }
}

fn generated_selector(job: &Value, errors: &mut ErrorList) {
    let (spec, metadata) = (job.part("spec"), job.part("metadata"));
    if spec.flag("manualSelector") || !spec.has("selector") {
        return;
    }
    let (name, uid) = (metadata.text("name"), metadata.text("uid"));
    if uid.is_empty() {
        let path = Path::new("metadata");
        errors.push(FieldError::required(&path.child("uid"), ""));
    }
    let labels = spec.part("template").part("metadata").part("labels");
    let path = Path::new("spec");
    let path = path.child("template");
    let path = path.child("metadata");
    let path = path.child("labels");
    let expected = UID_LABELS.map(|label| (label, uid)).into_iter();
    let expected = expected.chain(NAME_LABELS.map(|label| (label, name)));
    let mut all = json!({});
    for (label, value) in expected {
        all.set(label, value);
        let path = path.key(label);
        let message = format!("must be '{value}'");
        match labels.part(label).as_str() {
            None => errors.push(FieldError::required(&path, message)),
            Some(found) if found == value => {}
            Some(_) => errors.push(FieldError::invalid(&path, labels.clone(), message)),
        }
    }
    if let Ok(selector) = LabelSelector::from_object(spec.field("selector"))
        && !selector.matches(all.as_object())
    {
        let path = Path::new("spec");
        let path = path.child("selector");
        let shown = check::shown(spec, "selector");
        let message = "`selector` not auto-generated";
        errors.push(FieldError::invalid(&path, shown, message));
    }
}

fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let path = Path::new("spec");
    let started = old.part("status").has("startTime");
    let suspended = old.part("spec").flag("suspend");
    let (new, old) = (new.part("spec"), old.part("spec"));
    completions_update(new, old, &path, errors);
    check::immutable(new, old, "selector", &path, errors);
    template_update(new, old, suspended && !started, &path, errors);
    for field in [
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ] {
        check::immutable(new, old, field, &path, errors);
    }
}

fn completions_update(new: &Value, old: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let completions = new.whole("completions");
    if completions == old.whole("completions") {
        return;
    }
    let path = path.child("completions");
    let shown = check::shown(new, "completions");
    if !job_spec::is_indexed(new) {
        errors.push(FieldError::invalid(&path, shown, check::IMMUTABLE));
    } else if completions.is_some() && completions != new.whole("parallelism") {
        let message = "can only be modified in tandem with spec.parallelism";
        errors.push(FieldError::invalid(&path, shown, message));
    }
}

/// A template stays as it is, but for where the pods of a job run that has not begun.
fn template_update(
    new: &Value,
    old: &Value,
    mutable: bool,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let fixed = |spec: &Value| {
        let mut template = spec.part("template").clone();
        if !mutable {
            return template;
        }
        if let Some(metadata) = template.field_mut("metadata") {
            metadata.remove("labels");
            metadata.remove("annotations");
        }
        if let Some(pod) = template.field_mut("spec") {
            for field in ["nodeSelector", "tolerations", "schedulingGates"] {
                pod.remove(field);
            }
            if let Some(affinity) = pod.field_mut("affinity") {
                affinity.remove("nodeAffinity");
            }
        }
        template
    };
    if !same(&fixed(new), &fixed(old)) {
        let shown = check::shown(new, "template");
        let path = path.child("template");
        errors.push(FieldError::invalid(&path, shown, check::IMMUTABLE));
    }
}

fn warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    if old.is_none() {
        warnings.extend(name_warning(new));
    }
    let held = old.is_some_and(|old| same(new.part("spec"), old.part("spec")));
    if !held {
        warnings.extend(spec_warning(new.part("spec"), "spec"));
    }
    warnings.extend(workload::template_warnings(new, old));
    warnings
}

/// A name that cannot be a host's.
pub(super) fn name_warning(object: &Value) -> Option<String> {
    let wrong = names::dns1123_label(object.part("metadata").text("name"));
    (!wrong.is_empty()).then(|| {
        let wrong = wrong.join(" ");
        format!("metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{wrong}]")
    })
}

/// A job so large that its indexes may not have room.
pub(super) fn spec_warning(spec: &Value, path: &str) -> Option<String> {
    let large = job_spec::is_indexed(spec)
        && spec.whole("completions").unwrap_or(0) > job_spec::COMPLETIONS_SOFT_MAX
        && spec.whole("parallelism").unwrap_or(0) > job_spec::LARGE_MAX;
    large.then(|| {
        format!("{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail")
    })
}

fn state(job: &Value) -> &'static str {
    let status = job.part("status");
    if is_true(status, "Complete") {
        "Complete"
    } else if is_true(status, "Failed") {
        "Failed"
    } else if job.part("metadata").has("deletionTimestamp") {
        "Terminating"
    } else if is_true(status, "Suspended") {
        "Suspended"
    } else if is_true(status, "FailureTarget") {
        "FailureTarget"
    } else {
        "Running"
    }
}

fn completions(job: &Value, _: i64) -> Value {
    let succeeded = job.part("status").whole("succeeded").unwrap_or(0);
    let spec = job.part("spec");
    let parallelism = spec.whole("parallelism").unwrap_or(0);
    match spec.whole("completions") {
        Some(completions) => format!("{succeeded}/{completions}").into(),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}").into(),
        None => format!("{succeeded}/1").into(),
    }
}

fn duration(job: &Value, now: i64) -> Value {
    let status = job.part("status");
    let Some(start) = cells::seconds(status.part("startTime")) else {
        return "".into();
    };
    let end = cells::seconds(status.part("completionTime")).unwrap_or(now);
    cells::duration(end.saturating_sub(start)).into()
}

#[cfg(test)]
mod tests;

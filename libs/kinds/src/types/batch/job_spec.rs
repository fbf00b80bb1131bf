//! The spec of a job, which cron jobs have in their template, too.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use super::indexes;
use crate::{check, types::core::pod::template, value::Fields};

/// Most pods at once of an indexed job.
const PARALLELISM_MAX: i64 = 100_000;
/// Most indexes that may fail.
const FAILED_INDEXES_MAX: i64 = 100_000;
/// Above so many completions the other bounds are lower.
pub(super) const COMPLETIONS_SOFT_MAX: i64 = 100_000;
/// Most pods at once, and most failed indexes, of so large a job with a limit per index.
pub(super) const LARGE_MAX: i64 = 10_000;
/// Most rules of a policy of failures, or of success, and patterns of conditions in one.
const RULES_MAX: usize = 20;
/// Most exit codes in a rule.
const EXIT_CODES_MAX: usize = 255;
/// Most bytes of the name of a job's manager.
const MANAGER_MAX: usize = 63;
/// Most bytes of a rule's indexes.
const INDEXES_MAX: usize = 64 * 1024;

/// Whether the job's pods have indexes.
pub(super) fn is_indexed(spec: &Value) -> bool {
    spec.text("completionMode") == "Indexed"
}

/// Mistakes in a spec, but for its selector.
pub(super) fn validate(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let numbers = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    check::non_negative(spec, &numbers, path, errors);
    if spec.has("maxFailedIndexes") && !spec.has("backoffLimitPerIndex") {
        let path = path.child("backoffLimitPerIndex");
        let message = "when maxFailedIndexes is specified";
        errors.push(FieldError::required(&path, message));
    }
    if let Some(manager) = spec.part("managedBy").as_str() {
        let path = path.child("managedBy");
        check::domain_prefixed_path(manager, &path, errors);
        if manager.len() > MANAGER_MAX {
            errors.push(FieldError::too_long(&path, MANAGER_MAX));
        }
    }
    completion_mode(spec, path, errors);
    policies(spec, path, errors);
    template::validate(spec.part("template"), &path.child("template"), errors);
    restart_policy(spec, path, errors);
}

fn completion_mode(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if spec.has("completionMode") {
        let known = ["NonIndexed", "Indexed"];
        check::one_of(spec, "completionMode", &known, path, errors);
    }
    if is_indexed(spec) {
        indexed(spec, path, errors);
    }
    if matches!(spec.text("completionMode"), "" | "NonIndexed") {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if let Some(number) = spec.whole(field) {
                let message = "requires indexed completion mode";
                errors.push(FieldError::invalid(&path.child(field), number, message));
            }
        }
    }
}

fn indexed(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (completions, parallelism) = (spec.whole("completions"), spec.whole("parallelism"));
    let failed = spec.whole("maxFailedIndexes");
    let (parallelism_path, failed_path) =
        (path.child("parallelism"), path.child("maxFailedIndexes"));
    if completions.is_none() {
        let message = "when completion mode is Indexed";
        errors.push(FieldError::required(&path.child("completions"), message));
    }
    if let Some(number) = parallelism.filter(|number| *number > PARALLELISM_MAX) {
        let message = format!(
            "must be less than or equal to {PARALLELISM_MAX} when completion mode is Indexed"
        );
        errors.push(FieldError::invalid(&parallelism_path, number, message));
    }
    if let (Some(completions), Some(failed)) = (completions, failed)
        && failed > completions
    {
        let message = "must be less than or equal to completions";
        errors.push(FieldError::invalid(&failed_path, failed, message));
    }
    if let Some(number) = failed.filter(|number| *number > FAILED_INDEXES_MAX) {
        let message = format!("must be less than or equal to {FAILED_INDEXES_MAX}");
        errors.push(FieldError::invalid(&failed_path, number, message));
    }
    if completions.unwrap_or(0) <= COMPLETIONS_SOFT_MAX || !spec.has("backoffLimitPerIndex") {
        return;
    }
    if failed.is_none() {
        let message = format!("must be specified when completions is above {COMPLETIONS_SOFT_MAX}");
        errors.push(FieldError::required(&failed_path, message));
    }
    for (number, path) in [(parallelism, &parallelism_path), (failed, &failed_path)] {
        if let Some(number) = number.filter(|number| *number > LARGE_MAX) {
            let message = format!(
                "must be less than or equal to {LARGE_MAX} when completions are above {COMPLETIONS_SOFT_MAX} and used with backoff limit per index"
            );
            errors.push(FieldError::invalid(path, number, message));
        }
    }
}

fn policies(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if let Some(policy) = spec.field("podFailurePolicy") {
        let path = path.child("podFailurePolicy");
        let rules_path = path.child("rules");
        let rules = policy.items("rules");
        if rules.len() > RULES_MAX {
            errors.push(FieldError::too_many(&rules_path, rules.len(), RULES_MAX));
        }
        for (index, rule) in rules.iter().enumerate() {
            failure_rule(spec, rule, &rules_path.index(index), errors);
        }
    }
    if let Some(policy) = spec.field("successPolicy") {
        let path = path.child("successPolicy");
        if is_indexed(spec) {
            success_policy(spec, policy, &path, errors);
        } else {
            let message = "requires indexed completion mode";
            errors.push(FieldError::invalid(&path, policy.clone(), message));
        }
    }
    if spec.has("podReplacementPolicy") {
        let known: &[&str] = if spec.has("podFailurePolicy") {
            &["Failed"]
        } else {
            &["Failed", "TerminatingOrFailed"]
        };
        check::one_of(spec, "podReplacementPolicy", known, path, errors);
    }
}

fn failure_rule(spec: &Value, rule: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let action_path = path.child("action");
    let known = ["Count", "FailIndex", "FailJob", "Ignore"];
    match rule.text("action") {
        "" => {
            let message = format!("valid values: {}", check::quoted(&known));
            errors.push(FieldError::required(&action_path, message));
        }
        "FailIndex" if !spec.has("backoffLimitPerIndex") => {
            let message = "requires the backoffLimitPerIndex to be set";
            errors.push(FieldError::invalid(&action_path, "FailIndex", message));
        }
        _ => check::one_of(rule, "action", &known, path, errors),
    }
    let conditions = rule.items("onPodConditions");
    if let Some(codes) = rule.field("onExitCodes") {
        exit_codes(spec, codes, &path.child("onExitCodes"), errors);
    }
    pod_conditions(conditions, &path.child("onPodConditions"), errors);
    match (rule.has("onExitCodes"), conditions.is_empty()) {
        (true, false) => {
            let message = "specifying both OnExitCodes and OnPodConditions is not supported";
            errors.push(check::invalid(path, message));
        }
        (false, true) => {
            let message = "specifying one of OnExitCodes and OnPodConditions is required";
            errors.push(check::invalid(path, message));
        }
        _ => {}
    }
}

fn pod_conditions(patterns: &[Value], path: &Path<'_>, errors: &mut ErrorList) {
    if patterns.len() > RULES_MAX {
        errors.push(FieldError::too_many(path, patterns.len(), RULES_MAX));
    }
    for (index, pattern) in patterns.iter().enumerate() {
        let path = path.index(index);
        let kind = pattern.text("type");
        errors.push_invalid(&path.child("type"), kind, names::qualified_name(kind));
        let known = ["False", "True", "Unknown"];
        if pattern.text("status").is_empty() {
            let message = format!("valid values: {}", check::quoted(&known));
            errors.push(FieldError::required(&path.child("status"), message));
        } else {
            check::one_of(pattern, "status", &known, &path, errors);
        }
    }
}

fn exit_codes(spec: &Value, codes: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let known = ["In", "NotIn"];
    let operator = codes.text("operator");
    if operator.is_empty() {
        let message = format!("valid values: {}", check::quoted(&known));
        errors.push(FieldError::required(&path.child("operator"), message));
    } else {
        check::one_of(codes, "operator", &known, path, errors);
    }
    if let Some(name) = codes.part("containerName").as_str() {
        let pod = spec.part("template").part("spec");
        let lists = ["containers", "initContainers"].into_iter();
        let mut containers = lists.flat_map(|list| pod.items(list));
        if !containers.any(|container| container.text("name") == name) {
            let path = path.child("containerName");
            let message = "must be one of the container or initContainer names in the pod template";
            errors.push(FieldError::invalid(&path, name, message));
        }
    }
    exit_code_values(
        operator,
        codes.items("values"),
        &path.child("values"),
        errors,
    );
}

fn exit_code_values(operator: &str, values: &[Value], path: &Path<'_>, errors: &mut ErrorList) {
    if values.is_empty() {
        let message = "at least one value is required";
        errors.push(FieldError::invalid(path, values, message));
    } else if values.len() > EXIT_CODES_MAX {
        errors.push(FieldError::too_many(path, values.len(), EXIT_CODES_MAX));
    }
    let numbers: Vec<i64> = values.iter().map(|v| v.as_i64().unwrap_or(0)).collect();
    let mut seen = BTreeSet::new();
    for (index, number) in numbers.iter().copied().enumerate() {
        let path = path.index(index);
        if operator == "In" && number == 0 {
            let message = "must not be 0 for the In operator";
            errors.push(FieldError::invalid(&path, number, message));
        }
        if !seen.insert(number) {
            errors.push(FieldError::duplicate(&path, number));
        }
    }
    if !numbers.is_sorted() {
        errors.push(FieldError::invalid(path, values, "must be ordered"));
    }
}

fn success_policy(spec: &Value, policy: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("rules");
    let rules = policy.items("rules");
    if rules.is_empty() {
        let message = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(&path, message));
    }
    if rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(&path, rules.len(), RULES_MAX));
    }
    let completions = spec.whole("completions").unwrap_or(0);
    for (index, rule) in rules.iter().enumerate() {
        success_rule(completions, rule, &path.index(index), errors);
    }
}

fn success_rule(completions: i64, rule: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let indexes = rule.part("succeededIndexes").as_str();
    let count = rule.whole("succeededCount");
    if indexes.is_none() && count.is_none() {
        let message = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(FieldError::required(path, message));
    }
    let mut total = 0;
    if let Some(text) = indexes {
        let path = path.child("succeededIndexes");
        if text.len() > INDEXES_MAX {
            errors.push(FieldError::too_long(&path, INDEXES_MAX));
        }
        match indexes::count(text, completions) {
            Ok(number) => total = number,
            Err(error) => {
                let message = format!("error parsing succeededIndexes: {error}");
                errors.push(FieldError::invalid(&path, text, message));
            }
        }
    }
    check::non_negative(rule, &["succeededCount"], path, errors);
    let path = path.child("succeededCount");
    if let Some(number) = count.filter(|number| *number > completions) {
        let message = format!(
            "must be less than or equal to {completions} (the number of specified completions)"
        );
        errors.push(FieldError::invalid(&path, number, message));
    }
    if let Some(number) = count.filter(|number| indexes.is_some() && *number > total) {
        let message = format!(
            "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        );
        errors.push(FieldError::invalid(&path, number, message));
    }
}

fn restart_policy(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let pod = spec.part("template").part("spec");
    let template = path.child("template");
    let pod_path = template.child("spec");
    let path = pod_path.child("restartPolicy");
    match pod.text("restartPolicy") {
        "" | "Always" => {
            let message = "valid values: \"OnFailure\", \"Never\"";
            errors.push(FieldError::required(&path, message));
        }
        "Never" => {}
        "OnFailure" if spec.has("podFailurePolicy") => {
            let message = "only \"Never\" is supported when podFailurePolicy is specified";
            errors.push(FieldError::invalid(&path, "OnFailure", message));
        }
        "OnFailure" => {}
        other => {
            let known = ["OnFailure", "Never"];
            errors.push(FieldError::not_supported(&path, other, &known));
        }
    }
}

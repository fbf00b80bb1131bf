//! The status of a job. Most rules look only at what an update changes, so that a status that broke one before it was a
//! rule can still be written.

use std::collections::BTreeSet;

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use super::{indexes, job_spec::is_indexed};
use crate::{
    cells::seconds,
    check,
    status::is_true,
    value::{Fields, same},
};

/// A job's status by the conditions that count.
struct Conditions {
    complete: bool,
    failed: bool,
    failure_target: bool,
    success_criteria_met: bool,
}

impl Conditions {
    fn of(status: &Value) -> Self {
        Self {
            complete: is_true(status, "Complete"),
            failed: is_true(status, "Failed"),
            failure_target: is_true(status, "FailureTarget"),
            success_criteria_met: is_true(status, "SuccessCriteriaMet"),
        }
    }

    fn finished(&self) -> bool {
        self.complete || self.failed
    }
}

/// An update of a status.
struct Update<'a> {
    spec: &'a Value,
    new: &'a Value,
    old: &'a Value,
    now: Conditions,
    was: Conditions,
}

impl Update<'_> {
    fn changed(&self, field: &str) -> bool {
        // Zero and absent are not the same here.
        self.new.field(field) != self.old.field(field)
    }
}

/// Mistakes in an update of a job's status.
pub(super) fn validate(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (status, path) = (new.part("status"), Path::new("status"));
    let numbers = ["active", "succeeded", "failed", "ready", "terminating"];
    check::non_negative(status, &numbers, &path, errors);
    uncounted(status, &path, errors);
    let update = Update {
        spec: new.part("spec"),
        new: status,
        old: old.part("status"),
        now: Conditions::of(status),
        was: Conditions::of(old.part("status")),
    };
    conditions(&update, &path, errors);
    completion_time(&update, &path, errors);
    finished(&update, &path, errors);
    indexes(&update, &path, errors);
    against_old(&update, &path, errors);
}

fn uncounted(status: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let pods = status.part("uncountedTerminatedPods");
    let path = path.child("uncountedTerminatedPods");
    let mut seen = BTreeSet::new();
    for list in ["succeeded", "failed"] {
        let path = path.child(list);
        for (index, uid) in pods.texts(list).enumerate() {
            let path = path.index(index);
            if uid.is_empty() {
                errors.push(FieldError::invalid(&path, uid, "must not be empty"));
            } else if !seen.insert(uid) {
                errors.push(FieldError::duplicate(&path, uid));
            }
        }
    }
}

fn conditions(update: &Update<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let (now, was) = (&update.now, &update.was);
    let complete = now.complete != was.complete;
    let failed = now.failed != was.failed;
    let failure_target = now.failure_target != was.failure_target;
    let criteria = now.success_criteria_met != was.success_criteria_met;
    let has_policy = update.spec.has("successPolicy");
    let rules = [
        (
            (complete || failed) && now.complete && now.failed,
            "cannot set Complete=True and Failed=true conditions",
        ),
        (
            (complete || failure_target) && now.complete && now.failure_target,
            "cannot set Complete=True and FailureTarget=true conditions",
        ),
        (
            (failed || failure_target) && now.failed && !now.failure_target,
            "cannot set Failed=True condition without the FailureTarget=true condition",
        ),
        (
            (complete || criteria) && now.complete && !now.success_criteria_met,
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ),
        (
            now.success_criteria_met && now.failed,
            "cannot set SuccessCriteriaMet=True and Failed=true conditions",
        ),
        (
            now.success_criteria_met && now.failure_target,
            "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
        ),
        (
            has_policy && !now.success_criteria_met && now.complete,
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
        ),
        (
            was.failed && !now.failed,
            "cannot disable the terminal Failed=True condition",
        ),
        (
            was.complete && !now.complete,
            "cannot disable the terminal Complete=True condition",
        ),
        (
            was.failure_target && !now.failure_target,
            "cannot disable the terminal FailureTarget=True condition",
        ),
        (
            was.success_criteria_met && !now.success_criteria_met,
            "cannot disable the SuccessCriteriaMet=True condition",
        ),
        (
            was.complete && !was.success_criteria_met && now.success_criteria_met,
            "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions",
        ),
    ];
    let path = path.child("conditions");
    let broken = rules.into_iter().filter(|(broken, _)| *broken);
    errors.extend(broken.map(|(_, message)| check::invalid(&path, message)));
}

fn completion_time(update: &Update<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("completionTime");
    let time = update.new.field("completionTime");
    let changed = update.changed("completionTime");
    if changed || update.now.complete != update.was.complete {
        match (time, update.now.complete) {
            (Some(time), false) => {
                let message = "cannot set completionTime when there is no Complete=True condition";
                errors.push(FieldError::invalid(&path, time.clone(), message));
            }
            (None, true) => {
                let message = "completionTime is required for Complete jobs";
                errors.push(FieldError::required(&path, message));
            }
            _ => {}
        }
    }
    let Some(time) = time else {
        return;
    };
    let start = seconds(update.new.part("startTime"));
    if (changed || update.changed("startTime"))
        && let (Some(start), Some(end)) = (start, seconds(time))
        && end < start
    {
        let message = "completionTime cannot be set before startTime";
        errors.push(FieldError::invalid(&path, time.clone(), message));
    }
    if changed && update.old.has("completionTime") {
        let message = "completionTime cannot be mutated";
        errors.push(FieldError::invalid(&path, time.clone(), message));
    }
}

fn finished(update: &Update<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let (spec, status) = (update.spec, update.new);
    let finished = update.now.finished();
    let changed = finished != update.was.finished();
    let active = status.whole("active").unwrap_or(0);
    if finished && (changed || update.changed("active")) && active > 0 {
        let message = "active>0 is invalid for finished job";
        errors.push(FieldError::invalid(&path.child("active"), active, message));
    }
    let never_started = spec.flag("suspend") && spec.whole("completions") == Some(0);
    if finished
        && (changed || update.changed("startTime"))
        && !never_started
        && !status.has("startTime")
    {
        let message = "startTime is required for finished job";
        errors.push(FieldError::required(&path.child("startTime"), message));
    }
    let uncounted = status.part("uncountedTerminatedPods");
    let count = uncounted.items("failed").len() + uncounted.items("succeeded").len();
    let same = same(uncounted, update.old.part("uncountedTerminatedPods"));
    if finished && (changed || !same) && count > 0 {
        let path = path.child("uncountedTerminatedPods");
        let message = "uncountedTerminatedPods needs to be empty for finished job";
        errors.push(FieldError::invalid(&path, uncounted.clone(), message));
    }
    let terminating = status.whole("terminating").unwrap_or(0);
    if finished && (changed || update.changed("terminating")) && terminating > 0 {
        let path = path.child("terminating");
        let message = "terminating>0 is invalid for finished job";
        errors.push(FieldError::invalid(&path, terminating, message));
    }
    let ready = status.whole("ready").unwrap_or(0);
    if (update.changed("ready") || update.changed("active")) && ready > active {
        let message = "cannot set more ready pods than active";
        errors.push(FieldError::invalid(&path.child("ready"), ready, message));
    }
}

fn indexes(update: &Update<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let (spec, status) = (update.spec, update.new);
    let completions = spec.whole("completions");
    let completed = status.text("completedIndexes");
    let failed = status.part("failedIndexes").as_str();
    let completed_changed = update.changed("completedIndexes");
    let failed_changed = update.changed("failedIndexes");
    let (completed_path, failed_path) =
        (path.child("completedIndexes"), path.child("failedIndexes"));
    if completed_changed
        && let Some(completions) = completions
        && let Err(error) = indexes::count(completed, completions)
    {
        let message = format!("error parsing completedIndexes: {error}");
        errors.push(FieldError::invalid(&completed_path, completed, message));
    }
    if completed_changed && !completed.is_empty() && !is_indexed(spec) {
        let message = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errors.push(FieldError::invalid(&completed_path, completed, message));
    }
    let Some(failed) = failed else {
        return;
    };
    let per_index = spec.has("backoffLimitPerIndex");
    if failed_changed && !per_index {
        let message = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        errors.push(FieldError::invalid(&failed_path, failed, message));
    }
    let Some(completions) = completions else {
        return;
    };
    if failed_changed
        && per_index
        && let Err(error) = indexes::count(failed, completions)
    {
        let message = format!("error parsing failedIndexes: {error}");
        errors.push(FieldError::invalid(&failed_path, failed, message));
    }
    if (failed_changed || completed_changed)
        && let Some(index) = indexes::overlap(completed, failed, completions)
    {
        let message = format!("failedIndexes and completedIndexes overlap at index: {index}");
        errors.push(FieldError::invalid(&failed_path, failed, message));
    }
}

fn against_old(update: &Update<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let spec = update.spec;
    let elastic = is_indexed(spec) && spec.field("completions") == spec.field("parallelism");
    let counters = [
        ("failed", true, "cannot decrease the failed counter"),
        (
            "succeeded",
            !elastic,
            "cannot decrease the succeeded counter",
        ),
    ];
    for (field, counts, message) in counters {
        let (new, old) = (update.new.whole(field), update.old.whole(field));
        let (new, old) = (new.unwrap_or(0), old.unwrap_or(0));
        if counts && new < old {
            errors.push(FieldError::invalid(&path.child(field), new, message));
        }
    }
    if update.changed("startTime") && update.old.has("startTime") && !spec.flag("suspend") {
        let message = "startTime cannot be removed for unsuspended job";
        errors.push(FieldError::required(&path.child("startTime"), message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::compare;
    use serde_json::json;

    const START: &str = "2026-11-30T00:00:00Z";
    const END: &str = "2026-11-30T00:10:00Z";

    fn check(spec: Value, old: Value, new: Value, expect: &[&str]) {
        let mut errors = ErrorList::default();
        let new = json!({"spec": spec, "status": new});
        let old = json!({"spec": spec, "status": old});
        validate(&new, &old, &mut errors);
        compare(&errors, expect);
    }

    fn conditions(kinds: &[&str]) -> Value {
        let kinds = kinds.iter();
        kinds
            .map(|kind| json!({"type": kind, "status": "True"}))
            .collect()
    }

    #[test]
    fn a_job_completes() {
        let complete = json!({"startTime": START, "completionTime": END, "succeeded": 1,
            "conditions": conditions(&["SuccessCriteriaMet", "Complete"])});
        check(
            json!({}),
            json!({"startTime": START, "active": 1}),
            complete.clone(),
            &[],
        );
        check(json!({}), complete.clone(), complete.clone(), &[]);
        let mut early = complete.clone();
        early["completionTime"] = json!("2026-11-29T00:00:00Z");
        check(
            json!({}),
            complete.clone(),
            early,
            &[
                "status.completionTime: Invalid value: \"2026-11-29T00:00:00Z\": completionTime cannot be set before startTime",
                "status.completionTime: Invalid value: \"2026-11-29T00:00:00Z\": completionTime cannot be mutated",
            ],
        );
        check(
            json!({}),
            complete,
            json!({"startTime": START}),
            &[
                "status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
                "status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition",
                "status.succeeded: Invalid value: 0: cannot decrease the succeeded counter",
            ],
        );
    }

    #[test]
    fn a_finished_job_is_whole() {
        check(
            json!({}),
            json!({}),
            json!({"active": 2, "terminating": 1, "ready": 3, "uncountedTerminatedPods": {"failed": ["a", ""], "succeeded": ["a"]},
                "conditions": conditions(&["Complete", "Failed"])}),
            &[
                "status.uncountedTerminatedPods.failed[0]: Duplicate value: \"a\"",
                "status.uncountedTerminatedPods.failed[1]: Invalid value: \"\": must not be empty",
                "status.conditions: Invalid value: cannot set Complete=True and Failed=true conditions",
                "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
                "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
                "status.completionTime: Required value: completionTime is required for Complete jobs",
                "status.active: Invalid value: 2: active>0 is invalid for finished job",
                "status.startTime: Required value: startTime is required for finished job",
                "status.uncountedTerminatedPods: Invalid value",
                "status.terminating: Invalid value: 1: terminating>0 is invalid for finished job",
                "status.ready: Invalid value: 3: cannot set more ready pods than active",
            ],
        );
    }

    #[test]
    fn indexes_are_counted() {
        let spec = json!({"completionMode": "Indexed", "completions": 5, "parallelism": 1, "backoffLimitPerIndex": 1});
        check(
            spec.clone(),
            json!({}),
            json!({"completedIndexes": "0-1", "failedIndexes": "2"}),
            &[],
        );
        check(
            spec,
            json!({"startTime": START}),
            json!({"startTime": END, "completedIndexes": "0-3", "failedIndexes": "2,9"}),
            &[
                "status.failedIndexes: Invalid value: \"2,9\": error parsing failedIndexes: too large index: \"9\"",
                "status.failedIndexes: Invalid value: \"2,9\": failedIndexes and completedIndexes overlap at index: 2",
                "status.startTime: Required value: startTime cannot be removed for unsuspended job",
            ],
        );
        check(
            json!({}),
            json!({}),
            json!({"completedIndexes": "0", "failedIndexes": ""}),
            &[
                "status.completedIndexes: Invalid value: \"0\": cannot set non-empty completedIndexes when non-indexed",
                "status.failedIndexes: Invalid value: \"\": cannot set non-null failedIndexes when backoffLimitPerIndex is null",
            ],
        );
    }
}

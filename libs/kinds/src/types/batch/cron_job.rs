//! Cron jobs.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use super::{job, job_spec, schedule};
use crate::{
    cells, check,
    rules::{AGE, Column, NAME, Rules, age},
    status,
    types::{apps::workload, core::pod::template},
    value::{Fields, same},
};

/// Bytes that the controller adds to the name for a job's.
const SUFFIX: usize = 11;

/// What is this type's own.
pub const RULES: Rules = Rules {
    defaults,
    prepare_create: |cron| {
        status::ensure(cron);
        drop_disabled(cron, &Value::Null);
    },
    prepare_update: drop_disabled,
    validate,
    validate_create,
    validate_update,
    warnings,
    columns: &[
        NAME,
        Column::new("Schedule", "string", "When it runs.", |o, _| {
            o.part("spec").text("schedule").into()
        }),
        Column::new("Timezone", "string", "Whose clock is meant.", |o, _| {
            o.part("spec")
                .part("timeZone")
                .as_str()
                .unwrap_or(cells::NONE)
                .into()
        }),
        Column::new("Suspend", "boolean", "Whether it is held.", suspend),
        Column::new("Active", "integer", "Jobs that run.", |o, _| {
            o.part("status").items("active").len().into()
        }),
        Column::new(
            "Last Schedule",
            "string",
            "When it ran last.",
            last_schedule,
        ),
        AGE,
        Column::new(
            "Containers",
            "string",
            "Names of the template's containers.",
            |o, _| cells::container_names(job_template(o).part("template").part("spec")),
        )
        .wide(),
        Column::new(
            "Images",
            "string",
            "Images of the template's containers.",
            |o, _| cells::container_images(job_template(o).part("template").part("spec")),
        )
        .wide(),
        Column::new(
            "Selector",
            "string",
            "Labels of the pods that are meant.",
            |o, _| cells::selector(job_template(o).part("selector")),
        )
        .wide(),
    ],
    ..Rules::NONE
};

/// The spec of the jobs.
fn job_template(cron: &Value) -> &Value {
    cron.part("spec").part("jobTemplate").part("spec")
}

/// The fields of pods whose features are off.
fn drop_disabled(new: &mut Value, old: &Value) {
    let spec = new.field_mut("spec");
    let template = spec.and_then(|spec| spec.field_mut("jobTemplate"));
    if let Some(job) = template.and_then(|template| template.field_mut("spec")) {
        template::drop_disabled(job, job_template(old));
    }
}

fn defaults(cron: &mut Value) {
    let Some(spec) = cron.object_mut("spec") else {
        return;
    };
    spec.set_empty("concurrencyPolicy", "Allow");
    spec.set_absent("suspend", false);
    spec.set_absent("successfulJobsHistoryLimit", 3);
    spec.set_absent("failedJobsHistoryLimit", 1);
    let template = spec.object_mut("jobTemplate");
    if let Some(job) = template.and_then(|template| template.object_mut("spec")) {
        job::template_defaults(job);
    }
}

fn validate(cron: &Value, errors: &mut ErrorList) {
    let (spec, path) = (cron.part("spec"), Path::new("spec"));
    let schedule = spec.text("schedule");
    let schedule_path = path.child("schedule");
    if schedule.is_empty() {
        errors.push(FieldError::required(&schedule_path, ""));
    } else if let Err(message) = schedule::check(schedule) {
        errors.push(FieldError::invalid(&schedule_path, schedule, message));
    }
    let numbers = [
        "startingDeadlineSeconds",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
    ];
    check::non_negative(spec, &numbers, &path, errors);
    let known = ["Allow", "Forbid", "Replace"];
    check::required_one_of(spec, "concurrencyPolicy", &known, &path, errors);
    let template_path = path.child("jobTemplate");
    let job = job_template(cron);
    let path = template_path.child("spec");
    job_spec::validate(job, &path, errors);
    if let Some(selector) = job.field("selector") {
        let path = path.child("selector");
        let message = "`selector` will be auto-generated";
        errors.push(FieldError::invalid(&path, selector.clone(), message));
    }
    if job.flag("manualSelector") {
        let path = path.child("manualSelector");
        let known = ["nil", "false"];
        errors.push(FieldError::not_supported(&path, true, &known));
    }
}

fn validate_create(cron: &Value, errors: &mut ErrorList) {
    let (spec, path) = (cron.part("spec"), Path::new("spec"));
    zone_in_schedule(spec, false, &path, errors);
    time_zone(spec, &path, errors);
    let name = cron.part("metadata").text("name");
    let max = names::LABEL_MAX - SUFFIX;
    if name.len() > max {
        let path = Path::new("metadata");
        let message = format!("must be no more than {max} characters");
        errors.push(FieldError::invalid(&path.child("name"), name, message));
    }
}

fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (new, old, path) = (new.part("spec"), old.part("spec"), Path::new("spec"));
    let allowed = old.text("schedule").contains("TZ");
    zone_in_schedule(new, allowed, &path, errors);
    if new.field("timeZone") != old.field("timeZone") {
        time_zone(new, &path, errors);
    }
}

fn zone_in_schedule(spec: &Value, allowed: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let schedule = spec.text("schedule");
    if !schedule.contains("TZ") {
        return;
    }
    let message = match (allowed, spec.has("timeZone")) {
        (false, _) => "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        (true, true) => "cannot use both timeZone field and TZ or CRON_TZ in schedule",
        (true, false) => return,
    };
    errors.push(FieldError::invalid(
        &path.child("schedule"),
        schedule,
        message,
    ));
}

fn time_zone(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(zone) = spec.part("timeZone").as_str() else {
        return;
    };
    let path = path.child("timeZone");
    let message = if zone.is_empty() {
        Some("timeZone must be nil or non-empty string".to_owned())
    } else if zone.eq_ignore_ascii_case("local") {
        Some(
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
                .to_owned(),
        )
    } else {
        schedule::check_zone(zone)
    };
    if let Some(message) = message {
        errors.push(FieldError::invalid(&path, zone, message));
    }
}

fn warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    if old.is_none() {
        warnings.extend(job::name_warning(new));
    }
    let held = old.is_some_and(|old| same(new.part("spec"), old.part("spec")));
    if !held {
        warnings.extend(job::spec_warning(
            job_template(new),
            "spec.jobTemplate.spec",
        ));
    }
    let path = Path::new("spec");
    let path = path.child("jobTemplate");
    let path = path.child("spec");
    if !held {
        warnings.extend(workload::spec_warnings(job_template(new), None, &path));
    }
    if new.part("spec").text("schedule").contains("TZ") {
        let warning = "CRON_TZ or TZ used in spec.schedule is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details";
        warnings.push(warning.to_owned());
    }
    warnings
}

fn suspend(cron: &Value, _: i64) -> Value {
    match cron.part("spec").part("suspend").as_bool() {
        Some(true) => "True".into(),
        Some(false) => "False".into(),
        None => cells::UNSET.into(),
    }
}

fn last_schedule(cron: &Value, now: i64) -> Value {
    match cron.part("status").field("lastScheduleTime") {
        Some(time) => age(Some(time), now),
        None => cells::NONE.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_update, created, row};
    use serde_json::json;

    fn cron(spec: Value) -> Value {
        let mut cron = json!({"metadata": {"name": "c"}, "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {
            "template": {"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "i"}]}}}}}});
        for (field, value) in spec.as_object().expect("fields") {
            cron["spec"].set(field, value.clone());
        }
        cron
    }

    #[test]
    fn what_is_not_said() {
        let spec = created(&RULES, &cron(json!({}))).part("spec").clone();
        assert_eq!(spec.text("concurrencyPolicy"), "Allow");
        assert_eq!(spec.whole("successfulJobsHistoryLimit"), Some(3));
        assert_eq!(spec.whole("failedJobsHistoryLimit"), Some(1));
        assert_eq!(
            spec.part("jobTemplate").part("spec").whole("completions"),
            None
        );
    }

    #[test]
    fn creates() {
        let check = |spec: Value, expect: &[&str]| check_create(&RULES, &cron(spec), expect);
        check(json!({"timeZone": "Europe/Berlin"}), &[]);
        check(json!({"schedule": ""}), &["spec.schedule: Required value"]);
        check(
            json!({"schedule": "* * *"}),
            &[
                "spec.schedule: Invalid value: \"* * *\": expected exactly 5 fields, found 3: [* * *]",
            ],
        );
        check(
            json!({"schedule": "TZ=UTC * * * * *"}),
            &[
                "spec.schedule: Invalid value: \"TZ=UTC * * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            ],
        );
        check(
            json!({"timeZone": ""}),
            &["spec.timeZone: Invalid value: \"\": timeZone must be nil or non-empty string"],
        );
        check(
            json!({"timeZone": "local"}),
            &["spec.timeZone: Invalid value: \"local\": timeZone must be an explicit time zone"],
        );
        check(
            json!({"timeZone": "../x"}),
            &["spec.timeZone: Invalid value: \"../x\": unknown time zone ../x"],
        );
        check(
            json!({"concurrencyPolicy": "x", "startingDeadlineSeconds": -1}),
            &[
                "spec.concurrencyPolicy: Unsupported value: \"x\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
                "spec.startingDeadlineSeconds: Invalid value: -1",
            ],
        );
        check(
            json!({"jobTemplate": {"spec": {"selector": {}, "manualSelector": true, "parallelism": -1, "template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}),
            &[
                "spec.jobTemplate.spec.selector: Invalid value: {}: `selector` will be auto-generated",
                "spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: \"nil\", \"false\"",
                "spec.jobTemplate.spec.parallelism: Invalid value: -1",
            ],
        );
        let mut long = cron(json!({}));
        long["metadata"]["name"] = json!("a".repeat(53));
        check_create(&RULES, &long, &["metadata.name: Invalid value: \"aaa"]);
    }

    #[test]
    fn updates() {
        let old = cron(json!({"schedule": "TZ=UTC 0 * * * *", "timeZone": "../x"}));
        let both = "spec.schedule: Invalid value: \"TZ=UTC 0 * * * *\": cannot use both timeZone field and TZ or CRON_TZ in schedule";
        check_update(&RULES, &old, &old, &[both]);
        let new = cron(json!({"schedule": "TZ=UTC 0 * * * *"}));
        check_update(&RULES, &old, &new, &[]);
    }

    #[test]
    fn warned_of_and_shown() {
        assert_eq!(
            warnings(&cron(json!({"schedule": "TZ=UTC 0 * * * *"})), None).len(),
            1
        );
        let mut object = created(&RULES, &cron(json!({})));
        object["status"] = json!({"lastScheduleTime": "2026-11-29T23:59:00Z", "active": [{}]});
        let cells = row(&RULES, &object, 1_795_996_800);
        let expect = json!([
            "c",
            "*/5 * * * *",
            "<none>",
            "False",
            1,
            "60s",
            "<unknown>",
            "c",
            "i",
            "<none>"
        ]);
        assert_eq!(Value::from(cells), expect);
    }
}

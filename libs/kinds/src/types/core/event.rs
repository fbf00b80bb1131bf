//! Events: what happened to an object, for people.
//!
//! Events are stored in this form, whichever of the two groups they come by. What `events.k8s.io` refuses beyond this is that
//! group's.

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use crate::{
    check::value::{qualified, required, subdomain},
    rules::{Column, NAME, Rules, Selectable, age},
    value::Fields,
};

/// Most bytes of what says what was done, by whom and why.
const WORD_MAX: usize = 128;
/// Most bytes of a message.
const MESSAGE_MAX: usize = 1024;

/// What is this type's own.
pub const RULES: Rules = Rules {
    validate,
    columns: COLUMNS,
    selectable: &[
        Selectable::new("involvedObject.kind"),
        Selectable::new("involvedObject.namespace"),
        Selectable::new("involvedObject.name"),
        Selectable::new("involvedObject.uid"),
        Selectable::new("involvedObject.apiVersion"),
        Selectable::new("involvedObject.resourceVersion"),
        Selectable::new("involvedObject.fieldPath"),
        Selectable::new("reason"),
        Selectable::new("reportingComponent"),
        Selectable::new("type"),
    ],
    ..Rules::NONE
};

fn validate(event: &Value, errors: &mut ErrorList) {
    let namespace = event.part("metadata").text("namespace");
    let own = event.part("involvedObject").text("namespace");
    let new = event.has("eventTime");
    let agrees = match (new, own) {
        (false, "") => matches!(namespace, "" | "default"),
        (true, "") => matches!(namespace, "default" | "kube-system"),
        (false, own) => own == namespace,
        (true, _) => true,
    };
    if !agrees {
        let path = Path::new("involvedObject");
        let message = "does not match event.namespace";
        errors.push(FieldError::invalid(&path.child("namespace"), own, message));
    }
    if new {
        words(event, errors);
    }
    subdomain(namespace, &Path::new("namespace"), errors);
}

/// What events say since they have an `eventTime`.
fn words(event: &Value, errors: &mut ErrorList) {
    let too_long = |text: &str, max: usize, path: &Path<'_>, errors: &mut ErrorList| {
        if text.len() > max {
            let message = format!("can have at most {max} characters");
            errors.push(FieldError::invalid(path, "", message));
        }
    };
    // The form that is stored calls the controller a component; upstream's messages do not.
    let controller = event.text("reportingComponent");
    let path = Path::new("reportingController");
    required(controller, &path, errors);
    qualified(controller, &path, errors);
    for name in ["reportingInstance", "action", "reason"] {
        let path = Path::new(name);
        required(event.text(name), &path, errors);
        too_long(event.text(name), WORD_MAX, &path, errors);
    }
    too_long(
        event.text("message"),
        MESSAGE_MAX,
        &Path::new("message"),
        errors,
    );
}

/// When it was seen first: older events say so, newer ones when they happened.
fn first_seen(event: &Value, now: i64) -> Value {
    let time = event
        .field("firstTimestamp")
        .or_else(|| event.field("eventTime"));
    age(time, now)
}

const COLUMNS: &[Column] = &[
    Column::new(
        "Last Seen",
        "string",
        "How long ago it happened last.",
        |event, now| {
            let last = event.part("series").field("lastObservedTime");
            let last = if event.has("series") {
                last
            } else {
                event.field("lastTimestamp")
            };
            match last {
                None if !event.has("series") => first_seen(event, now),
                last => age(last, now),
            }
        },
    ),
    Column::new("Type", "string", "Whether it is a warning.", |event, _| {
        event.text("type").into()
    }),
    Column::new(
        "Reason",
        "string",
        "What happened, in one word.",
        |event, _| event.text("reason").into(),
    ),
    Column::new("Object", "string", "What it happened to.", |event, _| {
        let object = event.part("involvedObject");
        let kind = object.text("kind").to_lowercase();
        match object.text("name") {
            "" => kind.into(),
            name => format!("{kind}/{name}").into(),
        }
    }),
    Column::new(
        "Subobject",
        "string",
        "The part that it happened to.",
        |event, _| event.part("involvedObject").text("fieldPath").into(),
    )
    .wide(),
    Column::new("Source", "string", "Who saw it.", |event, _| {
        source(event).into()
    })
    .wide(),
    Column::new(
        "Message",
        "string",
        "What happened, in a sentence.",
        |event, _| event.text("message").trim().into(),
    ),
    Column::new(
        "First Seen",
        "string",
        "How long ago it happened first.",
        first_seen,
    )
    .wide(),
    Column::new("Count", "string", "How often it happened.", |event, _| {
        let count = |object: &Value| object.whole("count").unwrap_or_default();
        match (event.field("series"), count(event)) {
            (Some(series), _) => count(series).into(),
            (None, 0) => 1.into(),
            (None, count) => count.into(),
        }
    })
    .wide(),
    Column {
        priority: 1,
        ..NAME
    },
];

fn source(event: &Value) -> String {
    let source = event.part("source");
    let first = |one: &str, other: &str| if one.is_empty() { other } else { one }.to_owned();
    let component = first(source.text("component"), event.text("reportingComponent"));
    match first(source.text("host"), event.text("reportingInstance")) {
        instance if instance.is_empty() => component,
        instance => format!("{component}, {instance}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, check_create, merged};
    use serde_json::json;

    fn event(change: Value) -> Value {
        let base = json!({
            "metadata": {"name": "e", "namespace": "n"},
            "involvedObject": {"kind": "Pod", "namespace": "n", "name": "p", "fieldPath": "spec.containers{c}"},
            "reason": "Started", "message": " it runs\n", "type": "Normal",
            "source": {"component": "kubelet", "host": "h"},
        });
        merged(base, change)
    }

    #[test]
    fn mistakes() {
        let check = |change: Value, expect: &[&str]| check_create(&RULES, &event(change), expect);
        check(json!({}), &[]);
        check(
            json!({"involvedObject": {"namespace": "m"}}),
            &[r#"involvedObject.namespace: Invalid value: "m": does not match event.namespace"#],
        );
        check(
            json!({"eventTime": "2026-01-01T00:00:00.000000Z", "reason": "x".repeat(129)}),
            &[
                "reportingController: Required value",
                r#"reportingController: Invalid value: "": name part must be non-empty"#,
                r#"reportingController: Invalid value: "": name part must consist of"#,
                "reportingInstance: Required value",
                "action: Required value",
                r#"reason: Invalid value: "": can have at most 128 characters"#,
            ],
        );
    }

    #[test]
    fn rows() {
        let old = event(
            json!({"firstTimestamp": "1969-12-31T23:50:00Z", "lastTimestamp": "1969-12-31T23:59:00Z", "count": 4}),
        );
        assert_eq!(
            cells(&RULES, &old),
            json!([
                "60s",
                "Normal",
                "Started",
                "pod/p",
                "spec.containers{c}",
                "kubelet, h",
                "it runs",
                "10m",
                4,
                "e"
            ])
        );
        let new = event(
            json!({"eventTime": "1969-12-31T23:59:50Z", "source": null, "reportingComponent": "k"}),
        );
        let row = cells(&RULES, &new);
        assert_eq!(
            (&row[0], &row[5], &row[8]),
            (&json!("10s"), &json!("k"), &json!(1))
        );
        let series = event(
            json!({"eventTime": "1969-12-31T23:59:00Z", "series": {"count": 9, "lastObservedTime": "1969-12-31T23:59:55Z"}}),
        );
        let row = cells(&RULES, &series);
        assert_eq!(
            (&row[0], &row[7], &row[8]),
            (&json!("5s"), &json!("60s"), &json!(9))
        );
    }
}

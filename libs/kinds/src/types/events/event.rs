//! Events in the version of their own group, which asks for more than the core one.

use objects::field::{ErrorList, FieldError, Path};
use objects::names;
use serde_json::Value;

use super::version;
use crate::{
    check,
    resources::{Conversion, Kind},
    rules::{Column, NAME, Rules, Selectable, age},
    value::{Fields, same},
};

/// Most bytes of a note.
const NOTE_MAX: usize = 1024;
/// Most bytes of an action, a reason, a reporting instance.
const WORD_MAX: usize = 128;

/// What is this type's own.
pub const RULES: Rules = Rules {
    validate_create,
    validate_update,
    columns: &[
        Column::new(
            "Last Seen",
            "string",
            "How long ago it was seen last.",
            last_seen,
        ),
        Column::new("Type", "string", "Normal or Warning.", |o, _| {
            o.text("type").into()
        }),
        Column::new("Reason", "string", "Why, in a word.", |o, _| {
            o.text("reason").into()
        }),
        Column::new("Object", "string", "What it is about.", object),
        Column::new("Subobject", "string", "Which part of it.", |o, _| {
            o.part("regarding").text("fieldPath").into()
        })
        .wide(),
        Column::new("Source", "string", "Who tells it.", source).wide(),
        Column::new("Message", "string", "What happened.", |o, _| {
            o.text("note").trim().into()
        }),
        Column::new(
            "First Seen",
            "string",
            "How long ago it was seen first.",
            first_seen,
        )
        .wide(),
        Column::new("Count", "string", "How often it was seen.", count).wide(),
        NAME.wide(),
    ],
    selectable: &[
        Selectable::new("regarding.kind"),
        Selectable::new("regarding.namespace"),
        Selectable::new("regarding.name"),
        Selectable::new("regarding.uid"),
        Selectable::new("regarding.apiVersion"),
        Selectable::new("regarding.resourceVersion"),
        Selectable::new("regarding.fieldPath"),
        Selectable::new("reason"),
        Selectable::new("reportingController"),
        Selectable::new("type"),
    ],
    ..Rules::NONE
};

/// Between this version and the one that is stored.
pub const CONVERSION: Conversion = Conversion {
    stored: Kind {
        group: "",
        version: "v1",
        kind: "Event",
    },
    from_stored: version::from_stored,
    to_stored: version::to_stored,
};

fn validate_create(event: &Value, errors: &mut ErrorList) {
    let namespace = event.part("metadata").text("namespace");
    namespaces(event, namespace, errors);
    if event.has("eventTime") {
        words(event, errors);
    } else {
        errors.push(FieldError::required(&Path::new("eventTime"), ""));
    }
    let path = Path::new("namespace");
    errors.push_invalid(&path, namespace, names::dns1123_subdomain(namespace));
    series(event, errors);
    let kind = event.text("type");
    if !matches!(kind, "Normal" | "Warning") {
        let message = format!("has invalid value: {kind}");
        errors.push(FieldError::invalid(&Path::new("type"), "", message));
    }
    let source = event.part("deprecatedSource");
    let unset = [
        ("firstTimestamp", event.has("deprecatedFirstTimestamp")),
        ("lastTimestamp", event.has("deprecatedLastTimestamp")),
        ("count", event.whole("deprecatedCount").unwrap_or(0) != 0),
        (
            "source",
            !source.text("component").is_empty() || !source.text("host").is_empty(),
        ),
    ];
    // The paths are those of the stored version.
    for (field, _) in unset.into_iter().filter(|(_, said)| *said) {
        errors.push(FieldError::invalid(
            &Path::new(field),
            "",
            "needs to be unset",
        ));
    }
}

/// An event is where its object is, and in the default namespace if that is in none.
fn namespaces(event: &Value, namespace: &str, errors: &mut ErrorList) {
    let regarding = event.part("regarding").text("namespace");
    let wrong = match (regarding, event.has("eventTime")) {
        ("", false) => !matches!(namespace, "" | "default"),
        ("", true) => !matches!(namespace, "default" | "kube-system"),
        (regarding, false) => namespace != regarding,
        (_, true) => false,
    };
    if wrong {
        let path = Path::new("involvedObject");
        let message = "does not match event.namespace";
        errors.push(FieldError::invalid(
            &path.child("namespace"),
            regarding,
            message,
        ));
    }
}

fn words(event: &Value, errors: &mut ErrorList) {
    let controller = event.text("reportingController");
    let path = Path::new("reportingController");
    if controller.is_empty() {
        errors.push(FieldError::required(&path, ""));
    }
    errors.push_invalid(&path, controller, names::qualified_name(controller));
    for field in ["reportingInstance", "action", "reason"] {
        let (text, path) = (event.text(field), Path::new(field));
        if text.is_empty() {
            errors.push(FieldError::required(&path, ""));
        }
        if text.len() > WORD_MAX {
            let message = format!("can have at most {WORD_MAX} characters");
            errors.push(FieldError::invalid(&path, "", message));
        }
    }
    if event.text("note").len() > NOTE_MAX {
        let message = format!("can have at most {NOTE_MAX} characters");
        errors.push(FieldError::invalid(&Path::new("message"), "", message));
    }
}

fn series(event: &Value, errors: &mut ErrorList) {
    let Some(series) = event.field("series") else {
        return;
    };
    if series.whole("count").unwrap_or(0) < 2 {
        let path = Path::new("series.count");
        errors.push(FieldError::invalid(&path, "", "should be at least 2"));
    }
    if !series.has("lastObservedTime") {
        let path = Path::new("series.lastObservedTime");
        errors.push(FieldError::required(&path, ""));
    }
}

fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    if !same(new.part("series"), old.part("series")) {
        series(new, errors);
    }
    // Fields of this version, and their names in the stored one, which the messages have.
    let fixed = [
        ("regarding", "involvedObject"),
        ("reason", "reason"),
        ("note", "message"),
        ("deprecatedSource", "source"),
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
        ("type", "type"),
        ("eventTime", "eventTime"),
        ("action", "action"),
        ("related", "related"),
        ("reportingController", "reportingController"),
        ("reportingInstance", "reportingInstance"),
    ];
    for (field, name) in fixed {
        if !same(new.part(field), old.part(field)) {
            let shown = check::shown(new, field);
            errors.push(FieldError::invalid(
                &Path::new(name),
                shown,
                check::IMMUTABLE,
            ));
        }
    }
}

fn first_seen(event: &Value, now: i64) -> Value {
    let time = event.field("deprecatedFirstTimestamp");
    age(time.or_else(|| event.field("eventTime")), now)
}

fn last_seen(event: &Value, now: i64) -> Value {
    let series = event.field("series");
    match (series, event.field("deprecatedLastTimestamp")) {
        (Some(series), _) => age(series.field("lastObservedTime"), now),
        (None, Some(time)) => age(Some(time), now),
        (None, None) => first_seen(event, now),
    }
}

fn object(event: &Value, _: i64) -> Value {
    let regarding = event.part("regarding");
    let kind = regarding.text("kind").to_lowercase();
    match regarding.text("name") {
        "" => kind.into(),
        name => format!("{kind}/{name}").into(),
    }
}

fn source(event: &Value, _: i64) -> Value {
    let source = event.part("deprecatedSource");
    let first = |one: &str, other: &str| match one {
        "" => other.to_owned(),
        one => one.to_owned(),
    };
    let component = first(source.text("component"), event.text("reportingController"));
    match first(source.text("host"), event.text("reportingInstance")) {
        instance if instance.is_empty() => component.into(),
        instance => format!("{component}, {instance}").into(),
    }
}

fn count(event: &Value, _: i64) -> Value {
    match event.field("series") {
        Some(series) => series.whole("count").unwrap_or(0).into(),
        None => match event.whole("deprecatedCount") {
            None | Some(0) => 1.into(),
            Some(count) => count.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_create, check_update, row};
    use serde_json::json;

    fn event() -> Value {
        json!({"metadata": {"name": "e", "namespace": "a"}, "regarding": {"kind": "Pod", "name": "p", "namespace": "a"}, "reason": "Pulled",
            "note": " done ", "type": "Normal", "action": "Pull", "eventTime": "2026-11-30T00:00:00.000000Z",
            "reportingController": "kubelet", "reportingInstance": "n1"})
    }

    #[test]
    fn creates() {
        check_create(&RULES, &event(), &[]);
        check_create(
            &RULES,
            &json!({"metadata": {"namespace": "a"}, "deprecatedCount": 1, "deprecatedSource": {"host": "h"}, "series": {"count": 1}}),
            &[
                "involvedObject.namespace: Invalid value: \"\": does not match event.namespace",
                "eventTime: Required value",
                "type: Invalid value: \"\": has invalid value: ",
                "count: Invalid value: \"\": needs to be unset",
                "source: Invalid value: \"\": needs to be unset",
                "series.count: Invalid value: \"\": should be at least 2",
                "series.lastObservedTime: Required value",
            ],
        );
        let mut long = event();
        long["note"] = json!("x".repeat(1025));
        long["action"] = json!("x".repeat(129));
        long["reportingController"] = json!("");
        check_create(
            &RULES,
            &long,
            &[
                "message: Invalid value: \"\": can have at most 1024 characters",
                "action: Invalid value: \"\": can have at most 128 characters",
                "reportingController: Required value",
                "reportingController: Invalid value: \"\": name part must be non-empty",
                "reportingController: Invalid value: \"\": name part must consist of",
            ],
        );
    }

    #[test]
    fn updates() {
        let mut new = event();
        new["series"] = json!({"count": 2, "lastObservedTime": "2026-11-30T00:01:00.000000Z"});
        check_update(&RULES, &event(), &new, &[]);
        new["note"] = json!("other");
        let expect = ["message: Invalid value: \"other\": field is immutable"];
        check_update(&RULES, &event(), &new, &expect);
    }

    #[test]
    fn rows() {
        let cells = row(&RULES, &event(), 1_795_996_800 + 5);
        let expect = json!([
            "5s",
            "Normal",
            "Pulled",
            "pod/p",
            "",
            "kubelet, n1",
            "done",
            "5s",
            1,
            "e"
        ]);
        assert_eq!(Value::from(cells), expect);
    }
}

//! Cells of tables that several types share. The texts are upstream's.

use objects::quantity::Quantity;
use objects::selector::LabelSelector;
use objects::time::Duration;
use serde_json::{Map, Value};

use crate::value::Fields;

/// Where there is nothing to show.
pub(crate) const NONE: &str = "<none>";
/// Where something was not said.
pub(crate) const UNSET: &str = "<unset>";

/// A number, zero where it is absent.
pub(crate) fn number(object: &Value, name: &str) -> Value {
    object.whole(name).unwrap_or(0).into()
}

/// Names of a pod spec's containers.
pub(crate) fn container_names(pod: &Value) -> Value {
    containers(pod, "name")
}

/// Images of a pod spec's containers.
pub(crate) fn container_images(pod: &Value) -> Value {
    containers(pod, "image")
}

fn containers(pod: &Value, field: &str) -> Value {
    let containers = pod.items("containers").iter();
    let texts: Vec<&str> = containers.map(|container| container.text(field)).collect();
    texts.join(",").into()
}

/// A label selector that is an object.
pub(crate) fn selector(selector: &Value) -> Value {
    match LabelSelector::from_object(Some(selector).filter(|s| !s.is_null())) {
        Ok(selector) => match selector.to_string() {
            text if text.is_empty() => NONE.into(),
            text => text.into(),
        },
        Err(_) => "<error>".into(),
    }
}

/// Labels: `a=b,c=d`.
pub(crate) fn labels(labels: Option<&Map<String, Value>>) -> Value {
    let pairs: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if pairs.is_empty() {
        NONE.into()
    } else {
        pairs.join(",").into()
    }
}

/// A count or a percentage as it is written.
pub(crate) fn int_or_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// A quantity in its canonical form.
pub(crate) fn quantity(value: &Value) -> String {
    match Quantity::from_value(value) {
        Ok(quantity) => quantity.to_string(),
        Err(_) => int_or_text(value),
    }
}

/// The first of many texts, and how many more there are.
pub(crate) fn first(texts: &[String], max: usize) -> String {
    if texts.is_empty() {
        return UNSET.to_owned();
    }
    let shown = texts[..texts.len().min(max)].join(",");
    match texts.len() {
        count if count > max => format!("{shown} + {} more...", count - max),
        _ => shown,
    }
}

/// Seconds in people's form.
pub(crate) fn duration(seconds: i64) -> String {
    objects::time::human_duration(Duration::from_secs(seconds))
}

/// Seconds since 1970.
pub(crate) fn seconds(time: &Value) -> Option<i64> {
    let time = time.as_str()?.parse::<jiff::Timestamp>().ok()?;
    Some(time.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_cut() {
        let check = |count: usize, expect: &str| {
            let texts: Vec<String> = (0..count).map(|n| n.to_string()).collect();
            assert_eq!(first(&texts, 3), expect);
        };
        check(0, "<unset>");
        check(3, "0,1,2");
        check(5, "0,1,2 + 2 more...");
    }

    #[test]
    fn selectors_and_labels() {
        assert_eq!(selector(&json!({"matchLabels": {"a": "b"}})), "a=b");
        assert_eq!(selector(&json!({})), "<none>");
        assert_eq!(selector(&Value::Null), "<none>");
        let broken = json!({"matchExpressions": [{"key": "a", "operator": "Is"}]});
        assert_eq!(selector(&broken), "<error>");
        assert_eq!(labels(json!({"b": "1", "a": "2"}).as_object()), "a=2,b=1");
        assert_eq!(labels(None), "<none>");
    }
}

//! Between `events.k8s.io/v1` and the stored core event: other names for the same fields.

use serde_json::Value;

use crate::value::Fields;

/// Names in this version, and in the stored one.
const NAMES: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// From the stored version.
pub(super) fn from_stored(event: &mut Value) {
    event.set("apiVersion", "events.k8s.io/v1");
    for (new, old) in NAMES {
        rename(event, old, new);
    }
}

/// To the stored version.
pub(super) fn to_stored(event: &mut Value) {
    event.set("apiVersion", "v1");
    for (new, old) in NAMES {
        rename(event, new, old);
    }
}

fn rename(event: &mut Value, from: &str, to: &str) {
    // What has the other name already is of no version.
    event.remove(to);
    if let Some(value) = event.remove(from) {
        event.set(to, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_is_lost() {
        let stored = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod"},
            "message": "m", "reason": "r", "reportingComponent": "c", "reportingInstance": "i", "source": {"component": "s"},
            "firstTimestamp": "f", "lastTimestamp": "l", "count": 3, "type": "Normal", "action": "a", "eventTime": "t"});
        let mut event = stored.clone();
        from_stored(&mut event);
        let expect = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "regarding": {"kind": "Pod"},
            "note": "m", "reason": "r", "reportingController": "c", "reportingInstance": "i", "deprecatedSource": {"component": "s"},
            "deprecatedFirstTimestamp": "f", "deprecatedLastTimestamp": "l", "deprecatedCount": 3, "type": "Normal", "action": "a", "eventTime": "t"});
        assert_eq!(event, expect);
        to_stored(&mut event);
        assert_eq!(event, stored);
    }
}

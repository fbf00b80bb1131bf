//! What clients of the Kubernetes API send beside objects: selectors, amounts, times, patches.

use objects::names;
use objects::patch;
use objects::quantity::Quantity;
use objects::schema::{Field, Kind, List, Object, Patch, Schema, Schemas};
use objects::selector::{FieldSelector, LabelSelector, TERMS_MAX};
use objects::time::{MicroTime, Time, format_duration, parse_duration};
use serde_json::Value;

/// Selectors of labels and fields that are taken are bounded, and come back from their own text.
pub(crate) fn selectors(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(selector) = LabelSelector::parse(&text) {
        assert!(selector.requirements().len() <= TERMS_MAX);
        let written = selector.to_string();
        let again = LabelSelector::parse(&written).expect("what is written is a selector");
        assert_eq!(again, selector);
        let _ = selector.matches(None::<&serde_json::Map<String, Value>>);
    }
    if let Ok(selector) = FieldSelector::parse(&text) {
        assert!(selector.terms().len() <= TERMS_MAX);
        let written = selector.to_string();
        let again = FieldSelector::parse(&written).expect("what is written is a selector");
        assert_eq!(again.terms().len(), selector.terms().len());
        let _ = selector.matches_pairs(&[("metadata.name", "x")]);
    }
}

/// Amounts, times and durations that are taken come back from their own text; no name breaks a check of names.
pub(crate) fn small_grammars(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(quantity) = text.parse::<Quantity>() {
        let written = quantity.neg().neg().to_string();
        let again: Quantity = written.parse().expect("what is written is a quantity");
        assert_eq!(again, quantity);
        let _ = (
            quantity.value(),
            quantity.milli_value(),
            quantity.add(&again),
        );
    }
    if let Ok(time) = text.parse::<Time>() {
        assert_eq!(time.to_string().parse(), Ok(time));
    }
    if let Ok(time) = text.parse::<MicroTime>() {
        assert_eq!(time.to_string().parse(), Ok(time));
    }
    if let Ok(duration) = parse_duration(&text) {
        assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
    }
    let checks = [
        names::dns1123_label,
        names::dns1123_subdomain,
        names::qualified_name,
        names::label_value,
        names::config_map_key,
        names::relaxed_env_var_name,
        names::port_name,
    ];
    for check in checks {
        assert!(check(&text).iter().all(|message| !message.is_empty()));
    }
    let path = objects::field::Path::new("x");
    let _ = (
        names::ip_warnings(&path, &text),
        names::cidr_warnings(&path, &text),
    );
}

/// An object and a patch, one in a line. All three patches give an answer; two of them change nothing when they are
/// applied again.
pub(crate) fn patches(bytes: &[u8]) {
    let mut lines = bytes.splitn(2, |b| *b == b'\n');
    let mut value = || serde_json::from_slice::<Value>(lines.next()?).ok();
    let (Some(object), Some(patch)) = (value(), value()) else {
        return;
    };
    let _ = patch::json(object.clone(), patch.clone());
    if let Ok(merged) = patch::merge(object.clone(), patch.clone()) {
        assert_eq!(patch::merge(merged.clone(), patch.clone()), Ok(merged));
    }
    let _ = patch::strategic(&Schemas::default(), &schema(3), object, patch);
}

/// A type with lists of both sorts: `a` of objects by `k`, `b` of scalars.
fn schema(depth: usize) -> Schema {
    let list = |items: Schema, key: Option<&str>| Schema {
        kind: Kind::Array(Box::new(items), List::default()),
        patch: Patch {
            merge: true,
            merge_key: key.map(Into::into),
            ..Patch::default()
        },
        ..Schema::default()
    };
    let field = |schema| Field {
        schema,
        ..Field::default()
    };
    let mut object = Object::default();
    object
        .fields
        .insert("b".into(), field(list(Schema::default(), None)));
    if depth > 0 {
        object
            .fields
            .insert("a".into(), field(list(schema(depth - 1), Some("k"))));
        object.fields.insert("c".into(), field(schema(depth - 1)));
    }
    Schema {
        kind: Kind::Object(Box::new(object)),
        ..Schema::default()
    }
}

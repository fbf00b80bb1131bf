//! What a schema does not name is taken out of a value that is at hand. Bodies are pruned while they are decoded
//! ([`decode`](crate::decode)); this is for values from elsewhere: from the store, from a conversion.

use crate::schema::{Kind, Schema, Schemas};
use serde_json::Value;

/// Takes out the fields that the schema does not have, at all depths; says how many. Types are not looked at: a text where
/// an object should be stays.
pub fn prune(schemas: &Schemas, schema: &Schema, value: &mut Value) -> usize {
    match (&schema.resolve(schemas).kind, value) {
        (Kind::Object(object), Value::Object(values)) => {
            let before = values.len();
            if !object.preserves_unknown {
                values.retain(|name, _| object.fields.contains_key(name.as_str()));
            }
            let mut gone = before - values.len();
            for (name, value) in values {
                if let Some(field) = object.fields.get(name.as_str()) {
                    gone += prune(schemas, &field.schema, value);
                }
            }
            gone
        }
        (Kind::Map(schema, _), Value::Object(values)) => values
            .values_mut()
            .map(|value| prune(schemas, schema, value))
            .sum(),
        (Kind::Array(schema, _), Value::Array(items)) => items
            .iter_mut()
            .map(|item| prune(schemas, schema, item))
            .sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{self, FieldValidation, Target};
    use proptest::prelude::*;
    use serde_json::json;

    fn check(mut value: Value, expect: &Value, gone: usize) {
        let schemas = Schemas::builtin();
        let pod = schemas.find("io.k8s.api.core.v1.Pod").unwrap();
        let found = prune(schemas, &schemas.get(pod).unwrap().schema, &mut value);
        assert_eq!((&value, found), (expect, gone));
    }

    #[test]
    fn fields_that_nobody_knows_go() {
        check(
            json!({"a": 1, "metadata": {"labels": {"x": "y"}, "b": 2}, "spec": {"containers": [{"c": 3, "name": "n"}, 5]}}),
            &json!({"metadata": {"labels": {"x": "y"}}, "spec": {"containers": [{"name": "n"}, 5]}}),
            3,
        );
        check(
            json!({"metadata": {"managedFields": [{"fieldsV1": {"f:a": {}}}]}}),
            &json!({"metadata": {"managedFields": [{"fieldsV1": {"f:a": {}}}]}}),
            0,
        );
    }

    proptest! {
        /// Pruning a value and decoding it see the same fields.
        #[test]
        fn a_pruned_value_has_no_unknown_fields(
            names in prop::collection::vec(prop_oneof!["[a-c]", Just("name".to_owned()), Just("env".to_owned())], 0..5),
        ) {
            let container: serde_json::Map<String, Value> =
                names.iter().map(|name| (name.clone(), Value::Null)).collect();
            let mut value = json!({"spec": {"containers": [container]}});
            let schemas = Schemas::builtin();
            let pod = schemas.find("io.k8s.api.core.v1.Pod").unwrap();
            prune(schemas, &schemas.get(pod).unwrap().schema, &mut value);
            let again = decode::value(value, Target::Type(schemas, pod), FieldValidation::Strict);
            prop_assert!(again.is_ok());
        }
    }
}

//! Defaults that a schema names. What a type's own rules add (a port's target, a pod's restart policy) is that type's file.

use crate::schema::{Kind, Object, Schema, Schemas};
use serde_json::{Map, Value};

/// Puts in what is absent and has a default, at all depths; also within what a default has just put in. What is null, and may
/// not be, counts as absent. A missing object whose fields have defaults stays missing.
///
/// ```
/// use orlop_objects::defaults::apply;
/// use orlop_objects::schema::Schemas;
///
/// let schemas = Schemas::builtin();
/// let service = schemas.find("io.k8s.api.core.v1.Service").and_then(|id| schemas.get(id)).expect("a built-in type");
/// let mut object = serde_json::json!({"spec": {"ports": [{"port": 80}]}});
/// apply(schemas, &service.schema, &mut object);
/// assert_eq!(object["spec"]["ports"][0]["protocol"], "TCP");
/// ```
pub fn apply(schemas: &Schemas, schema: &Schema, value: &mut Value) {
    match (&schema.resolve(schemas).kind, value) {
        (Kind::Object(object), Value::Object(values)) => fields(schemas, object, values),
        (Kind::Map(schema, _), Value::Object(values)) => {
            for value in values.values_mut() {
                apply(schemas, schema, value);
            }
        }
        (Kind::Array(schema, _), Value::Array(items)) => {
            for item in items {
                apply(schemas, schema, item);
            }
        }
        _ => {}
    }
}

fn fields(schemas: &Schemas, object: &Object, values: &mut Map<String, Value>) {
    for (name, field) in &object.fields {
        let schema = &field.schema;
        if let Some(default) = &schema.default {
            let absent = match values.get(&**name) {
                None => true,
                Some(Value::Null) => !schema.nullable,
                Some(_) => false,
            };
            if absent {
                values.insert(name.to_string(), (**default).clone());
            }
        }
        if let Some(value) = values.get_mut(&**name) {
            apply(schemas, schema, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(kind: &str, mut value: Value, expect: &Value) {
        let schemas = Schemas::builtin();
        let named = schemas.get(schemas.find(kind).unwrap()).unwrap();
        apply(schemas, &named.schema, &mut value);
        assert_eq!(&value, expect);
        let once = value.clone();
        apply(schemas, &named.schema, &mut value);
        assert_eq!(value, once, "a second time changes nothing");
    }

    #[test]
    fn defaults_of_built_in_types() {
        check(
            "io.k8s.api.core.v1.Pod",
            json!({"spec": {"containers": [{"ports": [{"containerPort": 1}, {"protocol": "UDP"}, {"protocol": null}]}]}}),
            &json!({"spec": {"containers": [{"ports": [
                {"containerPort": 1, "protocol": "TCP"}, {"protocol": "UDP"}, {"protocol": "TCP"}]}]}}),
        );
        check(
            "io.k8s.api.core.v1.ReplicationController",
            json!({"spec": {}}),
            &json!({"spec": {"replicas": 1}}),
        );
        // An empty string that Go would leave out is not put in; one behind a pointer is.
        check(
            "io.k8s.api.core.v1.PodSpec",
            json!({"imagePullSecrets": [{}], "containers": [{"livenessProbe": {"grpc": {"port": 1}}}]}),
            &json!({"imagePullSecrets": [{}], "containers": [{"livenessProbe": {"grpc": {"port": 1, "service": ""}}}]}),
        );
        check("io.k8s.api.core.v1.Pod", json!({}), &json!({}));
        check("io.k8s.api.core.v1.Pod", json!("text"), &json!("text"));
    }

    #[test]
    fn a_default_gets_the_defaults_within_it() {
        let inner = crate::schema::Field {
            schema: Schema {
                kind: Kind::Integer,
                default: Some(Box::new(json!(3))),
                ..Schema::default()
            },
            ..Default::default()
        };
        let mut object = Object::default();
        object.fields.insert("n".into(), inner);
        let mut outer = Object::default();
        outer.fields.insert(
            "o".into(),
            crate::schema::Field {
                schema: Schema {
                    kind: Kind::Object(Box::new(object)),
                    default: Some(Box::new(json!({}))),
                    nullable: true,
                    ..Schema::default()
                },
                ..Default::default()
            },
        );
        let schema = Schema::from(Kind::Object(Box::new(outer)));
        let mut value = json!({});
        apply(&Schemas::default(), &schema, &mut value);
        assert_eq!(value, json!({"o": {"n": 3}}));
        let mut value = json!({"o": null});
        apply(&Schemas::default(), &schema, &mut value);
        assert_eq!(value, json!({"o": null}), "null is a value here");
    }
}

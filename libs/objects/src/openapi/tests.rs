use super::*;
use crate::schema::{Constraints, Descriptions, Field, GroupVersionKind, List, Object, Patch};

fn all(form: Form) -> Definitions<'static> {
    let schemas = Schemas::builtin();
    let mut definitions = Definitions::new(form);
    for (id, _) in schemas.types() {
        definitions.add(schemas, id);
    }
    definitions
}

fn definition(form: Form, name: &str) -> Value {
    let schemas = Schemas::builtin();
    let mut definitions = Definitions::new(form);
    assert!(definitions.add_named(schemas, name), "{name}");
    let found = definitions.iter().find(|(found, _)| *found == name);
    found.unwrap().1
}

/// A part of a built-in definition without the texts for people.
fn check(form: Form, name: &str, pointer: &str, expect: Value) {
    let mut found = definition(form, name)
        .pointer(pointer)
        .cloned()
        .unwrap_or_else(|| panic!("{name} has no {pointer}"));
    if let Some(members) = found.as_object_mut() {
        assert!(members.remove("description").is_some(), "{name} {pointer}");
    }
    assert_eq!(found, expect, "{name} {pointer}");
}

#[test]
fn forms_that_clients_know() {
    let meta = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    let pod = "io.k8s.api.core.v1.Pod";
    check(
        Form::V3,
        pod,
        "/properties/metadata",
        json!({"allOf": [{"$ref": meta}]}),
    );
    check(
        Form::V2,
        pod,
        "/properties/metadata",
        json!({"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}),
    );
    for form in [Form::V2, Form::V3] {
        let kind = &definition(form, pod)["x-kubernetes-group-version-kind"];
        assert_eq!(
            *kind,
            json!([{"group": "", "version": "v1", "kind": "Pod"}])
        );
        let spec = "io.k8s.api.core.v1.ServiceSpec";
        check(
            form,
            spec,
            "/properties/ports",
            json!({
                "type": "array",
                "items": form.reference("io.k8s.api.core.v1.ServicePort"),
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["port", "protocol"],
                "x-kubernetes-patch-strategy": "merge",
                "x-kubernetes-patch-merge-key": "port",
            }),
        );
        check(
            form,
            spec,
            "/properties/selector",
            json!({
                "type": "object",
                "additionalProperties": {"type": "string"},
                "x-kubernetes-map-type": "atomic",
            }),
        );
        let strategy = definition(form, "io.k8s.api.apps.v1.DeploymentSpec");
        let strategy = &strategy["properties"]["strategy"];
        assert_eq!(strategy["x-kubernetes-patch-strategy"], "retainKeys");
        let volumes = definition(form, "io.k8s.api.core.v1.PodSpec");
        let volumes = &volumes["properties"]["volumes"];
        assert_eq!(volumes["x-kubernetes-patch-strategy"], "merge,retainKeys");
        let selector = definition(form, "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector");
        assert_eq!(selector["x-kubernetes-map-type"], "atomic");
    }
    let port = "io.k8s.api.core.v1.ServicePort";
    check(
        Form::V3,
        port,
        "/properties/protocol",
        json!({"type": "string", "default": "TCP"}),
    );
    check(
        Form::V2,
        port,
        "/properties/protocol",
        json!({"type": "string"}),
    );
    assert_eq!(definition(Form::V3, port)["required"], json!(["port"]));
    check(
        Form::V3,
        "io.k8s.api.core.v1.Secret",
        "/properties/data",
        json!({"type": "object", "additionalProperties": {"type": "string", "format": "byte"}}),
    );
}

#[test]
fn types_that_are_no_objects() {
    let int_or_string = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
    check(
        Form::V2,
        int_or_string,
        "",
        json!({"type": "string", "format": "int-or-string"}),
    );
    check(
        Form::V3,
        int_or_string,
        "",
        json!({"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"}),
    );
    let quantity = "io.k8s.apimachinery.pkg.api.resource.Quantity";
    check(Form::V2, quantity, "", json!({"type": "string"}));
    check(
        Form::V3,
        quantity,
        "",
        json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
    );
    for form in [Form::V2, Form::V3] {
        let meta = "io.k8s.apimachinery.pkg.apis.meta.v1";
        let date = json!({"type": "string", "format": "date-time"});
        check(form, &format!("{meta}.Time"), "", date);
        check(
            form,
            &format!("{meta}.FieldsV1"),
            "",
            json!({"type": "object"}),
        );
        let json = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON";
        check(form, json, "", json!({}));
    }
}

#[test]
fn every_reference_is_there_and_every_description_is_told() {
    fn walk(value: &Value, definitions: &Definitions<'_>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(pointer)) = members.get("$ref") {
                    let name = pointer.rsplit('/').next().unwrap();
                    assert_eq!(*pointer, definitions.form.pointer(name));
                    assert!(definitions.contains(name), "{pointer}");
                    let alone = definitions.form == Form::V2 || members.len() == 1;
                    assert!(alone, "{members:?}");
                }
                assert_ne!(members.get("description"), Some(&"".into()));
                members.values().for_each(|value| walk(value, definitions));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, definitions)),
            _ => {}
        }
    }
    let descriptions = Descriptions::builtin();
    for form in [Form::V2, Form::V3] {
        // One type and what it leads to, and all of them.
        let mut one = Definitions::new(form);
        let schemas = Schemas::builtin();
        assert!(one.add_named(schemas, "io.k8s.api.core.v1.Pod"));
        assert!(!one.contains("io.k8s.api.core.v1.Service"));
        assert!(!one.add_named(schemas, "io.k8s.api.core.v1.Nothing"));
        for definitions in [one, all(form)] {
            for (name, definition) in definitions.iter() {
                walk(&definition, &definitions);
                let text = descriptions.of_type(name).filter(|text| !text.is_empty());
                let told = definition.get("description").and_then(Value::as_str);
                assert_eq!(told, text.as_deref(), "{name}");
                for (field, property) in definition["properties"].as_object().into_iter().flatten()
                {
                    let text = descriptions.of_field(name, field);
                    let told = property.get("description").and_then(Value::as_str);
                    assert_eq!(told, text.as_deref(), "{name}.{field}");
                }
            }
        }
    }
}

/// A custom resource: its own type, its own words, and the built-in metadata from other schemas.
#[test]
fn a_custom_resource() {
    let field = |schema: Schema, required: bool| Field {
        schema,
        required,
        ..Field::default()
    };
    let mut schemas = Schemas::default();
    let size = Schema {
        kind: Kind::Integer,
        default: Some(Box::new(3.into())),
        nullable: true,
        constraints: Some(Box::new(Constraints {
            minimum: Some(1.into()),
            exclusive_minimum: true,
            ..Constraints::default()
        })),
        description: Some("How many.".into()),
        ..Schema::default()
    };
    let names = Schema {
        kind: Kind::Array(Box::new(Kind::String.into()), List::Set),
        constraints: Some(Box::new(Constraints {
            max_size: Some(5),
            ..Constraints::default()
        })),
        patch: Patch::default(),
        ..Schema::default()
    };
    let fields = BTreeMap::from([
        ("any".into(), field(Schema::ANY, false)),
        ("names".into(), field(names, true)),
        ("port".into(), field(Kind::IntOrString.into(), false)),
        ("size".into(), field(size, false)),
    ]);
    let id = schemas.insert(NamedType {
        name: "com.example.v1.Fleet".into(),
        schema: Kind::Object(Box::new(Object {
            fields,
            atomic: false,
            preserves_unknown: true,
        }))
        .into(),
        kind: Some(GroupVersionKind {
            group: "example.com".into(),
            version: "v1".into(),
            kind: "Fleet".into(),
        }),
    });
    let published = |form| {
        let mut definitions = Definitions::new(form);
        definitions.add(&schemas, id);
        definitions.add_named(
            Schemas::builtin(),
            "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
        );
        assert_eq!(definitions.iter().count(), 2);
        definitions.iter().next().unwrap().1
    };
    let kind = json!([{"group": "example.com", "version": "v1", "kind": "Fleet"}]);
    let names = json!({
        "type": "array",
        "items": {"type": "string"},
        "maxItems": 5,
        "x-kubernetes-list-type": "set",
    });
    let any = json!({"x-kubernetes-preserve-unknown-fields": true});
    assert_eq!(
        published(Form::V3),
        json!({
            "type": "object",
            "properties": {
                "any": any,
                "names": names,
                "port": {
                    "anyOf": [{"type": "integer"}, {"type": "string"}],
                    "x-kubernetes-int-or-string": true,
                },
                "size": {
                    "type": "integer",
                    "default": 3,
                    "nullable": true,
                    "minimum": 1,
                    "exclusiveMinimum": true,
                    "description": "How many.",
                },
            },
            "required": ["names"],
            "x-kubernetes-preserve-unknown-fields": true,
            "x-kubernetes-group-version-kind": kind,
        })
    );
    assert_eq!(
        published(Form::V2),
        json!({
            "type": "object",
            "properties": {
                "any": any,
                "names": names,
                "port": {"x-kubernetes-int-or-string": true},
                "size": {"minimum": 1, "exclusiveMinimum": true, "description": "How many."},
            },
            "required": ["names"],
            "x-kubernetes-preserve-unknown-fields": true,
            "x-kubernetes-group-version-kind": kind,
        })
    );
}

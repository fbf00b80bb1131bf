//! One schema, in OpenAPI's words.

use super::{Form, Members};
use crate::schema::{
    Constraints, Descriptions, Kind, List, NamedType, Object, Patch, Schema, Schemas,
};
use serde_json::{Value, json};

/// Types whose values are any object, so that only their name says what is in them. The other types of any value
/// (`JSON`, `JSONSchemaPropsOrBool`) may also be text, lists and numbers, and their definitions name no type.
const ANY_OBJECT: [&str; 3] = [
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
];

/// A type with its name.
pub(super) fn named(form: Form, schemas: &Schemas, named: &NamedType) -> Members {
    let writer = Writer {
        form,
        schemas,
        owner: &named.name,
    };
    let mut members = match (&named.schema.kind, form) {
        (Kind::Any, _) if ANY_OBJECT.contains(&&*named.name) => typed("object"),
        (Kind::Any, _) => Members::new(),
        (Kind::IntOrString, Form::V2) => typed("string"),
        (Kind::IntOrString, Form::V3) => alternatives("oneOf", ["integer", "string"]),
        (Kind::Object(object), _) => writer.object(object, true),
        _ => writer.shape(&named.schema),
    };
    if matches!(named.schema.kind, Kind::IntOrString) {
        members.insert("format".into(), "int-or-string".into());
    }
    writer.annotate(&mut members, &named.schema);
    describe(&mut members, &named.schema, || {
        Descriptions::builtin().of_type(&named.name)
    });
    members
}

struct Writer<'a> {
    form: Form,
    schemas: &'a Schemas,
    /// The named type that is being written: its fields' descriptions are found by it.
    owner: &'a str,
}

impl Writer<'_> {
    /// A schema within a type, but for its description.
    fn schema(&self, schema: &Schema) -> Members {
        let mut members = self.shape(schema);
        self.annotate(&mut members, schema);
        self.refer_alone(&mut members);
        members
    }

    /// `$ref` alone, or in `allOf`: version 3 allows nothing beside it.
    fn refer_alone(&self, members: &mut Members) {
        if self.form == Form::V3
            && members.len() > 1
            && let Some(pointer) = members.remove("$ref")
        {
            members.insert("allOf".into(), json!([{"$ref": pointer}]));
        }
    }

    fn shape(&self, schema: &Schema) -> Members {
        let mut members = match (&schema.kind, self.form) {
            (Kind::Any, _) => member("x-kubernetes-preserve-unknown-fields", true),
            (Kind::Reference(id), _) => match self.schemas.get(*id) {
                Some(named) => member("$ref", self.form.pointer(&named.name)),
                None => Members::new(),
            },
            (Kind::String, _) => typed("string"),
            (Kind::Integer, _) => typed("integer"),
            (Kind::Number, _) => typed("number"),
            (Kind::Boolean, _) => typed("boolean"),
            (Kind::Quantity, Form::V2) => typed("string"),
            (Kind::Quantity, Form::V3) => alternatives("oneOf", ["string", "number"]),
            (Kind::IntOrString, form) => {
                let mut members = match form {
                    Form::V2 => Members::new(),
                    Form::V3 => alternatives("anyOf", ["integer", "string"]),
                };
                members.insert("x-kubernetes-int-or-string".into(), true.into());
                members
            }
            (Kind::Object(object), _) => self.object(object, false),
            (Kind::Map(values, atomic), _) => {
                let mut members = typed("object");
                let values = self.schema(values).into();
                members.insert("additionalProperties".into(), values);
                if *atomic {
                    members.insert("x-kubernetes-map-type".into(), "atomic".into());
                }
                members
            }
            (Kind::Array(items, list), _) => {
                let mut members = typed("array");
                members.insert("items".into(), self.schema(items).into());
                list_type(&mut members, list, &schema.patch);
                members
            }
        };
        if let Some(format) = &schema.format {
            members.insert("format".into(), (**format).into());
        }
        members
    }

    /// `outermost`: the fields are those of the named type itself.
    fn object(&self, object: &Object, outermost: bool) -> Members {
        let mut members = typed("object");
        let mut properties = Members::new();
        for (name, field) in &object.fields {
            let mut property = self.schema(&field.schema);
            describe(&mut property, &field.schema, || {
                let found = || Descriptions::builtin().of_field(self.owner, name);
                outermost.then(found)?
            });
            self.refer_alone(&mut property);
            properties.insert(name.to_string(), property.into());
        }
        if !properties.is_empty() {
            members.insert("properties".into(), properties.into());
        }
        let required: Vec<&str> = object
            .fields
            .iter()
            .filter(|(_, field)| field.required)
            .map(|(name, _)| &**name)
            .collect();
        if !required.is_empty() {
            members.insert("required".into(), required.into());
        }
        if object.atomic {
            members.insert("x-kubernetes-map-type".into(), "atomic".into());
        }
        if object.preserves_unknown {
            members.insert("x-kubernetes-preserve-unknown-fields".into(), true.into());
        }
        members
    }

    /// What is true of a value beside its shape.
    fn annotate(&self, members: &mut Members, schema: &Schema) {
        if schema.atomic {
            members.insert("x-kubernetes-map-type".into(), "atomic".into());
        }
        let Patch {
            merge,
            retain_keys,
            merge_key,
        } = &schema.patch;
        let strategy = match (merge, retain_keys) {
            (true, true) => "merge,retainKeys",
            (true, false) => "merge",
            (false, true) => "retainKeys",
            (false, false) => "",
        };
        if !strategy.is_empty() {
            members.insert("x-kubernetes-patch-strategy".into(), strategy.into());
        }
        if let Some(key) = merge_key {
            members.insert("x-kubernetes-patch-merge-key".into(), (**key).into());
        }
        if let Some(constraints) = &schema.constraints {
            constrain(members, constraints, &schema.kind);
        }
        match self.form {
            Form::V2 if schema.nullable => {
                // Nothing in version 2 takes null, so that clients would refuse it: there, a value that may be null may be
                // anything.
                for name in ["type", "format", "items", "properties", "required"] {
                    members.remove(name);
                }
                members.remove("additionalProperties");
            }
            Form::V2 => {}
            Form::V3 => {
                if schema.nullable {
                    members.insert("nullable".into(), true.into());
                }
                if let Some(default) = &schema.default {
                    members.insert("default".into(), (**default).clone());
                }
            }
        }
    }
}

fn describe(members: &mut Members, schema: &Schema, builtin: impl FnOnce() -> Option<String>) {
    let own = schema.description.as_deref().map(str::to_owned);
    if let Some(text) = own.or_else(builtin).filter(|text| !text.is_empty()) {
        members.insert("description".into(), text.into());
    }
}

/// A list that a strategic merge patch merges is not called atomic, even where nothing else is said of it.
fn list_type(members: &mut Members, list: &List, patch: &Patch) {
    let name = match list {
        List::Atomic if patch.merge => return,
        List::Atomic => "atomic",
        List::Set => "set",
        List::Map(keys) => {
            let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
            members.insert("x-kubernetes-list-map-keys".into(), keys.into());
            "map"
        }
    };
    members.insert("x-kubernetes-list-type".into(), name.into());
}

fn constrain(members: &mut Members, constraints: &Constraints, kind: &Kind) {
    let mut add = |name: &str, value: Value| members.insert(name.into(), value);
    if !constraints.values.is_empty() {
        add("enum", constraints.values.clone().into());
    }
    if let Some(pattern) = &constraints.pattern {
        add("pattern", (**pattern).into());
    }
    for (name, bound, exclusive) in [
        (
            "minimum",
            &constraints.minimum,
            constraints.exclusive_minimum,
        ),
        (
            "maximum",
            &constraints.maximum,
            constraints.exclusive_maximum,
        ),
    ] {
        if let Some(bound) = bound {
            add(name, bound.clone().into());
            if exclusive {
                let name = match name {
                    "minimum" => "exclusiveMinimum",
                    _ => "exclusiveMaximum",
                };
                add(name, true.into());
            }
        }
    }
    if let Some(divisor) = &constraints.multiple_of {
        add("multipleOf", divisor.clone().into());
    }
    let (least, most) = match kind {
        Kind::Array(..) => ("minItems", "maxItems"),
        Kind::Object(_) | Kind::Map(..) => ("minProperties", "maxProperties"),
        _ => ("minLength", "maxLength"),
    };
    if let Some(size) = constraints.min_size {
        add(least, size.into());
    }
    if let Some(size) = constraints.max_size {
        add(most, size.into());
    }
}

fn member(name: &str, value: impl Into<Value>) -> Members {
    Members::from_iter([(name.to_owned(), value.into())])
}

fn typed(name: &str) -> Members {
    member("type", name)
}

fn alternatives(word: &str, types: [&str; 2]) -> Members {
    member(word, json!(types.map(|name| json!({"type": name}))))
}

//! Paths as either version of OpenAPI writes them.

use super::{
    parameter::{self, Parameter, Place},
    path::{Body, Operation, Path},
};
use crate::resources::Kind;
use objects::openapi::Form;
use serde_json::{Map, Value, json};

type Members = Map<String, Value>;

/// What stands below an URL.
pub(super) fn path(form: Form, path: &Path<'_>) -> Value {
    let mut members: Members = path
        .operations
        .iter()
        .map(|operation| {
            (
                operation.method.to_owned(),
                self::operation(form, operation),
            )
        })
        .collect();
    if !path.parameters.is_empty() {
        let parameters = parameters(form, &path.parameters);
        members.insert("parameters".into(), parameters.into());
    }
    members.into()
}

/// Parameters that paths of version 2 refer to, by their names. Version 3 repeats them, since clients look for them in the
/// operation itself.
pub(super) fn shared_parameters() -> Value {
    let shared = parameter::ALL.iter();
    shared
        .map(|parameter| (parameter.name.to_owned(), single(Form::V2, parameter)))
        .collect::<Members>()
        .into()
}

fn operation(form: Form, operation: &Operation<'_>) -> Value {
    let mut members = Members::from_iter([
        ("operationId".into(), (*operation.id).into()),
        ("description".into(), (*operation.description).into()),
        ("tags".into(), json!([operation.tag])),
        ("responses".into(), responses(form, operation)),
    ]);
    let mut add = |name: &str, value: Value| members.insert(name.into(), value);
    let mut parameters = parameters(form, operation.parameters);
    match form {
        Form::V2 => {
            let consumes = operation
                .body
                .as_ref()
                .map_or(&["*/*"][..], |body| body.consumes);
            add("consumes", json!(consumes));
            add("produces", json!(operation.produces));
            add("schemes", json!(["https"]));
            if let Some(body) = &operation.body {
                parameters.push(body_v2(body));
            }
        }
        Form::V3 => {
            if let Some(body) = &operation.body {
                add("requestBody", body_v3(body));
            }
        }
    }
    if !parameters.is_empty() {
        add("parameters", parameters.into());
    }
    if let Some((action, kind)) = operation.action {
        let Kind {
            group,
            version,
            kind,
        } = kind;
        add("x-kubernetes-action", action.into());
        add(
            "x-kubernetes-group-version-kind",
            json!({"group": group, "version": version, "kind": kind}),
        );
    }
    members.into()
}

fn parameters(form: Form, parameters: &[&Parameter]) -> Vec<Value> {
    let one = |parameter: &&Parameter| match form {
        Form::V2 => json!({"$ref": format!("#/parameters/{}", parameter.name)}),
        Form::V3 => single(form, parameter),
    };
    parameters.iter().map(one).collect()
}

fn single(form: Form, parameter: &Parameter) -> Value {
    let mut members = Members::from_iter([
        ("name".into(), parameter.name.into()),
        ("in".into(), parameter.place.as_str().into()),
        ("description".into(), parameter.description.into()),
    ]);
    let kind = [
        ("type".into(), parameter.kind.into()),
        ("uniqueItems".into(), true.into()),
    ];
    match form {
        Form::V2 => members.extend(kind),
        Form::V3 => {
            let schema = Members::from_iter(kind);
            members.insert("schema".into(), schema.into());
        }
    }
    if parameter.place == Place::Path {
        members.insert("required".into(), true.into());
    }
    members.into()
}

fn body_v2(body: &Body) -> Value {
    let mut members = Members::from_iter([
        ("name".into(), "body".into()),
        ("in".into(), "body".into()),
        ("schema".into(), schema(Form::V2, body.type_name.as_deref())),
    ]);
    if body.required {
        members.insert("required".into(), true.into());
    }
    members.into()
}

fn body_v3(body: &Body) -> Value {
    let mut members = Members::from_iter([(
        "content".into(),
        content(body.consumes, body.type_name.as_deref()),
    )]);
    if body.required {
        members.insert("required".into(), true.into());
    }
    members.into()
}

fn responses(form: Form, operation: &Operation<'_>) -> Value {
    let answer = operation.answer.as_deref();
    let mut members: Members = operation
        .codes
        .iter()
        .map(|(code, text)| {
            let mut response = Members::from_iter([("description".into(), (*text).into())]);
            match form {
                Form::V2 => response.insert("schema".into(), schema(form, answer)),
                Form::V3 => response.insert("content".into(), content(operation.produces, answer)),
            };
            (code.to_string(), response.into())
        })
        .collect();
    members.insert("401".into(), json!({"description": "Unauthorized"}));
    members.into()
}

fn content(types: &[&str], type_name: Option<&str>) -> Value {
    let one = |content: &&str| {
        let schema = schema(Form::V3, type_name);
        ((*content).to_owned(), json!({"schema": schema}))
    };
    types.iter().map(one).collect::<Members>().into()
}

/// Of a named type; an object of which nothing is known, where there is no name.
fn schema(form: Form, type_name: Option<&str>) -> Value {
    type_name.map_or_else(|| json!({"type": "object"}), |name| form.reference(name))
}

//! A request for a resource, understood; and what its query and its options say.

use super::super::{
    admission::{Admission, Asking},
    cache::Place,
    clock,
};
use crate::planner::{
    admission::{Attributes, Operation},
    negotiate::{self, Form},
    options::Query,
    render::Renderer,
    route::Target as Asked,
    served::{Part, Served},
    user::User,
    write::{Body as Given, Context, DeleteOptions},
};
use bytes::Bytes;
use kinds::Verb;
use objects::{
    decode::{FieldValidation, Target as Decode},
    schema::Schemas,
    status::{Qualified, Status},
    table::Include,
};
use serde_json::Value;

/// A request for a resource, understood.
pub(super) struct Ask<'a> {
    pub(super) user: &'a User,
    pub(super) served: &'a Served,
    pub(super) place: Option<Place>,
    pub(super) asked: &'a Asked,
    pub(super) part: Option<Part>,
    pub(super) query: &'a Query,
    pub(super) form: Form,
    pub(super) content_type: Option<&'a str>,
}

impl Ask<'_> {
    pub(super) fn namespace(&self) -> Option<&str> {
        self.asked
            .namespace
            .as_deref()
            .filter(|_| self.served.schema.namespaced)
    }

    pub(super) fn key(&self, name: &str) -> String {
        match self.namespace() {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        }
    }

    pub(super) fn renderer(&self) -> Result<Renderer<'_>, Status> {
        let include = self.query.get("includeObject").unwrap_or_default();
        let include = Include::parse(include).ok_or_else(|| {
            Status::bad_request(format!("unrecognized includeObject value: \"{include}\""))
        })?;
        Ok(Renderer {
            served: self.served,
            form: self.form,
            include,
            now: clock::now(),
        })
    }

    /// What admission is asked about. One name stands for one object: that of a collection is empty, and so is a new object's.
    pub(super) fn asking<'a>(&'a self, admission: &'a Admission, context: &Context) -> Asking<'a> {
        let operation = match self.asked.verb {
            Verb::Update | Verb::Patch => Operation::Update,
            Verb::Delete | Verb::DeleteCollection => Operation::Delete,
            _ => Operation::Create,
        };
        let attributes = Attributes {
            operation,
            served: self.served,
            subresource: self.asked.subresource.as_deref().unwrap_or_default(),
            namespace: self.namespace().unwrap_or_default(),
            name: self.asked.name.as_deref().unwrap_or_default(),
            user: self.user,
            random: context.random,
            old: None,
        };
        Asking {
            admission,
            attributes,
        }
    }

    pub(super) fn given<'a>(&self, body: &'a Bytes) -> Result<Given<'a>, Status> {
        Ok(Given {
            bytes: body,
            format: negotiate::content(self.content_type)?,
        })
    }
}

/// A watch of one object is one of those with its name.
pub(super) fn named(query: &Query, name: Option<&str>) -> Query {
    match name {
        Some(name) => query.with("fieldSelector", &format!("metadata.name={name}")),
        None => query.clone(),
    }
}

pub(super) fn delete_options(
    ask: &Ask<'_>,
    body: &Bytes,
    context: &Context,
) -> Result<DeleteOptions, Status> {
    let mut value = Value::Object(serde_json::Map::new());
    if !body.is_empty() {
        let schemas = Schemas::builtin();
        let kind = schemas.find("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
        let target = kind.map_or(Decode::Any, |kind| Decode::Type(schemas, kind));
        let format = negotiate::content(ask.content_type)?;
        let decoded = format.decode(body, target, context.validation);
        value = decoded.map_err(Status::bad_request)?.value;
    }
    // In the query, too, and there it counts for less.
    if let Value::Object(fields) = &mut value {
        if let Some(policy) = ask.query.get("propagationPolicy") {
            fields
                .entry("propagationPolicy")
                .or_insert_with(|| policy.into());
        }
        if let Some(seconds) = ask
            .query
            .get("gracePeriodSeconds")
            .and_then(|text| text.parse::<i64>().ok())
        {
            fields
                .entry("gracePeriodSeconds")
                .or_insert_with(|| seconds.into());
        }
        if ask.query.has("orphanDependents") {
            let orphan = ask.query.flag("orphanDependents");
            fields
                .entry("orphanDependents")
                .or_insert_with(|| orphan.into());
        }
    }
    DeleteOptions::read(&value)
}

pub(super) fn validation(query: &Query) -> Result<FieldValidation, Status> {
    match query.get("fieldValidation") {
        None | Some("Warn") => Ok(FieldValidation::Warn),
        Some("Ignore") => Ok(FieldValidation::Ignore),
        Some("Strict") => Ok(FieldValidation::Strict),
        Some(other) => {
            let mut errors = objects::field::ErrorList::default();
            let path = objects::field::Path::new("fieldValidation");
            errors.push(objects::field::FieldError::not_supported(
                &path,
                other,
                &["", "Ignore", "Strict", "Warn"],
            ));
            Err(Status::invalid(
                Qualified::new("meta.k8s.io", "CreateOptions"),
                "",
                &errors,
            ))
        }
    }
}

pub(super) fn dry_run(query: &Query) -> Result<bool, Status> {
    let mut any = false;
    for stage in query.all("dryRun").filter(|stage| !stage.is_empty()) {
        if stage != "All" {
            let mut errors = objects::field::ErrorList::default();
            let path = objects::field::Path::new("dryRun");
            errors.push(objects::field::FieldError::not_supported(
                &path,
                stage,
                &["All"],
            ));
            return Err(Status::invalid(
                Qualified::new("meta.k8s.io", "CreateOptions"),
                "",
                &errors,
            ));
        }
        any = true;
    }
    Ok(any)
}

//! A change of what is there.

use super::{
    Body, Context, Hooks, PatchType, Planned, as_served, body, create::in_namespace, defaults,
    invalid, name_kind, stored_bytes, to_stored,
};
use crate::planner::served::Served;
use kinds::types::{
    certificates::signing_request,
    core::{namespace, pod},
};
use objects::{
    decode::{self, Target},
    field::{ErrorList, Path},
    metadata::{self, Metadata},
    patch as patches,
    schema::Schemas,
    status::Status,
};
use serde_json::{Map, Value};

/// Which part of an object is written.
#[derive(Debug, Clone, Copy)]
pub enum Scope {
    /// All but the status, if the type has one of its own.
    Object,
    /// The status.
    Status,
    /// A subresource that is a part of the object, by rules of its own.
    Part(Part),
}

/// What is a subresource's own.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Leaves of an update what belongs to it: new, old.
    prepare: fn(&mut Value, &Value),
    /// Mistakes: new, old.
    validate: fn(&Value, &Value, &mut ErrorList),
}

impl Scope {
    /// Of a subresource by its name; None for what is no part of an object.
    #[must_use]
    pub fn of(subresource: &str) -> Option<Self> {
        Some(match subresource {
            "status" => Self::Status,
            "ephemeralcontainers" => Self::Part(Part {
                prepare: pod::ephemeral::prepare,
                validate: pod::ephemeral::validate,
            }),
            "resize" => Self::Part(Part {
                prepare: pod::resize::prepare,
                validate: pod::resize::validate,
            }),
            "finalize" => Self::Part(Part {
                prepare: namespace::prepare_finalize,
                validate: |new, _, errors| namespace::validate_finalize(new, errors),
            }),
            "approval" => Self::Part(Part {
                prepare: signing_request::prepare_approval,
                validate: signing_request::validate_approval,
            }),
            _ => return None,
        })
    }
}

/// Plans an update: `old` is what is there, of the stored version and with its resourceVersion.
///
/// # Errors
/// The answer to the client.
pub fn update(
    served: &Served,
    scope: Scope,
    name: &str,
    body: &Body<'_>,
    old: &Value,
    context: &Context,
    hooks: Hooks<'_>,
) -> Result<Planned, Status> {
    let decoded = body.object(served, context)?;
    let mut object = decoded.value;
    body::check_value(served, &object)?;
    let found = Metadata::of(&object).name().to_owned();
    if found.is_empty() {
        return Err(Status::bad_request(
            "the name of the object must be provided: metadata.name is empty",
        ));
    }
    if found != name {
        return Err(Status::bad_request(format!(
            "the name of the object ({found}) does not match the name on the URL ({name})"
        )));
    }
    let namespace = Metadata::of(old).namespace();
    in_namespace(
        served,
        &mut object,
        Some(namespace).filter(|name| !name.is_empty()),
    )?;
    change(served, scope, object, old, decoded.warnings, hooks)
}

/// Plans a patch of what is there.
///
/// # Errors
/// The answer to the client.
pub fn patch(
    served: &Served,
    scope: Scope,
    kind: PatchType,
    body: &Body<'_>,
    old: &Value,
    context: &Context,
    hooks: Hooks<'_>,
) -> Result<Planned, Status> {
    let patch = body.any_patch(kind)?;
    let shown = as_served(served, old.clone());
    let schemas = Schemas::builtin();
    let patched = match kind {
        PatchType::Json => patches::json(shown, patch),
        PatchType::Merge => patches::merge(shown, patch),
        PatchType::Strategic => {
            let named = schemas.get(served.schema.type_id);
            let named = named.ok_or_else(|| Status::internal("a kind without a schema"))?;
            patches::strategic(schemas, &named.schema, shown, patch)
        }
    };
    let patched = patched.map_err(|error| error.status())?;
    let target = Target::Type(schemas, served.schema.type_id);
    let decoded = decode::value(patched, target, context.validation);
    let decoded = decoded.map_err(|error| {
        let kind = served.qualified_kind();
        let mut errors = ErrorList::default();
        let path = Path::new("patch");
        errors.push(objects::field::FieldError::invalid(
            &path,
            Value::from(String::from_utf8_lossy(body.bytes)),
            error.to_string(),
        ));
        Status::invalid(kind, Metadata::of(old).name(), &errors)
    })?;
    body::check_value(served, &decoded.value)?;
    change(served, scope, decoded.value, old, decoded.warnings, hooks)
}

impl Body<'_> {
    /// A patch's document. Patches of JSON are lists, the others objects.
    fn any_patch(&self, kind: PatchType) -> Result<Value, Status> {
        let ignore = decode::FieldValidation::Ignore;
        let read = match self.format {
            super::Format::Json => decode_patch(self.bytes),
            other => {
                let decoded = other.decode(self.bytes, Target::Any, ignore);
                decoded.map(|decoded| decoded.value)
            }
        };
        let value =
            read.map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
        let fits = match kind {
            PatchType::Json => value.is_array(),
            PatchType::Merge | PatchType::Strategic => value.is_object(),
        };
        if fits {
            return Ok(value);
        }
        Err(Status::bad_request(match kind {
            PatchType::Json => "error decoding patch: a JSON patch is a list of operations",
            PatchType::Merge | PatchType::Strategic => "error decoding patch: it is no object",
        }))
    }
}

fn decode_patch(bytes: &[u8]) -> Result<Value, String> {
    // The parser's own bound on depth holds.
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

fn change(
    served: &Served,
    scope: Scope,
    mut object: Value,
    old: &Value,
    mut warnings: Vec<String>,
    hooks: Hooks<'_>,
) -> Result<Planned, Status> {
    name_kind(&mut object, served);
    to_stored(served, &mut object);
    defaults(served, &mut object);
    hooks.mutate(&mut object, Some(old))?;
    let before = Metadata::of(old);
    let name = before.name().to_owned();
    check_version(served, &mut object, before, &name)?;
    check_uid(served, &object, before, &name)?;
    metadata::carry_over(&mut object, old);
    keep_generation(&mut object, before);
    let rules = served.stored.rules;
    match scope {
        Scope::Object => {
            if served.stored.status {
                take(&mut object, old, "status");
            }
            (rules.prepare_update)(&mut object, old);
            (hooks.complete)(&mut object, Some(old))?;
        }
        Scope::Status => {
            let said = object;
            object = old.clone();
            take(&mut object, &said, "status");
            take(&mut object, &said, "metadata");
            defaults(served, &mut object);
            (rules.prepare_status)(&mut object, old);
        }
        Scope::Part(part) => (part.prepare)(&mut object, old),
    }
    if served.stored.generation && spec_changed(&object, old) {
        let next = before.generation().saturating_add(1);
        metadata::edit(&mut object).insert("generation".to_owned(), next.into());
    }
    let mut errors = ErrorList::default();
    errors.extend(metadata::validate_update(
        &object,
        old,
        &Path::new("metadata"),
    ));
    match scope {
        Scope::Object => {
            (rules.validate)(&object, &mut errors);
            (rules.validate_update)(&object, old, &mut errors);
        }
        Scope::Status => (rules.validate_status)(&object, old, &mut errors),
        Scope::Part(part) => (part.validate)(&object, old, &mut errors),
    }
    if !errors.is_empty() {
        return Err(invalid(served, &object, &errors));
    }
    hooks.validate(&object, Some(old))?;
    if matches!(scope, Scope::Object) {
        warnings.extend((rules.warnings)(&object, Some(old)));
        warnings.extend(served.resource.warning.map(str::to_owned));
    }
    Ok(settle(object, old, warnings))
}

/// Writes what has changed; what was only waiting for its last finalizer goes.
fn settle(object: Value, old: &Value, warnings: Vec<String>) -> Planned {
    let now = Metadata::of(&object);
    let over = now.deletion_grace_period_seconds().unwrap_or_default() == 0;
    let held = object.pointer("/spec/finalizers").and_then(Value::as_array);
    // A namespace is held by its spec, too.
    let held = held.is_some_and(|held| !held.is_empty());
    if now.deletion_timestamp().is_some() && over && !held && now.finalizers().next().is_none() {
        return Planned::Remove { object };
    }
    if stored_bytes(&object) == stored_bytes(old) {
        return Planned::Unchanged { warnings };
    }
    Planned::Write { object, warnings }
}

/// A client that says which version it saw changes that one, or nothing.
fn check_version(
    served: &Served,
    object: &mut Value,
    before: Metadata<'_>,
    name: &str,
) -> Result<(), Status> {
    let said = Metadata::of(object).resource_version().to_owned();
    let current = before.resource_version();
    if matches!(said.as_str(), "" | "0") {
        metadata::edit(object).insert("resourceVersion".to_owned(), current.into());
        return Ok(());
    }
    if said == current {
        return Ok(());
    }
    // What cannot be a version is no conflict, but wrong.
    super::super::options::parse_revision(&said)?;
    Err(Status::modified(served.qualified(), name))
}

/// Another object of the same name is another object.
fn check_uid(
    served: &Served,
    object: &Value,
    before: Metadata<'_>,
    name: &str,
) -> Result<(), Status> {
    let said = Metadata::of(object).uid();
    if said.is_empty() || said == before.uid() {
        return Ok(());
    }
    Err(Status::uid_precondition(
        served.qualified(),
        name,
        said,
        before.uid(),
    ))
}

/// The server counts.
fn keep_generation(object: &mut Value, before: Metadata<'_>) {
    let fields = metadata::edit(object);
    fields.remove("selfLink");
    fields.remove("managedFields");
    match before.get("generation") {
        Some(generation) => fields.insert("generation".to_owned(), generation.clone()),
        None => fields.remove("generation"),
    };
}

fn take(object: &mut Value, old: &Value, field: &str) {
    if let Value::Object(fields) = object {
        match old.get(field) {
            Some(value) => fields.insert(field.to_owned(), value.clone()),
            None => fields.remove(field),
        };
    }
}

/// Whether something else than metadata and status has changed.
fn spec_changed(object: &Value, old: &Value) -> bool {
    let empty = Map::new();
    let fields = |object: &'_ Value| -> Vec<(String, Value)> {
        let fields = object.as_object().unwrap_or(&empty).iter();
        let fields = fields.filter(|(name, _)| {
            !matches!(name.as_str(), "metadata" | "status" | "apiVersion" | "kind")
        });
        fields
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    fields(object) != fields(old)
}

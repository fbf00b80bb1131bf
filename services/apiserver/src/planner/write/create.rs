//! A new object.

use super::{Body, Context, Hooks, Planned, body, defaults, invalid, name_kind, time, to_stored};
use crate::planner::served::Served;
use objects::{
    field::{ErrorList, Path},
    metadata::{self, Metadata},
    status::Status,
};
use serde_json::Value;

/// Plans a create in this namespace.
///
/// # Errors
/// The answer to the client.
pub fn create(
    served: &Served,
    namespace: Option<&str>,
    body: &Body<'_>,
    context: &Context,
    hooks: Hooks<'_>,
) -> Result<Planned, Status> {
    let decoded = body.object(served, context)?;
    let mut object = decoded.value;
    body::check_value(served, &object)?;
    name_kind(&mut object, served);
    in_namespace(served, &mut object, namespace)?;
    to_stored(served, &mut object);
    defaults(served, &mut object);
    // It sees a name that is to be generated as what it is so far: the beginning of one.
    hooks.mutate(&mut object, None)?;
    identity(&mut object, context)?;
    if served.stored.status
        && !served.stored.rules.status_on_create
        && let Value::Object(fields) = &mut object
    {
        fields.remove("status");
    }
    if served.stored.generation {
        metadata::edit(&mut object).insert("generation".to_owned(), 1.into());
    }
    (served.stored.rules.prepare_create)(&mut object);
    (hooks.complete)(&mut object, None)?;
    let mut errors = ErrorList::default();
    let path = Path::new("metadata");
    let scope = scope(served);
    let rule = served.stored.rules.name;
    errors.extend(metadata::validate_create(&object, scope, rule, &path));
    (served.stored.rules.validate)(&object, &mut errors);
    (served.stored.rules.validate_create)(&object, &mut errors);
    if !errors.is_empty() {
        return Err(invalid(served, &object, &errors));
    }
    hooks.validate(&object, None)?;
    let mut warnings = decoded.warnings;
    warnings.extend((served.stored.rules.warnings)(&object, None));
    warnings.extend(served.resource.warning.map(str::to_owned));
    Ok(Planned::Write { object, warnings })
}

fn scope(served: &Served) -> metadata::Scope {
    if served.schema.namespaced {
        metadata::Scope::Namespaced
    } else {
        metadata::Scope::Cluster
    }
}

/// The namespace of the path is the object's, which may leave it out.
pub(super) fn in_namespace(
    served: &Served,
    object: &mut Value,
    namespace: Option<&str>,
) -> Result<(), Status> {
    let found = Metadata::of(object).namespace();
    match namespace.filter(|_| served.schema.namespaced) {
        Some(namespace) if found.is_empty() => {
            metadata::edit(object).insert("namespace".to_owned(), namespace.into());
            Ok(())
        }
        Some(namespace) if found != namespace => Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
        _ => Ok(()),
    }
}

/// What a new object is given, whatever its creator says.
fn identity(object: &mut Value, context: &Context) -> Result<(), Status> {
    let found = Metadata::of(object);
    if !matches!(found.resource_version(), "" | "0") {
        return Err(Status::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let generated = (found.name().is_empty() && !found.generate_name().is_empty())
        .then(|| metadata::generate_name(found.generate_name(), context.random));
    let fields = metadata::edit(object);
    for name in [
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "generation",
        "managedFields",
    ] {
        fields.remove(name);
    }
    if let Some(name) = generated {
        fields.insert("name".to_owned(), name.into());
    }
    fields.insert("uid".to_owned(), context.uid.as_str().into());
    fields.insert("creationTimestamp".to_owned(), time(context.now));
    Ok(())
}

//! Subresources that are of another kind than their object: scales, bindings, evictions.

use super::{
    cache::{Cache, Place},
    read::Where,
    write::{Target, Written},
};
use crate::planner::{
    served::{Catalogue, Served},
    write::{
        Context, DeleteOptions, Format, Hooks, PatchType, Planned, delete,
        parts::{Eviction, bound, evict, scale_of, with_scale},
    },
};
use bytes::Bytes;
use objects::{
    decode::{self, Target as Decode},
    metadata::Metadata,
    patch,
    schema::Schemas,
    status::Status,
};
use serde_json::Value;

/// OpenAPI's names of the kinds.
const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";
const BINDING: &str = "io.k8s.api.core.v1.Binding";
const TOKEN_REQUEST: &str = "io.k8s.api.authentication.v1.TokenRequest";
const EVICTION: &str = "io.k8s.api.policy.v1.Eviction";

/// The Scale of an object's bytes.
///
/// # Errors
/// They are no object.
pub fn scale(object: &[u8]) -> Result<Bytes, Status> {
    let object: Value = serde_json::from_slice(object).map_err(broken)?;
    Ok(scale_of(&object).to_string().into())
}

/// Writes a Scale, whole or by a patch.
///
/// # Errors
/// The answer to the client.
pub async fn write_scale(
    target: &Target<'_>,
    body: &Bytes,
    format: Format,
    patched: Option<PatchType>,
    context: &Context,
) -> Result<Written, Status> {
    let plan = |old: &Value, hooks: Hooks<'_>| {
        let before = scale_of(old);
        let mut scale = match patched {
            None => read(SCALE, body, format, context)?,
            Some(kind) => {
                let patch: Value = serde_json::from_slice(body).map_err(|error| {
                    Status::bad_request(format!("error decoding patch: {error}"))
                })?;
                let scale = apply(kind, before.clone(), patch)?;
                checked(SCALE, scale, context)?
            }
        };
        hooks.mutate(&mut scale, Some(&before))?;
        let object = with_scale(target.served, old, &scale)?;
        hooks.validate(&scale, Some(&before))?;
        let warnings = Vec::new();
        Ok(if object == *old {
            Planned::Unchanged { warnings }
        } else {
            Planned::Write { object, warnings }
        })
    };
    target.change(plan).await
}

fn apply(kind: PatchType, scale: Value, patch: Value) -> Result<Value, Status> {
    let schemas = Schemas::builtin();
    let applied = match kind {
        PatchType::Json => patch::json(scale, patch),
        PatchType::Merge => patch::merge(scale, patch),
        PatchType::Strategic => {
            let named = schemas.find(SCALE).and_then(|id| schemas.get(id));
            let named = named.ok_or_else(|| Status::internal("a kind without a schema"))?;
            patch::strategic(schemas, &named.schema, scale, patch)
        }
    };
    applied.map_err(|error| error.status())
}

/// Binds a pod to a node.
///
/// # Errors
/// The answer to the client.
pub async fn bind(
    target: &Target<'_>,
    body: &Bytes,
    format: Format,
    context: &Context,
) -> Result<Status, Status> {
    let binding = target
        .admitted(read(BINDING, body, format, context)?)
        .await?;
    let said = Metadata::of(&binding).name();
    if !said.is_empty() && said != target.name {
        return Err(Status::bad_request(
            "name in URL does not match name in Binding object",
        ));
    }
    let plan = |old: &Value, _: Hooks<'_>| {
        Ok(Planned::Write {
            object: bound(old, &binding, context)?,
            warnings: Vec::new(),
        })
    };
    target.change(plan).await?;
    Ok(Status::done())
}

/// A request for a token.
///
/// # Errors
/// The answer to the client.
pub fn token_request(body: &Bytes, format: Format, context: &Context) -> Result<Value, Status> {
    read(TOKEN_REQUEST, body, format, context)
}

/// The name in a binding that was posted to the collection.
///
/// # Errors
/// The answer to the client.
pub fn bound_name(body: &Bytes, format: Format, context: &Context) -> Result<String, Status> {
    let binding = read(BINDING, body, format, context)?;
    match Metadata::of(&binding).name() {
        "" => Err(Status::bad_request(
            "name must be provided in the Binding object",
        )),
        name => Ok(name.to_owned()),
    }
}

/// Evicts a pod, as far as the budgets of its namespace let it go.
///
/// # Errors
/// The answer to the client.
pub async fn evict_pod(
    target: &Target<'_>,
    catalogue: &Catalogue,
    namespace: &str,
    body: &Bytes,
    format: Format,
    context: &Context,
) -> Result<Status, Status> {
    let eviction = target
        .admitted(read(EVICTION, body, format, context)?)
        .await?;
    let said = Metadata::of(&eviction).name();
    if !said.is_empty() && said != target.name {
        return Err(Status::bad_request(
            "name in URL does not match name in Eviction object",
        ));
    }
    let mut options = DeleteOptions::read(eviction.get("deleteOptions").unwrap_or(&Value::Null))?;
    options.dry_run |= target.dry_run;
    let budgets = Budgets::of(target.cache, catalogue)?;
    let at = Where {
        cache: target.cache,
        served: target.served,
        place: target.place,
        namespace: Some(namespace),
    };
    let pod: Value = serde_json::from_slice(&at.get(&target.name, None).await?).map_err(broken)?;
    let known = budgets.of_namespace(namespace)?;
    if let Eviction::Spend(spent) = evict(&pod, &known, context)? {
        budgets
            .spend(target, namespace, &pod, &spent, context)
            .await?;
    }
    // The pod that was judged, and no later one of its name.
    let uid = Metadata::of(&pod).uid().to_owned();
    let options = DeleteOptions {
        uid: options.uid.or(Some(uid)),
        ..options
    };
    let target = Target {
        name: target.name.clone(),
        key: target.key.clone(),
        dry_run: options.dry_run,
        // Who may evict may delete: it was the eviction that was asked about.
        admission: None,
        ..*target
    };
    target
        .change(|old, hooks| delete(target.served, &options, old, context, hooks))
        .await?;
    Ok(Status::done())
}

/// Disruption budgets.
struct Budgets<'a> {
    cache: &'a Cache,
    served: &'a Served,
    place: Place,
}

impl<'a> Budgets<'a> {
    fn of(cache: &'a Cache, catalogue: &'a Catalogue) -> Result<Self, Status> {
        let served = catalogue.find("policy", "v1", "poddisruptionbudgets");
        let place = served.and_then(|served| cache.place(served.stored));
        match (served, place) {
            (Some(served), Some(place)) => Ok(Self {
                cache,
                served,
                place,
            }),
            _ => Err(Status::internal("disruption budgets are not served")),
        }
    }

    fn of_namespace(&self, namespace: &str) -> Result<Vec<Value>, Status> {
        let (objects, _) = self.cache.read(self.place);
        let budgets = objects.iter(Some(namespace));
        let budgets = budgets.map(|entry| serde_json::from_slice(entry.bytes()).map_err(broken));
        budgets.collect()
    }

    /// Takes one disruption from a budget. What another eviction took meanwhile is seen: the decision is made again.
    async fn spend(
        &self,
        pod: &Target<'_>,
        namespace: &str,
        object: &Value,
        spent: &Value,
        context: &Context,
    ) -> Result<(), Status> {
        let name = Metadata::of(spent).name().to_owned();
        let target = Target {
            cache: self.cache,
            served: self.served,
            place: self.place,
            key: format!("{namespace}/{name}"),
            name,
            dry_run: pod.dry_run,
            allocator: pod.allocator,
            admission: None,
        };
        let plan = |old: &Value, _: Hooks<'_>| {
            let warnings = Vec::new();
            Ok(match evict(object, std::slice::from_ref(old), context)? {
                Eviction::Delete => Planned::Unchanged { warnings },
                Eviction::Spend(object) => Planned::Write { object, warnings },
            })
        };
        target.change(plan).await.map(|_| ())
    }
}

fn read(kind: &str, body: &Bytes, format: Format, context: &Context) -> Result<Value, Status> {
    let target = typed(kind)?;
    let decoded = format.decode(body, target, context.validation);
    decoded
        .map(|decoded| decoded.value)
        .map_err(Status::bad_request)
}

fn checked(kind: &str, value: Value, context: &Context) -> Result<Value, Status> {
    let decoded = decode::value(value, typed(kind)?, context.validation);
    decoded
        .map(|decoded| decoded.value)
        .map_err(|error| Status::bad_request(error.to_string()))
}

fn typed(kind: &str) -> Result<Decode<'static>, Status> {
    let schemas = Schemas::builtin();
    let id = schemas
        .find(kind)
        .ok_or_else(|| Status::internal("a kind without a schema"))?;
    Ok(Decode::Type(schemas, id))
}

fn broken(error: serde_json::Error) -> Status {
    Status::internal(format!("an object in the store cannot be read: {error}"))
}

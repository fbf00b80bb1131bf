//! Taking an object away: at once, after its grace period, or when its finalizers are done.
//!
//! Source: the pages on finalizers, garbage collection and pod termination.

use super::{Context, Hooks, Planned, time};
use crate::planner::served::Served;
use objects::{
    field::{ErrorList, FieldError, Path},
    metadata::{self, Metadata},
    status::{Qualified, Status},
};
use serde_json::Value;

/// Held by the garbage collector until what the object owns has been let go.
const ORPHAN: &str = "orphan";
/// Held by the garbage collector until what the object owns is gone.
const FOREGROUND: &str = "foregroundDeletion";

/// What becomes of what an object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// It stays.
    Orphan,
    /// It goes later.
    Background,
    /// It goes before.
    Foreground,
}

/// Options of a delete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// For types that take their time.
    pub grace_period_seconds: Option<i64>,
    /// Only the object with this UID.
    pub uid: Option<String>,
    /// Only this version of it.
    pub resource_version: Option<String>,
    /// What becomes of what it owns.
    pub propagation: Option<Propagation>,
    /// Nothing is done.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// From a body of kind DeleteOptions; an absent one says nothing.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn read(value: &Value) -> Result<Self, Status> {
        let mut errors = ErrorList::default();
        let orphan = value.get("orphanDependents").and_then(Value::as_bool);
        let policy = value.get("propagationPolicy").and_then(Value::as_str);
        let path = Path::new("propagationPolicy");
        if orphan.is_some() && policy.is_some() {
            errors.push(FieldError::invalid(
                &path,
                policy.unwrap_or_default(),
                "orphanDependents and deletionPropagation cannot be both set",
            ));
        }
        let propagation = match policy {
            Some("Orphan") => Some(Propagation::Orphan),
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some(other) => {
                let known = ["Foreground", "Background", "Orphan", "nil"];
                errors.push(FieldError::not_supported(&path, other, &known));
                None
            }
            None => orphan.map(|orphan| {
                if orphan {
                    Propagation::Orphan
                } else {
                    Propagation::Background
                }
            }),
        };
        let grace_period_seconds = value.get("gracePeriodSeconds").and_then(Value::as_i64);
        let dry_run = dry_run(value, &mut errors);
        if !errors.is_empty() {
            let kind = Qualified::new("meta.k8s.io", "DeleteOptions");
            return Err(Status::invalid(kind, "", &errors));
        }
        let text = |pointer: &str| {
            value
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        Ok(Self {
            // Below zero means at once.
            grace_period_seconds: grace_period_seconds
                .map(|seconds| if seconds < 0 { 1 } else { seconds }),
            uid: text("/preconditions/uid"),
            resource_version: text("/preconditions/resourceVersion"),
            propagation,
            dry_run,
        })
    }
}

fn dry_run(value: &Value, errors: &mut ErrorList) -> bool {
    let Some(stages) = value.get("dryRun").and_then(Value::as_array) else {
        return false;
    };
    for stage in stages {
        if stage != "All" {
            let path = Path::new("dryRun");
            errors.push(FieldError::not_supported(&path, stage.clone(), &["All"]));
        }
    }
    !stages.is_empty()
}

/// Plans a delete of what is there, of the stored version and with its resourceVersion.
///
/// # Errors
/// The answer to the client.
pub fn delete(
    served: &Served,
    options: &DeleteOptions,
    old: &Value,
    context: &Context,
    hooks: Hooks<'_>,
) -> Result<Planned, Status> {
    let before = Metadata::of(old);
    check(served, options, before)?;
    let mut nothing = Value::Null;
    hooks.mutate(&mut nothing, Some(old))?;
    hooks.validate(&nothing, Some(old))?;
    let grace = grace(served, options, old);
    let mut object = old.clone();
    let held = hold(served, options, &mut object);
    let spec_held = before_namespace(served, old);
    let deleting = before.deletion_timestamp().is_some();
    if grace == 0 && !held && !spec_held {
        return Ok(Planned::Remove { object });
    }
    let remaining = before.deletion_grace_period_seconds();
    // A shorter time than was given counts; a longer one does not.
    let shorter = grace < remaining.unwrap_or_default();
    if deleting && !shorter {
        return Ok(if object == *old {
            Planned::Unchanged {
                warnings: Vec::new(),
            }
        } else {
            Planned::Write {
                object,
                warnings: Vec::new(),
            }
        });
    }
    let end = if deleting {
        // From when it was first asked for.
        let asked = before
            .deletion_timestamp()
            .and_then(|text| text.parse::<jiff::Timestamp>().ok())
            .map_or(context.now, jiff::Timestamp::as_second);
        asked - remaining.unwrap_or_default() + grace
    } else {
        context.now.saturating_add(grace)
    };
    let generation = before.generation();
    let fields = metadata::edit(&mut object);
    fields.insert("deletionTimestamp".to_owned(), time(end));
    fields.insert("deletionGracePeriodSeconds".to_owned(), grace.into());
    if generation > 0 && !deleting {
        fields.insert("generation".to_owned(), (generation + 1).into());
    }
    if is_namespace(served)
        && let Some(status) = object.get_mut("status").and_then(Value::as_object_mut)
    {
        status.insert("phase".to_owned(), "Terminating".into());
    }
    Ok(Planned::Write {
        object,
        warnings: Vec::new(),
    })
}

fn check(served: &Served, options: &DeleteOptions, before: Metadata<'_>) -> Result<(), Status> {
    let name = before.name();
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != before.uid()) {
        return Err(Status::uid_precondition(
            served.qualified(),
            name,
            uid,
            before.uid(),
        ));
    }
    let found = before.resource_version();
    let said = options.resource_version.as_deref();
    if let Some(said) = said.filter(|said| *said != found) {
        return Err(Status::version_precondition(
            served.qualified(),
            name,
            said,
            found,
        ));
    }
    Ok(())
}

/// Seconds that an object is given: pods that may run take their time, all others go at once.
fn grace(served: &Served, options: &DeleteOptions, old: &Value) -> i64 {
    let pod = served.stored.group.is_empty() && served.stored.name == "pods";
    if !pod {
        return 0;
    }
    let text = |pointer: &str| {
        old.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let never_ran = text("/spec/nodeName").is_empty();
    let over = matches!(text("/status/phase"), "Succeeded" | "Failed");
    if never_ran || over {
        return 0;
    }
    let own = old
        .pointer("/spec/terminationGracePeriodSeconds")
        .and_then(Value::as_i64);
    options.grace_period_seconds.or(own).unwrap_or(30)
}

/// Sets the garbage collector's finalizers as the client asks; whether any finalizer holds the object.
fn hold(served: &Served, options: &DeleteOptions, object: &mut Value) -> bool {
    let held: Vec<String> = Metadata::of(object)
        .finalizers()
        .map(str::to_owned)
        .collect();
    let wanted = match options.propagation {
        Some(Propagation::Orphan) => Some(ORPHAN),
        Some(Propagation::Foreground) => Some(FOREGROUND),
        Some(Propagation::Background) => None,
        // Those that an earlier request has set stay.
        None if served.stored.name == "replicationcontrollers" && held.is_empty() => Some(ORPHAN),
        None => return !held.is_empty(),
    };
    let mut kept: Vec<Value> = held
        .into_iter()
        .filter(|name| !matches!(name.as_str(), ORPHAN | FOREGROUND))
        .map(Value::from)
        .collect();
    kept.extend(wanted.map(Value::from));
    let holds = !kept.is_empty();
    let fields = metadata::edit(object);
    if holds {
        fields.insert("finalizers".to_owned(), kept.into());
    } else {
        fields.remove("finalizers");
    }
    holds
}

fn is_namespace(served: &Served) -> bool {
    served.stored.group.is_empty() && served.stored.name == "namespaces"
}

/// A namespace stays until what is in it is gone, which its spec's finalizers say.
fn before_namespace(served: &Served, old: &Value) -> bool {
    let held = old.pointer("/spec/finalizers").and_then(Value::as_array);
    is_namespace(served) && held.is_some_and(|held| !held.is_empty())
}

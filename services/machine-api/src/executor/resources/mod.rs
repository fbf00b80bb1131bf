//! Resources: the one table of kinds, and who observes them when.
//!
//! ```text
//!   get, list ──look──> Hub ──read──> kernel, init
//!   watch ──every `interval`, and at once on netlink's word──> look ──changes──> caller
//! ```
//!
//! A kind costs nothing while nobody asks. The fields of each kind are documented in
//! `docs/reference/resources.md`; a test compares.

mod network;
mod processes;
mod services;
mod storage;
mod system;

pub use processes::start_time_ms;

use super::{init::Init, streams::Sink};
use crate::planner::resources::{Change, Known, Snapshot, Versioned, changes};
use machine_proto::v1alpha1 as wire;
use prost_types::{ListValue, Struct, Value, value::Kind as ValueKind};
use rtnetlink::Handle;
use serde_json::Value as Json;
use std::{io, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, MissedTickBehavior},
};
use tonic::Status;

/// One kind of resource.
pub struct Kind {
    /// Its name, plural.
    pub name: &'static str,
    /// What it is, for people.
    pub about: &'static str,
    /// Whether it is a fact of the hardware, which maintenance mode shows to anyone.
    pub hardware: bool,
    /// How often a watch looks.
    interval: Duration,
    /// Whether netlink tells of changes, so that a watch looks at once.
    netlink: bool,
    read: Read,
}

type Reading<'a> = Pin<Box<dyn Future<Output = Result<Snapshot, ReadError>> + Send + 'a>>;
type Read = for<'a> fn(&'a Sources) -> Reading<'a>;

const SECOND: Duration = Duration::from_secs(1);

/// The table.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "addresses",
        about: "IP addresses of links",
        hardware: true,
        interval: SECOND,
        netlink: true,
        read: network::addresses,
    },
    Kind {
        name: "cpus",
        about: "processors",
        hardware: true,
        interval: SECOND,
        netlink: false,
        read: system::cpus,
    },
    Kind {
        name: "disks",
        about: "block devices, without partitions",
        hardware: true,
        interval: SECOND,
        netlink: false,
        read: storage::disks,
    },
    Kind {
        name: "links",
        about: "network links",
        hardware: true,
        interval: SECOND,
        netlink: true,
        read: network::links,
    },
    Kind {
        name: "memory",
        about: "main memory",
        hardware: true,
        interval: SECOND,
        netlink: false,
        read: system::memory,
    },
    Kind {
        name: "modules",
        about: "loaded kernel modules",
        hardware: false,
        interval: SECOND,
        netlink: false,
        read: system::modules,
    },
    Kind {
        name: "mounts",
        about: "mounted file systems",
        hardware: false,
        interval: SECOND,
        netlink: false,
        read: storage::mounts,
    },
    Kind {
        name: "processes",
        about: "processes, at most 4096",
        hardware: false,
        interval: Duration::from_secs(2),
        netlink: false,
        read: processes::processes,
    },
    Kind {
        name: "routes",
        about: "IP routes",
        hardware: false,
        interval: SECOND,
        netlink: true,
        read: network::routes,
    },
    Kind {
        name: "services",
        about: "supervised services",
        hardware: false,
        interval: SECOND,
        netlink: false,
        read: services::services,
    },
    Kind {
        name: "uptime",
        about: "time since the kernel's start, and load",
        hardware: false,
        interval: Duration::from_secs(5),
        netlink: false,
        read: system::uptime,
    },
];

/// Where resources are read from.
#[derive(Debug)]
pub struct Sources {
    /// The way to `init`.
    pub init: Arc<Init>,
    /// Questions over netlink.
    pub netlink: Handle,
}

/// Why a kind could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The kernel's file.
    #[error("read {path}")]
    File {
        /// Which.
        path: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Netlink.
    #[error("read {what} over netlink")]
    Netlink {
        /// What was asked for.
        what: &'static str,
        /// Its answer.
        #[source]
        source: rtnetlink::Error,
    },
    /// `init`.
    #[error("ask init")]
    Init(#[from] Status),
}

impl From<ReadError> for Status {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Init(status) => status,
            error => Self::internal(service::chain(&error)),
        }
    }
}

fn file(path: &str) -> Result<String, ReadError> {
    std::fs::read_to_string(path).map_err(|source| ReadError::File {
        path: path.to_owned(),
        source,
    })
}

/// The row of a kind.
///
/// # Errors
/// NOT_FOUND with the names of all kinds.
pub fn find(name: &str) -> Result<&'static Kind, Status> {
    position(name).map(|at| &KINDS[at])
}

fn position(name: &str) -> Result<usize, Status> {
    KINDS
        .iter()
        .position(|kind| kind.name == name)
        .ok_or_else(|| {
            let names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
            Status::not_found(format!(
                "no kind {name:?}; the kinds are {}",
                names.join(", ")
            ))
        })
}

/// The table as resources.
#[must_use]
pub fn kinds() -> Vec<wire::Resource> {
    let describe = |kind: &Kind| {
        let spec = fields([
            ("about", Json::from(kind.about)),
            ("hardware", Json::from(kind.hardware)),
        ]);
        let versioned = Versioned {
            version: 1,
            spec: Arc::new(spec),
        };
        resource("kinds", kind.name, &versioned)
    };
    KINDS.iter().map(describe).collect()
}

/// What is known of each kind.
#[derive(Debug)]
pub struct Hub {
    sources: Sources,
    netlink_changes: watch::Receiver<u64>,
    /// One per row of [`KINDS`].
    observed: Vec<Mutex<Observed>>,
}

#[derive(Debug, Default)]
struct Observed {
    at: Option<Instant>,
    known: Arc<Known>,
}

impl Hub {
    /// A hub that has seen nothing yet.
    #[must_use]
    pub fn new(sources: Sources, netlink_changes: watch::Receiver<u64>) -> Self {
        Self {
            sources,
            netlink_changes,
            observed: KINDS.iter().map(|_| Mutex::default()).collect(),
        }
    }

    /// All resources of a kind as they are now.
    ///
    /// # Errors
    /// NOT_FOUND for no kind; INTERNAL or UNAVAILABLE where it cannot be read.
    pub async fn look(&self, kind: &str) -> Result<Arc<Known>, Status> {
        self.look_since(position(kind)?, Instant::now()).await
    }

    /// As [`Hub::look`]; an observation made after `since` is fresh enough, so that many watchers
    /// cost one reading.
    async fn look_since(&self, at: usize, since: Instant) -> Result<Arc<Known>, Status> {
        let mut observed = self.observed[at].lock().await;
        if observed.at.is_none_or(|at| at <= since) {
            let begun = Instant::now();
            let snapshot = (KINDS[at].read)(&self.sources).await?;
            observed.known = Arc::new(observed.known.observe(snapshot));
            observed.at = Some(begun);
        }
        Ok(Arc::clone(&observed.known))
    }
}

/// Sends all resources of a kind, then each change.
///
/// # Errors
/// As [`Hub::look`], and the sink's.
pub async fn watch(
    hub: Arc<Hub>,
    kind: String,
    sink: Sink<wire::ResourceEvent>,
) -> Result<(), Status> {
    let at = position(&kind)?;
    let row = &KINDS[at];
    let mut netlink = hub.netlink_changes.clone();
    let mut sent = Arc::new(Known::default());
    let mut now = hub.look(&kind).await?;
    let mut bootstrapped = false;
    let mut ticks = tokio::time::interval(row.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        for change in changes(&sent, &now) {
            sink.send(event(&kind, change)).await?;
        }
        sent = now;
        if !bootstrapped {
            bootstrapped = true;
            sink.send(wire::ResourceEvent {
                r#type: wire::ResourceEventType::Bootstrapped.into(),
                resource: None,
            })
            .await?;
        }
        let since = tokio::select! {
            _ = ticks.tick() => Instant::now() - row.interval / 2,
            Ok(()) = netlink.changed(), if row.netlink => Instant::now(),
        };
        now = hub.look_since(at, since).await?;
    }
}

fn event(kind: &str, change: Change) -> wire::ResourceEvent {
    let (r#type, id, versioned) = match change {
        Change::Added(id, now) => (wire::ResourceEventType::Added, id, now),
        Change::Modified(id, now) => (wire::ResourceEventType::Modified, id, now),
        Change::Removed(id, was) => (wire::ResourceEventType::Removed, id, was),
    };
    wire::ResourceEvent {
        r#type: r#type.into(),
        resource: Some(resource(kind, &id, &versioned)),
    }
}

/// A resource as it travels.
#[must_use]
pub fn resource(kind: &str, id: &str, versioned: &Versioned) -> wire::Resource {
    let fields = versioned.spec.iter();
    wire::Resource {
        kind: kind.to_owned(),
        id: id.to_owned(),
        version: versioned.version,
        spec: Some(Struct {
            fields: fields
                .map(|(key, field)| (key.clone(), value(field)))
                .collect(),
        }),
    }
}

fn value(json: &Json) -> Value {
    let kind = match json {
        Json::Null => ValueKind::NullValue(0),
        Json::Bool(value) => ValueKind::BoolValue(*value),
        // A double holds whole numbers up to 2^53 exactly: 8 PiB in bytes.
        Json::Number(number) => ValueKind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => ValueKind::StringValue(text.clone()),
        Json::Array(items) => ValueKind::ListValue(ListValue {
            values: items.iter().map(value).collect(),
        }),
        Json::Object(map) => ValueKind::StructValue(Struct {
            fields: map
                .iter()
                .map(|(key, field)| (key.clone(), value(field)))
                .collect(),
        }),
    };
    Value { kind: Some(kind) }
}

/// Fields without those that are null: a fact that does not exist is no field.
fn fields<const N: usize>(fields: [(&str, Json); N]) -> crate::planner::resources::Spec {
    fields
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests;

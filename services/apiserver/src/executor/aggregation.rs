//! Keeps the rules of cluster roles that gather those of others.
//!
//! ```text
//!   cluster roles ──watch──> what each gathers ──differs──> written
//! ```
//! Several servers do the same, and write the same.

use super::{
    allocator::Allocator,
    cache::{Begin, Cache, Place},
    write::Target,
};
use crate::planner::{
    authorization::{
        GROUP,
        aggregation::{gathered, gathers},
    },
    cache::Filter,
    served::{Catalogue, Served},
    write::{Hooks, Planned},
};
use objects::{
    metadata::Metadata,
    selector::{FieldSelector, LabelSelector},
    status::Status,
};
use serde_json::Value;
use std::{future::poll_fn, time::Duration};
use tokio::time::{sleep, timeout};

/// Pauses before what failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Changes often come several at once.
const TOGETHER: Duration = Duration::from_millis(50);

/// Keeps them.
#[derive(Debug)]
pub struct Aggregation<'a> {
    /// Has the roles.
    pub cache: &'a Cache,
    /// What is served.
    pub catalogue: &'a Catalogue,
    /// A part of all writes.
    pub allocator: &'a Allocator,
}

impl Aggregation<'_> {
    /// For ever.
    pub async fn run(&self) {
        let served = self.catalogue.find(GROUP, "v1", "clusterroles");
        let place = served.and_then(|served| self.cache.place(served.stored));
        let (Some(served), Some(place)) = (served, place) else {
            tracing::error!("cluster roles are not kept: none gathers rules");
            return;
        };
        loop {
            self.cache.loaded().await;
            let everything =
                Filter::new(None, LabelSelector::everything(), FieldSelector::default());
            let Ok(mut watch) = self.cache.watch(place, everything, Begin::All) else {
                // All that is there is always known.
                continue;
            };
            watch.first.clear();
            let mut pause = PAUSE;
            loop {
                let done = self.round(served, place).await;
                let next = poll_fn(|context| watch.poll_next(context));
                if done.is_ok() {
                    pause = PAUSE;
                    if next.await.is_none() {
                        break;
                    }
                } else {
                    // What changes meanwhile may help.
                    if matches!(timeout(pause, next).await, Ok(None)) {
                        break;
                    }
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                sleep(TOGETHER).await;
                while watch.waiting().is_some() {}
            }
        }
    }

    /// Looks at each role once. What one has gathered, the next one sees: else two that gather each other would never rest. One
    /// that cannot be written holds up no other.
    async fn round(&self, served: &Served, place: Place) -> Result<(), Status> {
        let mut all: Vec<Value> = {
            let (objects, _) = self.cache.read(place);
            let roles = objects.iter(None);
            roles
                .filter_map(|entry| serde_json::from_slice(entry.bytes()).ok())
                .collect()
        };
        let mut outcome = Ok(());
        for at in 0..all.len() {
            let Some(role) = all.get(at).filter(|role| gathers(role)) else {
                continue;
            };
            let name = Metadata::of(role).name().to_owned();
            match gathered(role, &all) {
                Ok(Some(_)) => {}
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(role = name, %error, "a role keeps the rules that it has");
                    continue;
                }
            }
            match self.write(served, place, &name, &all).await {
                Ok(written) => {
                    if let (Some(role), Some(written)) = (all.get_mut(at), written) {
                        *role = written;
                    }
                }
                Err(status) => {
                    let why = &status.message;
                    tracing::warn!(role = name, why, "a role has not gathered its rules yet");
                    outcome = Err(status);
                }
            }
        }
        outcome
    }

    /// Writes one role's rules; the role as it is now, if it is there.
    async fn write(
        &self,
        served: &Served,
        place: Place,
        name: &str,
        all: &[Value],
    ) -> Result<Option<Value>, Status> {
        let target = Target {
            cache: self.cache,
            served,
            place,
            key: name.to_owned(),
            name: name.to_owned(),
            dry_run: false,
            allocator: self.allocator,
            admission: None,
        };
        let plan = |old: &Value, _: Hooks<'_>| {
            let warnings = Vec::new();
            Ok(match gathered(old, all) {
                Ok(Some(object)) => Planned::Write { object, warnings },
                Ok(None) | Err(_) => Planned::Unchanged { warnings },
            })
        };
        match target.change(plan).await {
            Ok(written) => Ok(serde_json::from_slice(&written.object).ok()),
            // It has gone meanwhile.
            Err(status) if status.code == 404 => Ok(None),
            Err(status) => Err(status),
        }
    }
}

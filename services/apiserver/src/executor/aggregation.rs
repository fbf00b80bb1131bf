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
use tokio::time::sleep;

/// Pause before what failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);
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
            loop {
                while let Err(status) = self.round(served, place).await {
                    tracing::debug!(why = status.message, "rules are not gathered yet");
                    sleep(PAUSE).await;
                }
                if poll_fn(|context| watch.poll_next(context)).await.is_none() {
                    break;
                }
                sleep(TOGETHER).await;
                while watch.waiting().is_some() {}
            }
        }
    }

    async fn round(&self, served: &Served, place: Place) -> Result<(), Status> {
        let all: Vec<Value> = {
            let (objects, _) = self.cache.read(place);
            let roles = objects.iter(None);
            roles
                .filter_map(|entry| serde_json::from_slice(entry.bytes()).ok())
                .collect()
        };
        for role in all.iter().filter(|role| gathers(role)) {
            if gathered(role, &all).is_none() {
                continue;
            }
            let name = Metadata::of(role).name();
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
                Ok(match gathered(old, &all) {
                    Some(object) => Planned::Write { object, warnings },
                    None => Planned::Unchanged { warnings },
                })
            };
            match target.change(plan).await {
                // It has gone meanwhile.
                Err(status) if status.code == 404 => {}
                other => drop(other?),
            }
        }
        Ok(())
    }
}

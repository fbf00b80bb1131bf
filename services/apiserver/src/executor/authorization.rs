//! Keeps the policy at what the cache has, and decides by it.
//!
//! ```text
//!   cache ──watch of roles, bindings──> Policy (in place, one object at a time) <──decide── requests
//! ```
//!
//! A change takes the lock for the time of one object's parsing, a decision for microseconds. The policy is not copied for each
//! change and swapped, since that would cost as much as there are bindings.

use super::cache::{Begin, Cache, Place, Seen};
use crate::planner::{
    authorization::{
        Attributes, Decision, GROUP, Kind, Policy, Rules, escalation, escalation::Write,
    },
    cache::{EventType, Filter},
    user::User,
};
use kinds::resources::RESOURCES;
use objects::{
    selector::{FieldSelector, LabelSelector},
    status::Status,
};
use std::{
    future::poll_fn,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use tokio::sync::watch;

/// Decides. Clones are the same.
#[derive(Debug, Clone)]
pub struct Authorizer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    policy: RwLock<Policy>,
    /// Kinds that are in, by their place in [`Kind::ALL`].
    synced: watch::Sender<[bool; Kind::ALL.len()]>,
}

impl Default for Authorizer {
    fn default() -> Self {
        Self::new()
    }
}

impl Authorizer {
    /// Of no roles: it allows nothing, but to those who may do everything.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            policy: RwLock::default(),
            synced: watch::Sender::default(),
        }))
    }

    /// Whether somebody may do something.
    #[must_use]
    pub fn decide(&self, attributes: &Attributes<'_>) -> Decision {
        self.read().decide(attributes)
    }

    /// The same, as an answer.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn require(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        attributes.require(self.decide(attributes))
    }

    /// All rules of a user in a namespace.
    #[must_use]
    pub fn rules_for(&self, user: &User, namespace: &str) -> Rules {
        self.read().rules_for(user, namespace)
    }

    /// Whether a role, or a binding, gives nothing that its writer has not.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn check_escalation(&self, user: &User, write: &Write<'_>) -> Result<(), Status> {
        escalation::check(&self.read(), user, write)
    }

    /// Whether all roles and bindings are in.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.0.synced.borrow().iter().all(|synced| *synced)
    }

    /// Waits until all roles and bindings are in.
    pub async fn synced(&self) {
        let mut synced = self.0.synced.subscribe();
        // The sender lives as long as we do.
        let _ = synced
            .wait_for(|synced| synced.iter().all(|one| *one))
            .await;
    }

    /// Follows the cache, for ever.
    pub async fn run(self, cache: Cache) {
        let [a, b, c, d] = [0, 1, 2, 3].map(|number| self.clone().follow(cache.clone(), number));
        tokio::join!(a, b, c, d);
    }

    async fn follow(self, cache: Cache, number: usize) {
        let kind = Kind::ALL[number];
        let Some(place) = place(&cache, kind) else {
            tracing::error!("{} are not kept: no role is known", kind.resource());
            return;
        };
        loop {
            cache.loaded().await;
            let everything =
                Filter::new(None, LabelSelector::everything(), FieldSelector::default());
            let Ok(mut watch) = cache.watch(place, everything, Begin::All) else {
                // All that is there is always known.
                continue;
            };
            {
                let mut policy = self.write();
                policy.clear(kind);
                for seen in watch.first.drain(..) {
                    take_in(&mut policy, kind, &seen);
                }
            }
            self.0.synced.send_modify(|synced| synced[number] = true);
            while let Some(seen) = poll_fn(|context| watch.poll_next(context)).await {
                let mut policy = self.write();
                take_in(&mut policy, kind, &seen);
                while let Some(seen) = watch.waiting() {
                    take_in(&mut policy, kind, &seen);
                }
            }
            // Events are missing. Until all is read again, what was there counts.
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Policy> {
        self.0.policy.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Policy> {
        let policy = self.0.policy.write();
        policy.unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(cache: &Cache, kind: Kind) -> Option<Place> {
    let mut resources = RESOURCES.iter();
    let resource =
        resources.find(|resource| resource.group == GROUP && resource.name == kind.resource())?;
    cache.place(resource)
}

fn take_in(policy: &mut Policy, kind: Kind, seen: &Seen) {
    let key = seen.entry.key();
    if seen.kind == EventType::Deleted {
        policy.remove(kind, key);
    } else if let Err(error) = policy.put(kind, key, seen.entry.bytes()) {
        tracing::error!(%error, key, "one of the {} allows nothing: it cannot be read", kind.resource());
    }
}

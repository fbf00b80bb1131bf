//! What a running service has at hand.

use crate::{Arguments, metrics, notify::Notifier};
use prometheus_client::registry::Registry;
use std::sync::{Arc, PoisonError};
use tokio::sync::watch;

/// Handles of a running service. Clones share everything.
#[derive(Debug, Clone)]
pub struct Context {
    /// The shared flags.
    pub arguments: Arguments,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) reloads: watch::Receiver<u64>,
    pub(crate) registry: metrics::Shared,
}

impl Context {
    /// Says that the service does its work. Sent once all sockets listen, not before.
    pub fn ready(&self) {
        self.notifier.send("READY=1");
    }

    /// Sets the one line that the supervisor shows for this service.
    pub fn status(&self, line: &str) {
        self.notifier.status(line);
    }

    /// Completes when the service is asked to stop. It then has its stop deadline to end.
    pub async fn stopping(&self) {
        let mut stopping = self.stopping.clone();
        // A closed channel means that the runtime is ending: the same to the caller.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// A receiver that changes whenever the supervisor has put a new config in place (SIGHUP).
    #[must_use]
    pub fn reloads(&self) -> watch::Receiver<u64> {
        self.reloads.clone()
    }

    /// Registers the service's metrics. They are served from then on.
    pub fn register_metrics(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

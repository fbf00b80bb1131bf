//! What sandboxes and containers use.

use super::{Pods, PodsError, blocking, now};
use crate::{
    executor::{network::LinkUsage, stats},
    planner::{
        records::{ContainerRecord, SandboxRecord},
        spec,
        stats::{Usage, nano_cores},
    },
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

/// What containers have written is counted again after so long: it is a walk over all their files.
const WRITTEN_AGE_MAX: Duration = Duration::from_secs(10);

/// Of one container or sandbox, at one time.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Nanoseconds since 1970.
    pub at: i64,
    /// What its cgroup has used.
    pub usage: Usage,
    /// CPUs over the last while, in billionths.
    pub nano_cores: Option<u64>,
    /// Where it writes; None of a sandbox.
    pub writes_to: Option<PathBuf>,
    /// Bytes and files that it has written.
    pub written: (u64, u64),
    /// Its links, of a sandbox with a network of its own.
    pub links: Vec<LinkUsage>,
}

/// What was seen before.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// When, and CPU time.
    cpu: BTreeMap<String, (i64, u64)>,
    rates: BTreeMap<String, u64>,
    written: BTreeMap<String, (Instant, (u64, u64))>,
}

impl Pods {
    /// What a container uses.
    ///
    /// # Errors
    /// [`PodsError::Internal`].
    pub async fn container_usage(&self, record: &ContainerRecord) -> Result<Sample, PodsError> {
        let upper = self.0.container_records.of(&record.id).join("upper");
        let (cgroup, v2) = (record.cgroup.clone(), self.0.host.cgroup_v2);
        let known = {
            let seen = self.seen();
            let known = seen.written.get(&record.id);
            known
                .filter(|(when, _)| when.elapsed() < WRITTEN_AGE_MAX)
                .map(|(_, written)| *written)
        };
        let directory = upper.clone();
        let (usage, written) = blocking(move || {
            let written = known.unwrap_or_else(|| stats::of_directory(&directory));
            Ok((stats::of_cgroup(&cgroup, v2), written))
        })
        .await?;
        if known.is_none() {
            let now = (Instant::now(), written);
            let mut seen = self.seen();
            if self.is_there(&record.id) {
                seen.written.insert(record.id.clone(), now);
            }
        }
        Ok(Sample {
            writes_to: Some(upper),
            written,
            ..self.sample(&record.id, usage)
        })
    }

    /// What a sandbox's cgroup, which is its pod's, uses.
    ///
    /// # Errors
    /// [`PodsError`].
    pub async fn sandbox_usage(&self, record: &SandboxRecord) -> Result<Sample, PodsError> {
        let cgroup = spec::sandbox(&record.config)?.cgroup_parent;
        let v2 = self.0.host.cgroup_v2;
        let usage = blocking(move || Ok(stats::of_cgroup(&cgroup, v2))).await?;
        let mut sample = self.sample(&record.id, usage);
        if let Some(namespace) = self.network_namespace(record) {
            // One that goes meanwhile has no network any more.
            match self.0.network.usage(&namespace).await {
                Ok(links) => sample.links = links,
                Err(error) => {
                    tracing::debug!(error = %service::chain(&error), sandbox = record.id, "links are not counted")
                }
            }
        }
        Ok(sample)
    }

    fn sample(&self, id: &str, usage: Usage) -> Sample {
        let at = now();
        let mut seen = self.seen();
        if let Some(cpu) = usage.cpu_nanoseconds
            && self.is_there(id)
        {
            let before = seen.cpu.get(id).copied();
            let rate = before.and_then(|before| nano_cores(before, (at, cpu)));
            if before.is_none() || rate.is_some() {
                seen.cpu.insert(id.to_owned(), (at, cpu));
            }
            if let Some(rate) = rate {
                seen.rates.insert(id.to_owned(), rate);
            }
        }
        Sample {
            at,
            usage,
            nano_cores: seen.rates.get(id).copied(),
            writes_to: None,
            written: (0, 0),
            links: Vec::new(),
        }
    }

    /// Looked at while what was seen is held: who goes is taken out of the table first, and forgotten after.
    fn is_there(&self, id: &str) -> bool {
        let table = self.table();
        table.containers.contains_key(id) || table.sandboxes.contains_key(id)
    }

    /// Of one that is gone nothing is remembered.
    pub(super) fn forget_usage(&self, id: &str) {
        let mut seen = self.seen();
        seen.cpu.remove(id);
        seen.rates.remove(id);
        seen.written.remove(id);
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0
            .seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

//! Metrics of the time service.

use crate::planner::{Nanos, Stamp, client::Client};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::{sync::atomic::AtomicU64, time::Duration};

/// Handles of all metrics; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    offset: Gauge<f64, AtomicU64>,
    frequency: Gauge<f64, AtomicU64>,
    synchronised: Gauge,
    stratum: Gauge,
    servers: Gauge,
    steps: Counter,
    slews: Counter,
    ignored: Family<Vec<(&'static str, String)>, Counter>,
}

impl Metrics {
    /// Registers all.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "orlop_time_offset_seconds",
            "Last agreed difference of the servers' time from ours",
            self.offset.clone(),
        );
        registry.register(
            "orlop_time_frequency_ppm",
            "Correction of the clock's frequency in parts per million",
            self.frequency.clone(),
        );
        registry.register(
            "orlop_time_synchronised",
            "1 while the servers agreed not long ago",
            self.synchronised.clone(),
        );
        registry.register(
            "orlop_time_stratum",
            "Lowest stratum of the servers that agree",
            self.stratum.clone(),
        );
        registry.register(
            "orlop_time_servers",
            "Addresses that are asked",
            self.servers.clone(),
        );
        registry.register(
            "orlop_time_steps",
            "Times that the clock was stepped",
            self.steps.clone(),
        );
        registry.register(
            "orlop_time_slews",
            "Times that the clock was slewed",
            self.slews.clone(),
        );
        registry.register(
            "orlop_time_ignored",
            "Packets that were ignored, by reason",
            self.ignored.clone(),
        );
    }

    pub(crate) fn update(&self, client: &Client, now: Stamp) {
        let summary = client.summary();
        self.offset.set(seconds(summary.offset));
        // Parts per billion are thousandths of a part per million.
        self.frequency
            .set(seconds(client.frequency().saturating_mul(1_000_000)));
        self.synchronised.set(i64::from(client.synchronised(now)));
        self.stratum.set(i64::from(summary.stratum));
        self.servers
            .set(i64::try_from(summary.servers).unwrap_or(i64::MAX));
    }

    pub(crate) fn stepped(&self) {
        self.steps.inc();
    }

    pub(crate) fn slewed(&self) {
        self.slews.inc();
    }

    pub(crate) fn ignored(&self, reason: &str) {
        self.ignored
            .get_or_create(&vec![("reason", reason.to_owned())])
            .inc();
    }
}

/// Nanoseconds as seconds.
pub(crate) fn seconds(nanos: Nanos) -> f64 {
    let size = Duration::from_nanos(nanos.unsigned_abs()).as_secs_f64();
    if nanos < 0 { -size } else { size }
}

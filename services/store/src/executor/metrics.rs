//! What is measured, under the names that dashboards for etcd use.
//!
//! Only what this process really measures is here: a name with nothing behind it would be a graph that lies.

use super::{calls::Calls, member::MemberStatus};
use http_server::Traffic;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{counter::ConstCounter, gauge::Gauge},
    registry::Registry,
};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// All metrics of one member.
#[derive(Debug, Clone)]
pub struct Metrics {
    calls: Calls,
    traffic: Arc<Traffic>,
    has_leader: Gauge,
    is_leader: Gauge,
    is_learner: Gauge,
    applied: Gauge,
    quota: Gauge,
    database: Gauge,
    database_in_use: Gauge,
    revision: Gauge,
    registry: Arc<Mutex<Registry>>,
}

impl Metrics {
    /// Metrics of a member with this quota, and what else is known of him.
    #[must_use]
    pub fn new(quota_bytes: u64, collectors: Vec<Box<dyn Collector>>) -> Self {
        let mut registry = Registry::default();
        for collector in collectors {
            registry.register_collector(collector);
        }
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let metrics = Self {
            calls: Calls::default(),
            traffic: Arc::default(),
            has_leader: gauge("etcd_server_has_leader", "1 where a leader is known"),
            is_leader: gauge("etcd_server_is_leader", "1 where this member leads"),
            is_learner: gauge("etcd_server_is_learner", "1 where this member has no vote"),
            applied: gauge(
                "etcd_server_proposals_applied_total",
                "Index of the last applied entry",
            ),
            quota: gauge("etcd_server_quota_backend_bytes", "Quota of records"),
            database: gauge(
                "etcd_mvcc_db_total_size_in_bytes",
                "Bytes of the file of records",
            ),
            database_in_use: gauge(
                "etcd_mvcc_db_total_size_in_use_in_bytes",
                "Bytes of the file of records that records take",
            ),
            revision: gauge(
                "etcd_debugging_mvcc_current_revision",
                "Revision of the store",
            ),
            registry: Arc::default(),
        };
        metrics.quota.set(signed(quota_bytes));
        registry.register(
            "grpc_server_started",
            "Calls that began",
            metrics.calls.started(),
        );
        registry.register(
            "grpc_server_handled",
            "Calls that ended, whatever came of them",
            metrics.calls.handled(),
        );
        registry.register_collector(Box::new(Clients(metrics.traffic.clone())));
        Self {
            registry: Arc::new(Mutex::new(registry)),
            ..metrics
        }
    }

    /// For those who make calls.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.calls.clone()
    }

    /// For those who serve clients.
    #[must_use]
    pub fn traffic(&self) -> Arc<Traffic> {
        self.traffic.clone()
    }

    /// The text that Prometheus reads, as things stand.
    ///
    /// # Errors
    /// None that a string in memory can have.
    pub fn text(&self, status: &MemberStatus) -> Result<String, fmt::Error> {
        let standing = &status.standing;
        self.has_leader.set((standing.leader_id != 0).into());
        self.is_leader
            .set((standing.leader_id == standing.member_id).into());
        self.is_learner.set(standing.is_learner.into());
        self.applied.set(signed(status.applied_index));
        self.database.set(signed(status.database_bytes));
        self.database_in_use
            .set(signed(status.database_bytes_in_use));
        self.revision.set(standing.revision);
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        encode(&mut text, &registry).map(|()| text)
    }
}

/// Traffic, at each scrape.
#[derive(Debug)]
struct Clients(Arc<Traffic>);

impl Collector for Clients {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counters = [
            (
                "etcd_network_client_grpc_received_bytes",
                "Bytes of HTTP from clients",
                &self.0.received,
            ),
            (
                "etcd_network_client_grpc_sent_bytes",
                "Bytes of HTTP to clients",
                &self.0.sent,
            ),
        ];
        for (name, help, count) in counters {
            let counter = ConstCounter::new(count.get());
            let kind = counter.metric_type();
            counter.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

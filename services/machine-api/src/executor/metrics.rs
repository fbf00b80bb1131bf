//! The service's own metrics.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Labels of a call.
type Call = Vec<(&'static str, &'static str)>;

/// Counters and gauges; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    calls: Family<Call, Counter>,
    denied: Family<Call, Counter>,
    /// Connections whose TLS handshake is over.
    pub open: Gauge,
    /// Connections whose TLS handshake is not over.
    pub half_open: Gauge,
    /// Half-open connections dropped for newer ones.
    pub dropped: Counter,
    /// TLS handshakes that failed or took too long.
    pub failed_handshakes: Counter,
}

impl Metrics {
    /// Adds them to the registry that is served.
    pub fn register(&self, registry: &mut Registry) {
        let prefix = "orlop_machine_api";
        let registry = registry.sub_registry_with_prefix(prefix);
        registry.register("calls", "Calls that were let in", self.calls.clone());
        registry.register(
            "denied",
            "Calls that were refused for their role or the node's mode",
            self.denied.clone(),
        );
        registry.register("connections", "Open connections", self.open.clone());
        registry.register(
            "half_open_connections",
            "Connections in their TLS handshake",
            self.half_open.clone(),
        );
        registry.register(
            "dropped_handshakes",
            "Half-open connections dropped for newer ones",
            self.dropped.clone(),
        );
        registry.register(
            "failed_handshakes",
            "TLS handshakes that failed or took too long",
            self.failed_handshakes.clone(),
        );
    }

    /// Counts a call that was let in.
    pub fn called(&self, rpc: &'static str) {
        self.calls.get_or_create(&vec![("rpc", rpc)]).inc();
    }

    /// Counts a call that was refused.
    pub fn denied(&self, rpc: &'static str) {
        self.denied.get_or_create(&vec![("rpc", rpc)]).inc();
    }
}

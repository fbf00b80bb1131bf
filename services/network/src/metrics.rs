//! Metrics of the network service.

use crate::planner::dhcp::client::Client;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

type Labels = Vec<(&'static str, String)>;

/// Handles of all metrics; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    operations: Family<Labels, Counter>,
    errors: Family<Labels, Counter>,
    rounds: Counter,
    state: Family<Labels, Gauge>,
    sent: Family<Labels, Counter>,
    ignored: Family<Labels, Counter>,
}

impl Metrics {
    /// Registers all.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "orlop_network_operations",
            "Operations carried out on the kernel",
            self.operations.clone(),
        );
        registry.register(
            "orlop_network_operation_errors",
            "Operations that the kernel refused",
            self.errors.clone(),
        );
        registry.register(
            "orlop_network_rounds",
            "Times that wanted and actual state were compared",
            self.rounds.clone(),
        );
        registry.register(
            "orlop_network_dhcp_state",
            "1 for the state that the DHCPv4 client of a link is in",
            self.state.clone(),
        );
        registry.register(
            "orlop_network_dhcp_sent",
            "DHCPv4 messages sent",
            self.sent.clone(),
        );
        registry.register(
            "orlop_network_dhcp_ignored",
            "DHCPv4 messages that were ignored, by reason",
            self.ignored.clone(),
        );
    }

    pub(crate) fn round(&self) {
        self.rounds.inc();
    }

    pub(crate) fn operation(&self, kind: &str, done: bool) {
        let family = if done { &self.operations } else { &self.errors };
        family.get_or_create(&vec![("kind", kind.to_owned())]).inc();
    }

    pub(crate) fn dhcp_state(&self, link: &str, state: &str) {
        for name in Client::STATES {
            self.state
                .get_or_create(&state_labels(link, name))
                .set(i64::from(name == state));
        }
    }

    pub(crate) fn forget_dhcp(&self, link: &str) {
        for name in Client::STATES {
            self.state.remove(&state_labels(link, name));
        }
    }

    pub(crate) fn dhcp_sent(&self, link: &str) {
        self.sent
            .get_or_create(&vec![("link", link.to_owned())])
            .inc();
    }

    pub(crate) fn dhcp_ignored(&self, link: &str, reason: &str) {
        self.ignored
            .get_or_create(&vec![
                ("link", link.to_owned()),
                ("reason", reason.to_owned()),
            ])
            .inc();
    }
}

fn state_labels(link: &str, state: &str) -> Labels {
    vec![("link", link.to_owned()), ("state", state.to_owned())]
}

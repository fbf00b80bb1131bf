//! What dashboards of kube-apiserver show, under its names.

use super::cache::Cache;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::Registry,
};
use service::process::Process;
use std::{fmt, time::Duration};

/// Seconds; upstream's buckets of `apiserver_request_duration_seconds`.
const SECONDS: [f64; 24] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0,
    10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0,
];

/// What a request was about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet, Default)]
pub struct Labels {
    /// In capitals, and LIST and WATCH told apart from GET.
    pub verb: &'static str,
    /// Empty for what is no resource.
    pub group: String,
    /// Empty for what is no resource.
    pub version: String,
    /// Empty for what is no resource.
    pub resource: String,
    /// Empty for objects themselves.
    pub subresource: String,
    /// `resource`, `namespace`, `cluster`.
    pub scope: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    verb: &'static str,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    request_kind: &'static str,
}

/// All of them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    durations: Family<Labels, Histogram, fn() -> Histogram>,
    inflight: Family<Kind, Gauge>,
}

impl Metrics {
    /// About a server over this cache.
    #[must_use]
    pub fn new(cache: Cache) -> Self {
        let mut registry = Registry::default();
        let requests = Family::default();
        registry.register(
            "apiserver_request",
            "Requests that were answered",
            requests.clone(),
        );
        let durations: Family<Labels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(SECONDS));
        registry.register(
            "apiserver_request_duration_seconds",
            "Time to the answer; of watches, to its first byte",
            durations.clone(),
        );
        let inflight = Family::default();
        registry.register(
            "apiserver_current_inflight_requests",
            "Requests that are being answered",
            inflight.clone(),
        );
        registry.register_collector(Box::new(Cached(cache)));
        registry.register_collector(Box::new(Process));
        Self {
            registry,
            requests,
            durations,
            inflight,
        }
    }

    /// A request was answered.
    pub fn answered(&self, labels: Labels, code: u16, took: Duration) {
        self.durations
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        let answered = Answered {
            verb: labels.verb,
            group: labels.group,
            version: labels.version,
            resource: labels.resource,
            subresource: labels.subresource,
            scope: labels.scope,
            code,
        };
        self.requests.get_or_create(&answered).inc();
    }

    /// A request has begun; until what is returned is dropped.
    #[must_use]
    pub fn begun(&self, mutating: bool) -> Begun {
        let request_kind = if mutating { "mutating" } else { "readOnly" };
        let gauge = self.inflight.get_or_create_owned(&Kind { request_kind });
        gauge.inc();
        Begun(gauge)
    }

    /// In the OpenMetrics text form.
    ///
    /// # Errors
    /// Writing fails: never, to a text.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct Begun(Gauge);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Objects and watches, counted when they are asked for.
#[derive(Debug)]
struct Cached(Cache);

impl Collector for Cached {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = self.0.counts();
        let gauge = |number: usize| ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX));
        let objects = gauge(0);
        let mut family = encoder.encode_descriptor(
            "apiserver_storage_objects",
            "Objects that are stored",
            None,
            objects.metric_type(),
        )?;
        for (resource, objects, _) in &counts {
            let labels = [("resource", resource.as_str())];
            gauge(*objects).encode(family.encode_family(&labels)?)?;
        }
        let mut family = encoder.encode_descriptor(
            "apiserver_registered_watchers",
            "Watches of the cache",
            None,
            objects.metric_type(),
        )?;
        for (resource, _, watchers) in &counts {
            let labels = [("resource", resource.as_str())];
            gauge(*watchers).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

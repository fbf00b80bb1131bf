//! What containers and pods use, as metrics by cAdvisor's names: kubelets pass them on where their gate `PodAndContainerStatsFromCRI` is on.
//!
//! Values are whole numbers, for CRI has no others: seconds lose their fractions. What the kernel does not say is left out. Sources: CRI's
//! ListMetricDescriptors, KEP-2371, and cAdvisor's list of metrics.

use super::stats::{Pressure, Usage};
use cri_proto::runtime::{
    LinuxContainerResources, Metric, MetricDescriptor, MetricType, UInt64Value,
};

/// Labels of all metrics, in their order.
const LABELS: [&str; 6] = ["container", "id", "image", "name", "namespace", "pod"];

/// Whose metrics.
#[derive(Debug, Clone, Default)]
pub struct Of<'a> {
    /// Name in the pod; "" of the pod itself.
    pub container: &'a str,
    /// Its cgroup.
    pub cgroup: &'a str,
    /// What the image was called.
    pub image: &'a str,
    /// The container's or sandbox's ID.
    pub id: &'a str,
    /// The pod's.
    pub namespace: &'a str,
    /// The pod's name.
    pub pod: &'a str,
    /// What its cgroup has used.
    pub usage: Usage,
    /// Bytes that it has written; None of a pod.
    pub written: Option<u64>,
    /// When it was started, nanoseconds since 1970.
    pub started_at: i64,
    /// When all this was read, nanoseconds since 1970.
    pub at: i64,
    /// What it may use; None of a pod.
    pub limits: Option<&'a LinuxContainerResources>,
}

struct Row {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    /// Labels and values beside [`LABELS`].
    more: &'static [(&'static str, &'static str)],
    value: fn(&Of<'_>) -> Option<u64>,
}

const fn row(
    kind: MetricType,
    name: &'static str,
    help: &'static str,
    value: fn(&Of<'_>) -> Option<u64>,
) -> Row {
    Row {
        name,
        help,
        kind,
        more: &[],
        value,
    }
}

const fn with(more: &'static [(&'static str, &'static str)], row: Row) -> Row {
    Row { more, ..row }
}

const COUNTER: MetricType = MetricType::Counter;
const GAUGE: MetricType = MetricType::Gauge;

#[rustfmt::skip]
const ROWS: &[Row] = &[
    with(&[("cpu", "total")], row(COUNTER, "container_cpu_usage_seconds_total", "CPU time, of all CPUs together.", |of| seconds(of.usage.cpu_nanoseconds))),
    row(COUNTER, "container_cpu_user_seconds_total", "CPU time of programs.", |of| seconds(of.usage.cpu_user_nanoseconds)),
    row(COUNTER, "container_cpu_system_seconds_total", "CPU time of the kernel.", |of| seconds(of.usage.cpu_system_nanoseconds)),
    row(COUNTER, "container_cpu_cfs_periods_total", "Periods of the CPU quota that have passed.", |of| of.usage.cpu_periods),
    row(COUNTER, "container_cpu_cfs_throttled_periods_total", "Periods in which the quota was used up.", |of| of.usage.cpu_throttled_periods),
    row(COUNTER, "container_cpu_cfs_throttled_seconds_total", "How long tasks waited for the next period.", |of| seconds(of.usage.cpu_throttled_nanoseconds)),
    row(GAUGE, "container_memory_usage_bytes", "Memory, with all caches.", |of| of.usage.memory_bytes),
    row(GAUGE, "container_memory_working_set_bytes", "Memory without file pages that nobody has used for a while.", |of| of.usage.memory_working_set_bytes),
    row(GAUGE, "container_memory_rss", "Anonymous pages.", |of| of.usage.memory_rss_bytes),
    row(GAUGE, "container_memory_cache", "File pages.", |of| of.usage.memory_cache_bytes),
    row(GAUGE, "container_memory_mapped_file", "File pages that processes have mapped.", |of| of.usage.memory_mapped_bytes),
    row(GAUGE, "container_memory_swap", "Swap.", |of| of.usage.swap_bytes),
    row(COUNTER, "container_memory_failcnt", "How often the limit of memory was met.", |of| of.usage.memory_limit_met),
    with(&[("failure_type", "pgfault"), ("scope", "container")], row(COUNTER, "container_memory_failures_total", "Page faults.", |of| of.usage.page_faults)),
    with(&[("failure_type", "pgmajfault"), ("scope", "container")], row(COUNTER, "container_memory_failures_total", "Page faults.", |of| of.usage.major_page_faults)),
    row(COUNTER, "container_oom_events_total", "Processes that the kernel has ended for want of memory.", |of| of.usage.out_of_memory_kills),
    row(GAUGE, "container_processes", "Processes.", |of| of.usage.processes_alone),
    row(GAUGE, "container_threads", "Threads, those that are processes too.", |of| of.usage.processes),
    with(&[("device", "")], row(GAUGE, "container_fs_usage_bytes", "Bytes on the disk that were written over the image.", |of| of.written)),
    row(GAUGE, "container_start_time_seconds", "When it was started, since 1970.", |of| since(of.started_at)),
    row(GAUGE, "container_last_seen", "When this was read, since 1970.", |of| since(of.at)),
    row(GAUGE, "container_spec_cpu_period", "The period of its CPU quota, in microseconds.", |of| limit(of, |limits| limits.cpu_period)),
    row(GAUGE, "container_spec_cpu_quota", "Its CPU quota, in microseconds.", |of| limit(of, |limits| limits.cpu_quota)),
    row(GAUGE, "container_spec_cpu_shares", "Its share of CPU.", |of| limit(of, |limits| limits.cpu_shares)),
    row(GAUGE, "container_spec_memory_limit_bytes", "Its limit of memory.", |of| limit(of, |limits| limits.memory_limit_in_bytes)),
    row(COUNTER, "container_pressure_cpu_waiting_seconds_total", "How long at least one task waited for a CPU.", |of| some(of.usage.cpu_pressure)),
    row(COUNTER, "container_pressure_cpu_stalled_seconds_total", "How long all tasks waited for a CPU.", |of| full(of.usage.cpu_pressure)),
    row(COUNTER, "container_pressure_memory_waiting_seconds_total", "How long at least one task waited for memory.", |of| some(of.usage.memory_pressure)),
    row(COUNTER, "container_pressure_memory_stalled_seconds_total", "How long all tasks waited for memory.", |of| full(of.usage.memory_pressure)),
    row(COUNTER, "container_pressure_io_waiting_seconds_total", "How long at least one task waited for a disk.", |of| some(of.usage.io_pressure)),
    row(COUNTER, "container_pressure_io_stalled_seconds_total", "How long all tasks waited for a disk.", |of| full(of.usage.io_pressure)),
];

/// Each metric once.
#[must_use]
pub fn descriptors() -> Vec<MetricDescriptor> {
    let mut all: Vec<MetricDescriptor> = Vec::new();
    for row in ROWS {
        if all.iter().all(|before| before.name != row.name) {
            let more = row.more.iter().map(|(key, _)| *key);
            all.push(MetricDescriptor {
                name: row.name.to_owned(),
                help: row.help.to_owned(),
                label_keys: LABELS.into_iter().chain(more).map(str::to_owned).collect(),
            });
        }
    }
    all
}

/// Those of one container or pod.
#[must_use]
pub fn metrics(of: &Of<'_>) -> Vec<Metric> {
    let labels = [
        of.container,
        of.cgroup,
        of.image,
        of.id,
        of.namespace,
        of.pod,
    ];
    let metric = |row: &Row| {
        let more = row.more.iter().map(|(_, value)| *value);
        Some(Metric {
            name: row.name.to_owned(),
            timestamp: of.at,
            metric_type: row.kind.into(),
            label_values: labels.into_iter().chain(more).map(str::to_owned).collect(),
            value: Some(UInt64Value {
                value: (row.value)(of)?,
            }),
        })
    };
    ROWS.iter().filter_map(metric).collect()
}

const NANOSECONDS: u64 = 1_000_000_000;

fn seconds(nanoseconds: Option<u64>) -> Option<u64> {
    nanoseconds.map(|nanoseconds| nanoseconds / NANOSECONDS)
}

fn since(nanoseconds: i64) -> Option<u64> {
    let nanoseconds = u64::try_from(nanoseconds).ok().filter(|at| *at > 0);
    seconds(nanoseconds)
}

fn some(pressure: Option<Pressure>) -> Option<u64> {
    seconds(pressure.map(|pressure| pressure.some.total_nanoseconds))
}

fn full(pressure: Option<Pressure>) -> Option<u64> {
    seconds(pressure.map(|pressure| pressure.full.total_nanoseconds))
}

/// 0 and less are none.
fn limit(of: &Of<'_>, limit: fn(&LinuxContainerResources) -> i64) -> Option<u64> {
    u64::try_from(limit(of.limits?))
        .ok()
        .filter(|limit| *limit > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_the_labels_of_its_descriptor() {
        let limits = LinuxContainerResources {
            memory_limit_in_bytes: 64,
            cpu_quota: -1,
            ..LinuxContainerResources::default()
        };
        let of = Of {
            container: "main",
            pod: "web",
            usage: Usage {
                cpu_nanoseconds: Some(3_999_999_999),
                page_faults: Some(1),
                major_page_faults: Some(2),
                ..Usage::default()
            },
            written: Some(5),
            at: 7_000_000_000,
            limits: Some(&limits),
            ..Of::default()
        };
        let all = metrics(&of);
        let value = |name: &str| {
            let found = all.iter().filter(|metric| metric.name == name);
            found
                .map(|metric| metric.value.expect("a value").value)
                .collect::<Vec<_>>()
        };
        assert_eq!(value("container_cpu_usage_seconds_total"), [3]);
        assert_eq!(value("container_memory_failures_total"), [1, 2]);
        assert_eq!(value("container_fs_usage_bytes"), [5]);
        assert_eq!(value("container_last_seen"), [7]);
        assert_eq!(value("container_start_time_seconds"), [0_u64; 0]);
        assert_eq!(value("container_spec_memory_limit_bytes"), [64]);
        assert_eq!(value("container_spec_cpu_quota"), [0_u64; 0]);
        let known = descriptors();
        for metric in &all {
            let descriptor = known.iter().find(|known| known.name == metric.name);
            let keys = &descriptor.expect("it is described").label_keys;
            assert_eq!(keys.len(), metric.label_values.len(), "{}", metric.name);
        }
        let mut names: Vec<_> = known.iter().map(|known| &known.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), known.len());
    }
}

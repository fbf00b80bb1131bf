//! How long something takes, each time that it is done, as Prometheus counts it.

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use std::time::{Duration, Instant};

/// Of flushes and commits: etcd's buckets, from 1 ms to 8 s.
const DISK: (f64, u16) = (0.001, 14);
/// Of round trips: etcd's buckets, from 0.1 ms to 3 s.
const ROUND_TRIPS: (f64, u16) = (0.0001, 16);

/// Counts durations in buckets that double. Clones count together.
#[derive(Debug, Clone)]
pub struct Durations(Histogram);

impl Durations {
    /// Of what waits for a disk.
    #[must_use]
    pub fn of_disk() -> Self {
        Self::in_buckets(DISK)
    }

    /// Of what waits for another member.
    #[must_use]
    pub fn of_round_trips() -> Self {
        Self::in_buckets(ROUND_TRIPS)
    }

    fn in_buckets((shortest, buckets): (f64, u16)) -> Self {
        Self(Histogram::new(exponential_buckets(shortest, 2.0, buckets)))
    }

    /// Counts one.
    pub fn took(&self, duration: Duration) {
        self.0.observe(duration.as_secs_f64());
    }

    /// Counts how long `work` takes, whatever comes of it.
    pub fn of<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        self.took(start.elapsed());
        done
    }

    /// What has been counted, as it goes on.
    #[must_use]
    pub fn histogram(&self) -> &Histogram {
        &self.0
    }
}

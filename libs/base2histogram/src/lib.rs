//! Stands in for the crate of this name, with which openraft counts how large its batches are.
//!
//! That crate fills tables for sixteen resolutions at the first use, of which openraft uses one: 26 MiB that are never looked
//! at again, twice what the rest of a store without keys needs. openraft shows the counts only with its feature
//! `runtime-stats`, which nobody here asks for. So this has the calls that openraft makes, over one count per power of two.
//!
//! To be removed (with its line under `[patch.crates-io]`) once the other makes its tables when they are needed.
//!
//! ```
//! let mut histogram = base2histogram::Histogram::<()>::new();
//! histogram.record(5);
//! histogram.record(700);
//! let stats = histogram.percentile_stats();
//! assert_eq!((stats.samples, stats.p1, stats.p99), (2, 4, 512));
//! ```

use std::{fmt, marker::PhantomData};

/// One for 0, and one for each bit that can be a value's highest.
const BUCKETS: usize = 65;

/// Counts by powers of two: of 0, of 1, of 2 to 3, of 4 to 7, and so on. `T` is there for the other crate's sake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    counts: [u64; BUCKETS],
    kind: PhantomData<T>,
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Histogram<T> {
    /// Nothing counted.
    #[must_use]
    pub fn new() -> Self {
        Self {
            counts: [0; BUCKETS],
            kind: PhantomData,
        }
    }

    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts a value so many times.
    pub fn record_n(&mut self, value: u64, times: u64) {
        let bits = u64::BITS - value.leading_zeros();
        let bucket = usize::try_from(bits).expect("at most 64");
        self.counts[bucket] = self.counts[bucket].saturating_add(times);
    }

    /// How the values lie; each by the least that its bucket takes.
    #[must_use]
    pub fn percentile_stats(&self) -> PercentileStats {
        let samples = self.counts.iter().sum();
        let at = |permille: u64| {
            // The rank of the value that so many are not above, counted from one.
            let rank = (u128::from(samples) * u128::from(permille)).div_ceil(1000);
            let mut seen = 0;
            let found = self.counts.iter().position(|count| {
                seen += u128::from(*count);
                seen >= rank.max(1)
            });
            found.map_or(0, least)
        };
        PercentileStats {
            samples,
            p0_1: at(1),
            p1: at(10),
            p5: at(50),
            p10: at(100),
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p99_9: at(999),
        }
    }
}

/// The least value that a bucket takes.
fn least(bucket: usize) -> u64 {
    bucket.checked_sub(1).map_or(0, |power| 1 << power)
}

/// How the values of a [`Histogram`] lie: so many per mille of them are at most this.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} samples, p50 {}, p99 {}",
            self.samples, self.p50, self.p99
        )
    }
}

/// Histograms as text: a line for each that says which values it has, and how many.
#[derive(Debug, Clone, Default)]
pub struct AsciiChart {
    rows: Vec<(String, Histogram)>,
}

impl AsciiChart {
    /// No histograms.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more, under this name.
    #[must_use]
    pub fn add(mut self, name: impl Into<String>, histogram: Histogram) -> Self {
        self.rows.push((name.into(), histogram));
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, histogram) in &self.rows {
            write!(formatter, "{name}:")?;
            let counts = histogram.counts.iter().enumerate();
            for (bucket, count) in counts.filter(|(_, count)| **count > 0) {
                write!(formatter, " {}:{count}", least(bucket))?;
            }
            writeln!(formatter)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_between_powers_of_two() {
        let mut histogram = Histogram::<()>::new();
        for value in [0, 1, 2, 3, 4, 7, 8, u64::MAX] {
            histogram.record(value);
        }
        let chart = AsciiChart::new().add("all", histogram).to_string();
        assert_eq!(chart, "all: 0:1 1:1 2:2 4:2 8:1 9223372036854775808:1\n");
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!(histogram.percentile_stats(), PercentileStats::default());
        histogram.record_n(10, 90);
        histogram.record_n(1000, 10);
        let stats = histogram.percentile_stats();
        assert_eq!((stats.samples, stats.p50, stats.p90), (100, 8, 8));
        assert_eq!((stats.p99, stats.p99_9), (512, 512));
    }
}

//! When history is compacted by itself, and how far (etcd's `--auto-compaction-mode` and `--auto-compaction-retention`).
//!
//! ```text
//!   periodic 10h:   samples of (time, revision) ──────── 10 h ────────┐
//!                   every hour: compact to the revision of 10 h ago <─┘
//!   revision 1000:  every 5 minutes: compact to the revision 1000 before the newest
//! ```
//!
//! Only the leader does it. A new leader knows nothing of revisions before its time, so after an election history is kept
//! for longer, never shorter.

use std::{collections::VecDeque, time::Duration};

/// Longest time between two compactions by time; shorter periods compact once per period.
const PERIODIC_INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// Samples in the time between two compactions.
const SAMPLES_PER_INTERVAL: u32 = 10;
/// Between two compactions by revisions.
const REVISION_INTERVAL: Duration = Duration::from_secs(300);
/// Longest period: ten years, which bounds the samples.
pub const PERIOD_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Everything, until somebody compacts.
    #[default]
    Off,
    /// What is younger than this; above zero and at most [`PERIOD_MAX`].
    Periodic(Duration),
    /// This many revisions; above zero.
    Revisions(i64),
}

/// A policy, and what it must remember.
#[derive(Debug)]
pub struct Compactor {
    policy: Policy,
    samples: VecDeque<(Duration, i64)>,
    /// When the last compaction was asked for.
    last: Option<Duration>,
    compacted: i64,
}

impl Compactor {
    /// Begins with no knowledge of the past.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            samples: VecDeque::new(),
            last: None,
            compacted: 0,
        }
    }

    /// How often [`Compactor::observe`] is to be called; None: never.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        match self.policy {
            Policy::Off => None,
            Policy::Periodic(period) => {
                Some(period.min(PERIODIC_INTERVAL_MAX) / SAMPLES_PER_INTERVAL)
            }
            Policy::Revisions(_) => Some(REVISION_INTERVAL),
        }
    }

    /// Takes in the revision of now; returns the revision to compact to, where it is time to. `now` never goes back.
    pub fn observe(&mut self, now: Duration, revision: i64) -> Option<i64> {
        let target = match self.policy {
            Policy::Off => return None,
            Policy::Revisions(kept) => revision.checked_sub(kept)?,
            Policy::Periodic(period) => self.sample(now, revision, period)?,
        };
        if target <= self.compacted || target <= 0 {
            return None;
        }
        self.compacted = target;
        Some(target)
    }

    /// The newest revision that is older than the period, once per interval.
    fn sample(&mut self, now: Duration, revision: i64, period: Duration) -> Option<i64> {
        self.samples.push_back((now, revision));
        let due = self
            .last
            .is_none_or(|last| now.saturating_sub(last) >= period.min(PERIODIC_INTERVAL_MAX));
        let old = |&(time, _): &(Duration, i64)| now.saturating_sub(time) >= period;
        // The last of those that are old enough stays: it is the one that counts.
        while self.samples.get(1).is_some_and(old) {
            self.samples.pop_front();
        }
        let &(_, target) = self.samples.front().filter(|sample| old(sample))?;
        if !due {
            return None;
        }
        self.last = Some(now);
        Some(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    /// Observes a store that makes one revision a second, for this long; returns (time, target) of each compaction.
    fn run(policy: Policy, seconds: u64) -> Vec<(u64, i64)> {
        let mut compactor = Compactor::new(policy);
        let Some(interval) = compactor.interval() else {
            return Vec::new();
        };
        let step = interval.as_secs().max(1);
        (0..=seconds / step)
            .map(|number| number * step)
            .filter_map(|second| {
                let revision = i64::try_from(second).expect("small") + 1;
                let target = compactor.observe(Duration::from_secs(second), revision)?;
                Some((second, target))
            })
            .collect()
    }

    #[test]
    fn nothing_is_compacted_without_a_policy() {
        assert_eq!(run(Policy::Off, 100 * HOUR), []);
    }

    #[test]
    fn short_periods_compact_once_per_period() {
        let compacted = run(Policy::Periodic(Duration::from_secs(600)), 2400);
        assert_eq!(
            compacted,
            [(600, 1), (1200, 601), (1800, 1201), (2400, 1801)]
        );
    }

    #[test]
    fn long_periods_compact_every_hour() {
        let compacted = run(Policy::Periodic(Duration::from_secs(10 * HOUR)), 12 * HOUR);
        assert_eq!(
            compacted,
            [(10 * HOUR, 1), (11 * HOUR, 3601), (12 * HOUR, 7201)]
        );
    }

    #[test]
    fn revisions_are_counted_back_from_the_newest() {
        let compacted = run(Policy::Revisions(1000), 1800);
        assert_eq!(compacted, [(1200, 201), (1500, 501), (1800, 801)]);
    }

    #[test]
    fn a_store_that_stands_still_is_compacted_once() {
        let mut compactor = Compactor::new(Policy::Revisions(10));
        let observed: Vec<_> = (0..5)
            .filter_map(|number| compactor.observe(REVISION_INTERVAL * number, 100))
            .collect();
        assert_eq!(observed, [90]);
    }

    #[test]
    fn samples_are_bounded() {
        let mut compactor = Compactor::new(Policy::Periodic(Duration::from_secs(2 * HOUR)));
        for number in 0..1000 {
            compactor.observe(Duration::from_secs(360) * number, i64::from(number));
        }
        assert_eq!(compactor.samples.len(), 21);
    }
}

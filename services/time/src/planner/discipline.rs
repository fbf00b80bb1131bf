//! How the clock is corrected by what the servers agree on: step, then slew.
//!
//! - The first agreement steps the clock if it is off by more than [`STEP_THRESHOLD`]: nothing depends
//!   on it yet. Everything else slews it, at most [`SLEW_RATE`].
//! - Later a clock that is off by more than that was set by somebody, or slept. It is stepped only when
//!   [`STEP_CONFIRMATIONS`] agreements in a row say so.
//! - The frequency error is the slope of the clock's own drift, that is, of each measured offset plus all
//!   corrections made before it, over the last [`HISTORY`] agreements. It is taken over as far as it
//!   stands out of its own uncertainty.

use super::{Nanos, SECOND, select::Agreement};
use std::collections::VecDeque;

/// Largest offset that is slewed: at the slew rate it takes a quarter of an hour.
pub const STEP_THRESHOLD: Nanos = SECOND / 2;
/// Agreements in a row that it takes to step a clock that was right before.
pub const STEP_CONFIRMATIONS: u32 = 3;
/// The kernel's slew rate (adjtime(3)), in nanoseconds per second.
pub const SLEW_RATE: i64 = 500_000;
/// The kernel's largest frequency correction (adjtimex(2)), in parts per billion.
pub const FREQUENCY_MAX: i64 = 500_000;
/// Agreements that the frequency is estimated from: at the longest interval four and a half hours.
pub const HISTORY: usize = 16;
/// Shortest time that a frequency is estimated over: below, noise is all there is.
const SPAN_MIN: Nanos = 60 * SECOND;
/// Fewest points for a slope with an uncertainty.
const POINTS_MIN: usize = 3;

/// What to do with the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correction {
    /// Nothing yet: too far off to slew, not confirmed enough to step.
    Wait,
    /// Add this at once.
    Step(Nanos),
    /// Add this slowly, replacing what is left of the slew before.
    Slew {
        /// What to add.
        offset: Nanos,
        /// Frequency correction in parts per billion; positive makes the clock faster.
        frequency: i64,
        /// How wrong the clock can be.
        error: Nanos,
    },
}

/// What is known of the clock.
#[derive(Debug, Clone)]
pub struct Discipline {
    /// Whether an agreement was reached since the start.
    settled: bool,
    frequency: i64,
    /// Slew that was begun at the last update.
    slew: Nanos,
    updated: Nanos,
    /// Sum of all corrections since the history began.
    applied: Nanos,
    /// Steady time and drift.
    history: VecDeque<(Nanos, Nanos)>,
    /// Agreements in a row beyond [`STEP_THRESHOLD`].
    beyond: u32,
    /// Root of the mean square of the drift's residuals.
    noise: Nanos,
}

impl Discipline {
    /// A clock with the frequency correction that the kernel has already.
    #[must_use]
    pub fn new(frequency: i64) -> Self {
        Self {
            settled: false,
            frequency: frequency.clamp(-FREQUENCY_MAX, FREQUENCY_MAX),
            slew: 0,
            updated: 0,
            applied: 0,
            history: VecDeque::with_capacity(HISTORY),
            beyond: 0,
            noise: 0,
        }
    }

    /// Frequency correction in parts per billion.
    #[must_use]
    pub fn frequency(&self) -> i64 {
        self.frequency
    }

    /// How much measurements scatter; 0 while there are too few.
    #[must_use]
    pub fn noise(&self) -> Nanos {
        self.noise
    }

    /// Takes an agreement reached at the steady time `now`.
    pub fn update(&mut self, now: Nanos, agreement: &Agreement) -> Correction {
        let offset = agreement.offset;
        if offset.saturating_abs() > STEP_THRESHOLD {
            self.beyond += 1;
            if self.settled && self.beyond < STEP_CONFIRMATIONS {
                return Correction::Wait;
            }
            self.settled = true;
            self.forget(now);
            return Correction::Step(offset);
        }
        self.beyond = 0;
        self.settled = true;
        self.remember(now, offset);
        self.estimate();
        // Within the noise half of an offset is as likely not there.
        self.slew = if offset.abs() <= self.noise {
            offset / 2
        } else {
            offset
        };
        Correction::Slew {
            offset: self.slew,
            frequency: self.frequency,
            error: agreement.error,
        }
    }

    fn forget(&mut self, now: Nanos) {
        self.history.clear();
        (
            self.slew,
            self.applied,
            self.noise,
            self.beyond,
            self.updated,
        ) = (0, 0, 0, 0, now);
    }

    fn remember(&mut self, now: Nanos, offset: Nanos) {
        if !self.history.is_empty() {
            let elapsed = now.saturating_sub(self.updated).max(0);
            let most = scale(elapsed, SLEW_RATE);
            let slewed = self.slew.clamp(-most, most);
            self.applied = self
                .applied
                .saturating_add(slewed)
                .saturating_add(scale(elapsed, self.frequency));
        }
        self.updated = now;
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history
            .push_back((now, offset.saturating_add(self.applied)));
    }

    /// Least squares over the history. Times in microseconds and drifts in nanoseconds keep all sums far
    /// inside 128 bits.
    fn estimate(&mut self) {
        let (Some(first), Some(last)) = (self.history.front(), self.history.back()) else {
            return;
        };
        if self.history.len() < POINTS_MIN || last.0.saturating_sub(first.0) < SPAN_MIN {
            return;
        }
        let count = i128::try_from(self.history.len()).expect("at most HISTORY");
        let points: Vec<(i128, i128)> = self
            .history
            .iter()
            .map(|(at, drift)| (i128::from((at - first.0) / 1_000), i128::from(*drift)))
            .collect();
        let mean = |pick: fn(&(i128, i128)) -> i128| points.iter().map(pick).sum::<i128>() / count;
        let (mean_time, mean_drift) = (mean(|point| point.0), mean(|point| point.1));
        let centred: Vec<(i128, i128)> = points
            .iter()
            .map(|(time, drift)| (time - mean_time, drift - mean_drift))
            .collect();
        let squares: i128 = centred
            .iter()
            .map(|(time, _)| time * time)
            .sum::<i128>()
            .max(1);
        let products: i128 = centred.iter().map(|(time, drift)| time * drift).sum();
        // Nanoseconds per microsecond are thousands of parts per million.
        let slope = products * 1_000_000 / squares; // parts per billion
        let residuals: i128 = centred
            .iter()
            .map(|(time, drift)| drift - slope * time / 1_000_000)
            .map(|rest| rest * rest)
            .sum();
        let variance = residuals / (count - 2);
        self.noise = root(variance);
        let uncertainty = variance * 1_000_000 / squares * 1_000_000;
        let change = slope - i128::from(self.frequency);
        // The more the change stands out of the noise, the more of it is taken.
        let square = change * change;
        let taken = change * square / (square + uncertainty).max(1);
        let frequency = i128::from(self.frequency) + taken;
        self.frequency = i64::try_from(frequency)
            .unwrap_or(0)
            .clamp(-FREQUENCY_MAX, FREQUENCY_MAX);
    }
}

/// `elapsed` times a rate in parts per billion.
fn scale(elapsed: Nanos, rate: i64) -> Nanos {
    let product = i128::from(elapsed) * i128::from(rate) / 1_000_000_000;
    Nanos::try_from(product).unwrap_or(Nanos::MAX)
}

fn root(square: i128) -> Nanos {
    u128::try_from(square)
        .ok()
        .and_then(|square| Nanos::try_from(square.isqrt()).ok())
        .unwrap_or(Nanos::MAX)
}

//! Exponential back-off with jitter, pure: the caller brings the randomness.

use std::time::Duration;

/// Doubles from `initial` to `cap`; each wait is drawn from the upper half, so that many waiters spread
/// out and none waits less than half of what was meant.
#[derive(Debug, Clone)]
pub struct Backoff {
    initial: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// A back-off that begins with `initial` and never waits longer than `cap`.
    #[must_use]
    pub const fn new(initial: Duration, cap: Duration) -> Self {
        Self {
            initial,
            cap,
            failures: 0,
        }
    }

    /// The next wait; `random` is any uniformly drawn number.
    pub fn next(&mut self, random: u32) -> Duration {
        let factor = 2_u32.checked_pow(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        let full = self.initial.saturating_mul(factor).min(self.cap);
        let half = full / 2;
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_wait_is_within_its_bounds(randoms in proptest::collection::vec(any::<u32>(), 1..80)) {
            let (initial, cap) = (Duration::from_millis(100), Duration::from_secs(60));
            let mut backoff = Backoff::new(initial, cap);
            for (at, random) in randoms.into_iter().enumerate() {
                let full = initial.saturating_mul(2_u32.saturating_pow(u32::try_from(at).unwrap())).min(cap);
                let wait = backoff.next(random);
                prop_assert!(wait >= full / 2 && wait <= full, "{wait:?} at {at}");
            }
            backoff.reset();
            prop_assert!(backoff.next(u32::MAX) <= initial);
        }
    }
}

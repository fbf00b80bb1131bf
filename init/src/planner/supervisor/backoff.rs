//! Waits between restarts.
//!
//! The n-th failure in a row (from 0) waits for `initial * 2^n`, at most [`BACKOFF_CAP`]; of that, the
//! upper half is drawn at random, so that services that fell together do not rise together, and none
//! waits less than half of what was meant. Randomness is a seeded sequence: one seed, one behaviour.

use init_proto::plan::BACKOFF_CAP;
use std::time::Duration;

/// Seeded random numbers (the SplitMix64 sequence). Good for spreading load, for nothing else.
#[derive(Debug, Clone)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Wait after `failures` earlier failures in a row: in `[full / 2, full]` where `full` is
/// `initial * 2^failures`, at most [`BACKOFF_CAP`].
pub(super) fn wait(initial: Duration, failures: u32, jitter: &mut Jitter) -> Duration {
    let factor = 2_u32.saturating_pow(failures);
    let full = initial.saturating_mul(factor).min(BACKOFF_CAP);
    let half = full / 2;
    let spread = u64::try_from((full - half).as_nanos()).unwrap_or(u64::MAX);
    half + Duration::from_nanos(jitter.next() % spread.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_wait_is_within_its_bounds(
            seed: u64,
            initial_ms in 0_u64..200_000,
            failures in proptest::collection::vec(any::<u32>(), 1..80),
        ) {
            let initial = Duration::from_millis(initial_ms);
            let mut jitter = Jitter::new(seed);
            for failures in failures.into_iter().chain(0..40) {
                let wait = wait(initial, failures, &mut jitter);
                prop_assert!(wait <= BACKOFF_CAP);
                prop_assert!(wait >= initial.min(BACKOFF_CAP) / 2);
            }
        }
    }

    #[test]
    fn waits_double_and_are_spread() {
        let mut jitter = Jitter::new(7);
        let initial = Duration::from_millis(250);
        for (failures, full_ms) in [(0, 250), (1, 500), (2, 1000), (7, 32_000), (8, 60_000)] {
            let waits: Vec<_> = (0..50)
                .map(|_| wait(initial, failures, &mut jitter))
                .collect();
            let full = Duration::from_millis(full_ms);
            assert!(waits.iter().all(|wait| (full / 2..=full).contains(wait)));
            assert!(waits.iter().any(|wait| *wait < full.mul_f64(0.6)));
            assert!(waits.iter().any(|wait| *wait > full.mul_f64(0.9)));
        }
    }
}

//! Which servers agree, and on what (in the manner of RFC 5905 section 11.2).
//!
//! Each sample stands for the interval `offset - distance ..= offset + distance`, which holds the true
//! offset unless its server lies. The point that most intervals share is trusted if more than half of
//! them share it; servers whose interval does not hold it are falsetickers.

use super::{Nanos, SECOND, packet::Sample};

/// Added to each distance: clocks and paths that are better than this are not told apart.
pub const DISTANCE_MIN: Nanos = SECOND / 500;

/// What the servers agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// Mean offset of those who agree, weighted by the inverse of their distances.
    pub offset: Nanos,
    /// Half the width of what they agree on: how wrong it can be.
    pub error: Nanos,
    /// Lowest stratum among them.
    pub stratum: u8,
    /// Positions of those who agree in what was given.
    pub members: Vec<usize>,
}

/// Finds what the majority agrees on. None where there is no sample, or no majority.
#[must_use]
pub fn select(samples: &[Sample]) -> Option<Agreement> {
    let interval = |sample: &Sample| {
        let distance = sample.distance.saturating_add(DISTANCE_MIN);
        (
            sample.offset.saturating_sub(distance),
            sample.offset.saturating_add(distance),
        )
    };
    // Every largest set of intervals that share a point shares the lower end of one of them.
    let best = samples
        .iter()
        .map(|sample| interval(sample).0)
        .max_by_key(|point| {
            let count = samples
                .iter()
                .filter(|other| holds(interval(other), *point))
                .count();
            // Of equal counts the later point gives the narrower, or the same, intersection.
            (count, *point)
        })?;
    let members: Vec<usize> = (0..samples.len())
        .filter(|at| holds(interval(&samples[*at]), best))
        .collect();
    if members.len() * 2 <= samples.len() {
        return None;
    }
    let chosen: Vec<&Sample> = members.iter().map(|at| &samples[*at]).collect();
    let low = chosen.iter().map(|sample| interval(sample).0).max()?;
    let high = chosen.iter().map(|sample| interval(sample).1).min()?;
    Some(Agreement {
        offset: mean(&chosen).clamp(low, high),
        error: high.saturating_sub(low) / 2,
        stratum: chosen.iter().map(|sample| sample.stratum).min()?,
        members,
    })
}

fn holds((low, high): (Nanos, Nanos), point: Nanos) -> bool {
    low <= point && point <= high
}

fn mean(samples: &[&Sample]) -> Nanos {
    // Distances are at most some seconds, so a weight is at least 1 and at most 500,000.
    let weight = |sample: &&Sample| {
        i128::from(1_000 * SECOND / sample.distance.saturating_add(DISTANCE_MIN).max(1)).max(1)
    };
    let total: i128 = samples.iter().map(weight).sum();
    let sum: i128 = samples
        .iter()
        .map(|sample| weight(sample) * i128::from(sample.offset))
        .sum();
    Nanos::try_from(sum / total.max(1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MILLISECOND: Nanos = SECOND / 1_000;

    fn sample(offset: Nanos, distance: Nanos) -> Sample {
        Sample {
            offset: offset * MILLISECOND,
            delay: 0,
            distance: distance * MILLISECOND,
            stratum: 2,
        }
    }

    fn check(samples: &[(Nanos, Nanos)], members: Option<&[usize]>) {
        let samples: Vec<Sample> = samples
            .iter()
            .map(|(offset, distance)| sample(*offset, *distance))
            .collect();
        let agreement = select(&samples);
        assert_eq!(
            agreement
                .as_ref()
                .map(|agreement| agreement.members.as_slice()),
            members,
            "{agreement:?}"
        );
    }

    #[test]
    fn the_majority_is_trusted() {
        check(&[], None);
        check(&[(7, 20)], Some(&[0]));
        check(&[(7, 20), (9, 20)], Some(&[0, 1]));
        check(&[(7, 20), (9_000, 20)], None);
        check(&[(7, 20), (9_000, 20), (8, 20)], Some(&[0, 2]));
        check(&[(7, 20), (9_000, 20), (-500, 20)], None);
        check(
            &[(7, 20), (9_000, 20), (8, 20), (9_001, 20), (9, 5)],
            Some(&[0, 2, 4]),
        );
    }

    #[test]
    fn the_better_server_weighs_more() {
        let agreement = select(&[sample(0, 0), sample(10, 98)]).unwrap();
        assert!(agreement.offset < MILLISECOND, "{agreement:?}");
    }

    proptest! {
        /// Whatever a minority of liars says, the result is one that the honest could have given.
        #[test]
        fn a_minority_of_liars_does_no_harm(
            truth in -100_000_i64..100_000,
            honest in proptest::collection::vec((-50_i64..=50, 0_i64..50), 3..8),
            lies in proptest::collection::vec((-200_000_i64..200_000, 0_i64..50), 0..3),
        ) {
            // An honest server's error is within its distance.
            let mut samples: Vec<Sample> =
                honest.iter().map(|(error, more)| sample(truth + error, error.abs() + more)).collect();
            let count = lies.len().min(samples.len() - 1);
            samples.extend(lies[..count].iter().map(|(offset, distance)| sample(*offset, *distance)));
            let agreement = select(&samples).expect("the honest are a majority");
            prop_assert!((agreement.offset - truth * MILLISECOND).abs() <= 250 * MILLISECOND, "{agreement:?}");
        }

        #[test]
        fn extremes_are_no_accident(offsets in proptest::collection::vec((any::<i64>(), 0_i64..i64::MAX), 0..9)) {
            let samples: Vec<Sample> = offsets.iter()
                .map(|(offset, distance)| Sample { offset: *offset, delay: 0, distance: *distance, stratum: 1 })
                .collect();
            let _ = select(&samples);
        }
    }
}

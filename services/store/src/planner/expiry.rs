//! When leases end. Only the leader knows; it proposes the end of each, and the log decides.
//!
//! ```text
//!   leader elected: every lease gets its life afresh ──> renewed by keep-alives ──> due ──> proposal to revoke
//!                                                              │                              └─ again after a while,
//!                                                              └─ long ones: proposal to note     if nothing came of it
//!                                                                 what is left, now and then
//! ```
//!
//! Time is a [`Duration`] since an origin of the caller's choice, from a clock that never goes back: a jump of the
//! wall clock ends no lease. A member that stops leading drops its `Expiry`.

use super::leases::Leases;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A proposal to revoke of which nothing came is made again after this: longer than an election.
pub const PROPOSAL_AGAIN: Duration = Duration::from_secs(3);
/// What is left of a lease is noted this often; a lease that lives no longer than that is never noted.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(300);
/// Most leases in one answer of [`Expiry::due`] or [`Expiry::checkpoints`]: a thousand proposals at once keep a log
/// busy for some milliseconds; the rest follow at the next call.
pub const BATCH_MAX: usize = 1000;

/// When one lease ends.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    /// When it is next due: its end, or a while after its end was proposed.
    due: Duration,
    end: Duration,
    /// When what is left is noted next, where its life is long enough.
    checkpoint: Option<Duration>,
}

/// The leader's view of leases.
#[derive(Debug, Default)]
pub struct Expiry {
    deadlines: BTreeMap<i64, Deadline>,
    due: BTreeSet<(Duration, i64)>,
    checkpoints: BTreeSet<(Duration, i64)>,
}

impl Expiry {
    /// Begins at election. Nobody could renew a lease while there was no leader, so each gets its life afresh (what was
    /// last noted of it), and `grace` (an election timeout) on top.
    #[must_use]
    pub fn begin(leases: &Leases, now: Duration, grace: Duration) -> Self {
        let mut expiry = Self::default();
        for (id, lease) in leases.iter() {
            expiry.set(id, now, seconds(lease.life()) + grace);
        }
        expiry
    }

    /// A lease was granted or renewed: it lives `time_to_live` seconds from now.
    ///
    /// Where something is noted of it ([`super::leases::Lease::remaining`]), a checkpoint of 0 must be committed before the
    /// renewal is answered: else the next leader gives it the little that was left before.
    pub fn renew(&mut self, id: i64, time_to_live: i64, now: Duration) {
        self.set(id, now, seconds(time_to_live));
    }

    /// A lease is no more.
    pub fn revoked(&mut self, id: i64) {
        if let Some(deadline) = self.deadlines.remove(&id) {
            self.due.remove(&(deadline.due, id));
            if let Some(checkpoint) = deadline.checkpoint {
                self.checkpoints.remove(&(checkpoint, id));
            }
        }
    }

    /// How long a lease still lives: None where there is no such lease, zero where it is due.
    #[must_use]
    pub fn remaining(&self, id: i64, now: Duration) -> Option<Duration> {
        let deadline = self.deadlines.get(&id)?;
        Some(deadline.end.saturating_sub(now))
    }

    /// Leases that have ended, to be proposed for revocation, at most [`BATCH_MAX`].
    pub fn due(&mut self, now: Duration) -> Vec<i64> {
        let mut ended = Vec::new();
        while ended.len() < BATCH_MAX
            && let Some(&(due, id)) = self.due.first()
            && due <= now
        {
            self.due.remove(&(due, id));
            let again = now + PROPOSAL_AGAIN;
            self.due.insert((again, id));
            if let Some(deadline) = self.deadlines.get_mut(&id) {
                deadline.due = again;
            }
            ended.push(id);
        }
        ended
    }

    /// Leases of which it is time to note what is left, in whole seconds, at most [`BATCH_MAX`].
    pub fn checkpoints(&mut self, now: Duration) -> Vec<(i64, i64)> {
        let mut noted = Vec::new();
        while noted.len() < BATCH_MAX
            && let Some(&(checkpoint, id)) = self.checkpoints.first()
            && checkpoint <= now
        {
            self.checkpoints.remove(&(checkpoint, id));
            let Some(deadline) = self.deadlines.get_mut(&id) else {
                continue;
            };
            deadline.checkpoint = next_checkpoint(now, deadline.end);
            if let Some(next) = deadline.checkpoint {
                self.checkpoints.insert((next, id));
            }
            // Rounded up: a lease that lives must not be noted as one that has nothing left.
            let left = deadline.end.saturating_sub(now);
            let whole = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            if whole > 0 {
                noted.push((id, i64::try_from(whole).unwrap_or(i64::MAX)));
            }
        }
        noted
    }

    /// When [`Expiry::due`] or [`Expiry::checkpoints`] next has something.
    #[must_use]
    pub fn next(&self) -> Option<Duration> {
        let due = self.due.first().map(|(time, _)| *time);
        let checkpoint = self.checkpoints.first().map(|(time, _)| *time);
        due.into_iter().chain(checkpoint).min()
    }

    fn set(&mut self, id: i64, now: Duration, life: Duration) {
        self.revoked(id);
        let end = now + life;
        let deadline = Deadline {
            due: end,
            end,
            checkpoint: next_checkpoint(now, end),
        };
        self.due.insert((end, id));
        if let Some(checkpoint) = deadline.checkpoint {
            self.checkpoints.insert((checkpoint, id));
        }
        self.deadlines.insert(id, deadline);
    }
}

fn next_checkpoint(now: Duration, end: Duration) -> Option<Duration> {
    let next = now + CHECKPOINT_INTERVAL;
    (next < end).then_some(next)
}

/// A lease of negative life ends at once.
fn seconds(time_to_live: i64) -> Duration {
    Duration::from_secs(u64::try_from(time_to_live).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::leases::Lease;

    const SECOND: Duration = Duration::from_secs(1);

    fn leases(lives: &[(i64, i64, Option<i64>)]) -> Leases {
        let mut leases = Leases::default();
        for (id, life, remaining) in lives {
            leases.insert(*id, Lease::new(*life, *remaining));
        }
        leases
    }

    #[test]
    fn a_new_leader_gives_every_lease_its_life_afresh() {
        let leases = leases(&[(1, 10, None), (2, 3600, Some(20))]);
        let mut expiry = Expiry::begin(&leases, SECOND * 100, SECOND);
        assert_eq!(expiry.remaining(1, SECOND * 100), Some(SECOND * 11));
        assert_eq!(expiry.remaining(2, SECOND * 100), Some(SECOND * 21));
        assert_eq!(expiry.next(), Some(SECOND * 111));
        assert_eq!(expiry.due(SECOND * 110), [0_i64; 0]);
        assert_eq!(expiry.due(SECOND * 111), [1]);
        assert_eq!(expiry.due(SECOND * 121), [1, 2]);
    }

    #[test]
    fn a_renewed_lease_lives_on() {
        let mut expiry = Expiry::default();
        expiry.renew(1, 10, Duration::ZERO);
        expiry.renew(1, 10, SECOND * 9);
        assert_eq!(expiry.due(SECOND * 18), [0_i64; 0]);
        assert_eq!(expiry.due(SECOND * 19), [1]);
        // The proposal is on its way; a keep-alive that comes first still saves the lease here.
        expiry.renew(1, 10, SECOND * 20);
        assert_eq!(expiry.due(SECOND * 29), [0_i64; 0]);
        expiry.revoked(1);
        assert_eq!(expiry.next(), None);
        assert_eq!(expiry.remaining(1, SECOND), None);
    }

    #[test]
    fn a_lost_proposal_is_made_again() {
        let mut expiry = Expiry::default();
        expiry.renew(1, 1, Duration::ZERO);
        assert_eq!(expiry.due(SECOND), [1]);
        assert_eq!(expiry.due(SECOND), [0_i64; 0]);
        assert_eq!(expiry.due(SECOND + PROPOSAL_AGAIN), [1]);
    }

    #[test]
    fn batches_are_bounded() {
        let mut expiry = Expiry::default();
        for id in 0..1500 {
            expiry.renew(id, 1, Duration::ZERO);
        }
        assert_eq!(expiry.due(SECOND * 2).len(), BATCH_MAX);
        assert_eq!(expiry.due(SECOND * 2).len(), 500);
    }

    #[test]
    fn long_leases_are_noted_now_and_then() {
        let mut expiry = Expiry::default();
        expiry.renew(1, 700, Duration::ZERO);
        expiry.renew(2, 300, Duration::ZERO);
        assert_eq!(expiry.next(), Some(SECOND * 300));
        assert_eq!(expiry.checkpoints(SECOND * 301), [(1, 399)]);
        assert_eq!(expiry.checkpoints(SECOND * 602), [(1, 98)]);
        assert_eq!(expiry.checkpoints(SECOND * 699), []);
    }
}

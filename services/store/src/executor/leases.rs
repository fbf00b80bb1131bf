//! The leader's clock of leases: nobody else has one.

use crate::planner::{expiry::Expiry, leases::Leases, state::Bookkeeping};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// When leases end, while this member leads.
#[derive(Debug)]
pub struct LeaseClock {
    origin: Instant,
    expiry: Mutex<Option<Expiry>>,
    changed: Notify,
}

/// What is to be proposed now.
#[derive(Debug, Default)]
pub struct Due {
    /// Leases that have ended.
    pub ended: Vec<i64>,
    /// Leases of which it is time to note what is left, in seconds.
    pub noted: Vec<(i64, i64)>,
}

impl Default for LeaseClock {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            expiry: Mutex::default(),
            changed: Notify::new(),
        }
    }
}

impl LeaseClock {
    /// This member leads from now on; `grace` is what an election takes.
    pub fn begin(&self, leases: &Leases, grace: Duration) {
        *self.lock() = Some(Expiry::begin(leases, self.now(), grace));
        self.changed.notify_one();
    }

    /// This member leads no longer.
    pub fn end(&self) {
        *self.lock() = None;
        self.changed.notify_one();
    }

    /// Whether this member leads, as far as leases go.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.lock().is_some()
    }

    /// A command granted or revoked a lease.
    pub fn applied(&self, granted: bool, bookkeeping: &Bookkeeping) {
        let Bookkeeping::Lease(id, lease) = bookkeeping else {
            return;
        };
        if let Some(expiry) = self.lock().as_mut() {
            match lease {
                Some(lease) if granted => expiry.renew(*id, lease.time_to_live, self.now()),
                Some(_) => return,
                None => expiry.revoked(*id),
            }
            self.changed.notify_one();
        }
    }

    /// Renews a lease that has not ended. Returns whether it did.
    pub fn renew(&self, id: i64, time_to_live: i64) -> bool {
        let now = self.now();
        let mut expiry = self.lock();
        let Some(expiry) = expiry.as_mut() else {
            return false;
        };
        let lives = expiry
            .remaining(id, now)
            .is_some_and(|remaining| !remaining.is_zero());
        if lives {
            expiry.renew(id, time_to_live, now);
        }
        lives
    }

    /// How long a lease still lives; None: there is none, or this member does not lead.
    #[must_use]
    pub fn remaining(&self, id: i64) -> Option<Duration> {
        self.lock().as_ref()?.remaining(id, self.now())
    }

    /// Waits until something is due, and says what.
    pub async fn due(&self) -> Due {
        loop {
            let now = self.now();
            let (due, next) = match self.lock().as_mut() {
                Some(expiry) => {
                    let due = Due {
                        ended: expiry.due(now),
                        noted: expiry.checkpoints(now),
                    };
                    (due, expiry.next())
                }
                None => (Due::default(), None),
            };
            if !due.ended.is_empty() || !due.noted.is_empty() {
                return due;
            }
            match next {
                Some(next) => {
                    let _ =
                        tokio::time::timeout_at(self.origin + next, self.changed.notified()).await;
                }
                None => self.changed.notified().await,
            }
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Expiry>> {
        self.expiry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Leases as all members know them: granted, revoked, attached to keys. When one ends is the leader's business
//! ([`super::expiry`]); here is no time.

use std::collections::{BTreeMap, BTreeSet};

/// Longest life that a lease may ask for, in seconds (etcd's bound: 285 years).
pub const TIME_TO_LIVE_MAX: i64 = 9_000_000_000;

/// One lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Granted life in seconds.
    pub time_to_live: i64,
    /// Seconds that were left when the leader last told; None: nothing told since it was granted or renewed.
    pub remaining: Option<i64>,
    keys: BTreeSet<Box<[u8]>>,
}

impl Lease {
    /// A lease without keys.
    #[must_use]
    pub fn new(time_to_live: i64, remaining: Option<i64>) -> Self {
        Self {
            time_to_live,
            remaining,
            keys: BTreeSet::new(),
        }
    }

    /// Keys that end with it, in order.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().map(AsRef::as_ref)
    }

    /// Seconds that a new leader gives it: what was left when last told, else all of it.
    #[must_use]
    pub fn life(&self) -> i64 {
        self.remaining.unwrap_or(self.time_to_live)
    }
}

/// All leases, by their number.
#[derive(Debug, Default)]
pub struct Leases {
    leases: BTreeMap<i64, Lease>,
}

impl Leases {
    /// One lease.
    #[must_use]
    pub fn get(&self, id: i64) -> Option<&Lease> {
        self.leases.get(&id)
    }

    /// Whether there is such a lease.
    #[must_use]
    pub fn contains(&self, id: i64) -> bool {
        self.leases.contains_key(&id)
    }

    /// All, by number.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &Lease)> {
        self.leases.iter().map(|(id, lease)| (*id, lease))
    }

    /// Adds or replaces a lease.
    pub fn insert(&mut self, id: i64, lease: Lease) {
        self.leases.insert(id, lease);
    }

    /// Takes a lease out; its keys come with it.
    pub fn remove(&mut self, id: i64) -> Option<Lease> {
        self.leases.remove(&id)
    }

    /// Notes what is left of a lease's life. Returns whether there is such a lease.
    pub fn checkpoint(&mut self, id: i64, remaining: i64) -> bool {
        let Some(lease) = self.leases.get_mut(&id) else {
            return false;
        };
        // etcd's wire says 0 for "renewed: nothing to remember".
        lease.remaining = (remaining > 0).then_some(remaining);
        true
    }

    /// Moves a key from one lease to another; 0 is no lease.
    pub fn attach(&mut self, key: &[u8], from: i64, to: i64) {
        if from == to {
            return;
        }
        if let Some(lease) = self.leases.get_mut(&from) {
            lease.keys.remove(key);
        }
        if let Some(lease) = self.leases.get_mut(&to) {
            lease.keys.insert(key.into());
        }
    }
}

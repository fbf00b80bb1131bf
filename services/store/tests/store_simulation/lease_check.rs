//! Whether leases and their keys lived as long as was promised, and ended whole.
//!
//! ```text
//!   asked ──answered: granted, renewed             asked + its seconds
//!     ├──────────┤                                       │
//!     └── what was granted or renewed is there until ────┘── then, some time, all its keys go in one revision
//! ```
//!
//! Times are of the simulated clock. When a lease was carried out is not known, only when that was asked for: so nothing is held to
//! more than was promised.

use crate::{
    check::{Fault, Promise, Truth, fault},
    history::{Events, LeaseCall, LeaseOperation},
};
use etcd_proto::mvccpb::KeyValue;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::{Duration, Instant};

/// Checks all leases.
pub(crate) fn check(events: &Events, truth: &Truth) -> Result<(), Fault> {
    let mut leases: BTreeMap<i64, Lease<'_>> = BTreeMap::new();
    for call in &events.leases {
        leases.entry(call.lease).or_default().calls.push(call);
    }
    for (id, lease) in &leases {
        lease.check_refusals(*id)?;
    }
    let known = events.known();
    for (revision, deleted) in truth.deletions() {
        let mut gone: BTreeMap<i64, BTreeSet<&[u8]>> = BTreeMap::new();
        for pair in deleted.into_iter().filter(|pair| pair.lease != 0) {
            gone.entry(pair.lease).or_default().insert(&pair.key);
        }
        for (id, keys) in gone {
            let Some(lease) = leases.get(&id) else {
                let text = format!("{keys:?} had lease {id}, which nobody asked for");
                return Err(fault(Promise::Asked, text));
            };
            // Somebody knew of it at the latest then.
            if let Some((_, known)) = known.range(revision..).next() {
                let what = format!("keys {} went in revision {revision}", texts(&keys));
                lease.check_end(id, *known, &what)?;
            }
            whole(truth, revision, id, &keys)?;
        }
    }
    Ok(())
}

/// All keys of a lease go together, and none comes afterwards.
fn whole(truth: &Truth, revision: i64, id: i64, gone: &BTreeSet<&[u8]>) -> Result<(), Fault> {
    let of_lease = |pair: &&KeyValue| pair.lease == id;
    let before = truth.all(revision - 1);
    let had: BTreeSet<&[u8]> = before
        .iter()
        .filter(of_lease)
        .map(|pair| &*pair.key)
        .collect();
    if had != *gone {
        let text = format!(
            "lease {id} had keys {}, and revision {revision} took {}",
            texts(&had),
            texts(gone)
        );
        return Err(fault(Promise::Leased, text));
    }
    let later = truth.puts_after(revision).find(of_lease);
    match later {
        None => Ok(()),
        Some(pair) => {
            let text = format!("lease {id} ended in revision {revision}, and then got {pair:?}");
            Err(fault(Promise::Leased, text))
        }
    }
}

fn texts(keys: &BTreeSet<&[u8]>) -> String {
    let texts: Vec<_> = keys
        .iter()
        .map(|key| String::from_utf8_lossy(key))
        .collect();
    texts.join(", ")
}

/// What was asked of one lease, by one holder, one after the other.
#[derive(Default)]
struct Lease<'a> {
    calls: Vec<&'a LeaseCall>,
}

impl Lease<'_> {
    /// Nobody is told that a lease is gone that cannot be.
    fn check_refusals(&self, id: i64) -> Result<(), Fault> {
        for call in &self.calls {
            if let Some((answered, false)) = call.answered {
                let what = format!("{:?} was answered that there is none", call.operation);
                self.check_end(id, answered, &what)?;
            }
        }
        Ok(())
    }

    /// It has ended by a time: it was revoked, or its time was over.
    fn check_end(&self, id: i64, by: Instant, what: &str) -> Result<(), Fault> {
        let revoked = self
            .calls
            .iter()
            .any(|call| matches!(call.operation, LeaseOperation::Revoke) && call.asked <= by);
        if revoked {
            return Ok(());
        }
        let mut life = Duration::ZERO;
        for call in &self.calls {
            if let LeaseOperation::Grant { seconds } = call.operation {
                life = Duration::from_secs(u64::try_from(seconds).expect("positive"));
            }
            let renews = matches!(
                call.operation,
                LeaseOperation::Grant { .. } | LeaseOperation::Renew
            );
            let holds = matches!(call.answered, Some((_, true)));
            if renews && holds && by < call.asked + life {
                let early = by.saturating_duration_since(call.asked);
                let text = format!(
                    "lease {id} was granted or renewed for {life:?}, but {what} {early:?} after that was asked for"
                );
                return Err(fault(Promise::Leased, text));
            }
        }
        Ok(())
    }
}

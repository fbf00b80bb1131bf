//! Who waits for which proposal.

use super::Proposal;
use crate::planner::state::Reply;
use bytes::Bytes;
use etcd_proto::errors::Refusal;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

/// Most proposals of one member that wait at once; etcd's bound is 5,000 between commit and apply.
pub const WAITING_MAX: usize = 65_536;

/// What a command came to.
pub type Outcome = Result<Reply, Refusal>;

/// The proposals of this process that have not been applied yet.
#[derive(Debug)]
pub struct Waiters {
    origin: u64,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    outcomes: BTreeMap<u64, oneshot::Sender<Outcome>>,
}

impl Waiters {
    /// Of a process with this random number.
    #[must_use]
    pub fn new(origin: u64) -> Self {
        Self {
            origin,
            waiting: Mutex::default(),
        }
    }

    /// A proposal of this command, and where its outcome arrives. The waiter goes when it is dropped.
    ///
    /// # Errors
    /// [`Refusal::TooManyRequests`] at [`WAITING_MAX`].
    pub fn add(&self, command: Bytes) -> Result<(Proposal, Waiter<'_>), Refusal> {
        let mut waiting = self.lock();
        if waiting.outcomes.len() >= WAITING_MAX {
            return Err(Refusal::TooManyRequests);
        }
        let sequence = waiting.next;
        waiting.next += 1;
        let (sender, outcome) = oneshot::channel();
        waiting.outcomes.insert(sequence, sender);
        let proposal = Proposal {
            origin: self.origin,
            sequence,
            command,
        };
        let waiter = Waiter {
            waiters: self,
            sequence,
            outcome,
        };
        Ok((proposal, waiter))
    }

    /// How many wait.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().outcomes.len()
    }

    /// A proposal was applied. Where it is another's, or nobody waits any more, nothing happens.
    pub fn applied(&self, origin: u64, sequence: u64, outcome: Outcome) {
        if origin != self.origin {
            return;
        }
        let sender = self.lock().outcomes.remove(&sequence);
        if let Some(sender) = sender {
            // Who waited may have gone this very moment.
            let _ = sender.send(outcome);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for one proposal.
#[derive(Debug)]
pub struct Waiter<'a> {
    waiters: &'a Waiters,
    sequence: u64,
    outcome: oneshot::Receiver<Outcome>,
}

impl Waiter<'_> {
    /// Waits until it is applied here. None: it never will be.
    pub async fn outcome(&mut self) -> Option<Outcome> {
        (&mut self.outcome).await.ok()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.waiters.lock().outcomes.remove(&self.sequence);
    }
}

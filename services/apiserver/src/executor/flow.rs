//! How much is done at once, for each kind of clients. Who comes beyond it is asked to come again.

use crate::planner::flow::Client;
use objects::status::Status;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Reads at once of one kind of clients, and writes.
const READS_MAX: usize = 200;
const WRITES_MAX: usize = 100;
/// Watches at once: of parts of the control plane and of users a few thousand, of kubelets some dozens for each of a thousand.
const WATCHES_MAX: usize = 16_384;
const NODES_WATCHES_MAX: usize = 65_536;

/// What takes a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Until it is answered.
    Read,
    /// Until it is answered.
    Write,
    /// Until it ends.
    Watch,
}

/// A slot, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
}

/// The slots.
#[derive(Debug)]
pub struct Flow {
    system: Slots,
    node: Slots,
    user: Slots,
}

#[derive(Debug)]
struct Slots {
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    watches: Arc<Semaphore>,
}

impl Slots {
    fn new(watches: usize) -> Self {
        let slots = |count| Arc::new(Semaphore::new(count));
        Self {
            reads: slots(READS_MAX),
            writes: slots(WRITES_MAX),
            watches: slots(watches),
        }
    }
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            system: Slots::new(WATCHES_MAX),
            node: Slots::new(NODES_WATCHES_MAX),
            user: Slots::new(WATCHES_MAX),
        }
    }
}

impl Flow {
    /// A slot for a client.
    ///
    /// # Errors
    /// All are taken: 429, and after how many seconds to come again.
    pub fn enter(&self, client: Client, load: Load) -> Result<Slot, Status> {
        let slots = match client {
            Client::System => &self.system,
            Client::Node => &self.node,
            Client::User => &self.user,
        };
        let slots = match load {
            Load::Read => &slots.reads,
            Load::Write => &slots.writes,
            Load::Watch => &slots.watches,
        };
        let permit = Arc::clone(slots).try_acquire_owned();
        permit
            .map(|permit| Slot { _permit: permit })
            .map_err(|_| Status::too_many_requests("Too many requests, please try again later.", 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_kind_leaves_the_others_their_slots() {
        let flow = Flow::default();
        let taken: Vec<_> = (0..WRITES_MAX)
            .map(|_| flow.enter(Client::User, Load::Write).expect("a slot"))
            .collect();
        let refused = flow.enter(Client::User, Load::Write).expect_err("full");
        assert_eq!(refused.code, 429);
        let retry = refused.details.map(|details| details.retry_after_seconds);
        assert_eq!(retry, Some(1));
        for client in [Client::System, Client::Node] {
            flow.enter(client, Load::Write).expect("its own slot");
        }
        flow.enter(Client::User, Load::Read).expect("a read");
        drop(taken);
        flow.enter(Client::User, Load::Write).expect("free again");
    }
}

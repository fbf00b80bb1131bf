//! What has been applied since the process began, by kind.

use crate::executor::durations::Durations;
use crate::planner::{
    command::Command,
    records::Change,
    state::{Bookkeeping, Reply},
};
use etcd_proto::errors::Refusal;
use http_server::Count;

/// Counts of what commands did, which are alike on all members, and how long the disk took for it.
#[derive(Debug)]
pub struct Tally {
    /// Keys that were written.
    pub puts: Count,
    /// Keys that were deleted.
    pub deletes: Count,
    /// Transactions that changed something or could have.
    pub transactions: Count,
    /// Leases that were granted.
    pub leases_granted: Count,
    /// Leases that were revoked, or ended.
    pub leases_revoked: Count,
    /// Group commits of the log.
    pub flushes: Durations,
    /// Writes of records, durable or not.
    pub writes: Durations,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            puts: Count::default(),
            deletes: Count::default(),
            transactions: Count::default(),
            leases_granted: Count::default(),
            leases_revoked: Count::default(),
            flushes: Durations::of_disk(),
            writes: Durations::of_disk(),
        }
    }
}

impl Tally {
    /// A command was carried out, or refused.
    pub(super) fn applied(
        &self,
        command: &Command,
        changes: &[Change],
        bookkeeping: &[Bookkeeping],
        reply: &Result<Reply, Refusal>,
    ) {
        if reply.is_err() {
            return;
        }
        for change in changes {
            // Version 0 is a delete's.
            if change.record.version == 0 {
                self.deletes.one();
            } else {
                self.puts.one();
            }
        }
        match command {
            Command::Transaction(_) => self.transactions.one(),
            Command::LeaseGrant(_) => self.leases_granted.one(),
            Command::LeaseRevoke(_) => {
                let ended = |kept: &&Bookkeeping| matches!(kept, Bookkeeping::Lease(_, None));
                bookkeeping
                    .iter()
                    .filter(ended)
                    .for_each(|_| self.leases_revoked.one());
            }
            _ => {}
        }
    }
}

//! The replicated state machine: `apply(command) -> (reply, changes)`, the same on every member.
//!
//! ```text
//!   Command ──> apply ──┬──> reply          for the client that proposed it
//!                       ├──> changes        records to keep, events to watch; all of one revision
//!                       └──> bookkeeping    leases, alarms and the compacted revision to keep
//! ```
//!
//! Invariants: nothing here depends on anything but the commands so far. A command either is refused and changes
//! nothing, or is carried out whole at one new revision. The revision never goes back.
//!
//! Only a [`StorageError`] leaves a command half done; the state is then of no use any more, and the member must
//! start again from its disk.

mod execute;
mod read;
mod transaction;

use super::{
    check,
    command::Command,
    index::{Index, Live, Restore},
    leases::{Lease, Leases, TIME_TO_LIVE_MAX},
    records::{self, Change, Records, StorageError},
    revision::{FIRST, NEVER_COMPACTED, Revision},
};
use etcd_proto::{
    errors::Refusal,
    etcdserverpb::{
        AlarmMember, AlarmRequest, AlarmResponse, AlarmType, CompactionRequest, CompactionResponse,
        DeleteRangeResponse, LeaseCheckpointRequest, LeaseGrantRequest, LeaseGrantResponse,
        LeaseRevokeRequest, LeaseRevokeResponse, PutResponse, ResponseHeader, TxnResponse,
        alarm_request::AlarmAction,
    },
    mvccpb::KeyValue,
};
use std::collections::BTreeSet;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The client's mistake, or a condition that it must handle.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The member's disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What a command is answered with. Headers hold the revision; who answers adds the rest.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// To [`Command::Put`].
    Put(PutResponse),
    /// To [`Command::DeleteRange`].
    DeleteRange(DeleteRangeResponse),
    /// To [`Command::Transaction`].
    Transaction(TxnResponse),
    /// To [`Command::Compact`].
    Compact(CompactionResponse),
    /// To [`Command::LeaseGrant`].
    LeaseGrant(LeaseGrantResponse),
    /// To [`Command::LeaseRevoke`].
    LeaseRevoke(LeaseRevokeResponse),
    /// To [`Command::LeaseCheckpoint`], which no client sends.
    LeaseCheckpoint,
    /// To [`Command::Alarm`].
    Alarm(AlarmResponse),
}

/// State beside records that must be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bookkeeping {
    /// History before this revision is forgotten, and its records are to be deleted: see [`State::compact`].
    Compacted(i64),
    /// A lease as it is now; None: it is no more.
    Lease(i64, Option<KeptLease>),
    /// All alarms that are raised.
    Alarms(BTreeSet<Alarm>),
}

/// A lease as it is kept. Its keys are known from their records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptLease {
    /// Granted life in seconds.
    pub time_to_live: i64,
    /// Seconds that were left when the leader last told.
    pub remaining: Option<i64>,
}

/// A raised alarm: the member, and [`AlarmType`] as the wire has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alarm {
    /// Who raised it.
    pub member: u64,
    /// What is wrong.
    pub kind: i32,
}

/// What applying a command did.
#[derive(Debug)]
pub struct Applied {
    /// The answer.
    pub reply: Result<Reply, Refusal>,
    /// Changed keys in the order of their revisions, which share one `main`; empty where nothing changed.
    pub changes: Vec<Change>,
    /// What else is to be kept.
    pub bookkeeping: Vec<Bookkeeping>,
}

/// Everything that the disk gives back at start, but for the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The store's revision. Not that of the last record: deletes are compacted away, and the revision never goes back.
    pub revision: i64,
    /// The compacted revision.
    pub compacted: i64,
    /// Leases by number.
    pub leases: Vec<(i64, KeptLease)>,
    /// Raised alarms.
    pub alarms: BTreeSet<Alarm>,
}

/// The state machine.
#[derive(Debug)]
pub struct State {
    index: Index,
    leases: Leases,
    alarms: BTreeSet<Alarm>,
    revision: i64,
    compacted: i64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            index: Index::default(),
            leases: Leases::default(),
            alarms: BTreeSet::new(),
            revision: FIRST,
            compacted: NEVER_COMPACTED,
        }
    }
}

impl State {
    /// The state that a disk holds: what was kept, and the index of its records ([`add_record`]).
    #[must_use]
    pub fn restore(kept: Kept, index: Index) -> Self {
        let mut leases = Leases::default();
        for (id, lease) in kept.leases {
            leases.insert(id, Lease::new(lease.time_to_live, lease.remaining));
        }
        for (key, live) in index.live() {
            leases.attach(key, 0, live.lease);
        }
        Self {
            index,
            leases,
            alarms: kept.alarms,
            revision: kept.revision,
            compacted: kept.compacted,
        }
    }

    /// The store's revision.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// History before this is gone; [`NEVER_COMPACTED`] at first.
    #[must_use]
    pub fn compacted(&self) -> i64 {
        self.compacted
    }

    /// The keys.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The leases.
    #[must_use]
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Alarms that are raised.
    #[must_use]
    pub fn alarms(&self) -> &BTreeSet<Alarm> {
        &self.alarms
    }

    /// Carries out a command.
    ///
    /// # Errors
    /// The disk does not give a record back. The state must not be used afterwards.
    pub fn apply(
        &mut self,
        command: &Command,
        records: &impl Records,
    ) -> Result<Applied, StorageError> {
        let mut changes = Vec::new();
        let mut bookkeeping = Vec::new();
        let reply = self
            .admit(command)
            .map_err(ReadError::Refused)
            .and_then(|()| self.carry_out(command, records, &mut changes, &mut bookkeeping));
        let reply = match reply {
            Ok(reply) => Ok(reply),
            Err(ReadError::Refused(refusal)) => Err(refusal),
            Err(ReadError::Storage(error)) => return Err(error),
        };
        if !changes.is_empty() {
            self.revision += 1;
        }
        Ok(Applied {
            reply,
            changes,
            bookkeeping,
        })
    }

    /// Compacts the next keys in memory; see [`Index::compact`] for cursor and `dropped`.
    pub fn compact(
        &mut self,
        cursor: Option<&[u8]>,
        keys_max: usize,
        dropped: &mut Vec<Revision>,
    ) -> Option<Box<[u8]>> {
        self.index
            .compact(self.compacted, cursor, keys_max, dropped)
    }

    fn carry_out(
        &mut self,
        command: &Command,
        records: &impl Records,
        changes: &mut Vec<Change>,
        bookkeeping: &mut Vec<Bookkeeping>,
    ) -> Result<Reply, ReadError> {
        match command {
            Command::Put(request) => self
                .check_put(request)
                .map_err(ReadError::Refused)
                .and_then(|()| Ok(self.put(request, changes, records)?))
                .map(Reply::Put),
            Command::DeleteRange(request) => Ok(Reply::DeleteRange(
                self.delete_range(request, changes, records)?,
            )),
            Command::Transaction(request) => self
                .transaction(request, changes, records)
                .map(Reply::Transaction),
            Command::Compact(request) => Ok(self.set_compacted(request, bookkeeping)?),
            Command::LeaseGrant(request) => Ok(self.grant(request, bookkeeping)?),
            Command::LeaseRevoke(request) => Ok(self.revoke(request, changes, bookkeeping)?),
            Command::LeaseCheckpoint(request) => Ok(self.checkpoint(request, bookkeeping)),
            Command::Alarm(request) => Ok(self.alarm(request, bookkeeping)),
        }
    }

    /// Refuses what raised alarms forbid.
    fn admit(&self, command: &Command) -> Result<(), Refusal> {
        let takes_space = match command {
            Command::Alarm(_) | Command::LeaseCheckpoint(_) => return Ok(()),
            Command::Put(_) | Command::LeaseGrant(_) => true,
            Command::Transaction(request) => check::takes_space(request),
            Command::DeleteRange(_) | Command::Compact(_) | Command::LeaseRevoke(_) => false,
        };
        self.not_corrupt()?;
        if takes_space && self.is_raised(AlarmType::Nospace) {
            return Err(Refusal::NoSpace);
        }
        Ok(())
    }

    fn not_corrupt(&self) -> Result<(), Refusal> {
        let corrupt = self.is_raised(AlarmType::Corrupt);
        (!corrupt).then_some(()).ok_or(Refusal::Corrupt)
    }

    fn is_raised(&self, kind: AlarmType) -> bool {
        self.alarms
            .iter()
            .any(|alarm| alarm.kind == i32::from(kind))
    }

    fn set_compacted(
        &mut self,
        request: &CompactionRequest,
        bookkeeping: &mut Vec<Bookkeeping>,
    ) -> Result<Reply, Refusal> {
        if request.revision <= self.compacted {
            return Err(Refusal::Compacted);
        }
        if request.revision > self.revision {
            return Err(Refusal::FutureRevision);
        }
        self.compacted = request.revision;
        bookkeeping.push(Bookkeeping::Compacted(self.compacted));
        Ok(Reply::Compact(CompactionResponse {
            header: header(self.revision),
        }))
    }

    fn grant(
        &mut self,
        request: &LeaseGrantRequest,
        bookkeeping: &mut Vec<Bookkeeping>,
    ) -> Result<Reply, Refusal> {
        if request.id == 0 {
            return Err(Refusal::LeaseNotFound);
        }
        if request.ttl > TIME_TO_LIVE_MAX {
            return Err(Refusal::LeaseTimeToLiveTooLarge);
        }
        if self.leases.contains(request.id) {
            return Err(Refusal::LeaseExists);
        }
        self.leases
            .insert(request.id, Lease::new(request.ttl, None));
        bookkeeping.push(self.kept_lease(request.id));
        Ok(Reply::LeaseGrant(LeaseGrantResponse {
            header: header(self.revision),
            id: request.id,
            ttl: request.ttl,
            error: String::new(),
        }))
    }

    fn revoke(
        &mut self,
        request: &LeaseRevokeRequest,
        changes: &mut Vec<Change>,
        bookkeeping: &mut Vec<Bookkeeping>,
    ) -> Result<Reply, Refusal> {
        let lease = self
            .leases
            .remove(request.id)
            .ok_or(Refusal::LeaseNotFound)?;
        for key in lease.keys() {
            self.delete_key(key, changes);
        }
        bookkeeping.push(self.kept_lease(request.id));
        Ok(Reply::LeaseRevoke(LeaseRevokeResponse {
            header: header(self.revision_with(changes)),
        }))
    }

    fn checkpoint(
        &mut self,
        request: &LeaseCheckpointRequest,
        bookkeeping: &mut Vec<Bookkeeping>,
    ) -> Reply {
        for checkpoint in &request.checkpoints {
            // A lease may have been revoked since the leader looked.
            if self
                .leases
                .checkpoint(checkpoint.id, checkpoint.remaining_ttl)
            {
                bookkeeping.push(self.kept_lease(checkpoint.id));
            }
        }
        Reply::LeaseCheckpoint
    }

    fn kept_lease(&self, id: i64) -> Bookkeeping {
        let kept = self.leases.get(id).map(|lease| KeptLease {
            time_to_live: lease.time_to_live,
            remaining: lease.remaining,
        });
        Bookkeeping::Lease(id, kept)
    }

    fn alarm(&mut self, request: &AlarmRequest, bookkeeping: &mut Vec<Bookkeeping>) -> Reply {
        let kind = request.alarm;
        let any = kind == i32::from(AlarmType::None);
        let named = |alarm: &Alarm| {
            alarm.kind == kind && (request.member_id == 0 || alarm.member == request.member_id)
        };
        let alarms: Vec<Alarm> = match request.action() {
            AlarmAction::Get => {
                let asked = self.alarms.iter().filter(|alarm| any || alarm.kind == kind);
                asked.copied().collect()
            }
            AlarmAction::Activate if !any => {
                let member = request.member_id;
                let raised = Alarm { member, kind };
                if self.alarms.insert(raised) {
                    bookkeeping.push(Bookkeeping::Alarms(self.alarms.clone()));
                }
                vec![raised]
            }
            AlarmAction::Deactivate if !any => {
                let cleared: Vec<_> = self.alarms.iter().copied().filter(named).collect();
                if !cleared.is_empty() {
                    self.alarms.retain(|alarm| !named(alarm));
                    bookkeeping.push(Bookkeeping::Alarms(self.alarms.clone()));
                }
                cleared
            }
            AlarmAction::Activate | AlarmAction::Deactivate => Vec::new(),
        };
        Reply::Alarm(AlarmResponse {
            header: header(self.revision),
            alarms: alarms
                .into_iter()
                .map(|alarm| AlarmMember {
                    member_id: alarm.member,
                    alarm: alarm.kind,
                })
                .collect(),
        })
    }

    /// The revision that a reader within a command sees: its own changes count.
    fn revision_with(&self, changes: &[Change]) -> i64 {
        self.revision + i64::from(!changes.is_empty())
    }
}

/// Takes the next record of a disk into an index in the making; they come in the order of their revisions.
pub fn add_record(index: &mut Restore, revision: Revision, record: &KeyValue) {
    let live = Live {
        revision,
        created: record.create_revision,
        version: record.version,
        lease: record.lease,
    };
    index.add(&record.key, live, records::is_delete(record));
}

/// A header as far as the state knows it.
fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    })
}

#[cfg(test)]
mod tests;

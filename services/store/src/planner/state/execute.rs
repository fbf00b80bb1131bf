//! Puts and deletes: each change gets its revision, its record, and its place in index and leases.

use super::{State, header};
use crate::planner::{
    key_range::KeyRange,
    records::{Change, Records, StorageError},
    revision::Revision,
};
use bytes::Bytes;
use etcd_proto::{
    errors::Refusal,
    etcdserverpb::{DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse},
    mvccpb::KeyValue,
};
use std::ops::ControlFlow;

impl State {
    /// Refuses a put that this state cannot carry out; after it, [`State::put`] succeeds.
    pub(super) fn check_put(&self, request: &PutRequest) -> Result<(), Refusal> {
        let expects = request.ignore_value || request.ignore_lease;
        if expects && self.index.get(&request.key).is_none() {
            return Err(Refusal::KeyNotFound);
        }
        if request.lease != 0 && !self.leases.contains(request.lease) {
            return Err(Refusal::LeaseNotFound);
        }
        Ok(())
    }

    /// Writes a key, which [`State::check_put`] allowed.
    pub(super) fn put(
        &mut self,
        request: &PutRequest,
        changes: &mut Vec<Change>,
        records: &impl Records,
    ) -> Result<PutResponse, StorageError> {
        // What most puts need not know before they put.
        let asks = request.prev_kv || request.ignore_value || request.ignore_lease;
        let live = asks.then(|| self.index.get(&request.key)).flatten();
        let previous = match live {
            Some(live) if request.prev_kv || request.ignore_value => {
                Some(read(live.revision, changes, self.revision, records)?)
            }
            _ => None,
        };
        let value = match &previous {
            Some(previous) if request.ignore_value => previous.value.clone(),
            _ => request.value.clone(),
        };
        let lease = match live {
            Some(live) if request.ignore_lease => live.lease,
            _ => request.lease,
        };
        let revision = self.next(changes);
        let outcome = self.index.put(&request.key, revision, lease);
        self.leases
            .attach(&request.key, outcome.previous_lease, lease);
        changes.push(Change {
            revision,
            record: KeyValue {
                key: request.key.clone(),
                create_revision: outcome.live.created,
                mod_revision: revision.main,
                version: outcome.live.version,
                value,
                lease,
            },
            previous: outcome.before,
        });
        Ok(PutResponse {
            header: header(revision.main),
            prev_kv: previous.filter(|_| request.prev_kv),
        })
    }

    /// Deletes a range.
    pub(super) fn delete_range(
        &mut self,
        request: &DeleteRangeRequest,
        changes: &mut Vec<Change>,
        records: &impl Records,
    ) -> Result<DeleteRangeResponse, StorageError> {
        let range = KeyRange::new(&request.key, &request.range_end);
        let mut found: Vec<(Box<[u8]>, Revision)> = Vec::new();
        self.index.visit(range, i64::MAX, |key, pair| {
            found.push((key.into(), pair.revision()));
            ControlFlow::Continue(())
        });
        let mut response = DeleteRangeResponse {
            header: None,
            deleted: i64::try_from(found.len()).expect("keys in memory"),
            prev_kvs: Vec::new(),
        };
        if request.prev_kv {
            for (_, revision) in &found {
                let previous = read(*revision, changes, self.revision, records)?;
                response.prev_kvs.push(previous);
            }
        }
        for (key, _) in &found {
            self.delete_key(key, changes);
        }
        response.header = header(self.revision_with(changes));
        Ok(response)
    }

    /// Deletes one key, if it is there.
    pub(super) fn delete_key(&mut self, key: &[u8], changes: &mut Vec<Change>) {
        let revision = self.next(changes);
        let Some(outcome) = self.index.delete(key, revision) else {
            return;
        };
        self.leases.attach(key, outcome.live.lease, 0);
        changes.push(Change {
            revision,
            record: KeyValue {
                key: Bytes::copy_from_slice(key),
                mod_revision: revision.main,
                ..KeyValue::default()
            },
            previous: outcome.before,
        });
    }

    /// The revision of the next change of the command that made `changes`.
    fn next(&self, changes: &[Change]) -> Revision {
        Revision {
            main: self.revision + 1,
            sub: u32::try_from(changes.len()).expect("a command is far smaller than 4 GiB"),
        }
    }
}

/// A record, which may be one that this very command has made.
pub(super) fn read(
    revision: Revision,
    changes: &[Change],
    committed: i64,
    records: &impl Records,
) -> Result<KeyValue, StorageError> {
    if revision.main <= committed {
        return records.get(revision);
    }
    let sub = usize::try_from(revision.sub).expect("32 bits");
    let change = changes.get(sub).ok_or(StorageError::Missing { revision })?;
    Ok(change.record.clone())
}

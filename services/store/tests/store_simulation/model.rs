//! What each revision holds, by a model as naive as can be: from what clients asked, and the revisions of their answers.

use crate::check::{Fault, Promise, fault};
use etcd_proto::{
    etcdserverpb::{PutRequest, ResponseHeader, request_op::Request},
    mvccpb::KeyValue,
};
use orlop_store::planner::{command::Command, state::Reply};
use std::collections::BTreeMap;

/// A change that a client asked for.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) command: Command,
    /// Its place, and that of the answer, on whatever scale is kept.
    pub(crate) asked: usize,
    /// None: it was refused, or is not answered.
    pub(crate) answered: Option<(usize, Reply)>,
}

impl Call {
    /// The answer and its revision, where it had come by a place.
    pub(crate) fn answered_by(&self, place: usize) -> Option<(&Reply, i64)> {
        let (answered, reply) = self.answered.as_ref()?;
        (*answered <= place).then(|| (reply, revision(reply)))
    }
}

fn revision(reply: &Reply) -> i64 {
    let header: &Option<ResponseHeader> = match reply {
        Reply::Put(response) => &response.header,
        Reply::DeleteRange(response) => &response.header,
        Reply::Transaction(response) => &response.header,
        Reply::Compact(response) => &response.header,
        Reply::LeaseGrant(response) => &response.header,
        Reply::LeaseRevoke(response) => &response.header,
        Reply::Alarm(response) => &response.header,
        Reply::LeaseCheckpoint => &None,
    };
    header.as_ref().map_or(0, |header| header.revision)
}

type Keys = BTreeMap<Vec<u8>, KeyValue>;

/// What one revision came to.
#[derive(Debug, Default)]
struct Came {
    /// When it was asked for.
    asked: usize,
    keys: Keys,
}

/// All revisions.
#[derive(Debug)]
pub(crate) struct Model {
    revisions: BTreeMap<i64, Came>,
}

impl Model {
    /// From changes that are all answered or refused. Whatever made a revision is among them.
    pub(crate) fn of(calls: &[Call]) -> Result<Self, Fault> {
        let mut writes: BTreeMap<i64, Vec<&Call>> = BTreeMap::new();
        let mut revokes: BTreeMap<i64, Vec<&Call>> = BTreeMap::new();
        for call in calls {
            let Some((reply, revision)) = call.answered_by(usize::MAX) else {
                continue;
            };
            let writes_something = match reply {
                Reply::Put(_) | Reply::Transaction(_) => true,
                Reply::DeleteRange(response) => response.deleted > 0,
                Reply::LeaseRevoke(_) => {
                    revokes.entry(revision).or_default().push(call);
                    false
                }
                _ => false,
            };
            if writes_something && let Some(other) = writes.insert(revision, vec![call]) {
                let text = format!("revision {revision} was the answer to {other:?} and {call:?}");
                return Err(fault(Promise::Asked, text));
            }
        }
        // One that took no keys along has the revision of whatever came before.
        for (revision, calls) in revokes {
            writes.entry(revision).or_insert(calls);
        }
        let mut revisions = BTreeMap::from([(1, Came::default())]);
        let mut keys = Keys::new();
        for (revision, calls) in writes {
            for call in &calls {
                apply(&mut keys, &call.command, revision);
            }
            let came = Came {
                asked: calls.iter().map(|call| call.asked).min().unwrap_or(0),
                keys: keys.clone(),
            };
            revisions.entry(revision).or_insert(came);
        }
        Ok(Self { revisions })
    }

    /// The last revision.
    pub(crate) fn newest(&self) -> i64 {
        self.revisions.last_key_value().map_or(1, |last| *last.0)
    }

    /// When the change of a revision was asked for; None: there is no such revision.
    pub(crate) fn asked(&self, revision: i64) -> Option<usize> {
        Some(self.revisions.get(&revision)?.asked)
    }

    /// All keys as of a revision.
    pub(crate) fn at(&self, revision: i64) -> Vec<KeyValue> {
        let came = self.revisions.range(..=revision).next_back();
        came.map_or_else(Vec::new, |(_, came)| came.keys.values().cloned().collect())
    }
}

fn apply(keys: &mut Keys, command: &Command, revision: i64) {
    match command {
        Command::Put(request) => put(keys, request, revision),
        Command::DeleteRange(request) => delete(keys, &request.key, &request.range_end),
        Command::Transaction(request) => {
            for operation in &request.success {
                match &operation.request {
                    Some(Request::RequestPut(request)) => put(keys, request, revision),
                    Some(Request::RequestDeleteRange(request)) => {
                        delete(keys, &request.key, &request.range_end);
                    }
                    _ => {}
                }
            }
        }
        Command::LeaseRevoke(request) => keys.retain(|_, pair| pair.lease != request.id),
        _ => {}
    }
}

fn put(keys: &mut Keys, request: &PutRequest, revision: i64) {
    let before = keys.get(&*request.key);
    let pair = KeyValue {
        key: request.key.clone(),
        create_revision: before.map_or(revision, |before| before.create_revision),
        mod_revision: revision,
        version: before.map_or(0, |before| before.version) + 1,
        value: request.value.clone(),
        lease: request.lease,
    };
    keys.insert(request.key.to_vec(), pair);
}

/// Without an end, one key.
fn delete(keys: &mut Keys, key: &[u8], end: &[u8]) {
    keys.retain(|found, _| {
        if end.is_empty() {
            found != key
        } else {
            &**found < key || &**found >= end
        }
    });
}

//! The naive model: the whole store at every revision, and etcd's rules written as plainly as possible.

use super::super::*;
use etcd_proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse, ResponseOp, TxnRequest,
    TxnResponse,
    compare::{CompareResult, CompareTarget, TargetUnion},
    range_request::{SortOrder, SortTarget},
    request_op::Request,
    response_op::Response,
};
use std::{cmp::Reverse, collections::BTreeMap};

type Pairs = BTreeMap<Vec<u8>, KeyValue>;

#[derive(Debug, Clone)]
pub(super) struct Model {
    /// The store at every revision from 1.
    revisions: Vec<Pairs>,
    pub(super) compacted: i64,
    leases: BTreeMap<i64, i64>,
}

/// A store in the middle of a command.
struct Working<'a> {
    model: &'a Model,
    pairs: Pairs,
    written: bool,
}

fn within(key: &[u8], start: &[u8], end: &[u8]) -> bool {
    match end {
        [] => key == start,
        [0] => key >= start,
        _ => key >= start && key < end,
    }
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            revisions: vec![Pairs::new()],
            compacted: -1,
            leases: BTreeMap::new(),
        }
    }

    pub(super) fn revision(&self) -> i64 {
        i64::try_from(self.revisions.len()).expect("few")
    }

    pub(super) fn apply(&mut self, command: &Command) -> Result<Reply, Refusal> {
        let mut working = self.working();
        let reply = match command {
            Command::Put(request) => working.check_put(request).map(|()| {
                let mut response = working.put(request);
                response.header = header(working.revision());
                Reply::Put(response)
            }),
            Command::DeleteRange(request) => Ok(Reply::DeleteRange(working.delete(request))),
            Command::Transaction(request) => working.transaction(request).map(Reply::Transaction),
            Command::Compact(request) => {
                if request.revision <= self.compacted {
                    return Err(Refusal::Compacted);
                }
                if request.revision > self.revision() {
                    return Err(Refusal::FutureRevision);
                }
                self.compacted = request.revision;
                return Ok(Reply::Compact(CompactionResponse {
                    header: header(self.revision()),
                }));
            }
            Command::LeaseGrant(request) => {
                if self.leases.contains_key(&request.id) {
                    return Err(Refusal::LeaseExists);
                }
                self.leases.insert(request.id, request.ttl);
                return Ok(Reply::LeaseGrant(LeaseGrantResponse {
                    header: header(self.revision()),
                    id: request.id,
                    ttl: request.ttl,
                    error: String::new(),
                }));
            }
            Command::LeaseRevoke(request) => {
                if !self.leases.contains_key(&request.id) {
                    return Err(Refusal::LeaseNotFound);
                }
                let before = working.pairs.len();
                working.pairs.retain(|_, pair| pair.lease != request.id);
                working.written = working.pairs.len() < before;
                Ok(Reply::LeaseRevoke(LeaseRevokeResponse {
                    header: header(working.revision()),
                }))
            }
            Command::LeaseCheckpoint(_) | Command::Alarm(_) => unreachable!("not generated"),
        };
        let (written, pairs) = (working.written, working.pairs);
        if let Command::LeaseRevoke(request) = command {
            self.leases.remove(&request.id);
        }
        if reply.is_ok() && written {
            self.revisions.push(pairs);
        }
        reply
    }

    pub(super) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
        self.working().range(request)
    }

    fn working(&self) -> Working<'_> {
        Working {
            model: self,
            pairs: self.revisions.last().expect("never empty").clone(),
            written: false,
        }
    }
}

impl Working<'_> {
    fn revision(&self) -> i64 {
        self.model.revision() + i64::from(self.written)
    }

    fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
        let newest = self.revision();
        if request.revision > newest {
            return Err(Refusal::FutureRevision);
        }
        let at = if request.revision > 0 {
            request.revision
        } else {
            newest
        };
        if at < self.model.compacted {
            return Err(Refusal::Compacted);
        }
        let pairs = match usize::try_from(at - 1)
            .ok()
            .and_then(|at| self.model.revisions.get(at))
        {
            Some(pairs) if at < newest || !self.written => pairs,
            _ => &self.pairs,
        };
        let mut kvs: Vec<KeyValue> = pairs
            .values()
            .filter(|pair| within(&pair.key, &request.key, &request.range_end))
            .cloned()
            .collect();
        let count = i64::try_from(kvs.len()).expect("few");
        if request.count_only {
            return Ok(RangeResponse {
                header: header(newest),
                count,
                ..RangeResponse::default()
            });
        }
        let bound = |value, min, max| (min == 0 || value >= min) && (max == 0 || value <= max);
        kvs.retain(|pair| {
            bound(
                pair.mod_revision,
                request.min_mod_revision,
                request.max_mod_revision,
            ) && bound(
                pair.create_revision,
                request.min_create_revision,
                request.max_create_revision,
            )
        });
        let rank = |pair: &KeyValue| match request.sort_target() {
            SortTarget::Key => (0, pair.key.to_vec()),
            SortTarget::Version => (pair.version, vec![]),
            SortTarget::Create => (pair.create_revision, vec![]),
            SortTarget::Mod => (pair.mod_revision, vec![]),
            SortTarget::Value => (0, pair.value.to_vec()),
        };
        match request.sort_order() {
            SortOrder::None | SortOrder::Ascend => kvs.sort_by_key(rank),
            SortOrder::Descend => kvs.sort_by_key(|pair| Reverse(rank(pair))),
        }
        let limit = usize::try_from(request.limit).expect("not negative");
        let more = limit > 0 && kvs.len() > limit;
        if more {
            kvs.truncate(limit);
        }
        if request.keys_only {
            kvs.iter_mut().for_each(|pair| pair.value = "".into());
        }
        Ok(RangeResponse {
            header: header(newest),
            kvs,
            more,
            count,
        })
    }

    fn check_put(&self, request: &PutRequest) -> Result<(), Refusal> {
        let exists = self.pairs.contains_key(request.key.as_ref());
        if (request.ignore_value || request.ignore_lease) && !exists {
            return Err(Refusal::KeyNotFound);
        }
        if request.lease != 0 && !self.model.leases.contains_key(&request.lease) {
            return Err(Refusal::LeaseNotFound);
        }
        Ok(())
    }

    fn put(&mut self, request: &PutRequest) -> PutResponse {
        self.written = true;
        let revision = self.revision();
        let old = self.pairs.get(request.key.as_ref()).cloned();
        let mut pair = KeyValue {
            key: request.key.clone(),
            create_revision: revision,
            mod_revision: revision,
            version: 1,
            value: request.value.clone(),
            lease: request.lease,
        };
        if let Some(old) = &old {
            pair.create_revision = old.create_revision;
            pair.version = old.version + 1;
            if request.ignore_value {
                pair.value = old.value.clone();
            }
            if request.ignore_lease {
                pair.lease = old.lease;
            }
        }
        self.pairs.insert(request.key.to_vec(), pair);
        PutResponse {
            header: header(revision),
            prev_kv: old.filter(|_| request.prev_kv),
        }
    }

    fn delete(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let doomed: Vec<KeyValue> = self
            .pairs
            .values()
            .filter(|pair| within(&pair.key, &request.key, &request.range_end))
            .cloned()
            .collect();
        for pair in &doomed {
            self.pairs.remove(pair.key.as_ref());
            self.written = true;
        }
        DeleteRangeResponse {
            header: header(self.revision()),
            deleted: i64::try_from(doomed.len()).expect("few"),
            prev_kvs: if request.prev_kv { doomed } else { vec![] },
        }
    }

    fn transaction(&mut self, request: &TxnRequest) -> Result<TxnResponse, Refusal> {
        let path = Path::new(self, request);
        self.check(request, &path)?;
        let mut response = self.execute(request, &path);
        response.header = header(self.revision());
        Ok(response)
    }

    fn holds(&self, guard: &Compare) -> bool {
        let pairs: Vec<_> = self
            .pairs
            .values()
            .filter(|pair| within(&pair.key, &guard.key, &guard.range_end))
            .collect();
        if pairs.is_empty() {
            return guard.target() != CompareTarget::Value && holds(guard, &KeyValue::default());
        }
        pairs.into_iter().all(|pair| holds(guard, pair))
    }

    fn check(&self, request: &TxnRequest, path: &Path) -> Result<(), Refusal> {
        let mut inner = path.inner.iter();
        for operation in path.branch(request) {
            match operation.request.as_ref().expect("generated") {
                Request::RequestRange(range) if range.revision > self.revision() => {
                    return Err(Refusal::FutureRevision);
                }
                Request::RequestRange(range)
                    if range.revision != 0 && range.revision < self.model.compacted =>
                {
                    return Err(Refusal::Compacted);
                }
                Request::RequestPut(put) => self.check_put(put)?,
                Request::RequestTxn(request) => self.check(request, inner.next().expect("same"))?,
                Request::RequestRange(_) | Request::RequestDeleteRange(_) => {}
            }
        }
        Ok(())
    }

    fn execute(&mut self, request: &TxnRequest, path: &Path) -> TxnResponse {
        let mut inner = path.inner.iter();
        let mut responses = Vec::new();
        for operation in path.branch(request) {
            let response = match operation.request.as_ref().expect("generated") {
                Request::RequestRange(range) => {
                    Response::ResponseRange(self.range(range).expect("checked"))
                }
                Request::RequestPut(put) => Response::ResponsePut(self.put(put)),
                Request::RequestDeleteRange(delete) => {
                    Response::ResponseDeleteRange(self.delete(delete))
                }
                Request::RequestTxn(request) => {
                    Response::ResponseTxn(self.execute(request, inner.next().expect("same")))
                }
            };
            responses.push(ResponseOp {
                response: Some(response),
            });
        }
        TxnResponse {
            header: header(0),
            succeeded: path.succeeded,
            responses,
        }
    }
}

/// Which branches a transaction takes.
struct Path {
    succeeded: bool,
    inner: Vec<Path>,
}

impl Path {
    fn new(working: &Working<'_>, request: &TxnRequest) -> Self {
        let succeeded = request.compare.iter().all(|guard| working.holds(guard));
        let mut path = Self {
            succeeded,
            inner: vec![],
        };
        path.inner = path
            .branch(request)
            .iter()
            .filter_map(|operation| match operation.request.as_ref() {
                Some(Request::RequestTxn(inner)) => Some(Self::new(working, inner)),
                _ => None,
            })
            .collect();
        path
    }

    fn branch<'a>(&self, request: &'a TxnRequest) -> &'a [etcd_proto::etcdserverpb::RequestOp] {
        if self.succeeded {
            &request.success
        } else {
            &request.failure
        }
    }
}

fn holds(guard: &Compare, pair: &KeyValue) -> bool {
    let ordering = match guard.target_union.clone().expect("generated") {
        TargetUnion::Version(version) => pair.version.cmp(&version),
        TargetUnion::CreateRevision(revision) => pair.create_revision.cmp(&revision),
        TargetUnion::ModRevision(revision) => pair.mod_revision.cmp(&revision),
        TargetUnion::Lease(lease) => pair.lease.cmp(&lease),
        TargetUnion::Value(value) => pair.value.cmp(&value),
    };
    match guard.result() {
        CompareResult::Equal => ordering.is_eq(),
        CompareResult::NotEqual => ordering.is_ne(),
        CompareResult::Greater => ordering.is_gt(),
        CompareResult::Less => ordering.is_lt(),
    }
}

//! Transactions: guards first, then checks, then the branch that was taken.
//!
//! As in etcd, the guards of inner transactions are evaluated before anything is written, so that they do not see what
//! their own transaction writes; and everything that could be refused is refused before the first write.

use super::{ReadError, State, execute::read, header};
use crate::planner::{
    check,
    index::{Found, Live},
    key_range::KeyRange,
    records::{Change, Records, StorageError},
};
use etcd_proto::{
    errors::Refusal,
    etcdserverpb::{
        Compare, DeleteRangeRequest, PutRequest, RangeRequest, ResponseOp, TxnRequest, TxnResponse,
        compare::{CompareResult, CompareTarget, TargetUnion},
        request_op::Request,
        response_op::Response,
    },
};
use std::{cmp::Ordering, ops::ControlFlow};

/// A transaction whose guards have been evaluated.
struct Taken<'a> {
    succeeded: bool,
    operations: Vec<Operation<'a>>,
}

enum Operation<'a> {
    Range(&'a RangeRequest),
    Put(&'a PutRequest),
    DeleteRange(&'a DeleteRangeRequest),
    Transaction(Taken<'a>),
}

impl State {
    /// Answers a transaction that only reads (`check::is_read_only`).
    ///
    /// # Errors
    /// As [`State::range`]; [`Refusal::NotCapable`] where it would write.
    pub fn read_transaction(
        &self,
        request: &TxnRequest,
        records: &impl Records,
    ) -> Result<TxnResponse, ReadError> {
        self.not_corrupt()?;
        if !check::is_read_only(request) {
            return Err(Refusal::NotCapable.into());
        }
        let taken = self.take(request, records)?;
        self.check_operations(&taken)?;
        self.read_operations(&taken, records)
    }

    pub(super) fn transaction(
        &mut self,
        request: &TxnRequest,
        changes: &mut Vec<Change>,
        records: &impl Records,
    ) -> Result<TxnResponse, ReadError> {
        let taken = self.take(request, records)?;
        self.check_operations(&taken)?;
        let mut response = self.execute(&taken, changes, records)?;
        response.header = header(self.revision_with(changes));
        Ok(response)
    }

    /// Evaluates guards, those of inner transactions of the taken branch too.
    fn take<'a>(
        &self,
        request: &'a TxnRequest,
        records: &impl Records,
    ) -> Result<Taken<'a>, StorageError> {
        let mut succeeded = true;
        for guard in &request.compare {
            if !self.holds(guard, records)? {
                succeeded = false;
                break;
            }
        }
        let branch = if succeeded {
            &request.success
        } else {
            &request.failure
        };
        let operations = branch
            .iter()
            .filter_map(|operation| operation.request.as_ref())
            .map(|operation| {
                Ok(match operation {
                    Request::RequestRange(request) => Operation::Range(request),
                    Request::RequestPut(request) => Operation::Put(request),
                    Request::RequestDeleteRange(request) => Operation::DeleteRange(request),
                    Request::RequestTxn(request) => {
                        Operation::Transaction(self.take(request, records)?)
                    }
                })
            })
            .collect::<Result<_, StorageError>>()?;
        Ok(Taken {
            succeeded,
            operations,
        })
    }

    /// Whether a guard holds for every pair of its range; a key that does not exist counts as a pair of zeros,
    /// except that it has no value to compare.
    fn holds(&self, guard: &Compare, records: &impl Records) -> Result<bool, StorageError> {
        let range = KeyRange::new(&guard.key, &guard.range_end);
        let by_value = guard.target == i32::from(CompareTarget::Value);
        let mut any = false;
        let mut outcome = Ok(true);
        self.index.visit(range, self.revision, |_, found| {
            any = true;
            outcome = match found {
                Found::Newest(live) if !by_value => Ok(holds_for(guard, number(guard, live))),
                found => read(found.revision(), &[], self.revision, records)
                    .map(|record| holds_for(guard, value(guard, &record.value))),
            };
            match outcome {
                Ok(true) => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        });
        if any {
            return outcome;
        }
        let nothing = Live {
            revision: super::Revision { main: 0, sub: 0 },
            created: 0,
            version: 0,
            lease: 0,
        };
        Ok(!by_value && holds_for(guard, number(guard, nothing)))
    }

    fn check_operations(&self, taken: &Taken<'_>) -> Result<(), Refusal> {
        for operation in &taken.operations {
            match operation {
                Operation::Range(request) if request.revision > self.revision => {
                    return Err(Refusal::FutureRevision);
                }
                Operation::Range(request)
                    if request.revision != 0 && request.revision < self.compacted =>
                {
                    return Err(Refusal::Compacted);
                }
                Operation::Range(_) | Operation::DeleteRange(_) => {}
                Operation::Put(request) => self.check_put(request)?,
                Operation::Transaction(inner) => self.check_operations(inner)?,
            }
        }
        Ok(())
    }

    fn execute(
        &mut self,
        taken: &Taken<'_>,
        changes: &mut Vec<Change>,
        records: &impl Records,
    ) -> Result<TxnResponse, ReadError> {
        let mut responses = Vec::with_capacity(taken.operations.len());
        for operation in &taken.operations {
            let response = match operation {
                Operation::Range(request) => {
                    Response::ResponseRange(self.range_within(request, changes, records)?)
                }
                Operation::Put(request) => {
                    Response::ResponsePut(self.put(request, changes, records)?)
                }
                Operation::DeleteRange(request) => {
                    Response::ResponseDeleteRange(self.delete_range(request, changes, records)?)
                }
                Operation::Transaction(inner) => {
                    Response::ResponseTxn(self.execute(inner, changes, records)?)
                }
            };
            responses.push(response);
        }
        Ok(answer(taken, responses))
    }

    fn read_operations(
        &self,
        taken: &Taken<'_>,
        records: &impl Records,
    ) -> Result<TxnResponse, ReadError> {
        let mut responses = Vec::with_capacity(taken.operations.len());
        for operation in &taken.operations {
            let response = match operation {
                Operation::Range(request) => {
                    Response::ResponseRange(self.range_within(request, &[], records)?)
                }
                Operation::Transaction(inner) => {
                    Response::ResponseTxn(self.read_operations(inner, records)?)
                }
                Operation::Put(_) | Operation::DeleteRange(_) => {
                    return Err(Refusal::NotCapable.into());
                }
            };
            responses.push(response);
        }
        let mut response = answer(taken, responses);
        response.header = header(self.revision);
        Ok(response)
    }
}

fn answer(taken: &Taken<'_>, responses: Vec<Response>) -> TxnResponse {
    TxnResponse {
        // Inner answers have an empty header, as etcd's do; the outermost gets its revision from the caller.
        header: header(0),
        succeeded: taken.succeeded,
        responses: responses
            .into_iter()
            .map(|response| ResponseOp {
                response: Some(response),
            })
            .collect(),
    }
}

/// How the pair stands to the number that the guard names. A guard that names none, or that of another target,
/// compares with zero; one of an unknown target finds everything equal.
fn number(guard: &Compare, live: Live) -> Ordering {
    let operand = guard.target_union.as_ref();
    let (actual, expected) = match CompareTarget::try_from(guard.target) {
        Ok(CompareTarget::Version) => (
            live.version,
            match operand {
                Some(TargetUnion::Version(version)) => *version,
                _ => 0,
            },
        ),
        Ok(CompareTarget::Create) => (
            live.created,
            match operand {
                Some(TargetUnion::CreateRevision(revision)) => *revision,
                _ => 0,
            },
        ),
        Ok(CompareTarget::Mod) => (
            live.revision.main,
            match operand {
                Some(TargetUnion::ModRevision(revision)) => *revision,
                _ => 0,
            },
        ),
        Ok(CompareTarget::Lease) => (
            live.lease,
            match operand {
                Some(TargetUnion::Lease(lease)) => *lease,
                _ => 0,
            },
        ),
        Ok(CompareTarget::Value) | Err(_) => (0, 0),
    };
    actual.cmp(&expected)
}

/// How the pair's value stands to the guard's; equal where the guard has none.
fn value(guard: &Compare, value: &[u8]) -> Ordering {
    match &guard.target_union {
        Some(TargetUnion::Value(expected)) => value.cmp(expected),
        _ => Ordering::Equal,
    }
}

fn holds_for(guard: &Compare, ordering: Ordering) -> bool {
    match CompareResult::try_from(guard.result) {
        Ok(CompareResult::Equal) => ordering.is_eq(),
        Ok(CompareResult::NotEqual) => ordering.is_ne(),
        Ok(CompareResult::Greater) => ordering.is_gt(),
        Ok(CompareResult::Less) => ordering.is_lt(),
        // A comparison of a later release: etcd lets it pass.
        Err(_) => true,
    }
}

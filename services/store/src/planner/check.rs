//! What is refused before it is proposed: requests that no state could carry out.
//!
//! The rules and their order are etcd's (`server/etcdserver/api/v3rpc/key.go`), since clients see which refusal
//! comes first.

use super::key_range::KeyRange;
use etcd_proto::{
    errors::Refusal,
    etcdserverpb::{
        DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
        range_request::{SortOrder, SortTarget},
        request_op::Request,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// Most operations of one transaction unless told otherwise (etcd's `--max-txn-ops`).
pub const TRANSACTION_OPERATIONS_MAX: usize = 128;

/// Checks a range.
///
/// # Errors
/// [`Refusal::EmptyKey`], [`Refusal::InvalidSortOption`].
pub fn range(request: &RangeRequest) -> Result<(), Refusal> {
    if request.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    let known = SortOrder::try_from(request.sort_order).is_ok()
        && SortTarget::try_from(request.sort_target).is_ok();
    known.then_some(()).ok_or(Refusal::InvalidSortOption)
}

/// Checks a put.
///
/// # Errors
/// [`Refusal::EmptyKey`], [`Refusal::ValueProvided`], [`Refusal::LeaseProvided`].
pub fn put(request: &PutRequest) -> Result<(), Refusal> {
    if request.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(Refusal::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Refusal::LeaseProvided);
    }
    Ok(())
}

/// Checks a delete.
///
/// # Errors
/// [`Refusal::EmptyKey`].
pub fn delete_range(request: &DeleteRangeRequest) -> Result<(), Refusal> {
    let named = !request.key.is_empty();
    named.then_some(()).ok_or(Refusal::EmptyKey)
}

/// Checks a transaction of at most `operations_max` operations: a transaction within it shares what its parent's
/// largest list leaves.
///
/// # Errors
/// [`Refusal::TooManyOperations`], [`Refusal::DuplicateKey`], [`Refusal::KeyNotFound`] for an empty operation, and
/// what its operations may be refused for.
pub fn transaction(request: &TxnRequest, operations_max: usize) -> Result<(), Refusal> {
    operations(request, operations_max)?;
    // After the count, so that the work here is bounded.
    written(&request.success)?;
    written(&request.failure)?;
    Ok(())
}

fn operations(request: &TxnRequest, max: usize) -> Result<(), Refusal> {
    let largest = request
        .compare
        .len()
        .max(request.success.len())
        .max(request.failure.len());
    let left = max.checked_sub(largest).ok_or(Refusal::TooManyOperations)?;
    if request.compare.iter().any(|guard| guard.key.is_empty()) {
        return Err(Refusal::EmptyKey);
    }
    for operation in request.success.iter().chain(&request.failure) {
        match &operation.request {
            Some(Request::RequestRange(request)) => range(request)?,
            Some(Request::RequestPut(request)) => put(request)?,
            Some(Request::RequestDeleteRange(request)) => delete_range(request)?,
            Some(Request::RequestTxn(request)) => operations(request, left)?,
            None => return Err(Refusal::KeyNotFound),
        }
    }
    Ok(())
}

/// What a branch writes: keys it puts, keys and ranges it deletes.
#[derive(Default)]
struct Written<'a> {
    puts: BTreeSet<&'a [u8]>,
    deleted_keys: BTreeSet<&'a [u8]>,
    /// Start and end (None: no end) of ranges that neither touch nor overlap: a request of a megabyte may hold
    /// a hundred thousand operations, and comparing each with each would be an attack.
    deleted_ranges: BTreeMap<&'a [u8], Option<&'a [u8]>>,
}

impl<'a> Written<'a> {
    fn put(&mut self, key: &'a [u8]) -> Result<(), Refusal> {
        if self.deletes(key) || !self.puts.insert(key) {
            return Err(Refusal::DuplicateKey);
        }
        Ok(())
    }

    fn deletes(&self, key: &[u8]) -> bool {
        let before = self.deleted_ranges.range(..=key).next_back();
        self.deleted_keys.contains(key)
            || before.is_some_and(|(_, end)| end.is_none_or(|end| key < end))
    }

    fn delete(&mut self, range: KeyRange<'a>) {
        match range {
            KeyRange::One(key) => {
                self.deleted_keys.insert(key);
            }
            KeyRange::Between(start, end) if start < end => self.delete_range(start, Some(end)),
            KeyRange::Between(..) => {}
            KeyRange::From(start) => self.delete_range(start, None),
        }
    }

    /// Joins a range with those that it touches.
    fn delete_range(&mut self, mut start: &'a [u8], mut end: Option<&'a [u8]>) {
        while let Some((&other_start, &other_end)) = match end {
            Some(end) => self.deleted_ranges.range(..=end).next_back(),
            None => self.deleted_ranges.iter().next_back(),
        } {
            if other_end.is_some_and(|other_end| other_end < start) {
                break;
            }
            self.deleted_ranges.remove(other_start);
            start = start.min(other_start);
            end = end.zip(other_end).map(|(one, other)| one.max(other));
        }
        self.deleted_ranges.insert(start, end);
    }

    fn join_deletes(&mut self, other: Self) {
        self.deleted_keys.extend(other.deleted_keys);
        for (start, end) in other.deleted_ranges {
            self.delete_range(start, end);
        }
    }
}

/// Refuses a branch that puts a key twice, or puts a key that it deletes. Of an inner transaction either branch
/// may be taken, but not both.
///
/// As in etcd, an inner transaction may delete what an earlier one put: the put comes first, and both are
/// events of the revision.
fn written(operations: &[RequestOp]) -> Result<Written<'_>, Refusal> {
    let mut all = Written::default();
    for operation in operations {
        if let Some(Request::RequestDeleteRange(request)) = &operation.request {
            all.delete(KeyRange::new(&request.key, &request.range_end));
        }
    }
    for operation in operations {
        let Some(Request::RequestTxn(inner)) = &operation.request else {
            continue;
        };
        let success = written(&inner.success)?;
        let failure = written(&inner.failure)?;
        for key in success.puts.union(&failure.puts) {
            all.put(key)?;
        }
        all.join_deletes(success);
        all.join_deletes(failure);
    }
    for operation in operations {
        if let Some(Request::RequestPut(request)) = &operation.request {
            all.put(&request.key)?;
        }
    }
    Ok(all)
}

/// Whether a transaction only reads, so that it need not be proposed.
#[must_use]
pub fn is_read_only(request: &TxnRequest) -> bool {
    !any_operation(request, &|operation| {
        matches!(
            operation,
            Request::RequestPut(_) | Request::RequestDeleteRange(_)
        )
    })
}

/// Whether every range of a transaction is serializable, so that a transaction that only reads may be answered
/// from a member's own state.
#[must_use]
pub fn is_serializable(request: &TxnRequest) -> bool {
    !any_operation(
        request,
        &|operation| matches!(operation, Request::RequestRange(range) if !range.serializable),
    )
}

/// Whether a transaction may take space, so that a full store refuses it.
#[must_use]
pub fn takes_space(request: &TxnRequest) -> bool {
    any_operation(request, &|operation| {
        matches!(operation, Request::RequestPut(_))
    })
}

fn any_operation(request: &TxnRequest, matches: &dyn Fn(&Request) -> bool) -> bool {
    let operations = request.success.iter().chain(&request.failure);
    operations
        .filter_map(|operation| operation.request.as_ref())
        .any(|operation| match operation {
            Request::RequestTxn(inner) => any_operation(inner, matches),
            other => matches(other),
        })
}

#[cfg(test)]
mod tests;

//! The hash of all keys and values, taken in steps between which the store goes on.

use super::Backend;
use crate::{
    executor::member::MemberError,
    planner::{
        hash::{Hash, Hashed},
        records::Records,
        revision::Revision,
        state::{ReadError, State},
    },
};
use etcd_proto::errors::Refusal;
use std::ops::ControlFlow;

/// Records that a hash takes in before writes get their turn again: some milliseconds.
const STEP_RECORDS: usize = 4096;
/// Compaction may overtake a hash of the newest revision; then it begins again, this often.
const ATTEMPTS_MAX: usize = 3;

/// Hashes everything up to a revision; 0 for the newest.
///
/// # Errors
/// [`Refusal::Compacted`], [`Refusal::FutureRevision`], or the disk's.
pub(crate) async fn hash<B: Backend>(backend: &B, revision: i64) -> Result<Hashed, MemberError> {
    for attempt in 1.. {
        match once(backend, revision).await {
            Err(MemberError::Refused(Refusal::Compacted))
                if revision == 0 && attempt < ATTEMPTS_MAX => {}
            result => return result,
        }
    }
    unreachable!("the last attempt returns")
}

async fn once<B: Backend>(backend: &B, revision: i64) -> Result<Hashed, MemberError> {
    let mut hash = backend.read(|state, _| Hash::begin(state, revision))??;
    let mut from = Some(Revision { main: 0, sub: 0 });
    while let Some(start) = from {
        let step = backend.read(|state, records| step(&mut hash, start, state, records))?;
        from = step.map_err(|error| match error {
            ReadError::Refused(refusal) => MemberError::Refused(refusal),
            ReadError::Storage(error) => error.into(),
        })?;
        tokio::task::yield_now().await;
    }
    Ok(backend.read(|state, _| hash.finish(state))??)
}

/// Takes in the next records; returns where to go on, None at the end.
fn step(
    hash: &mut Hash,
    start: Revision,
    state: &State,
    records: &impl Records,
) -> Result<Option<Revision>, ReadError> {
    let mut next = None;
    let mut count = 0;
    records.scan(start, &mut |revision, record| {
        if count == STEP_RECORDS {
            next = Some(revision);
            return ControlFlow::Break(());
        }
        count += 1;
        if hash.add(state, revision, &record) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok(next)
}

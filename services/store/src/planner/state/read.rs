//! Reads: ranges with every option.

use super::{ReadError, State, execute::read, header};
use crate::planner::{
    index::{Found, Live},
    key_range::KeyRange,
    records::{Change, Records, StorageError},
};
use bytes::Bytes;
use etcd_proto::{
    encoded::EncodedRangeResponse,
    errors::Refusal,
    etcdserverpb::{
        RangeRequest, RangeResponse,
        range_request::{SortOrder, SortTarget},
    },
    mvccpb::KeyValue,
    prost::Message,
};
use std::{cmp::Ordering, ops::ControlFlow};

/// A pair on its way into an answer.
struct Candidate<'a> {
    key: &'a [u8],
    found: Found,
    /// Its record, where something needed it already. (Few do, and there may be very many candidates.)
    record: Option<Box<KeyValue>>,
}

impl Candidate<'_> {
    /// Creation, last change and version, in that order.
    fn numbers(&self) -> (i64, i64, i64) {
        match (self.found, &self.record) {
            (Found::Newest(live), _) => (live.created, live.revision.main, live.version),
            (Found::Superseded(_), Some(record)) => {
                (record.create_revision, record.mod_revision, record.version)
            }
            (Found::Superseded(revision), None) => {
                unreachable!("record {revision} was read before its numbers are asked for")
            }
        }
    }

    fn value(&self) -> &[u8] {
        self.record
            .as_ref()
            .map_or(&[], |record| record.value.as_ref())
    }
}

/// What a range comes to, before its records are read.
struct Selected<'a> {
    candidates: Vec<Candidate<'a>>,
    /// The revision that whoever asked sees.
    newest: i64,
    more: bool,
    count: i64,
}

/// What a range needs to look at before it can cut the answer to its limit.
struct Selection {
    order: Option<(SortTarget, bool)>,
    mod_revision: (i64, i64),
    create_revision: (i64, i64),
}

impl Selection {
    fn new(request: &RangeRequest) -> Self {
        let target = request.sort_target();
        let order = match (request.sort_order(), target) {
            // The index is in the order of keys already.
            (SortOrder::None | SortOrder::Ascend, SortTarget::Key) => None,
            (SortOrder::None | SortOrder::Ascend, target) => Some((target, false)),
            (SortOrder::Descend, target) => Some((target, true)),
        };
        Self {
            order,
            mod_revision: (request.min_mod_revision, request.max_mod_revision),
            create_revision: (request.min_create_revision, request.max_create_revision),
        }
    }

    fn filters(&self) -> bool {
        self.mod_revision != (0, 0) || self.create_revision != (0, 0)
    }

    fn admits(&self, candidate: &Candidate<'_>) -> bool {
        let (created, modified, _) = candidate.numbers();
        let within = |(min, max): (i64, i64), value: i64| {
            (min == 0 || value >= min) && (max == 0 || value <= max)
        };
        within(self.mod_revision, modified) && within(self.create_revision, created)
    }

    fn compare(&self, left: &Candidate<'_>, right: &Candidate<'_>) -> Ordering {
        let Some((target, descending)) = self.order else {
            return Ordering::Equal;
        };
        let ordering = match target {
            SortTarget::Key => left.key.cmp(right.key),
            SortTarget::Create => left.numbers().0.cmp(&right.numbers().0),
            SortTarget::Mod => left.numbers().1.cmp(&right.numbers().1),
            SortTarget::Version => left.numbers().2.cmp(&right.numbers().2),
            SortTarget::Value => left.value().cmp(right.value()),
        };
        if descending {
            ordering.reverse()
        } else {
            ordering
        }
    }

    /// Whether the record itself must be read for what is not known from the index.
    fn needs_record(&self, found: Found) -> bool {
        match found {
            Found::Newest(_) => matches!(self.order, Some((SortTarget::Value, _))),
            Found::Superseded(_) => {
                self.filters()
                    || self
                        .order
                        .is_some_and(|(target, _)| target != SortTarget::Key)
            }
        }
    }
}

impl State {
    /// Answers a range that `check` admitted.
    ///
    /// # Errors
    /// [`Refusal::Compacted`], [`Refusal::FutureRevision`], [`Refusal::Corrupt`]; or the disk does not give a
    /// record back.
    pub fn range(
        &self,
        request: &RangeRequest,
        records: &impl Records,
    ) -> Result<RangeResponse, ReadError> {
        self.not_corrupt()?;
        self.range_within(request, &[], records)
    }

    /// The same for who passes it on as bytes: pairs that are sent as they are kept are not looked into.
    ///
    /// # Errors
    /// As for [`State::range`].
    pub fn range_encoded(
        &self,
        request: &RangeRequest,
        records: &impl Records,
    ) -> Result<EncodedRangeResponse, ReadError> {
        self.not_corrupt()?;
        let selected = self.select(request, &[], records)?;
        // Collecting results would not know how many there are, and move what it has again and again.
        let mut kvs = Vec::with_capacity(selected.candidates.len());
        for candidate in selected.candidates {
            kvs.push(if request.keys_only || candidate.record.is_some() {
                let fetch = |found: Found| records.get(found.revision());
                let pair = pair(candidate, request.keys_only, fetch)?;
                pair.encode_to_vec().into()
            } else {
                records.get_encoded(candidate.found.revision())?
            });
        }
        Ok(EncodedRangeResponse {
            header: header(selected.newest),
            kvs,
            more: selected.more,
            count: selected.count,
        })
    }

    /// A range that sees what its own transaction has changed so far.
    pub(super) fn range_within(
        &self,
        request: &RangeRequest,
        changes: &[Change],
        records: &impl Records,
    ) -> Result<RangeResponse, ReadError> {
        let selected = self.select(request, changes, records)?;
        let fetch = |found: Found| read(found.revision(), changes, self.revision, records);
        let mut kvs = Vec::with_capacity(selected.candidates.len());
        for candidate in selected.candidates {
            kvs.push(pair(candidate, request.keys_only, fetch)?);
        }
        Ok(RangeResponse {
            header: header(selected.newest),
            kvs,
            more: selected.more,
            count: selected.count,
        })
    }

    /// Chooses the pairs of a range, and their order.
    fn select<'a>(
        &'a self,
        request: &'a RangeRequest,
        changes: &[Change],
        records: &impl Records,
    ) -> Result<Selected<'a>, ReadError> {
        let newest = self.revision_with(changes);
        if request.revision > newest {
            return Err(Refusal::FutureRevision.into());
        }
        let at = if request.revision > 0 {
            request.revision
        } else {
            newest
        };
        if at < self.compacted {
            return Err(Refusal::Compacted.into());
        }
        let selection = Selection::new(request);
        // A negative limit is none, as in etcd.
        let limit = usize::try_from(request.limit)
            .ok()
            .filter(|limit| *limit > 0);
        let early = limit.filter(|_| selection.order.is_none() && !selection.filters());
        let (mut candidates, count) = self.candidates(request, at, early);
        let fetch = |found: Found| read(found.revision(), changes, self.revision, records);
        for candidate in &mut candidates {
            if selection.needs_record(candidate.found) {
                candidate.record = Some(Box::new(fetch(candidate.found)?));
            }
        }
        if selection.filters() {
            candidates.retain(|candidate| selection.admits(candidate));
        }
        if selection.order.is_some() {
            candidates.sort_by(|left, right| selection.compare(left, right));
        }
        let more = !request.count_only
            && match early {
                Some(limit) => count > limit,
                None => limit.is_some_and(|limit| candidates.len() > limit),
            };
        candidates.truncate(limit.unwrap_or(usize::MAX));
        Ok(Selected {
            candidates,
            newest,
            more,
            count: i64::try_from(count).expect("keys in memory"),
        })
    }

    /// The first `limit` pairs of a range, and how many there are in all.
    fn candidates<'a>(
        &'a self,
        request: &'a RangeRequest,
        at: i64,
        limit: Option<usize>,
    ) -> (Vec<Candidate<'a>>, usize) {
        let range = KeyRange::new(&request.key, &request.range_end);
        let limit = if request.count_only {
            0
        } else {
            limit.unwrap_or(usize::MAX)
        };
        let mut candidates = Vec::new();
        if limit > 0 {
            self.index.visit(range, at, |key, found| {
                candidates.push(Candidate {
                    key,
                    found,
                    record: None,
                });
                if candidates.len() < limit {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
        }
        let count = if candidates.len() < limit {
            candidates.len()
        } else {
            self.index.count(range, at)
        };
        (candidates, count)
    }
}

/// The pair as the answer has it. Without its value, a pair that is still the newest needs no read.
fn pair(
    candidate: Candidate<'_>,
    keys_only: bool,
    fetch: impl Fn(Found) -> Result<KeyValue, StorageError>,
) -> Result<KeyValue, StorageError> {
    let mut record = match (candidate.record, candidate.found) {
        (Some(record), _) => *record,
        (None, Found::Newest(live)) if keys_only => without_value(candidate.key, live),
        (None, found) => fetch(found)?,
    };
    if keys_only {
        record.value = Bytes::new();
    }
    Ok(record)
}

fn without_value(key: &[u8], live: Live) -> KeyValue {
    KeyValue {
        key: Bytes::copy_from_slice(key),
        create_revision: live.created,
        mod_revision: live.revision.main,
        version: live.version,
        value: Bytes::new(),
        lease: live.lease,
    }
}

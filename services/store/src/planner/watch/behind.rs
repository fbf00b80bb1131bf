//! Watches that are behind, and how they catch up from the records.

use super::{Batch, Send, WatchKey, Watches, event};
use crate::planner::{
    index::Index,
    records::{Records, StorageError, is_delete},
    revision::Revision,
};
use etcd_proto::{mvccpb::KeyValue, prost::Message};
use std::{collections::BTreeMap, ops::ControlFlow};

/// Bytes of records read in one step, unless one revision alone has more: bounds the time that other work waits, and
/// the memory of a step.
pub const STEP_BYTES_MAX: usize = 1024 * 1024;

/// One read of the records, up to the end of a revision.
struct Step {
    records: Vec<KeyValue>,
    /// Last revision that was read whole.
    upto: i64,
}

impl Watches {
    /// Whether a step of [`Watches::catch_up`] has something to do now.
    #[must_use]
    pub fn can_catch_up(&self) -> bool {
        self.ready().next().is_some()
    }

    /// Brings those that are behind, and whose streams have room, a step further: reads records from the earliest
    /// revision that one of them needs, and tells each what it wants. `index` is that of the same moment as `records`.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn catch_up(
        &mut self,
        index: &Index,
        records: &impl Records,
        out: &mut Vec<Send>,
    ) -> Result<(), StorageError> {
        let watchers: Vec<_> = self.ready().collect();
        let Some(from) = watchers
            .iter()
            .filter_map(|watcher| Some(self.watch(*watcher)?.0.next))
            .min()
        else {
            return Ok(());
        };
        let step = self.read_step(from, records)?;
        let mut batches: BTreeMap<WatchKey, Batch> = BTreeMap::new();
        for record in &step.records {
            let deleted = is_delete(record);
            let mut previous = None;
            for watcher in &watchers {
                let Some((watch, _)) = self.watch(*watcher) else {
                    continue;
                };
                if !watch.range().contains(&record.key)
                    || !watch.wants(record.mod_revision, deleted)
                {
                    continue;
                }
                let pair = if watch.previous && record.mod_revision > self.compacted {
                    match &previous {
                        Some(known) => Option::clone(known),
                        None => previous.insert(before(record, index, records)?).clone(),
                    }
                } else {
                    None
                };
                let batch = batches.entry(*watcher).or_default();
                batch.push(event(record.clone(), pair));
            }
        }
        for watcher in watchers {
            let told = batches
                .remove(&watcher)
                .is_none_or(|batch| self.tell(watcher, batch, step.upto, out));
            if told {
                self.has_come_to(watcher, step.upto, out);
            }
        }
        Ok(())
    }

    fn ready(&self) -> impl Iterator<Item = WatchKey> {
        self.behind
            .iter()
            .copied()
            .filter(|watcher| self.watch(*watcher).is_some_and(|(_, has_room)| has_room))
    }

    /// Reads whole revisions, none of them beyond what was passed to [`Watches::applied`]: later ones come that way.
    fn read_step(&self, from: i64, records: &impl Records) -> Result<Step, StorageError> {
        let mut step = Step {
            records: Vec::new(),
            upto: self.revision,
        };
        let mut bytes = 0;
        let start = Revision { main: from, sub: 0 };
        records.scan(start, &mut |revision, record| {
            if revision.main > self.revision {
                return ControlFlow::Break(());
            }
            let last = step.records.last();
            let new = last.is_some_and(|last| last.mod_revision < revision.main);
            if new && bytes >= STEP_BYTES_MAX {
                step.upto = revision.main - 1;
                return ControlFlow::Break(());
            }
            bytes += record.encoded_len();
            step.records.push(record);
            ControlFlow::Continue(())
        })?;
        Ok(step)
    }

    /// A watch has been told everything up to a revision.
    fn has_come_to(&mut self, watcher: WatchKey, upto: i64, out: &mut Vec<Send>) {
        let current = upto == self.revision;
        let Some(watch) = self.watch_mut(watcher) else {
            return;
        };
        watch.next = watch.next.max(upto + 1);
        if !current {
            return;
        }
        watch.behind = false;
        self.behind.remove(&watcher);
        let (stream, number) = watcher;
        if let Some(watch) = self
            .streams
            .get(&stream)
            .and_then(|stream| stream.watches.get(&number))
        {
            self.interest.add(watch.range(), watcher);
        }
        self.answer_progress(stream, out);
    }
}

/// The key's pair before the revision of this record.
fn before(
    record: &KeyValue,
    index: &Index,
    records: &impl Records,
) -> Result<Option<KeyValue>, StorageError> {
    index
        .get_at(&record.key, record.mod_revision - 1)
        .map(|found| records.get(found.revision()))
        .transpose()
}

//! What a batch has changed so far, over the records of before.

use crate::{
    executor::records::Reader,
    planner::{
        records::{Change, Records, StorageError},
        revision::Revision,
    },
};
use etcd_proto::mvccpb::KeyValue;
use std::ops::ControlFlow;

/// Records of a batch that is being applied, over those on disk.
pub(super) struct Fresh<'a> {
    pub(super) changes: &'a [Change],
    pub(super) older: &'a Reader,
}

impl Records for Fresh<'_> {
    fn get(&self, revision: Revision) -> Result<KeyValue, StorageError> {
        let found = self
            .changes
            .binary_search_by_key(&revision, |change| change.revision);
        match found {
            Ok(position) => Ok(self.changes[position].record.clone()),
            Err(_) => self.older.get(revision),
        }
    }

    fn scan(
        &self,
        from: Revision,
        visit: &mut dyn FnMut(Revision, KeyValue) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let mut ended = false;
        self.older.scan(from, &mut |revision, record| {
            let flow = visit(revision, record);
            ended = flow.is_break();
            flow
        })?;
        let first = self
            .changes
            .partition_point(|change| change.revision < from);
        for change in &self.changes[first..] {
            if ended || visit(change.revision, change.record.clone()).is_break() {
                break;
            }
        }
        Ok(())
    }
}

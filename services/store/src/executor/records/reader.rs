//! Reading records: from the cache, from what is to be written, from the file.

use super::{RECORDS, Shared, decode, unreadable};
use crate::planner::{
    records::{Records, StorageError},
    revision::Revision,
};
use bytes::Bytes;
use etcd_proto::mvccpb::KeyValue;
use redb::{ReadOnlyTable, ReadableDatabase};
use std::{cell::RefCell, ops::ControlFlow, sync::Arc};

pub(super) type Table = ReadOnlyTable<&'static [u8; Revision::LENGTH], &'static [u8]>;

/// The records as of one commit. Nothing may be committed while it is there.
///
/// The file may well be written meanwhile: what is pending leaves memory only when it is in the file, so who looks here
/// first and there afterwards misses nothing.
pub struct Reader {
    shared: Arc<Shared>,
    /// The file's table, opened by the first read that needs it.
    table: RefCell<Option<Table>>,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            table: RefCell::default(),
        }
    }

    fn open(&self, revision: Revision) -> Result<Table, StorageError> {
        let read = self.shared.database.begin_read();
        let read = read.map_err(|error| unreadable(revision, error))?;
        read.open_table(RECORDS)
            .map_err(|error| unreadable(revision, error))
    }

    fn get_bytes(&self, revision: Revision) -> Result<Bytes, StorageError> {
        let shared = &self.shared;
        let in_memory = shared.cache.get(revision);
        if let Some(record) = in_memory.or_else(|| shared.pending().get(revision)) {
            return Ok(record);
        }
        let mut table = self.table.borrow_mut();
        let opened = match &*table {
            Some(table) => look_up(table, revision)?,
            None => None,
        };
        // A table that was opened before the record was written does not have it.
        let record = match opened {
            Some(record) => record,
            None => look_up(table.insert(self.open(revision)?), revision)?
                .ok_or(StorageError::Missing { revision })?,
        };
        shared.cache.add([(revision, record.clone())]);
        Ok(record)
    }
}

impl Records for Reader {
    fn get(&self, revision: Revision) -> Result<KeyValue, StorageError> {
        decode(revision, self.get_bytes(revision)?)
    }

    fn get_encoded(&self, revision: Revision) -> Result<Bytes, StorageError> {
        self.get_bytes(revision)
    }

    fn scan(
        &self,
        from: Revision,
        visit: &mut dyn FnMut(Revision, KeyValue) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let pending = self.shared.pending().from(from);
        let table = self.open(from)?;
        let (mut last, mut ended, mut failed) = (None, false, None);
        scan(&table, from, &mut |revision, record| {
            last = Some(revision);
            let flow = match decode(revision, Bytes::copy_from_slice(record)) {
                Ok(record) => visit(revision, record),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            };
            ended = flow.is_break();
            flow
        })
        .map_err(|error| unreadable(from, error))?;
        if let Some(error) = failed {
            return Err(error);
        }
        let rest = pending
            .into_iter()
            .skip_while(|(revision, _)| Some(*revision) <= last);
        for (revision, record) in rest {
            if ended || visit(revision, decode(revision, record)?).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn look_up(table: &Table, revision: Revision) -> Result<Option<Bytes>, StorageError> {
    let found = table.get(&revision.to_bytes());
    let found = found.map_err(|error| unreadable(revision, error))?;
    Ok(found.map(|record| Bytes::copy_from_slice(record.value())))
}

/// The records of a table from a revision on, in order, as they lie, until `visit` breaks.
pub(super) fn scan(
    table: &Table,
    from: Revision,
    visit: &mut dyn FnMut(Revision, &[u8]) -> ControlFlow<()>,
) -> Result<(), redb::StorageError> {
    let start = from.to_bytes();
    for record in table.range::<&[u8; Revision::LENGTH]>(&start..)? {
        let (revision, record) = record?;
        let revision = Revision::from_bytes(*revision.value());
        if visit(revision, record.value()).is_break() {
            break;
        }
    }
    Ok(())
}

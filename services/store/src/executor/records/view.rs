//! The file of records as of one commit.

use super::{ALARMS, FACTS, LEASES, RECORDS, RecordsError, database, reader::scan};
use crate::planner::{
    revision::{FIRST, NEVER_COMPACTED, Revision},
    state::{Alarm, Kept, KeptLease},
};
use redb::{ReadTransaction, ReadableTable};
use std::{collections::BTreeSet, ops::ControlFlow};

/// Everything in the file as of one commit, whatever is committed later.
pub struct View {
    pub(super) read: ReadTransaction,
}

impl View {
    /// Everything but the records, and the log position of the commit; None for a new file.
    ///
    /// # Errors
    /// The disk's, or the file is damaged.
    pub fn kept(&self) -> Result<(Kept, Option<Vec<u8>>), RecordsError> {
        let facts = self.read.open_table(FACTS).map_err(database("read"))?;
        let fact = |name: &str| -> Result<Option<Vec<u8>>, RecordsError> {
            let fact = facts.get(name).map_err(database("read"))?;
            Ok(fact.map(|fact| fact.value().to_vec()))
        };
        let mut kept = Kept {
            revision: number(fact("revision")?, FIRST)?,
            compacted: number(fact("compacted")?, NEVER_COMPACTED)?,
            leases: Vec::new(),
            alarms: BTreeSet::new(),
        };
        let leases = self.read.open_table(LEASES).map_err(database("read"))?;
        for entry in leases.iter().map_err(database("read"))? {
            let (id, lease) = entry.map_err(database("read"))?;
            let (time_to_live, remaining) = lease.value();
            let lease = KeptLease {
                time_to_live,
                remaining,
            };
            kept.leases.push((id.value(), lease));
        }
        let alarms = self.read.open_table(ALARMS).map_err(database("read"))?;
        for entry in alarms.iter().map_err(database("read"))? {
            let (member, kind) = entry.map_err(database("read"))?.0.value();
            kept.alarms.insert(Alarm { member, kind });
        }
        Ok((kept, fact("applied")?))
    }

    /// The log position of the commit; None for a new file.
    ///
    /// # Errors
    /// The disk's, or the file is damaged.
    pub fn applied(&self) -> Result<Option<Vec<u8>>, RecordsError> {
        let facts = self.read.open_table(FACTS).map_err(database("read"))?;
        let applied = facts.get("applied").map_err(database("read"))?;
        Ok(applied.map(|applied| applied.value().to_vec()))
    }

    /// The records from a revision on, in order, as they lie: a `KeyValue` in protobuf each. It ends when `visit` breaks.
    ///
    /// # Errors
    /// The disk's.
    pub fn scan(
        &self,
        from: Revision,
        visit: &mut dyn FnMut(Revision, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), RecordsError> {
        let records = self.read.open_table(RECORDS).map_err(database("read"))?;
        scan(&records, from, visit).map_err(database("read"))
    }
}

/// A fact that is a number.
fn number(fact: Option<Vec<u8>>, otherwise: i64) -> Result<i64, RecordsError> {
    let Some(bytes) = fact else {
        return Ok(otherwise);
    };
    let bytes = bytes.try_into().map_err(|_| RecordsError::Damaged {
        what: "a revision is no number".to_owned(),
    })?;
    Ok(i64::from_be_bytes(bytes))
}

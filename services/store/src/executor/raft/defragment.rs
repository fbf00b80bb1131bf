//! Defragmentation: the records are copied to a second file while the member goes on, and the copy takes their place.
//!
//! ```text
//!   copy from a view ──> again, what came meanwhile ──> ... ──> flush ──> writer held: the rest, flush, rename ──> swap
//!   `──── reads, writes; compaction forgets, and deletes its records afterwards ────┘      └── reads
//! ```
//!
//! Records are only added, at the end, while none are dropped: so a round takes what is behind the last one that it has. A
//! crash leaves the old file or the new one, whole, and both fit the log: it is not purged before the new one has the name.

use super::machine::Machine;
use crate::executor::{
    disk::Disk,
    records::{COPY, Incoming, RecordFile, RecordsError},
};
use std::{io, sync::Arc};

/// A round that copied no more than this was the last one beside writes: what comes now takes some milliseconds.
const LAST_ROUND_RECORDS: u64 = 1000;
/// Where writes come faster than they are copied, they wait after so many rounds.
const ROUNDS_MAX: usize = 10;

impl Machine {
    /// Gives back the space that deleted records took. Reads and writes go on; writes wait some milliseconds at the end.
    ///
    /// # Errors
    /// `ResourceBusy`: it runs already, or another member's snapshot came meanwhile. Else the disk's. Everything is then as
    /// before.
    pub async fn defragment(&self) -> io::Result<()> {
        let busy = |what: &str| io::Error::new(io::ErrorKind::ResourceBusy, what);
        let one = self.defragmenting.try_lock();
        let _one = one.map_err(|_| busy("the records are being defragmented already"))?;
        let _none_dropped = self.dropping.lock().await;
        let file = self.file();
        self.has_room(&file)?;
        let result = self.copy_and_swap(&file, &busy).await;
        if result.is_err() {
            let disk = self.disk.clone();
            let remove = move || RecordFile::remove_copy(&*disk).map_err(io::Error::other);
            if let Err(error) = self.disk.run(remove).await {
                tracing::warn!(%error, "remove what was copied; it is removed at the next start");
            }
        }
        // Whoever is last to have it closes it, which is work for a thread of its own.
        let close = move || {
            drop(file);
            Ok(())
        };
        self.disk.run(close).await?;
        result
    }

    /// The copy must not be what fills the disk.
    fn has_room(&self, file: &RecordFile) -> io::Result<()> {
        let (free, needed) = (self.disk.free()?, file.bytes_in_use().saturating_mul(2));
        if free < needed {
            let what = format!(
                "the disk has {free} bytes free, and a copy of the records may take {needed}"
            );
            return Err(io::Error::new(io::ErrorKind::StorageFull, what));
        }
        Ok(())
    }

    async fn copy_and_swap(
        &self,
        file: &Arc<RecordFile>,
        busy: &impl Fn(&str) -> io::Error,
    ) -> io::Result<()> {
        let (disk, pages) = (self.disk.clone(), self.settings.cache.pages);
        let from = file.clone();
        let begin = move || from.begin_copy(&*disk, pages).map_err(io::Error::other);
        let mut copy = self.disk.run(begin).await?;
        for _ in 0..ROUNDS_MAX {
            let file = file.clone();
            let (next, copied) = self.disk.run(move || round(&file, copy)).await?;
            copy = next;
            if copied <= LAST_ROUND_RECORDS {
                break;
            }
        }
        let flush = move || {
            copy.sync().map_err(io::Error::other)?;
            Ok(copy)
        };
        let copy = self.disk.run(flush).await?;
        let mut writer = self.writer.lock().await;
        if !Arc::ptr_eq(file, &self.file()) {
            return Err(busy(
                "another member's snapshot took the records' place; try again",
            ));
        }
        let end = self.prepare_checkpoint(&mut writer).await?;
        let (from, disk) = (file.clone(), self.disk.clone());
        let replace = move || replace(&from, copy, &*disk).map_err(io::Error::other);
        let new = self.disk.run(replace).await?;
        new.patience().begin();
        self.held_mut().file = Arc::new(new);
        // The file has its name, but a crash may yet take it away: until the directory is flushed, nothing is purged.
        writer.unsettled = true;
        self.settle(&mut writer, end).await
    }
}

fn round(file: &RecordFile, mut copy: Incoming) -> io::Result<(Incoming, u64)> {
    let view = file.view().map_err(io::Error::other)?;
    let copied = copy.copy(&view).map_err(io::Error::other)?;
    Ok((copy, copied))
}

fn replace(
    from: &RecordFile,
    mut copy: Incoming,
    disk: &dyn Disk,
) -> Result<RecordFile, RecordsError> {
    let view = from.view()?;
    copy.copy(&view)?;
    let new = copy.finish_copy(&view)?;
    RecordFile::take_place(disk, COPY)?;
    Ok(new)
}

#[cfg(test)]
mod tests;

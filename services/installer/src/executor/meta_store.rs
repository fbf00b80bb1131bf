//! META on its partition: reads both copies, replaces the older one.

use crate::meta::{COPY_BYTES, COPY_OFFSETS, Generation, Meta, newest};
use std::{
    fs::File,
    io::{self, Cursor, Read, Seek, SeekFrom, Write},
};

/// A disk, partition or file whose writes can be made durable.
pub(crate) trait Durable: Read + Write + Seek {
    /// Returns when everything written is on the medium.
    fn sync(&mut self) -> io::Result<()>;
}

impl Durable for Cursor<Vec<u8>> {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Durable for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// The newest whole copy.
pub(crate) fn read(partition: &mut (impl Read + Seek)) -> io::Result<Option<Generation>> {
    Ok(copies(partition)?.0)
}

/// Writes the next generation over the older copy, durably.
pub(crate) fn write(partition: &mut impl Durable, meta: &Meta) -> io::Result<()> {
    let (current, replaced) = copies(partition)?;
    let next = Generation {
        number: current.map_or(1, |current| current.number.saturating_add(1)),
        meta: meta.clone(),
    };
    let copy = next.encode().map_err(io::Error::other)?;
    partition.seek(SeekFrom::Start(COPY_OFFSETS[replaced]))?;
    partition.write_all(&copy)?;
    partition.sync()
}

fn copies(partition: &mut (impl Read + Seek)) -> io::Result<(Option<Generation>, usize)> {
    let mut both = [[0_u8; COPY_BYTES]; 2];
    for (copy, offset) in both.iter_mut().zip(COPY_OFFSETS) {
        partition.seek(SeekFrom::Start(offset))?;
        partition.read_exact(copy)?;
    }
    Ok(newest(&both[0], &both[1]))
}

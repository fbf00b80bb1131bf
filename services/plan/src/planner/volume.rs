//! Reading a volume of unknown content: everything is read through a block cache that counts, refuses
//! writes, and gives up at a bound. A file system that leads in circles ends as an error.

use std::io::{self, Read, Seek, SeekFrom, Write};

const BLOCK: usize = 4096;
/// Blocks that are fetched from one volume: a largest config in clusters of 512 bytes costs two fetches
/// a cluster (table and data take turns in the cache), 4096 in all; the rest is for directories.
pub(crate) const BLOCKS_MAX: u32 = 16_384;
/// Reads that are served from one volume: a parser that walks in circles within cached blocks.
pub(crate) const READS_MAX: u32 = 1 << 20;

/// A read-only, bounded view of a volume.
#[derive(Debug)]
pub(crate) struct Volume<D> {
    device: D,
    size: u64,
    position: u64,
    cached: Option<u64>,
    length: usize,
    cache: Box<[u8; BLOCK]>,
    blocks_left: u32,
    reads_left: u32,
}

impl<D: Read + Seek> Volume<D> {
    /// A view of the whole of `device`.
    pub(crate) fn new(mut device: D) -> io::Result<Self> {
        let size = device.seek(SeekFrom::End(0))?;
        Ok(Self {
            device,
            size,
            position: 0,
            cached: None,
            length: 0,
            cache: Box::new([0; BLOCK]),
            blocks_left: BLOCKS_MAX,
            reads_left: READS_MAX,
        })
    }

    /// Bytes at `offset`; an error where they are not all there.
    pub(crate) fn at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.position = offset;
        self.read_exact(buffer)
    }

    fn fetch(&mut self, block: u64) -> io::Result<()> {
        if self.cached == Some(block) {
            return Ok(());
        }
        self.blocks_left = self.blocks_left.checked_sub(1).ok_or_else(exhausted)?;
        self.cached = None;
        self.device.seek(SeekFrom::Start(block * BLOCK as u64))?;
        self.length = 0;
        while self.length < BLOCK {
            match self.device.read(&mut self.cache[self.length..]) {
                Ok(0) => break,
                Ok(count) => self.length += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.cached = Some(block);
        Ok(())
    }
}

fn exhausted() -> io::Error {
    io::Error::other("the volume's directories are too large or lead in circles")
}

impl<D: Read + Seek> Read for Volume<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        self.reads_left = self.reads_left.checked_sub(1).ok_or_else(exhausted)?;
        self.fetch(self.position / BLOCK as u64)?;
        let within = usize::try_from(self.position % BLOCK as u64).expect("below 4096");
        let from = self.cache[..self.length].get(within..).unwrap_or_default();
        let count = from.len().min(buffer.len());
        buffer[..count].copy_from_slice(&from[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl<D: Read + Seek> Seek for Volume<D> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(delta) => self.size.checked_add_signed(delta),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
        };
        self.position = target.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "seek before the volume's start",
            )
        })?;
        Ok(self.position)
    }
}

impl<D> Write for Volume<D> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the volume is read-only",
        ))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn reads_what_is_there_and_no_more_than_its_bound() {
        let bytes: Vec<u8> = (0..20_000_u32)
            .map(|n| u8::try_from(n % 251).unwrap())
            .collect();
        let mut volume = Volume::new(Cursor::new(bytes.clone())).unwrap();
        let mut all = Vec::new();
        volume.read_to_end(&mut all).unwrap();
        assert_eq!(all, bytes);
        let mut buffer = [0_u8; 10];
        assert!(volume.at(19_995, &mut buffer).is_err());
        assert!(volume.seek(SeekFrom::End(-20_001)).is_err());
        for round in 0_u64..u64::from(BLOCKS_MAX) {
            if volume.at(round % 2 * 4096, &mut buffer).is_err() {
                return;
            }
        }
        panic!("the bound on blocks did not hold");
    }
}

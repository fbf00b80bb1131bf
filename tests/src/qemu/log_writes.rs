//! Recorded writes of a disk, and their replay up to any point: the honest power cut.
//!
//! Killing QEMU keeps what the host has cached, and so hides missing flushes. A log of all writes in order
//! lets a test make the disk as it was after each single write. Linux, `Documentation/admin-guide/
//! device-mapper/log-writes.rst`; QEMU's driver is `blklogwrites`.
//!
//! ```text
//!   sector 0:  magic u64 | version u64 (1) | entries u64 | sector size u32          all little-endian
//!   then, each on a sector boundary of its own:
//!     entry:   sector u64 | sectors u64 | flags u64 | data length u64
//!     data:    sectors * sector size bytes, but none after a discard
//! ```

use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// "jsfwshr" as the format has it.
const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
/// The disk was told to make durable what came before.
pub const FLUSH: u64 = 1;
/// The write itself was durable when it was acknowledged.
pub const FORCE_UNIT_ACCESS: u64 = 2;
/// The sectors are of no more use; they read as zeros afterwards.
pub const DISCARD: u64 = 4;
/// Sanity bounds: a broken log must not take all memory.
const ENTRIES_MAX: u64 = 10_000_000;
const SECTOR_SIZES: std::ops::RangeInclusive<u32> = 512..=65536;
const COPY_MAX: usize = 1024 * 1024;

/// One write, flush or discard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// First sector on the disk.
    pub sector: u64,
    /// Number of sectors.
    pub sectors: u64,
    /// [`FLUSH`], [`FORCE_UNIT_ACCESS`], [`DISCARD`].
    pub flags: u64,
    /// Where its data is in the log.
    data: u64,
}

/// An opened log.
#[derive(Debug)]
pub struct WriteLog {
    file: File,
    sector_size: u64,
    entries: Vec<Entry>,
}

impl WriteLog {
    /// Reads the log's index.
    ///
    /// # Errors
    /// It is not a log of this version, or it ends within an entry.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        let mut head = [0; 28];
        file.read_exact_at(&mut head, 0)
            .with_context(|| format!("read {}", path.display()))?;
        let (magic, version, count) = (u64_at(&head, 0), u64_at(&head, 8), u64_at(&head, 16));
        let sector_size = u32::from_le_bytes([head[24], head[25], head[26], head[27]]);
        if magic != MAGIC
            || version != VERSION
            || count > ENTRIES_MAX
            || !SECTOR_SIZES.contains(&sector_size)
        {
            bail!(
                "{} is not a log of writes (magic {magic:#x}, version {version}, {count} entries)",
                path.display()
            );
        }
        let sector_size = u64::from(sector_size);
        let mut at = sector_size;
        let mut entries = Vec::new();
        for number in 0..count {
            let mut bytes = [0; 32];
            file.read_exact_at(&mut bytes, at)
                .with_context(|| format!("read entry {number} of {}", path.display()))?;
            at += sector_size;
            let entry = Entry {
                sector: u64_at(&bytes, 0),
                sectors: u64_at(&bytes, 8),
                flags: u64_at(&bytes, 16),
                data: at,
            };
            if entry.flags & DISCARD == 0 {
                at += entry.sectors * sector_size;
            }
            entries.push(entry);
        }
        Ok(Self {
            file,
            sector_size,
            entries,
        })
    }

    /// All entries in the order in which they reached the disk.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Applies entries `from..to` to an image that has had the first `from`.
    ///
    /// # Errors
    /// The log or the image cannot be read or written.
    pub fn replay(&self, image: &File, from: usize, to: usize) -> Result<()> {
        let mut buffer = vec![0; COPY_MAX];
        for (number, entry) in self.entries.iter().enumerate().take(to).skip(from) {
            self.apply(image, entry, &mut buffer)
                .with_context(|| format!("replay entry {number}"))?;
        }
        Ok(())
    }

    fn apply(&self, image: &File, entry: &Entry, buffer: &mut [u8]) -> Result<()> {
        let discard = entry.flags & DISCARD != 0;
        let mut left = entry.sectors * self.sector_size;
        let (mut source, mut target) = (entry.data, entry.sector * self.sector_size);
        if discard {
            buffer.fill(0);
        }
        while left > 0 {
            let length = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let part = &mut buffer[..length];
            if !discard {
                self.file
                    .read_exact_at(part, source)
                    .context("read the log")?;
            }
            image
                .write_all_at(part, target)
                .context("write the image")?;
            let length = u64::try_from(length).context("a length fits")?;
            (left, source, target) = (left - length, source + length, target + length);
        }
        Ok(())
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(entries: &[(u64, u64, u64, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&u64::try_from(entries.len()).unwrap().to_le_bytes());
        out.extend_from_slice(&512_u32.to_le_bytes());
        out.resize(512, 0);
        for (sector, sectors, flags, data) in entries {
            let start = out.len();
            for value in [*sector, *sectors, *flags, 0] {
                out.extend_from_slice(&value.to_le_bytes());
            }
            out.resize(start + 512, 0);
            out.extend_from_slice(data);
        }
        out
    }

    #[test]
    fn a_prefix_is_the_disk_at_that_moment() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let (one, two) = ([1; 512], [2; 1024]);
        let bytes = log(&[
            (1, 1, 0, &one),
            (0, 0, FLUSH, &[]),
            (1, 2, FORCE_UNIT_ACCESS, &two),
            (0, 2, DISCARD, &[]),
        ]);
        std::fs::write(&path, &bytes).unwrap();
        let log = WriteLog::open(&path).unwrap();
        assert_eq!(log.entries().len(), 4);
        let image_path = directory.path().join("image");
        let image = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&image_path)
            .unwrap();
        image.set_len(4 * 512).unwrap();
        let sectors = || -> Vec<u8> {
            std::fs::read(&image_path)
                .unwrap()
                .chunks(512)
                .map(|sector| sector[0])
                .collect()
        };
        log.replay(&image, 0, 2).unwrap();
        assert_eq!(sectors(), [0, 1, 0, 0]);
        log.replay(&image, 2, 3).unwrap();
        assert_eq!(sectors(), [0, 2, 2, 0]);
        log.replay(&image, 3, 4).unwrap();
        assert_eq!(sectors(), [0, 0, 2, 0]);
    }

    #[test]
    fn what_is_no_log_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let whole = log(&[(1, 1, 0, &[1; 512])]);
        for bytes in [vec![0; 512], whole[..512].to_vec(), Vec::new()] {
            std::fs::write(&path, &bytes).unwrap();
            assert!(WriteLog::open(&path).is_err());
        }
    }
}

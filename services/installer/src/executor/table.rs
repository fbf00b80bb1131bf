//! GUID partition tables (UEFI 2.10, chapter 5.3): read from whichever copy is whole, written so that one
//! copy is whole at any time.
//!
//! ```text
//!   write:  clear ranges │ backup entries │ backup header │ primary entries │ primary header │ MBR
//!                       sync             sync            sync              sync            sync
//! ```
//!
//! The `gpt` crate encodes and decodes; it does not order its writes, does not fall back when a header is
//! whole and its entries are not, and panics on unusual entry sizes. So it works here on views of the
//! disk that show one copy only and on a picture in memory, after a check of the header's bounds.

use super::meta_store::Durable;
use crate::planner::model::{Content, Partition, Table};
use gpt::{GptConfig, GptDisk, GptError, disk::LogicalBlockSize, mbr::ProtectiveMBR};
use std::{
    collections::BTreeMap,
    io::{self, Read, Seek, SeekFrom, Write},
};

/// Entries of a table: what every partitioning program writes, and the least that UEFI allows.
const ENTRIES: u32 = 128;
const ENTRY_BYTES: u32 = 128;
const ENTRIES_BYTES: u64 = 128 * 128;
/// Zeros are written in pieces of this size.
const CLEAR_CHUNK: usize = 256 * 1024;

/// Why a table cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TableError {
    /// The `gpt` crate refused.
    #[error("encode")]
    Encode(#[source] GptError),
    /// The disk failed.
    #[error("write")]
    Io(#[from] io::Error),
    /// A number does not fit.
    #[error("{0} is out of range")]
    Range(&'static str),
}

/// What a disk's first and last sectors hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No trace of a table.
    Nothing,
    /// A table.
    Table(Table),
    /// A table that is damaged in both copies or unusual.
    Unusable(&'static str),
}

/// Reads the table; the primary copy counts, the backup where the primary is torn.
pub(crate) fn read(disk: &mut (impl Read + Seek), bytes: u64, sector: u64) -> io::Result<Found> {
    let Ok(block) = LogicalBlockSize::try_from(sector) else {
        return Ok(Found::Nothing);
    };
    if bytes < 2 * (ENTRIES_BYTES + 2 * sector) {
        return Ok(Found::Nothing);
    }
    let places = [sector, (bytes / sector - 1) * sector];
    let mut signs = [Sign::None; 2];
    for (sign, place) in signs.iter_mut().zip(places) {
        *sign = look(disk, place, sector)?;
    }
    let mut copies = [None, None];
    for (copy, hidden, sign) in [(0, places[1], signs[0]), (1, places[0], signs[1])] {
        if sign == Sign::Usual {
            copies[copy] = open(disk, bytes, sector, block, hidden);
        }
    }
    let mut mbr = [0_u8; 512];
    disk.seek(SeekFrom::Start(0))?;
    disk.read_exact(&mut mbr)?;
    let protective = mbr[510..] == [0x55, 0xaa] && mbr[446 + 4] == 0xee;
    let whole = protective && copies[0].is_some() && copies[0] == copies[1];
    let beyond = |copy: &Copy| copy.0.partitions.iter().any(|p| p.end() > bytes);
    Ok(match copies.into_iter().flatten().next() {
        // The disk was larger, or is a copy of a larger one.
        Some(table) if beyond(&table) => {
            Found::Unusable("a GUID partition table with partitions beyond the disk's end")
        }
        Some(table) => Found::Table(Table { whole, ..table.0 }),
        None if signs.contains(&Sign::Unusual) => {
            Found::Unusable("a GUID partition table of an unusual size")
        }
        None if signs.contains(&Sign::Usual) => {
            Found::Unusable("a GUID partition table that is damaged in both copies")
        }
        None => Found::Nothing,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    None,
    Usual,
    Unusual,
}

/// Whether there is a header, and whether its numbers are those that the crate can take.
fn look(disk: &mut (impl Read + Seek), place: u64, sector: u64) -> io::Result<Sign> {
    let mut header = [0_u8; 92];
    disk.seek(SeekFrom::Start(place))?;
    disk.read_exact(&mut header)?;
    let u32_at = |at: usize| u32::from_le_bytes(*header[at..].first_chunk().expect("in 92 bytes"));
    let u64_at = |at: usize| u64::from_le_bytes(*header[at..].first_chunk().expect("in 92 bytes"));
    if &header[..8] != b"EFI PART" {
        return Ok(Sign::None);
    }
    let usual = u32_at(12) == 92
        && u32_at(84) == ENTRY_BYTES
        && u32_at(80) == ENTRIES
        && u64_at(24) == place / sector;
    Ok(if usual { Sign::Usual } else { Sign::Unusual })
}

/// A table and where its own header says that the other copy is.
#[derive(Debug, PartialEq, Eq)]
struct Copy(Table, u64, u64);

fn open(
    disk: &mut (impl Read + Seek),
    bytes: u64,
    sector: u64,
    block: LogicalBlockSize,
    hidden: u64,
) -> Option<Copy> {
    let view = View {
        disk,
        bytes,
        position: 0,
        hidden: hidden..hidden + sector,
    };
    let gpt = GptConfig::new()
        .logical_block_size(block)
        .open_from_device(view)
        .ok()?;
    let header = gpt.header();
    let ends = (
        header.current_lba.min(header.backup_lba),
        header.current_lba.max(header.backup_lba),
    );
    let partitions = gpt
        .partitions()
        .iter()
        .filter(|(_, entry)| entry.is_used())
        .map(|(number, entry)| {
            let sectors = entry
                .last_lba
                .checked_sub(entry.first_lba)?
                .checked_add(1)?;
            Some(Partition {
                number: *number,
                name: entry.name.clone(),
                kind: entry.part_type_guid.guid,
                id: entry.part_guid,
                flags: entry.flags,
                start: entry.first_lba.checked_mul(sector)?,
                bytes: sectors.checked_mul(sector)?,
                device: None,
                in_use: false,
                content: Content::Nothing,
            })
        })
        .collect::<Option<Vec<_>>>()?;
    Some(Copy(
        Table {
            id: *gpt.guid(),
            whole: false,
            partitions,
        },
        ends.0,
        ends.1,
    ))
}

/// Clears the ranges, then writes the table, each part durable before the next.
pub(crate) fn write(
    disk: &mut impl Durable,
    bytes: u64,
    sector: u64,
    table: &Table,
    clear: &[(u64, u64)],
) -> Result<(), TableError> {
    let picture = encode(bytes, sector, table)?;
    let entries = ENTRIES_BYTES.next_multiple_of(sector);
    let last = (bytes / sector - 1) * sector;
    for (offset, length) in clear {
        zero(disk, *offset, *length)?;
    }
    disk.sync()?;
    let parts = [
        (last - entries, entries),
        (last, sector),
        (2 * sector, entries),
        (sector, sector),
        (0, sector),
    ];
    for (offset, length) in parts {
        let mut part = vec![0; usize::try_from(length).map_err(|_| TableError::Range("a part"))?];
        picture.read_at(offset, &mut part);
        disk.seek(SeekFrom::Start(offset))?;
        disk.write_all(&part)?;
        disk.sync()?;
    }
    Ok(())
}

fn zero(disk: &mut impl Durable, offset: u64, length: u64) -> io::Result<()> {
    let zeros = vec![0_u8; CLEAR_CHUNK];
    disk.seek(SeekFrom::Start(offset))?;
    let mut left = length;
    while left > 0 {
        let count = usize::try_from(left)
            .unwrap_or(CLEAR_CHUNK)
            .min(CLEAR_CHUNK);
        disk.write_all(&zeros[..count])?;
        left -= count as u64;
    }
    Ok(())
}

/// The crate's writes on a disk of zeros.
fn encode(bytes: u64, sector: u64, table: &Table) -> Result<Picture, TableError> {
    let block = LogicalBlockSize::try_from(sector)?;
    let mut picture = Picture {
        bytes: bytes / sector * sector,
        ..Picture::default()
    };
    let sectors = u32::try_from(bytes / sector - 1).unwrap_or(u32::MAX);
    ProtectiveMBR::with_lb_size(sectors)
        .overwrite_lba0(&mut picture)
        .map_err(|error| TableError::Io(io::Error::other(error)))?;
    let mut gpt: GptDisk<Picture> = GptConfig::new()
        .writable(true)
        .logical_block_size(block)
        .create_from_device(picture, Some(table.id))
        .map_err(TableError::Encode)?;
    let mut entries = BTreeMap::new();
    for partition in &table.partitions {
        let entry = gpt::partition::Partition {
            part_type_guid: partition.kind.into(),
            part_guid: partition.id,
            first_lba: partition.start / sector,
            last_lba: (partition.end() / sector)
                .checked_sub(1)
                .ok_or(TableError::Range("a partition's end"))?,
            flags: partition.flags,
            name: partition.name.clone(),
        };
        entries.insert(partition.number, entry);
    }
    gpt.update_partitions(entries).map_err(TableError::Encode)?;
    gpt.write().map_err(TableError::Encode)
}

const PAGE: u64 = 4096;
const PAGE_BYTES: usize = 4096;

/// A disk in memory, zeros but for the pages that were written.
#[derive(Debug, Default)]
struct Picture {
    bytes: u64,
    position: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Picture {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) {
        for (byte, at) in buffer.iter_mut().zip(offset..) {
            let within = usize::try_from(at % PAGE).expect("below 4096");
            *byte = self.pages.get(&(at / PAGE)).map_or(0, |page| page[within]);
        }
    }
}

impl Read for Picture {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.bytes.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        self.read_at(self.position, &mut buffer[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for Picture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            let within = usize::try_from(self.position % PAGE).expect("below 4096");
            let page = self.pages.entry(self.position / PAGE);
            page.or_insert_with(|| vec![0; PAGE_BYTES])[within] = *byte;
            self.position += 1;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Picture {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = target(to, self.position, self.bytes)?;
        Ok(self.position)
    }
}

/// A disk of which one range reads as zeros.
struct View<'a, D> {
    disk: &'a mut D,
    bytes: u64,
    position: u64,
    hidden: std::ops::Range<u64>,
}

impl<D> std::fmt::Debug for View<'_, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

impl<D: Read + Seek> Read for View<'_, D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.bytes.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        self.disk.seek(SeekFrom::Start(self.position))?;
        let count = self.disk.read(&mut buffer[..count])?;
        for (byte, at) in buffer[..count].iter_mut().zip(self.position..) {
            if self.hidden.contains(&at) {
                *byte = 0;
            }
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl<D> Write for View<'_, D> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<D> Seek for View<'_, D> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = target(to, self.position, self.bytes)?;
        Ok(self.position)
    }
}

fn target(to: SeekFrom, position: u64, bytes: u64) -> io::Result<u64> {
    match to {
        SeekFrom::Start(offset) => Some(offset),
        SeekFrom::End(delta) => bytes.checked_add_signed(delta),
        SeekFrom::Current(delta) => position.checked_add_signed(delta),
    }
    .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

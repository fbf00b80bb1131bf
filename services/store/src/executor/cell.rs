//! A small value in its own file, replaced whole and durably: Raft's term and vote, and how far the log is purged.
//!
//! ```text
//!   0   magic    8   "ORLOPCEL"
//!   8   version  4   1
//!   12  length   4   of the value
//!   16  crc32    4   of version, length and value
//!   20  value
//! ```
//!
//! A new value is written beside the old one, flushed, and renamed over it; the directory is flushed before
//! [`Cell::replace`] returns. So a cut leaves the old value or the new one, and a value that fails its
//! checksum was damaged afterwards: it is named and refused, never taken for "no value".

use super::disk::Disk;
use std::io;

const MAGIC: &[u8; 8] = b"ORLOPCEL";
const VERSION: u32 = 1;
const HEADER: usize = 20;
/// Largest value: Raft's vote is some 40 bytes.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Why a cell cannot be read or replaced.
#[derive(Debug, thiserror::Error)]
pub enum CellError {
    /// The disk refused.
    #[error("{operation} {name}")]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// The file.
        name: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The file is not what was written.
    #[error(
        "{name} is damaged: {what}; remove the member and add it anew, so that its peers bring it up to date"
    )]
    Damaged {
        /// The file.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The value does not fit.
    #[error("{name} takes {VALUE_BYTES_MAX} bytes, not {length}")]
    TooLarge {
        /// The file.
        name: String,
        /// Of the value.
        length: usize,
    },
}

/// A value in a file of its own.
#[derive(Debug)]
pub struct Cell {
    name: &'static str,
}

impl Cell {
    /// The cell in the file of this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name }
    }

    /// The value; None where there never was one.
    ///
    /// # Errors
    /// The disk's, or the file is damaged.
    pub fn read(&self, disk: &dyn Disk) -> Result<Option<Vec<u8>>, CellError> {
        let file = match disk.open(self.name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed("open", error)),
        };
        let length = file
            .length()
            .map_err(|error| self.failed("measure", error))?;
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= HEADER + VALUE_BYTES_MAX)
            .ok_or_else(|| self.damaged("it is too long"))?;
        let mut bytes = vec![0; length];
        file.read(&mut bytes, 0)
            .map_err(|error| self.failed("read", error))?;
        decode(&bytes)
            .map(|value| Some(value.to_vec()))
            .map_err(|what| self.damaged(what))
    }

    /// Replaces the value. When this returns, the new one is durable; after an error it is either.
    ///
    /// # Errors
    /// The disk's, or the value is too large.
    pub fn replace(&self, disk: &dyn Disk, value: &[u8]) -> Result<(), CellError> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(CellError::TooLarge {
                name: self.name.to_owned(),
                length: value.len(),
            });
        }
        let fresh = format!("{}.new", self.name);
        let file = disk
            .create(&fresh)
            .map_err(|error| self.failed("create the successor of", error))?;
        file.write(&encode(value), 0)
            .and_then(|()| file.sync())
            .map_err(|error| self.failed("write the successor of", error))?;
        disk.rename(&fresh, self.name)
            .and_then(|()| disk.sync())
            .map_err(|error| self.failed("replace", error))
    }

    fn failed(&self, operation: &'static str, source: io::Error) -> CellError {
        CellError::Disk {
            operation,
            name: self.name.to_owned(),
            source,
        }
    }

    fn damaged(&self, what: &'static str) -> CellError {
        CellError::Damaged {
            name: self.name.to_owned(),
            what,
        }
    }
}

fn encode(value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).expect("at most VALUE_BYTES_MAX");
    let mut bytes = Vec::with_capacity(HEADER + value.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&checksum(VERSION, length, value).to_le_bytes());
    bytes.extend_from_slice(value);
    bytes
}

fn decode(bytes: &[u8]) -> Result<&[u8], &'static str> {
    let (header, value) = bytes
        .split_first_chunk::<HEADER>()
        .ok_or("it is too short")?;
    let number = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let (version, length, crc) = (number(8), number(12), number(16));
    if &header[..8] != MAGIC {
        return Err("it does not begin as such a file does");
    }
    if checksum(version, length, value) != crc {
        return Err("its checksum is wrong");
    }
    if version != VERSION {
        return Err("a later release wrote it");
    }
    if usize::try_from(length).ok() != Some(value.len()) {
        return Err("its length is wrong");
    }
    Ok(value)
}

fn checksum(version: u32, length: u32, value: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&version.to_le_bytes());
    crc.update(&length.to_le_bytes());
    crc.update(value);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::simulated::{Crash, Simulated};

    const CELL: Cell = Cell::new("vote");

    #[test]
    fn a_cut_leaves_the_old_value_or_the_new_one() {
        // Whatever operation the cut comes before, and whatever of the unflushed writes is kept.
        for operations in 0..8 {
            for seed in 0..16 {
                let disk = Simulated::default();
                CELL.replace(&disk, b"old").expect("a good disk");
                disk.fail_after(operations);
                let replaced = CELL.replace(&disk, b"new");
                disk.crash(Crash::Torn { seed });
                let value = CELL.read(&disk).expect("whole").expect("a value");
                if replaced.is_ok() {
                    assert_eq!(value, b"new", "acknowledged, then lost");
                } else {
                    assert!(value == b"old" || value == b"new", "{value:?}");
                }
            }
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let whole = encode(b"term 7");
        assert_eq!(decode(&whole), Ok(&b"term 7"[..]));
        for length in 0..whole.len() {
            assert!(decode(&whole[..length]).is_err(), "cut to {length}");
        }
        for position in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[position / 8] ^= 1 << (position % 8);
            assert!(decode(&bytes).is_err(), "bit {position}");
        }
    }

    #[test]
    fn no_file_is_no_value_and_a_damaged_one_is_refused() {
        let disk = Simulated::default();
        assert_eq!(CELL.read(&disk).expect("no file"), None);
        CELL.replace(&disk, b"term 7").expect("a good disk");
        disk.flip("vote", 22 * 8);
        let error = CELL.read(&disk).expect_err("damaged");
        assert!(
            error
                .to_string()
                .starts_with("vote is damaged: its checksum is wrong;"),
            "{error}"
        );
        let large = vec![0; VALUE_BYTES_MAX + 1];
        assert!(CELL.replace(&disk, &large).is_err());
    }
}

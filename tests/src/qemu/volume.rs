//! Small volumes that carry a config to a guest: FAT by the tools tree's own programs, ISO 9660 by hand,
//! since the tree has no program that makes one.
//!
//! ```text
//!   sector 16  primary descriptor (ECMA-119, 8.4): [40] label [156] record of the root directory
//!   sector 17  end of the descriptors (8.3)
//!   sector 18  root directory: itself, its parent, the files (9.1)
//!   sector 19  the file
//! ```

use super::disk::{self, MIB};
use crate::programs::tool;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::Path;
use xtask::command;

/// Bytes of an ISO 9660 sector.
const SECTOR: usize = 2048;
/// Where the root directory and the file are.
const ROOT: u32 = 18;
const FILE: u32 = 19;
/// Size of a FAT volume: FAT12, as small NoCloud volumes are.
const FAT_BYTES: u64 = 2 * MIB;

/// Makes a FAT volume with one file in its root.
///
/// # Errors
/// A program fails.
pub fn fat(path: &Path, label: &str, name: &str, content: &[u8]) -> Result<()> {
    disk::raw(path, FAT_BYTES)?;
    command::output(tool("mkfs.vfat")?.args(["-n", label]).arg(path))?;
    put(path, 0, name, content)
}

/// Writes a file into the root of the FAT file system that begins at `offset` of an image.
///
/// # Errors
/// mcopy fails.
pub fn put(image: &Path, offset: u64, name: &str, content: &[u8]) -> Result<()> {
    let source = image.with_extension("file");
    fs::write(&source, content).with_context(|| format!("write {}", source.display()))?;
    command::output(
        tool("mcopy")?
            .arg("-i")
            .arg(format!("{}@@{offset}", image.display()))
            .arg(&source)
            .arg(format!("::{name}")),
    )
    .map(drop)
}

/// Makes an ISO 9660 volume with one file in its root.
///
/// # Errors
/// The name is too long, or the image cannot be written.
pub fn iso(path: &Path, label: &str, name: &str, content: &[u8]) -> Result<()> {
    let size = u32::try_from(content.len()).context("the file is small")?;
    let mut image = vec![0_u8; FILE as usize * SECTOR];
    let mut sector = |number: u32, bytes: &[u8]| {
        image[number as usize * SECTOR..][..bytes.len()].copy_from_slice(bytes);
    };
    let mut primary = vec![0_u8; SECTOR];
    primary[..7].copy_from_slice(b"\x01CD001\x01");
    if label.len() > 32 {
        bail!("a label has 32 characters at most");
    }
    primary[40..72].fill(b' ');
    primary[40..40 + label.len()].copy_from_slice(label.as_bytes());
    let itself = record(b"\0", ROOT, 2048, true)?;
    primary[156..156 + itself.len()].copy_from_slice(&itself);
    sector(16, &primary);
    sector(17, b"\xffCD001\x01");
    let directory = [
        itself,
        record(b"\x01", ROOT, 2048, true)?,
        record(
            format!("{};1", name.to_uppercase()).as_bytes(),
            FILE,
            size,
            false,
        )?,
    ];
    sector(ROOT, &directory.concat());
    image.extend_from_slice(content);
    image.resize(image.len().next_multiple_of(SECTOR), 0);
    fs::write(path, image).with_context(|| format!("write {}", path.display()))
}

/// A directory record (ECMA-119, 9.1): numbers in both byte orders, padded to an even length.
fn record(name: &[u8], extent: u32, size: u32, directory: bool) -> Result<Vec<u8>> {
    let mut record = vec![0_u8; 33];
    record[2..6].copy_from_slice(&extent.to_le_bytes());
    record[6..10].copy_from_slice(&extent.to_be_bytes());
    record[10..14].copy_from_slice(&size.to_le_bytes());
    record[14..18].copy_from_slice(&size.to_be_bytes());
    record[25] = u8::from(directory) << 1;
    record[28] = 1; // volume 1 of the set
    record[31] = 1;
    record[32] = u8::try_from(name.len()).context("a name has 255 bytes at most")?;
    record.extend_from_slice(name);
    if !record.len().is_multiple_of(2) {
        record.push(0);
    }
    record[0] = u8::try_from(record.len()).context("a record has 255 bytes at most")?;
    Ok(record)
}

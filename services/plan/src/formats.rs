//! The readers of formats that come from outside, on their own: what the fuzz targets try. Each answers any
//! bytes with what it finds, with nothing, or with an error; never with a panic.

use crate::planner::{Content, cmdline, fat, iso9660, smbios};
use std::io::{self, Read, Seek};

/// Names that are looked for in a volume's root, in this order.
const NAMES: [&str; 2] = ["orlop.yaml", "user-data"];

/// The config in a FAT volume.
///
/// # Errors
/// The volume cannot be read, or contradicts itself.
pub fn fat(volume: impl Read + Seek) -> io::Result<Option<Vec<u8>>> {
    Ok(fat::read(volume, &NAMES)?.and_then(|contents| contents.file))
}

/// The config in an ISO 9660 volume.
///
/// # Errors
/// As [`fat()`].
pub fn iso9660(volume: impl Read + Seek) -> io::Result<Option<Vec<u8>>> {
    Ok(iso9660::read(volume, &NAMES)?.and_then(|contents| contents.file))
}

/// The config in an SMBIOS structure of OEM strings.
#[must_use]
pub fn smbios(structure: &[u8]) -> Option<Vec<u8>> {
    match smbios::content(structure) {
        Content::Config(config) => Some(config),
        _ => None,
    }
}

/// The config's URL on a kernel command line.
#[must_use]
pub fn kernel_command_line(line: &[u8]) -> Option<String> {
    match cmdline::content(line) {
        Content::Url(url) => Some(url),
        _ => None,
    }
}

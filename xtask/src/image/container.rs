//! Reads the two containers that a release is made of, without the tools that wrote them: sections of a PE
//! file, members of a newc cpio archive.
//!
//! ```text
//! PE:    "MZ" ... at 0x3c: offset of "PE\0\0", 20 bytes COFF header (sections at +2, optional size at +16),
//!        optional header, then 40 bytes per section: name[8], virtual size u32, address u32,
//!        raw size u32, raw offset u32, ...
//! newc:  "070701", 13 numbers of 8 hex digits (inode, mode, uid, gid, links, mtime, size, 4 device
//!        numbers, name length, check), name, data; name and data end at a multiple of 4
//! ```

use anyhow::{Context, Result, bail, ensure};

/// More sections than any unified kernel image has.
const SECTIONS_MAX: u16 = 96;
/// Bytes of a cpio header.
const HEADER: usize = 110;
/// The name of the last member.
const TRAILER: &str = "TRAILER!!!";

/// One member of a cpio archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// Path without a leading `/`.
    pub path: &'a str,
    /// File type and permission bits, as in stat(2).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Content, or the target of a link.
    pub data: &'a [u8],
}

/// The content of section `name` of the PE file `file`, without its padding.
///
/// # Errors
/// `file` is not a PE file, is torn, or has no such section.
pub fn section<'a>(file: &'a [u8], name: &str) -> Result<&'a [u8]> {
    ensure!(file.starts_with(b"MZ"), "not a PE file");
    let header = number(file, 0x3c, 4)?;
    ensure!(slice(file, header, 4)? == b"PE\0\0", "no PE signature");
    let count = number(file, header + 6, 2)?;
    ensure!(count <= usize::from(SECTIONS_MAX), "{count} sections");
    let table = header + 24 + number(file, header + 20, 2)?;
    for index in 0..count {
        let entry = table + index * 40;
        let found = slice(file, entry, 8)?;
        let length = found
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(found.len());
        if found[..length] == *name.as_bytes() {
            let virtual_size = number(file, entry + 8, 4)?;
            let raw_size = number(file, entry + 16, 4)?;
            return slice(
                file,
                number(file, entry + 20, 4)?,
                virtual_size.min(raw_size),
            );
        }
    }
    bail!("no section {name}")
}

/// The members of the uncompressed newc archive `archive`, in order.
///
/// # Errors
/// The archive is torn or is something else.
pub fn members(archive: &[u8]) -> Result<Vec<Member<'_>>> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let header = slice(archive, at, HEADER)?;
        ensure!(header.starts_with(b"070701"), "no cpio header at byte {at}");
        let field = |index: usize| -> Result<u32> {
            let digits = std::str::from_utf8(&header[6 + index * 8..14 + index * 8])
                .context("a cpio header")?;
            u32::from_str_radix(digits, 16).with_context(|| format!("a cpio header at byte {at}"))
        };
        let size = usize::try_from(field(6)?).context("a size")?;
        let name_length = usize::try_from(field(11)?).context("a name's length")?;
        ensure!(name_length > 0, "a member without a name at byte {at}");
        let path =
            std::str::from_utf8(slice(archive, at + HEADER, name_length - 1)?).context("a name")?;
        let start = (at + HEADER + name_length).next_multiple_of(4);
        if path == TRAILER {
            return Ok(found);
        }
        found.push(Member {
            path,
            mode: field(1)?,
            uid: field(2)?,
            gid: field(3)?,
            data: slice(archive, start, size)?,
        });
        at = (start + size).next_multiple_of(4);
    }
}

/// `length` bytes from `start`, or an error that says where the file ends.
fn slice(bytes: &[u8], start: usize, length: usize) -> Result<&[u8]> {
    start
        .checked_add(length)
        .and_then(|end| bytes.get(start..end))
        .with_context(|| {
            format!(
                "{length} bytes at {start} are past the end ({})",
                bytes.len()
            )
        })
}

/// A little-endian number of `width` bytes.
fn number(bytes: &[u8], start: usize, width: usize) -> Result<usize> {
    let digits = slice(bytes, start, width)?;
    Ok(digits
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(members: &[(&str, u32, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, mode, data) in members.iter().chain([&(TRAILER, 0, &b""[..])]) {
            let mut header = String::from("070701");
            for value in [
                1,
                *mode,
                0,
                0,
                1,
                0,
                u32::try_from(data.len()).unwrap(),
                0,
                0,
                0,
                0,
            ] {
                header.push_str(&format!("{value:08x}"));
            }
            header.push_str(&format!("{:08x}{:08x}", name.len() + 1, 0));
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(0);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes.extend_from_slice(data);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn members_come_in_order_with_their_data() {
        let bytes = archive(&[("a", 0o040_755, b""), ("a/b", 0o100_644, b"hello")]);
        let found = members(&bytes).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[1].path, found[1].mode, found[1].data),
            ("a/b", 0o100_644, &b"hello"[..])
        );
    }

    #[test]
    fn an_archive_torn_at_any_byte_is_an_error() {
        let bytes = archive(&[("a/b", 0o100_644, b"hello")]);
        // The padding behind the trailer's name may be missing.
        for end in 0..bytes.len() - 8 {
            assert!(members(&bytes[..end]).is_err(), "torn at {end}");
        }
    }

    #[test]
    fn sections_are_found_by_name() {
        let mut file = vec![0; 0x200];
        file[..2].copy_from_slice(b"MZ");
        file[0x3c] = 0x80;
        file[0x80..0x84].copy_from_slice(b"PE\0\0");
        file[0x86] = 1;
        let table = 0x80 + 24;
        file[table..table + 6].copy_from_slice(b".linux");
        file[table + 8] = 3;
        file[table + 16] = 16;
        file[table + 20] = 0xf0;
        file[table + 21] = 1;
        file[0x1f0..0x1f3].copy_from_slice(b"abc");
        assert_eq!(section(&file, ".linux").unwrap(), b"abc");
        assert!(
            section(&file, ".initrd")
                .unwrap_err()
                .to_string()
                .contains("no section")
        );
        assert!(section(&file[..0x1f4], ".linux").is_ok());
        assert!(section(&file[..0x1f1], ".linux").is_err());
    }
}

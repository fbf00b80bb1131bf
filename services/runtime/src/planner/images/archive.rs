//! Tar archives (POSIX pax, GNU tar's own forms), block by block.
//!
//! ```text
//!   block ──> Next::Extension(n) ──> the next n bytes come by `extension` ──> block ..
//!         ├─> Next::Block             one more block, of a map of holes
//!         ├─> Next::Entry             its `stored` bytes follow, padded to whole blocks; then the next header
//!         └─> Next::End
//! ```
//!
//! The crate tar gives the layout of headers. Its own reader is not used: it takes extensions of any length into memory, parts
//! values of extended attributes at their newlines, and knows no holes in pax form.

use std::borrow::Cow;
use tar::Header;

/// Bytes of a block.
pub const BLOCK: usize = 512;
/// Longest extension: a pax header, a long name. Linux' longest list of extended attributes is 64 KiB, a path 4 KiB.
pub const EXTENSION_MAX: u64 = 1024 * 1024;
/// Most extensions in front of one entry.
const EXTENSIONS_MAX: u32 = 16;
/// Most pieces of a file with holes.
pub const PIECES_MAX: usize = 128 * 1024;

/// Why something is no archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// Not a header, or a damaged one.
    #[error("the archive is damaged: {0}")]
    Damaged(&'static str),
    /// [`EXTENSION_MAX`], [`PIECES_MAX`], or too many extensions.
    #[error("the archive is over a bound: {0}")]
    Bound(&'static str),
    /// A kind of entry that is none of a file system's.
    #[error("the archive has an entry of the unknown kind {0:?}")]
    Kind(char),
}

use ArchiveError::{Bound, Damaged};

/// What is to be read next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Another block, for [`Archive::block`].
    Block,
    /// So many bytes, padded to whole blocks, for [`Archive::extension`].
    Extension(u64),
    /// So many bytes, padded to whole blocks, that mean nothing here.
    Skip(u64),
    /// The data of this entry.
    Entry(Box<Entry>),
    /// Nothing: what follows is padding.
    End,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// Another name of an earlier file.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// A time, before or after 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    /// Seconds, rounded down.
    pub seconds: i64,
    /// Nanoseconds after these, under a thousand million.
    pub nanoseconds: u32,
}

/// A piece of a file with holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where in the file.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

/// One entry, extensions applied; nothing of it is trusted yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: Vec<u8>,
    /// Where a link leads.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permissions; only the lower twelve bits mean something.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Of the last modification.
    pub modified: Time,
    /// Extended attributes, with their whole names.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Major and minor number of a device.
    pub device: (u64, u64),
    /// Bytes that follow in the archive.
    pub stored: u64,
    /// Length of the file.
    pub size: u64,
    /// Where the stored bytes belong, where there are holes: in order, apart from each other.
    pub pieces: Option<Vec<Piece>>,
}

/// An archive on its way.
#[derive(Debug, Default)]
pub struct Archive {
    extensions: Extensions,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Header,
    /// An extension of this type is read.
    Extension(u8),
    /// GNU's old form: blocks of pieces between header and data.
    GnuPieces(Box<Entry>),
    /// Pax form 1.0: a text of numbers at the begin of the data.
    PaxPieces(Box<Entry>, Numbers),
}

/// What is said in front of an entry.
#[derive(Debug, Default)]
struct Extensions {
    count: u32,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax_name: Option<Vec<u8>>,
    pax_link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    modified: Option<Time>,
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
    sparse_name: Option<Vec<u8>>,
    sparse_size: Option<u64>,
    sparse_major: Option<u64>,
    /// Offsets and lengths by turns.
    sparse_map: Option<Vec<u64>>,
}

impl Archive {
    /// The next block.
    ///
    /// # Errors
    /// [`ArchiveError`]; then the archive has ended.
    pub fn block(&mut self, block: &[u8; BLOCK]) -> Result<Next, ArchiveError> {
        match std::mem::take(&mut self.state) {
            State::Header => self.header(block),
            State::GnuPieces(mut entry) => {
                let more = gnu_pieces(&mut entry, &block[..504])?;
                self.gnu(entry, more && block[504] != 0)
            }
            State::PaxPieces(mut entry, mut numbers) => {
                let block_size = u64::try_from(BLOCK).expect("512");
                entry.stored = entry
                    .stored
                    .checked_sub(block_size)
                    .ok_or(Damaged("a map of holes is cut off"))?;
                if !numbers.take(block)? {
                    self.state = State::PaxPieces(entry, numbers);
                    return Ok(Next::Block);
                }
                entry.pieces = Some(pieces(&numbers.values[1..])?);
                complete(entry)
            }
            State::Extension(_) => Err(Damaged("an extension was not read")),
        }
    }

    /// The bytes that [`Next::Extension`] asked for, without padding.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn extension(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let State::Extension(kind) = std::mem::take(&mut self.state) else {
            return Err(Damaged("an extension out of turn"));
        };
        let text = || bytes.strip_suffix(b"\0").unwrap_or(bytes).to_vec();
        match kind {
            b'L' => self.extensions.name = Some(text()),
            b'K' => self.extensions.link = Some(text()),
            _ => self.extensions.pax(bytes)?,
        }
        Ok(())
    }

    fn header(&mut self, block: &[u8; BLOCK]) -> Result<Next, ArchiveError> {
        if block.iter().all(|byte| *byte == 0) {
            return match self.extensions.count {
                0 => Ok(Next::End),
                _ => Err(Damaged("it ends behind an extension")),
            };
        }
        check_sum(block)?;
        let header = Header::from_byte_slice(block);
        let kind = block[156];
        if matches!(kind, b'x' | b'X' | b'g' | b'L' | b'K') {
            let size = number(&header.as_old().size)?;
            if size > EXTENSION_MAX {
                return Err(Bound("an extension is longer than 1 MiB"));
            }
            // Of the whole archive: comments, as `git archive` writes them.
            if kind == b'g' {
                return Ok(Next::Skip(size));
            }
            self.extensions.count += 1;
            if self.extensions.count > EXTENSIONS_MAX {
                return Err(Bound("an entry has more than 16 extensions"));
            }
            self.state = State::Extension(kind);
            return Ok(Next::Extension(size));
        }
        let extensions = std::mem::take(&mut self.extensions);
        self.entry(header, kind, extensions)
    }

    fn entry(&mut self, header: &Header, kind: u8, said: Extensions) -> Result<Next, ArchiveError> {
        let old = header.as_old();
        let name = said.sparse_name.or(said.pax_name).or(said.name);
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = said.pax_link.or(said.link).unwrap_or_else(|| {
            let link = header.link_name_bytes().map(Cow::into_owned);
            link.unwrap_or_default()
        });
        let kind = match kind {
            // Before POSIX a directory was a file whose name ends with a slash.
            0 | b'0' if name.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::Character,
            b'4' => Kind::Block,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => return Err(ArchiveError::Kind(char::from(other))),
        };
        let size = match (kind, said.size) {
            // Only files have data, whatever a header says.
            (Kind::File, Some(size)) => size,
            (Kind::File, None) => number(&old.size)?,
            _ => 0,
        };
        let device = match (kind, header.as_ustar(), header.as_gnu()) {
            (Kind::Character | Kind::Block, Some(ustar), _) => {
                (number(&ustar.dev_major)?, number(&ustar.dev_minor)?)
            }
            (Kind::Character | Kind::Block, None, Some(gnu)) => {
                (number(&gnu.dev_major)?, number(&gnu.dev_minor)?)
            }
            _ => (0, 0),
        };
        let modified = match said.modified {
            Some(time) => time,
            None => Time {
                seconds: signed(&old.mtime)?,
                nanoseconds: 0,
            },
        };
        let mut entry = Box::new(Entry {
            name,
            link,
            kind,
            mode: u32::try_from(number(&old.mode)? & 0o7777).expect("twelve bits"),
            uid: said.uid.map_or_else(|| number(&old.uid), Ok)?,
            gid: said.gid.map_or_else(|| number(&old.gid), Ok)?,
            modified,
            attributes: said.attributes,
            device,
            stored: size,
            size,
            pieces: None,
        });
        if header.as_bytes()[156] == b'S' {
            let gnu = header
                .as_gnu()
                .ok_or(Damaged("holes without GNU's header"))?;
            entry.size = number(&gnu.realsize)?;
            entry.pieces = Some(Vec::new());
            let more = gnu_pieces(&mut entry, &header.as_bytes()[386..482])?;
            return self.gnu(entry, more && gnu.isextended[0] != 0);
        }
        if said.sparse_major == Some(1) {
            entry.size = said.sparse_size.ok_or(Damaged("holes without a size"))?;
            self.state = State::PaxPieces(entry, Numbers::default());
            return Ok(Next::Block);
        }
        if let Some(map) = said.sparse_map {
            entry.size = said.sparse_size.ok_or(Damaged("holes without a size"))?;
            entry.pieces = Some(pieces(&map)?);
        }
        complete(entry)
    }

    fn gnu(&mut self, entry: Box<Entry>, more: bool) -> Result<Next, ArchiveError> {
        if more {
            self.state = State::GnuPieces(entry);
            return Ok(Next::Block);
        }
        complete(entry)
    }
}

/// An entry whose pieces are all there: they must be in order, within the file, and as many bytes as are stored.
fn complete(entry: Box<Entry>) -> Result<Next, ArchiveError> {
    if let Some(pieces) = &entry.pieces {
        if entry.kind != Kind::File {
            return Err(Damaged("holes in what is no file"));
        }
        let (mut end, mut sum) = (0_u64, 0_u64);
        for piece in pieces {
            if piece.offset < end {
                return Err(Damaged("pieces of a file lie over each other"));
            }
            let overflow = || Damaged("a piece ends beyond every file");
            end = piece
                .offset
                .checked_add(piece.length)
                .ok_or_else(overflow)?;
            sum = sum.checked_add(piece.length).ok_or_else(overflow)?;
        }
        if end > entry.size || sum != entry.stored {
            return Err(Damaged(
                "the pieces of a file are not as many bytes as it has",
            ));
        }
    }
    Ok(Next::Entry(entry))
}

/// Takes pieces in GNU's old form, 24 bytes each; whether all were there, and so more may follow.
fn gnu_pieces(entry: &mut Entry, bytes: &[u8]) -> Result<bool, ArchiveError> {
    let pieces = entry.pieces.get_or_insert_default();
    for piece in bytes.chunks_exact(24) {
        if piece[0] == 0 || piece[12] == 0 {
            return Ok(false);
        }
        if pieces.len() == PIECES_MAX {
            return Err(Bound("a file has too many holes"));
        }
        pieces.push(Piece {
            offset: number(&piece[..12])?,
            length: number(&piece[12..])?,
        });
    }
    Ok(true)
}

/// Offsets and lengths by turns.
fn pieces(numbers: &[u64]) -> Result<Vec<Piece>, ArchiveError> {
    if !numbers.len().is_multiple_of(2) {
        return Err(Damaged("a map of holes is cut off"));
    }
    let piece = |pair: &[u64]| Piece {
        offset: pair[0],
        length: pair[1],
    };
    Ok(numbers.chunks_exact(2).map(piece).collect())
}

/// Decimal numbers, each on a line: how many pairs, then these.
#[derive(Debug, Default)]
struct Numbers {
    values: Vec<u64>,
    digits: Option<u64>,
}

impl Numbers {
    /// Takes a block; whether it had the last number.
    fn take(&mut self, block: &[u8]) -> Result<bool, ArchiveError> {
        for byte in block {
            match (byte, self.digits) {
                (b'0'..=b'9', digits) => {
                    let value = digits.unwrap_or(0).checked_mul(10);
                    let value = value.and_then(|value| value.checked_add(u64::from(byte - b'0')));
                    self.digits = Some(value.ok_or(Damaged("a number has too many digits"))?);
                }
                (b'\n', Some(value)) => {
                    self.values.push(value);
                    self.digits = None;
                    let count = usize::try_from(self.values[0]).unwrap_or(usize::MAX);
                    if count > PIECES_MAX {
                        return Err(Bound("a file has too many holes"));
                    }
                    if self.values.len() == 1 + 2 * count {
                        return Ok(true);
                    }
                }
                _ => return Err(Damaged("a map of holes is no list of numbers")),
            }
        }
        Ok(false)
    }
}

impl Extensions {
    /// Records of a pax header: `length key=value\n`, the length of all of it in decimal.
    fn pax(&mut self, mut bytes: &[u8]) -> Result<(), ArchiveError> {
        const MALFORMED: ArchiveError = Damaged("a pax header has another form");
        // Some writers pad with NULs.
        while bytes.first().is_some_and(|byte| *byte != 0) {
            let space = bytes.iter().take(20).position(|byte| *byte == b' ');
            let space = space.ok_or(MALFORMED)?;
            let length = decimal(&bytes[..space]).and_then(|length| usize::try_from(length).ok());
            let length = length.ok_or(MALFORMED)?;
            let record = bytes.get(space + 1..length).ok_or(MALFORMED)?;
            let record = record.strip_suffix(b"\n").ok_or(MALFORMED)?;
            let equals = record.iter().position(|byte| *byte == b'=');
            let equals = equals.ok_or(MALFORMED)?;
            self.record(&record[..equals], &record[equals + 1..])?;
            bytes = &bytes[length..];
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), ArchiveError> {
        let count =
            || decimal(value).ok_or(Damaged("a pax header has no number where one must be"));
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            self.attributes.push((name.to_vec(), value.to_vec()));
            return Ok(());
        }
        match key {
            b"path" => self.pax_name = Some(value.to_vec()),
            b"linkpath" => self.pax_link = Some(value.to_vec()),
            b"size" => self.size = Some(count()?),
            b"uid" => self.uid = Some(count()?),
            b"gid" => self.gid = Some(count()?),
            b"mtime" => {
                self.modified = Some(time(value).ok_or(Damaged("a pax header has no time"))?);
            }
            b"GNU.sparse.name" => self.sparse_name = Some(value.to_vec()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse_size = Some(count()?),
            b"GNU.sparse.major" => self.sparse_major = Some(count()?),
            // Form 0.0: offset and length by turns, each in a record of its own.
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse_number(count()?)?,
            // Form 0.1: all in one record.
            b"GNU.sparse.map" => {
                for number in value.split(|byte| *byte == b',') {
                    let number = decimal(number).ok_or(Damaged("a map of holes has no number"))?;
                    self.sparse_number(number)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn sparse_number(&mut self, number: u64) -> Result<(), ArchiveError> {
        let map = self.sparse_map.get_or_insert_default();
        if map.len() == 2 * PIECES_MAX {
            return Err(Bound("a file has too many holes"));
        }
        map.push(number);
        Ok(())
    }
}

/// The sum of all bytes, those of the sum itself as spaces. Old writers added signed bytes.
fn check_sum(block: &[u8; BLOCK]) -> Result<(), ArchiveError> {
    let byte = |(at, byte): (usize, &u8)| {
        if (148..156).contains(&at) {
            b' '
        } else {
            *byte
        }
    };
    let (mut plain, mut signed) = (0_i64, 0_i64);
    for byte in block.iter().enumerate().map(byte) {
        plain += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    let said = i64::try_from(number(&block[148..156])?).unwrap_or(-1);
    if said != plain && said != signed {
        return Err(Damaged("a header's checksum is wrong"));
    }
    Ok(())
}

/// A number that is none below zero.
fn number(field: &[u8]) -> Result<u64, ArchiveError> {
    u64::try_from(signed(field)?).map_err(|_| Damaged("a number is below zero"))
}

/// A numeric field: octal digits within spaces and NULs, or big endian behind a byte of 0x80, or 0xff below zero.
fn signed(field: &[u8]) -> Result<i64, ArchiveError> {
    const TOO_LARGE: ArchiveError = Damaged("a number is too large");
    let first = field.first().copied().unwrap_or_default();
    if first & 0x80 != 0 {
        let negative = first & 0x40 != 0;
        // The flag itself becomes a bit like the sign.
        let start = if negative {
            i128::from(first.cast_signed())
        } else {
            i128::from(first & 0x3f)
        };
        let value = field[1..].iter().try_fold(start, |value, byte| {
            value
                .checked_mul(256)
                .map(|value| value + i128::from(*byte))
        });
        let value = value.ok_or(TOO_LARGE)?;
        return i64::try_from(value).map_err(|_| TOO_LARGE);
    }
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = text.trim_ascii();
    let mut value = 0_i64;
    for byte in text {
        if !(b'0'..=b'7').contains(byte) {
            return Err(Damaged("a number is not octal"));
        }
        let shifted = value.checked_mul(8).ok_or(TOO_LARGE)?;
        value = shifted + i64::from(byte - b'0');
    }
    Ok(value)
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Seconds in decimal, perhaps below zero, perhaps with a fraction.
fn time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut halves = text.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(decimal(halves.next()?)?).ok()?;
    let fraction = halves.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
    let nanoseconds = digits.fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    Some(match (negative, nanoseconds) {
        (false, _) => Time {
            seconds,
            nanoseconds,
        },
        (true, 0) => Time {
            seconds: -seconds,
            nanoseconds,
        },
        (true, _) => Time {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All entries of an archive in memory.
    fn entries(bytes: &[u8]) -> Result<Vec<Entry>, ArchiveError> {
        let mut archive = Archive::default();
        let mut found = Vec::new();
        let mut rest = bytes;
        let take = |rest: &mut &[u8], length: u64| {
            let length = usize::try_from(length).unwrap();
            let padded = length.next_multiple_of(BLOCK);
            let (taken, left) = rest.split_at_checked(padded).ok_or(Damaged("cut off"))?;
            *rest = left;
            Ok(taken[..length].to_vec())
        };
        loop {
            let block = take(&mut rest, 512)?;
            match archive.block(&block.try_into().unwrap())? {
                Next::Block => {}
                Next::Extension(length) => archive.extension(&take(&mut rest, length)?)?,
                Next::Skip(length) => drop(take(&mut rest, length)?),
                Next::Entry(entry) => {
                    take(&mut rest, entry.stored)?;
                    found.push(*entry);
                }
                Next::End => return Ok(found),
            }
        }
    }

    fn header(kind: u8, name: &str, size: u64) -> Header {
        let mut header = Header::new_ustar();
        header.set_path(name).unwrap();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(size);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        header
    }

    fn one(parts: &[(Header, &[u8])]) -> Result<Entry, ArchiveError> {
        let mut bytes = Vec::new();
        for (header, data) in parts {
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(data);
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        }
        bytes.resize(bytes.len() + 1024, 0);
        entries(&bytes).map(|mut found| {
            assert_eq!(found.len(), 1);
            found.remove(0)
        })
    }

    fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (1..=7).map(|digits| rest + digits);
            let mut length = length.filter(|length| length.to_string().len() + rest == *length);
            bytes.extend_from_slice(format!("{} {key}=", length.next_back().unwrap()).as_bytes());
            bytes.extend_from_slice(value);
            bytes.push(b'\n');
        }
        bytes
    }

    fn with_pax(
        kind: u8,
        size: u64,
        data: &[u8],
        records: &[(&str, &[u8])],
    ) -> Result<Entry, ArchiveError> {
        let text = pax(records);
        let length = u64::try_from(text.len()).unwrap();
        one(&[
            (header(b'x', "x", length), &text),
            (header(kind, "short", size), data),
        ])
    }

    #[test]
    fn extensions_are_applied() {
        // A value of an attribute is bytes, newlines among them.
        let entry = with_pax(
            b'0',
            0,
            b"",
            &[
                ("path", "a/ü".as_bytes()),
                ("uid", b"3000000"),
                ("mtime", b"-1.25"),
                ("SCHILY.xattr.security.capability", b"\x01\n\0=\n"),
            ],
        )
        .unwrap();
        assert_eq!(entry.name, "a/ü".as_bytes());
        assert_eq!(entry.uid, 3_000_000);
        assert_eq!(
            entry.modified,
            Time {
                seconds: -2,
                nanoseconds: 750_000_000
            }
        );
        assert_eq!(
            entry.attributes,
            [(b"security.capability".to_vec(), b"\x01\n\0=\n".to_vec())]
        );
        let long = "x".repeat(300);
        let entry = one(&[
            (
                header(b'L', "././@LongLink", 301),
                format!("{long}\0").as_bytes(),
            ),
            (header(b'5', "short", 0), b""),
        ]);
        let entry = entry.unwrap();
        assert_eq!(
            (entry.name, entry.kind),
            (long.into_bytes(), Kind::Directory)
        );
    }

    #[test]
    fn holes_in_each_form() {
        let data = [b'd'; 10];
        let expect = vec![
            Piece {
                offset: 4096,
                length: 4,
            },
            Piece {
                offset: 9000,
                length: 6,
            },
        ];
        let form_00 = with_pax(
            b'0',
            10,
            &data,
            &[
                ("GNU.sparse.size", b"10000"),
                ("GNU.sparse.numblocks", b"2"),
                ("GNU.sparse.offset", b"4096"),
                ("GNU.sparse.numbytes", b"4"),
                ("GNU.sparse.offset", b"9000"),
                ("GNU.sparse.numbytes", b"6"),
            ],
        );
        let form_01 = with_pax(
            b'0',
            10,
            &data,
            &[
                ("GNU.sparse.size", b"10000"),
                ("GNU.sparse.map", b"4096,4,9000,6"),
                ("GNU.sparse.name", b"real"),
            ],
        );
        let mut text = b"2\n4096\n4\n9000\n6\n".to_vec();
        text.resize(512, 0);
        text.extend_from_slice(&data);
        let form_10 = with_pax(
            b'0',
            522,
            &text,
            &[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.realsize", b"10000"),
            ],
        );
        for form in [form_00, form_01, form_10] {
            let entry = form.unwrap();
            assert_eq!((entry.size, entry.stored), (10_000, 10));
            assert_eq!(entry.pieces, Some(expect.clone()));
        }
        let lie = with_pax(
            b'0',
            10,
            &data,
            &[("GNU.sparse.size", b"3"), ("GNU.sparse.map", b"0,10")],
        );
        assert!(matches!(lie, Err(Damaged(_))), "{lie:?}");
        let over = with_pax(
            b'0',
            10,
            &data,
            &[("GNU.sparse.size", b"30"), ("GNU.sparse.map", b"0,8,4,2")],
        );
        assert!(matches!(over, Err(Damaged(_))), "{over:?}");
    }

    #[test]
    fn numbers_in_each_form() {
        assert_eq!(signed(b"0000644\0"), Ok(0o644));
        assert_eq!(signed(b"   644 \0"), Ok(0o644));
        assert_eq!(signed(b"\0\0\0"), Ok(0));
        assert_eq!(signed(&[0x80, 0, 0, 0, 0, 0, 1, 0]), Ok(256));
        assert_eq!(signed(&[0xff; 12]), Ok(-1));
        assert!(signed(&[0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(number(&[0xff; 12]).is_err() && number(b"9").is_err());
    }

    #[test]
    fn what_is_no_archive() {
        let mut damaged = header(b'0', "a", 0);
        damaged.as_mut_bytes()[0] = b'b';
        assert_eq!(
            one(&[(damaged, b"")]),
            Err(Damaged("a header's checksum is wrong"))
        );
        let long = header(b'x', "a", EXTENSION_MAX + 1);
        assert!(matches!(one(&[(long, b"")]), Err(Bound(_))));
        assert!(matches!(
            one(&[(header(b'M', "a", 0), b"")]),
            Err(ArchiveError::Kind('M'))
        ));
        assert!(matches!(
            one(&[(header(b'x', "a", 4), b"9 a\n")]),
            Err(Damaged(_))
        ));
        let many: Vec<_> = (0..17).map(|_| (header(b'x', "a", 0), &b""[..])).collect();
        assert!(matches!(one(&many), Err(Bound(_))));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_get_an_answer(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 512..2048), kind in 0_u8..128) {
            bytes.truncate(bytes.len() / 512 * 512);
            bytes[156] = kind;
            let mut block: [u8; 512] = bytes[..512].try_into().unwrap();
            block[100..148].fill(b'0');
            let mut header = Header::from_byte_slice(&block).clone();
            header.set_cksum();
            bytes[..512].copy_from_slice(header.as_bytes());
            let _ = entries(&bytes);
        }
    }
}

//! One file in the root of an ISO 9660 volume (ECMA-119), by its Rock Ridge (SUSP "NM"), Joliet or plain
//! name.
//!
//! ```text
//!   sector 16..    volume descriptors: 1 primary, 2 supplementary (Joliet), 255 end
//!   descriptor     [0] type [1..6] "CD001" [40..72] label [88..91] escapes [156..190] root record
//!   record         [0] length [2] extent [10] size [25] flags [32] name length [33..] name, SUSP
//! ```
//!
//! Every number of the volume is checked against a bound before it is used.

use super::volume::Volume;
use init_proto::generation::CONFIG_MAX;
use std::io::{self, Read, Seek};

const SECTOR: u64 = 2048;
const SECTOR_BYTES: usize = 2048;
const FIRST_DESCRIPTOR: u64 = 16;
/// Volume descriptors that are looked at; real volumes have three or four.
const DESCRIPTORS_MAX: u64 = 32;
/// Sectors of the root directory that are looked at: about 15,000 names.
const DIRECTORY_SECTORS_MAX: u64 = 512;
const FLAG_DIRECTORY: u8 = 0x02;
const FLAG_MULTI_EXTENT: u8 = 0x80;

/// What an ISO 9660 volume has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Volume label of the primary descriptor.
    pub(crate) label: String,
    /// The first of the wanted files that is there; one byte more than [`CONFIG_MAX`] where it is
    /// too large.
    pub(crate) file: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy)]
struct Root {
    extent: u32,
    size: u32,
    joliet: bool,
}

#[derive(Debug)]
struct Entry {
    name: String,
    extent: u32,
    size: u32,
    whole: bool,
}

/// Looks for `names` (in order, without regard to case) in the root directory. `Ok(None)`: not ISO 9660.
pub(crate) fn read<D: Read + Seek>(device: D, names: &[&str]) -> io::Result<Option<Contents>> {
    let mut volume = Volume::new(device)?;
    let Some((label, roots)) = descriptors(&mut volume)? else {
        return Ok(None);
    };
    let mut contents = Contents { label, file: None };
    let mut entries = Vec::new();
    for root in roots {
        directory(&mut volume, root, names, &mut entries)?;
    }
    let wanted = names.iter().find_map(|name| {
        entries
            .iter()
            .find(|entry| entry.name.eq_ignore_ascii_case(name))
    });
    if let Some(entry) = wanted {
        if !entry.whole {
            return Err(io::Error::other(format!(
                "{} is spread over several extents",
                entry.name
            )));
        }
        let length = usize::try_from(entry.size)
            .unwrap_or(usize::MAX)
            .min(CONFIG_MAX + 1);
        let mut bytes = vec![0; length];
        volume.at(u64::from(entry.extent) * SECTOR, &mut bytes)?;
        contents.file = Some(bytes);
    }
    Ok(Some(contents))
}

/// Label, and the root directories: the primary one and Joliet's.
fn descriptors<D: Read + Seek>(volume: &mut Volume<D>) -> io::Result<Option<(String, Vec<Root>)>> {
    let (mut label, mut roots) = (None, Vec::new());
    for number in FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + DESCRIPTORS_MAX {
        let mut sector = [0_u8; SECTOR_BYTES];
        match volume.at(number * SECTOR, &mut sector) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            other => other?,
        }
        if &sector[1..6] != b"CD001" {
            break;
        }
        let root = |joliet| Root {
            extent: u32_at(&sector, 156 + 2),
            size: u32_at(&sector, 156 + 10),
            joliet,
        };
        match sector[0] {
            1 if label.is_none() => {
                let text = String::from_utf8_lossy(&sector[40..72]);
                label = Some(text.trim_end_matches([' ', '\0']).to_owned());
                roots.push(root(false));
            }
            2 if matches!(&sector[88..91], b"%/@" | b"%/C" | b"%/E") => roots.push(root(true)),
            255 => break,
            _ => {}
        }
    }
    // Without a primary descriptor it is no volume, whatever else is there.
    Ok(label.map(|label| (label, roots)))
}

/// Adds the wanted files of a root directory to `entries`.
fn directory<D: Read + Seek>(
    volume: &mut Volume<D>,
    root: Root,
    names: &[&str],
    entries: &mut Vec<Entry>,
) -> io::Result<()> {
    let sectors = u64::from(root.size)
        .div_ceil(SECTOR)
        .min(DIRECTORY_SECTORS_MAX);
    for number in 0..sectors {
        let mut sector = [0_u8; SECTOR_BYTES];
        volume.at((u64::from(root.extent) + number) * SECTOR, &mut sector)?;
        // A record never crosses a sector's end; a length of 0 ends the sector.
        let mut rest = &sector[..];
        while let Some((record, next)) = split_record(rest) {
            if let Some(entry) = parse(record, root.joliet)
                && names
                    .iter()
                    .any(|name| entry.name.eq_ignore_ascii_case(name))
            {
                entries.push(entry);
            }
            rest = next;
        }
    }
    Ok(())
}

fn split_record(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(*rest.first()?);
    (length >= 34)
        .then(|| rest.split_at_checked(length))
        .flatten()
}

/// A file of a directory; `None` for directories and damaged records.
fn parse(record: &[u8], joliet: bool) -> Option<Entry> {
    let flags = *record.get(25)?;
    let name_length = usize::from(*record.get(32)?);
    let name = record.get(33..33 + name_length)?;
    // The name is padded to an even end; behind it is the System Use Area.
    let system_use = record
        .get(33 + name_length + usize::from(name_length.is_multiple_of(2))..)
        .unwrap_or_default();
    let plain = if joliet {
        let units: Vec<u16> = name
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect();
        String::from_utf16_lossy(&units)
    } else {
        String::from_utf8_lossy(name).into_owned()
    };
    let plain = plain.split(';').next().unwrap_or_default();
    (flags & FLAG_DIRECTORY == 0).then(|| Entry {
        name: rock_ridge_name(system_use).unwrap_or_else(|| plain.trim_end_matches('.').to_owned()),
        extent: u32_at(record, 2),
        size: u32_at(record, 10),
        whole: flags & FLAG_MULTI_EXTENT == 0,
    })
}

/// The alternate name (RRIP 4.1.4): "NM" entries put together. A name that continues in another area
/// is longer than any that we look for.
fn rock_ridge_name(mut area: &[u8]) -> Option<String> {
    let mut name = Vec::new();
    while let Some(length) = area.get(2).copied().map(usize::from) {
        let Some((entry, rest)) = area.split_at_checked(length).filter(|_| length >= 4) else {
            break;
        };
        if &entry[..2] == b"NM" {
            name.extend_from_slice(entry.get(5..).unwrap_or_default());
        }
        area = rest;
    }
    (!name.is_empty()).then(|| String::from_utf8_lossy(&name).into_owned())
}

/// Little-endian half of a both-endian number; 0 behind the end.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    /// How the file's name is written.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Naming {
        Plain,
        RockRidge,
        Joliet,
    }

    fn record(name: &[u8], system_use: &[u8], extent: u32, size: u32, flags: u8) -> Vec<u8> {
        let mut record = vec![0_u8; 33];
        record[2..6].copy_from_slice(&extent.to_le_bytes());
        record[6..10].copy_from_slice(&extent.to_be_bytes());
        record[10..14].copy_from_slice(&size.to_le_bytes());
        record[14..18].copy_from_slice(&size.to_be_bytes());
        record[25] = flags;
        record[32] = u8::try_from(name.len()).unwrap();
        record.extend_from_slice(name);
        if name.len().is_multiple_of(2) {
            record.push(0);
        }
        record.extend_from_slice(system_use);
        if !record.len().is_multiple_of(2) {
            record.push(0);
        }
        record[0] = u8::try_from(record.len()).unwrap();
        record
    }

    fn descriptor(kind: u8, label: &str, root: u32) -> Vec<u8> {
        let mut sector = vec![0_u8; SECTOR_BYTES];
        sector[0] = kind;
        sector[1..6].copy_from_slice(b"CD001");
        sector[6] = 1;
        sector[40..72].fill(b' ');
        sector[40..40 + label.len()].copy_from_slice(label.as_bytes());
        if kind == 2 {
            sector[88..91].copy_from_slice(b"%/E");
        }
        let root = record(&[0], &[], root, 2048, FLAG_DIRECTORY);
        sector[156..156 + root.len()].copy_from_slice(&root);
        sector
    }

    /// A volume with one file: descriptors at 16..19, directories at 20 and 21, the file at 22.
    pub(crate) fn image(naming: Naming, label: &str, name: &str, text: &[u8]) -> Vec<u8> {
        let mut image = vec![0_u8; 23 * SECTOR_BYTES];
        let mut put = |sector: usize, bytes: &[u8]| {
            image[sector * SECTOR_BYTES..][..bytes.len()].copy_from_slice(bytes);
        };
        put(16, &descriptor(1, label, 20));
        put(17, &descriptor(2, "", 21));
        put(18, &descriptor(255, "", 0));
        let size = u32::try_from(text.len()).unwrap();
        let short = b"USER_DAT.;1";
        let mut primary = record(&[0], &[], 20, 2048, FLAG_DIRECTORY);
        let mut joliet = primary.clone();
        match naming {
            Naming::Plain => {
                let upper = format!("{};1", name.to_uppercase());
                primary.extend(record(upper.as_bytes(), &[], 22, size, 0));
            }
            Naming::RockRidge => {
                let mut alternate = b"RR\x05\x01\x89NM\0\x01\0".to_vec();
                alternate[7] = u8::try_from(5 + name.len()).unwrap();
                alternate.extend_from_slice(name.as_bytes());
                primary.extend(record(short, &alternate, 22, size, 0));
            }
            Naming::Joliet => {
                let wide: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
                primary.extend(record(short, &[], 22, size, 0));
                joliet.extend(record(&wide, &[], 22, size, 0));
            }
        }
        put(20, &primary);
        put(21, &joliet);
        image.truncate(22 * SECTOR_BYTES);
        image.extend_from_slice(text);
        image.resize(image.len().next_multiple_of(SECTOR_BYTES), 0);
        image
    }

    #[test]
    fn every_naming_is_understood() {
        for naming in [Naming::Plain, Naming::RockRidge, Naming::Joliet] {
            let image = image(naming, "cidata", "user-data", b"kind: Machine\n");
            let found = read(Cursor::new(image), &["orlop.yaml", "user-data"]).unwrap();
            let expect = Contents {
                label: "cidata".into(),
                file: Some(b"kind: Machine\n".to_vec()),
            };
            assert_eq!(found, Some(expect), "{naming:?}");
        }
    }

    #[test]
    fn what_is_no_volume_is_none() {
        assert_eq!(read(Cursor::new(Vec::new()), &["x"]).unwrap(), None);
        assert_eq!(read(Cursor::new(vec![0; 1 << 16]), &["x"]).unwrap(), None);
    }

    #[test]
    fn a_lying_size_is_an_error_and_allocates_no_more_than_the_bound() {
        let mut image = image(Naming::Plain, "cidata", "user-data", b"x");
        let root_record = 20 * SECTOR_BYTES;
        let file = root_record + usize::from(image[root_record]);
        image[file + 10..file + 14].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(read(Cursor::new(image), &["user-data"]).is_err());
    }

    proptest! {
        #[test]
        fn a_damaged_volume_is_an_answer(
            changes in proptest::collection::vec((32_768_usize..45_056, any::<u8>()), 1..24),
            cut in 0_usize..50_000,
        ) {
            let mut image = image(Naming::RockRidge, "cidata", "user-data", b"kind: Machine\n");
            for (at, byte) in changes {
                image[at] = byte;
            }
            let _ = read(Cursor::new(&image[..]), &["user-data"]);
            image.truncate(cut);
            let _ = read(Cursor::new(image), &["user-data"]);
        }
    }
}

//! What is on disks: partition tables, signatures, META, generations of the config.

use init_proto::generation::{self, Generation};
use orlop_installer::{formats, meta};

const SECTOR: usize = 512;
const DISK_BYTES: u32 = 64 * 1024;

/// Partitions lie on the disk and end after they begin.
pub(crate) fn partition_table(bytes: &[u8]) {
    let mut disk = bytes.to_vec();
    disk.resize(bytes.len().next_multiple_of(SECTOR), 0);
    let end = u64::try_from(disk.len()).expect("a small disk");
    let found = formats::partitions(&disk).expect("a disk in memory can be read");
    for (from, to) in found.unwrap_or_default() {
        assert!(from < to && to <= end, "{from}..{to} of {end}");
    }
}

pub(crate) fn partition_tables() -> Vec<Vec<u8>> {
    vec![formats::small_disk(DISK_BYTES)]
}

/// Nothing of it is believed, but nothing of it may stop the installer either.
pub(crate) fn content(bytes: &[u8]) {
    let size = bytes
        .first_chunk::<8>()
        .map_or(0, |size| u64::from_le_bytes(*size));
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    let _ = formats::content(head, tail, size);
    let _ = formats::loader_device(bytes);
}

pub(crate) fn contents() -> Vec<Vec<u8>> {
    let mut ext = vec![0_u8; 4096];
    ext[1024 + 56..1024 + 58].copy_from_slice(&[0x53, 0xef]);
    ext[1024 + 120..1024 + 131].copy_from_slice(b"ORLOP-STATE");
    let text = "a1b2c3d4-0000-4000-8000-000000000001".encode_utf16();
    let mut variable = vec![6, 0, 0, 0];
    variable.extend(text.chain([0]).flat_map(u16::to_le_bytes));
    vec![ext, variable]
}

/// What is read is what was written, whole; the copy that is replaced is never the one that was read.
pub(crate) fn meta(bytes: &[u8]) {
    let (a, b) = bytes.split_at(bytes.len() / 2);
    let (found, replaced) = meta::newest(a, b);
    if let Some(found) = found {
        let copy = found.encode().expect("what was in a copy fits a copy");
        assert_eq!(meta::Generation::decode(&copy).as_ref(), Some(&found));
        let other = if replaced == 0 { b } else { a };
        assert_eq!(meta::Generation::decode(other), Some(found));
    }
}

pub(crate) fn metas() -> Vec<Vec<u8>> {
    let copy = |number| {
        let meta = meta::Meta {
            state_made: true,
            ..meta::Meta::default()
        };
        let bytes = meta::Generation { number, meta }
            .encode()
            .expect("META fits");
        // Its zeros are not looked at.
        bytes[..256].to_vec()
    };
    vec![[copy(1), copy(2)].concat()]
}

/// As for META.
pub(crate) fn config_generation(bytes: &[u8]) {
    let (a, b) = bytes.split_at(bytes.len() / 2);
    let (found, replaced) = generation::newest(a, b);
    if let Some(found) = found {
        assert_eq!(Generation::decode(&found.encode()), Ok(found.clone()));
        let other = if replaced == 0 { b } else { a };
        assert_eq!(Generation::decode(other), Ok(found));
    }
}

pub(crate) fn config_generations() -> Vec<Vec<u8>> {
    let file = |number| {
        let config = b"kind: Machine\n".to_vec();
        Generation { number, config }.encode()
    };
    vec![[file(7), file(8)].concat()]
}

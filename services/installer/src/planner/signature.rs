//! What the first and last bytes of a disk or partition say of its content. The table is in the order in
//! which it is asked: what wraps others comes first.

/// Bytes that are looked at from the start.
pub(crate) const HEAD_BYTES: usize = 132 * 1024;
/// Bytes that are looked at from the end.
pub(crate) const TAIL_BYTES: usize = 128 * 1024;

struct Magic {
    name: &'static str,
    offset: usize,
    bytes: &'static [u8],
}

const fn magic(name: &'static str, offset: usize, bytes: &'static [u8]) -> Magic {
    Magic {
        name,
        offset,
        bytes,
    }
}

/// Places and bytes from the formats' own documents.
const MAGICS: &[Magic] = &[
    magic("LUKS encryption", 0, b"LUKS\xba\xbe"),
    magic("a LUKS backup header", 16384, b"SKUL\xba\xbe"),
    magic("an LVM physical volume", 24, b"LVM2 001"),
    magic("an LVM physical volume", 512 + 24, b"LVM2 001"),
    magic("an LVM physical volume", 1024 + 24, b"LVM2 001"),
    magic("an LVM physical volume", 1536 + 24, b"LVM2 001"),
    magic("a Linux RAID member", 0, b"\xfc\x4e\x2b\xa9"),
    magic("a Linux RAID member", 4096, b"\xfc\x4e\x2b\xa9"),
    magic(
        "a bcache device",
        4096 + 24,
        b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf7\x7f\x6d\x17\xcf\x3b",
    ),
    magic("a Ceph store", 0, b"bluestore block device"),
    magic("an XFS file system", 0, b"XFSB"),
    magic("a Btrfs file system", 65536 + 64, b"_BHRfS_M"),
    magic(
        "a ZFS pool",
        128 * 1024,
        b"\x0c\xb1\xba\x00\x00\x00\x00\x00",
    ),
    magic(
        "a bcachefs file system",
        4096 + 24,
        b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef",
    ),
    magic("an F2FS file system", 1024, b"\x10\x20\xf5\xf2"),
    magic("an EROFS file system", 1024, b"\xe2\xe1\xf5\xe0"),
    magic("a SquashFS file system", 0, b"hsqs"),
    magic("a ReiserFS file system", 65536 + 52, b"ReIsEr"),
    magic("a JFS file system", 32768, b"JFS1"),
    magic("a NILFS file system", 1024 + 6, b"\x34\x34"),
    magic("an HFS+ file system", 1024, b"H+"),
    magic("an HFSX file system", 1024, b"HX"),
    magic("an APFS container", 32, b"NXSB"),
    magic("an NTFS file system", 3, b"NTFS    "),
    magic("an exFAT file system", 3, b"EXFAT   "),
    magic("a BitLocker volume", 3, b"-FVE-FS-"),
    magic("an ISO 9660 file system", 32769, b"CD001"),
    magic("a UDF file system", 32769, b"BEA01"),
    magic("swap space", 4096 - 10, b"SWAPSPACE2"),
    magic("swap space", 4096 - 10, b"SWAP-SPACE"),
    magic("swap space", 65536 - 10, b"SWAPSPACE2"),
    magic("hibernation data", 4096 - 10, b"S1SUSPEND"),
    magic("a VMFS volume", 65536, b"\x5e\xf1\xab\x2f"),
];

const RAID_MAGIC: &[u8] = b"\xfc\x4e\x2b\xa9";

/// The name of what is there; `None`: nothing that is known. `head` are the first bytes, `tail` the last
/// ones, `bytes` the whole size.
pub(crate) fn find(head: &[u8], tail: &[u8], bytes: u64) -> Option<String> {
    if let Some(known) = MAGICS
        .iter()
        .find(|magic| at(head, magic.offset, magic.bytes))
    {
        return Some(known.name.to_owned());
    }
    if let Some(ext) = ext(head) {
        return Some(format!("an ext file system labelled {:?}", ext.label));
    }
    if raid_at_end(tail, bytes) {
        return Some("a Linux RAID member".to_owned());
    }
    boot_sector(head)
}

/// An ext2, ext3 or ext4 superblock (kernel documentation, ext4: super block).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ext {
    /// Volume label.
    pub(crate) label: String,
    /// Size in bytes.
    pub(crate) bytes: u64,
    /// Block size in bytes.
    pub(crate) block_bytes: u64,
}

/// The superblock at 1024, where there is one.
pub(crate) fn ext(head: &[u8]) -> Option<Ext> {
    const FEATURE_64BIT: u32 = 0x80;
    let block = head.get(1024..2048)?;
    let u32_at = |offset: usize| {
        let chunk = block[offset..]
            .first_chunk()
            .expect("inside the superblock");
        u32::from_le_bytes(*chunk)
    };
    if !at(block, 56, b"\x53\xef") {
        return None;
    }
    let block_bytes = 1024_u64
        .checked_shl(u32_at(24))
        .filter(|size| *size <= 65536 && *size > 0)?;
    let high = if u32_at(96) & FEATURE_64BIT == 0 {
        0
    } else {
        u32_at(0x150)
    };
    let blocks = u64::from(high) << 32 | u64::from(u32_at(4));
    let label = &block[120..136];
    let label = &label[..label.iter().position(|byte| *byte == 0).unwrap_or(16)];
    Some(Ext {
        label: String::from_utf8_lossy(label).into_owned(),
        bytes: blocks.checked_mul(block_bytes)?,
        block_bytes,
    })
}

/// FAT, an MBR partition table, or a boot sector of neither.
fn boot_sector(head: &[u8]) -> Option<String> {
    if !at(head, 510, b"\x55\xaa") {
        return None;
    }
    if at(head, 54, b"FAT1") || at(head, 82, b"FAT32") {
        return Some("a FAT file system".to_owned());
    }
    let entries = head.get(446..510)?.chunks_exact(16);
    // Offset 4 of an entry is its type; 0 is unused.
    let used = entries.filter(|entry| entry[4] != 0).count();
    Some(match used {
        0 => "a boot sector".to_owned(),
        1 => "an MBR partition table with 1 partition".to_owned(),
        count => format!("an MBR partition table with {count} partitions"),
    })
}

/// Metadata 0.90 (64 KiB aligned, 64 to 128 KiB before the end) and 1.0 (4 KiB aligned, 8 to 12 KiB before).
fn raid_at_end(tail: &[u8], bytes: u64) -> bool {
    let old = (bytes & !0xffff).checked_sub(0x10000);
    let new = bytes.checked_sub(8192).map(|offset| offset & !0xfff);
    [old, new].into_iter().flatten().any(|offset| {
        let before_end = bytes - offset;
        usize::try_from(before_end)
            .ok()
            .and_then(|before_end| tail.len().checked_sub(before_end))
            .is_some_and(|within| at(tail, within, RAID_MAGIC))
    })
}

fn at(bytes: &[u8], offset: usize, wanted: &[u8]) -> bool {
    bytes
        .get(offset..)
        .is_some_and(|rest| rest.starts_with(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(offset: usize, bytes: &[u8], expect: &str) {
        let mut head = vec![0_u8; HEAD_BYTES];
        head[offset..offset + bytes.len()].copy_from_slice(bytes);
        let found = find(&head, &[], 1 << 30);
        assert_eq!(found.as_deref(), Some(expect));
    }

    #[test]
    fn known_content_is_named() {
        for magic in MAGICS {
            check(magic.offset, magic.bytes, magic.name);
        }
        check(1024 + 56, b"\x53\xef", "an ext file system labelled \"\"");
        check(510, b"\x55\xaa", "a boot sector");
        let mut table = [0_u8; 66];
        table[4] = 0x83;
        table[20] = 0x82;
        table[64..].copy_from_slice(b"\x55\xaa");
        check(446, &table, "an MBR partition table with 2 partitions");
        assert_eq!(
            find(&vec![0; HEAD_BYTES], &vec![0; TAIL_BYTES], 1 << 30),
            None
        );
    }

    #[test]
    fn raid_metadata_at_the_end_is_found() {
        let bytes = (1_u64 << 30) + 4096 + 512;
        for offset in [(bytes & !0xffff) - 0x10000, (bytes - 8192) & !0xfff] {
            let mut tail = vec![0_u8; TAIL_BYTES + 512];
            let within = tail.len() - usize::try_from(bytes - offset).unwrap();
            tail[within..within + 4].copy_from_slice(RAID_MAGIC);
            assert!(find(&[], &tail, bytes).is_some());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(
            head in proptest::collection::vec(any::<u8>(), 0..3000),
            tail in proptest::collection::vec(any::<u8>(), 0..300),
            size in any::<u64>(),
        ) {
            let _ = find(&head, &tail, size);
        }

        #[test]
        fn any_superblock_is_an_answer(mut head in proptest::collection::vec(any::<u8>(), 2048)) {
            head[1024 + 56..1024 + 58].copy_from_slice(b"\x53\xef");
            let _ = ext(&head);
        }
    }
}

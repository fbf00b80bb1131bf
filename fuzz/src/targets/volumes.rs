//! Volumes that may hold a config. The input is the part of the volume that is not all zeros.

use init_proto::generation::CONFIG_MAX;
use orlop_plan::formats;
use std::io::{Cursor, Write as _};

/// Size of the FAT volumes.
const FAT_BYTES: usize = 1 << 20;
const SECTOR: usize = 2048;
/// Sectors before the first descriptor of an ISO 9660 volume, which are nobody's.
const SYSTEM_AREA: usize = 16;
/// Sectors of the ISO 9660 volumes behind that.
const ISO_SECTORS: usize = 16;
const CONFIG: &[u8] = b"kind: Machine\n";

fn bounded(found: std::io::Result<Option<Vec<u8>>>) {
    if let Ok(Some(config)) = found {
        assert!(config.len() <= CONFIG_MAX + 1);
    }
}

/// A file is never longer than the bound and one byte.
pub(crate) fn fat(bytes: &[u8]) {
    let mut volume = bytes.to_vec();
    volume.resize(FAT_BYTES, 0);
    bounded(formats::fat(Cursor::new(volume)));
}

pub(crate) fn fat_volumes() -> Vec<Vec<u8>> {
    let mut disk = Cursor::new(vec![0_u8; FAT_BYTES]);
    let options = fatfs::FormatVolumeOptions::new()
        .bytes_per_cluster(512)
        .volume_id(1)
        .volume_label(*b"CIDATA     ");
    fatfs::format_volume(&mut disk, options).expect("a volume in memory is formatted");
    disk.set_position(0);
    {
        let volume = fatfs::FileSystem::new(&mut disk, fatfs::FsOptions::new())
            .expect("a new volume is whole");
        let mut file = volume
            .root_dir()
            .create_file("user-data")
            .expect("it has room");
        file.write_all(CONFIG).expect("it has room");
    }
    let mut bytes = disk.into_inner();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    bytes.truncate(used + 1);
    vec![bytes]
}

/// As for FAT; the input begins with the first volume descriptor.
pub(crate) fn iso9660(bytes: &[u8]) {
    let mut volume = vec![0_u8; SYSTEM_AREA * SECTOR];
    volume.extend_from_slice(bytes);
    volume.resize((SYSTEM_AREA + ISO_SECTORS) * SECTOR, 0);
    bounded(formats::iso9660(Cursor::new(volume)));
}

/// A volume with one file, under its plain and its Rock Ridge name (ECMA-119, and SUSP's "NM").
pub(crate) fn iso9660_volumes() -> Vec<Vec<u8>> {
    let mut volume = vec![0_u8; 4 * SECTOR];
    let mut put = |sector: usize, at: usize, bytes: &[u8]| {
        volume[sector * SECTOR + at..][..bytes.len()].copy_from_slice(bytes);
    };
    put(0, 0, b"\x01CD001\x01");
    put(0, 40, b"cidata");
    put(0, 156, &record(b"\0", &[], 18, 2048, 2));
    put(1, 0, b"\xffCD001\x01");
    let name = b"user-data";
    let mut rock_ridge = b"NM\0\x01\0".to_vec();
    rock_ridge[2] = length(rock_ridge.len() + name.len());
    rock_ridge.extend_from_slice(name);
    let root = record(b"\0", &[], 18, 2048, 2);
    put(2, 0, &root);
    let file = record(b"USER_DAT.;1", &rock_ridge, 19, CONFIG.len(), 0);
    put(2, root.len(), &file);
    put(3, 0, CONFIG);
    vec![volume]
}

/// A directory record.
fn record(name: &[u8], system_use: &[u8], extent: u8, size: usize, flags: u8) -> Vec<u8> {
    let mut bytes = vec![0_u8; 33];
    bytes[2] = extent;
    let size = u32::try_from(size).expect("a small file");
    bytes[10..14].copy_from_slice(&size.to_le_bytes());
    bytes[25] = flags;
    bytes[32] = length(name.len());
    bytes.extend_from_slice(name);
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes.extend_from_slice(system_use);
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes[0] = length(bytes.len());
    bytes
}

fn length(bytes: usize) -> u8 {
    u8::try_from(bytes).expect("a short record")
}

//! One file in the root of a FAT volume, read in user space.
//!
//! The `fatfs` crate trusts the volume's geometry in places and may panic on a made-up one; a panic in
//! it is an error here, since a damaged stick in a machine must not take the plan away.

use super::volume::Volume;
use fatfs::{FileSystem, FsOptions};
use init_proto::generation::CONFIG_MAX;
use std::{
    io::{self, Read, Seek},
    panic::{AssertUnwindSafe, catch_unwind},
};

/// What a FAT volume has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Volume label, of the root directory or else of the boot sector.
    pub(crate) label: String,
    /// The first of the wanted files that is there; one byte more than [`CONFIG_MAX`] where it is
    /// too large, so that the config's own check says so.
    pub(crate) file: Option<Vec<u8>>,
}

/// Looks for `names` (in order, without regard to case) in the root directory. `Ok(None)`: not FAT.
pub(crate) fn read<D: Read + Seek>(device: D, names: &[&str]) -> io::Result<Option<Contents>> {
    let mut volume = Volume::new(device)?;
    if !looks_like_fat(&mut volume) {
        return Ok(None);
    }
    catch_unwind(AssertUnwindSafe(|| contents(volume, names)))
        .unwrap_or_else(|_| Err(io::Error::other("its FAT structures contradict each other")))
        .map(Some)
}

/// A boot sector's jump, its end mark, and sane sector and cluster sizes.
fn looks_like_fat<D: Read + Seek>(volume: &mut Volume<D>) -> bool {
    let mut sector = [0_u8; 512];
    if volume.at(0, &mut sector).is_err() || volume.seek(io::SeekFrom::Start(0)).is_err() {
        return false;
    }
    let sector_size = u16::from_le_bytes([sector[11], sector[12]]);
    matches!(sector[0], 0xeb | 0xe9)
        && sector[510..] == [0x55, 0xaa]
        && matches!(sector_size, 512 | 1024 | 2048 | 4096)
        && sector[13].is_power_of_two()
        && matches!(sector[16], 1 | 2)
}

fn contents<D: Read + Seek>(volume: Volume<D>, names: &[&str]) -> io::Result<Contents> {
    let volume = FileSystem::new(volume, FsOptions::new())?;
    let label = match volume.read_volume_label_from_root_dir()? {
        Some(label) => label,
        None => volume.volume_label(),
    };
    let mut contents = Contents {
        label: label.trim_end().to_owned(),
        file: None,
    };
    for name in names {
        match volume.root_dir().open_file(name) {
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(CONFIG_MAX as u64 + 1).read_to_end(&mut bytes)?;
                contents.file = Some(bytes);
                break;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(contents)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use fatfs::{FatType, FormatVolumeOptions};
    use proptest::prelude::*;
    use std::io::{Cursor, Write as _};

    /// A FAT volume with one file.
    pub(crate) fn image(kind: FatType, label: &str, name: &str, text: &[u8]) -> Vec<u8> {
        let size = match kind {
            FatType::Fat12 => 1 << 20,
            FatType::Fat16 => 16 << 20,
            FatType::Fat32 => 40 << 20,
        };
        let mut padded = [b' '; 11];
        padded[..label.len()].copy_from_slice(label.as_bytes());
        let mut disk = Cursor::new(vec![0_u8; size]);
        let options = FormatVolumeOptions::new()
            .fat_type(kind)
            .bytes_per_cluster(512)
            .volume_label(padded);
        fatfs::format_volume(&mut disk, options).unwrap();
        disk.set_position(0);
        {
            let volume = FileSystem::new(&mut disk, FsOptions::new()).unwrap();
            let mut file = volume.root_dir().create_file(name).unwrap();
            file.write_all(text).unwrap();
        }
        disk.into_inner()
    }

    #[test]
    fn every_width_of_fat_is_read() {
        for kind in [FatType::Fat12, FatType::Fat16, FatType::Fat32] {
            let image = image(kind, "CIDATA", "user-data", b"kind: Machine\n");
            let found = read(Cursor::new(image), &["orlop.yaml", "user-data"]).unwrap();
            let expect = Contents {
                label: "CIDATA".into(),
                file: Some(b"kind: Machine\n".to_vec()),
            };
            assert_eq!(found, Some(expect), "{kind:?}");
        }
    }

    #[test]
    fn what_is_not_fat_is_none_and_a_missing_file_is_no_error() {
        assert_eq!(read(Cursor::new(vec![0; 4096]), &["x"]).unwrap(), None);
        assert_eq!(read(Cursor::new(Vec::new()), &["x"]).unwrap(), None);
        let image = image(FatType::Fat12, "OTHER", "a", b"");
        let found = read(Cursor::new(image), &["x"]).unwrap().unwrap();
        assert_eq!(found.file, None);
    }

    #[test]
    fn a_file_over_the_bound_is_cut_one_byte_after_it() {
        let big = vec![b'#'; CONFIG_MAX + 4096];
        let image = image(FatType::Fat16, "X", "orlop.yaml", &big);
        let found = read(Cursor::new(image), &["orlop.yaml"]).unwrap().unwrap();
        assert_eq!(found.file.unwrap().len(), CONFIG_MAX + 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn a_damaged_volume_is_an_answer(changes in proptest::collection::vec((0_usize..40_960, any::<u8>()), 1..24)) {
            let mut image = image(FatType::Fat12, "CIDATA", "user-data", b"kind: Machine\n");
            for (at, byte) in changes {
                image[at] = byte;
            }
            let _ = read(Cursor::new(image), &["user-data"]);
        }
    }
}

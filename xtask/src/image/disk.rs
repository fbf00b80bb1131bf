//! The bootable disk image: a GPT with one ESP that holds systemd-boot and one release. The node makes META,
//! STATE and DATA in the rest of the disk at its first boot.
//!
//! ```text
//!   LBA 0         protective MBR, GPT
//!   1 MiB         ESP, FAT32, 512 MiB   /EFI/BOOT/BOOTX64.EFI            systemd-boot
//!                                       /EFI/orlop/<version>.efi         the release
//!                                       /loader/entries/orlop-<version>.conf
//!                                       /loader/loader.conf
//!   513 MiB       free
//! ```
//! The file system is written in user space with fixed identities and times, so that two builds agree.

use crate::command;
use crate::image::Artifacts;
use crate::image::base::Base;
use crate::image::release::derived_uuid;
use crate::tools;
use anyhow::{Context, Result};
use init_proto::paths;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Bytes of a sector.
const SECTOR: u64 = 512;
/// Bytes of a mebibyte.
const MIB: u64 = 1024 * 1024;
/// Size of the disk image before compression: enough for all partitions of a trial node. A larger disk is
/// used to its end by the node.
const DISK_SIZE: u64 = 2048 * MIB;
/// Where the ESP begins.
const ESP_START: u64 = MIB;
/// Size of the ESP: room for two releases of either flavour. Firmware reads no FAT32 below 300 MB.
const ESP_SIZE: u64 = 512 * MIB;
/// FAT cluster: small files are few, so the largest size that keeps FAT32's minimum of 65,525 clusters.
const CLUSTER: u32 = 4096;
/// FAT volume label, 11 characters.
const LABEL: [u8; 11] = *b"ORLOP-ESP  ";
/// Level of the compression of the disk image; most of it is the release, which is compressed already.
const COMPRESSION: &str = "-6";

/// What loader.conf(5) says: no menu, and no editing of the kernel command line at the console.
/// No `default`: a set default ignores the boot counters.
const LOADER_CONF: &str = "timeout 0\neditor no\n";

/// Writes `artifacts.raw_zst`, with `scratch` for the uncompressed disk.
///
/// # Errors
/// A file cannot be read or written.
pub fn write(artifacts: &Artifacts, base: &Base, scratch: &Path) -> Result<()> {
    let raw = scratch.join("disk.raw");
    let seed = format!(
        "orlop disk {} {}",
        artifacts.version,
        artifacts.flavour.name()
    );
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&raw)
        .with_context(|| format!("make {}", raw.display()))?;
    file.set_len(DISK_SIZE).context("size the disk image")?;
    write_partition_table(&mut file, &seed)?;
    write_esp(&file, artifacts, base, &seed).context("write the ESP")?;
    file.sync_all().context("write the disk image")?;
    command::output(
        tools::program("zstd")?
            .args(["--quiet", "--force", "-T1", COMPRESSION, "-o"])
            .arg(&artifacts.raw_zst)
            .arg(&raw),
    )?;
    fs::remove_file(&raw).with_context(|| format!("remove {}", raw.display()))
}

/// Writes the protective MBR and both copies of the GPT.
fn write_partition_table(file: &mut File, seed: &str) -> Result<()> {
    let sectors = u32::try_from(DISK_SIZE / SECTOR - 1).expect("the disk image is below 2 TiB");
    gpt::mbr::ProtectiveMBR::with_lb_size(sectors)
        .overwrite_lba0(file)
        .context("write the protective MBR")?;
    let mut disk = gpt::GptConfig::new()
        .writable(true)
        .create_from_device(&mut *file, Some(derived_uuid(seed)))
        .context("make the partition table")?;
    let esp = gpt::partition::Partition {
        part_type_guid: gpt::partition_types::EFI,
        part_guid: derived_uuid(&format!("{seed} esp")),
        first_lba: ESP_START / SECTOR,
        last_lba: (ESP_START + ESP_SIZE) / SECTOR - 1,
        flags: 0,
        name: paths::PARTITION_ESP.to_string(),
    };
    disk.update_partitions(BTreeMap::from([(1, esp)]))
        .context("add the ESP")?;
    disk.write().context("write the partition table").map(drop)
}

/// Formats the ESP and fills it.
fn write_esp(file: &File, artifacts: &Artifacts, base: &Base, seed: &str) -> Result<()> {
    let mut window = Window::new(file, ESP_START, ESP_SIZE);
    let identity = derived_uuid(&format!("{seed} fat")).as_fields().0;
    let options = fatfs::FormatVolumeOptions::new()
        .fat_type(fatfs::FatType::Fat32)
        .bytes_per_cluster(CLUSTER)
        .volume_id(identity)
        .volume_label(LABEL);
    fatfs::format_volume(&mut window, options).context("format the ESP")?;
    // Without a clock, fatfs stamps every file with 1980-01-01, the same in every build.
    let system = fatfs::FileSystem::new(window, fatfs::FsOptions::new()).context("open the ESP")?;
    let top = system.root_dir();
    for directory in ["EFI", "EFI/BOOT", "EFI/orlop", "loader", "loader/entries"] {
        top.create_dir(directory)
            .with_context(|| format!("make /{directory}"))?;
    }
    let version = &artifacts.version;
    let put = |path: &str, bytes: &[u8]| -> Result<()> {
        let mut file = top
            .create_file(path)
            .with_context(|| format!("make /{path}"))?;
        file.write_all(bytes)
            .with_context(|| format!("write /{path}"))
    };
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    put(
        "EFI/BOOT/BOOTX64.EFI",
        &read(&base.boot_file("systemd-bootx64.efi"))?,
    )?;
    put(&format!("EFI/orlop/{version}.efi"), &read(&artifacts.efi)?)?;
    put("loader/loader.conf", LOADER_CONF.as_bytes())?;
    put(
        &format!("loader/entries/orlop-{version}.conf"),
        entry(version).as_bytes(),
    )?;
    drop(top);
    system.unmount().context("close the ESP")
}

/// A type 1 entry of the Boot Loader Specification. The only release of a disk has no boot counter: there is
/// nothing to fall back to. An upgrade adds its entry with one.
fn entry(version: &str) -> String {
    format!(
        "title Orlop {version}\nversion {version}\nsort-key orlop\narchitecture x64\nefi /EFI/orlop/{version}.efi\n"
    )
}

/// A part of a file that reads and writes like a file of its own.
struct Window<'a> {
    file: &'a File,
    start: u64,
    size: u64,
    position: u64,
}

impl<'a> Window<'a> {
    fn new(file: &'a File, start: u64, size: u64) -> Self {
        Self {
            file,
            start,
            size,
            position: 0,
        }
    }

    /// How many of `wanted` bytes are left in the window.
    fn clip(&self, wanted: usize) -> usize {
        let left = usize::try_from(self.size.saturating_sub(self.position)).unwrap_or(usize::MAX);
        wanted.min(left)
    }

    fn advance(&mut self, count: usize) {
        self.position += u64::try_from(count).expect("a length fits into 64 bits");
    }
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let count = self.clip(buffer.len());
        let count = self
            .file
            .read_at(&mut buffer[..count], self.start + self.position)?;
        self.advance(count);
        Ok(count)
    }
}

impl Write for Window<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let count = self.clip(buffer.len());
        let count = self
            .file
            .write_at(&buffer[..count], self.start + self.position)?;
        self.advance(count);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Window<'_> {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        let position = match target {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.size.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_where_it_ends() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"0123456789").expect("written");
        let mut window = Window::new(&file, 2, 4);
        let mut text = String::new();
        window.read_to_string(&mut text).expect("read");
        assert_eq!(text, "2345");
        assert_eq!(window.write(b"x").expect("the end is not an error"), 0);
        window.seek(SeekFrom::End(-1)).expect("inside");
        assert_eq!(window.write(b"xyz").expect("one byte fits"), 1);
        assert!(window.seek(SeekFrom::Current(-9)).is_err());
    }

    #[test]
    fn two_tables_from_one_seed_are_equal() {
        let table = || {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("disk");
            let mut file = File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path)
                .expect("a file");
            file.set_len(DISK_SIZE).expect("sized");
            write_partition_table(&mut file, "seed").expect("written");
            let mut head = vec![0; 64 * 1024];
            file.seek(SeekFrom::Start(0)).expect("rewound");
            file.read_exact(&mut head).expect("read");
            head
        };
        assert_eq!(table(), table());
    }

    #[test]
    fn the_entry_names_the_release() {
        assert!(entry("1.2.3").contains("\nefi /EFI/orlop/1.2.3.efi\n"));
    }
}

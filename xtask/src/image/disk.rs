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
//! The file system is written in user space by mkfs.vfat and mtools with fixed identities and times, so that
//! two builds agree. (The crate fatfs 0.3 makes directories whose `..` fsck.vfat rejects.)

use crate::command;
use crate::image::Artifacts;
use crate::image::base::Base;
use crate::image::release::derived_uuid;
use crate::tools;
use anyhow::{Context, Result};
use init_proto::paths;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

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
/// Sectors of a FAT cluster: small files are few, so the largest that keeps FAT32's minimum of 65,525 clusters.
const CLUSTER_SECTORS: &str = "8";
/// FAT volume label.
const LABEL: &str = "ORLOP-ESP";
/// Level of the compression of the disk image; most of it is the release, which is compressed already.
const COMPRESSION: &str = "-3";

/// What loader.conf(5) says: no menu, and no editing of the kernel command line at the console.
/// No `default`: a set default ignores the boot counters.
const LOADER_CONF: &str = "timeout 0\neditor no\n";

/// Writes `artifacts.raw_zst`, with `scratch` for the uncompressed disk.
///
/// # Errors
/// A file cannot be read or written.
pub fn write(artifacts: &Artifacts, base: &Base, scratch: &Path, epoch: u64) -> Result<()> {
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
    drop(file);
    format_esp(&raw, &seed).context("format the ESP")?;
    fill_esp(&raw, artifacts, base, scratch, epoch).context("fill the ESP")?;
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

/// Makes the file system of the ESP.
fn format_esp(raw: &Path, seed: &str) -> Result<()> {
    let identity = derived_uuid(&format!("{seed} fat")).as_fields().0;
    command::output(
        tools::program("mkfs.vfat")?
            .args([
                "-F",
                "32",
                "-s",
                CLUSTER_SECTORS,
                "-n",
                LABEL,
                "--invariant",
            ])
            .args(["-i", &format!("{identity:08x}")])
            .arg(format!("--offset={}", ESP_START / SECTOR))
            .arg(raw)
            .arg((ESP_SIZE / 1024).to_string()),
    )
    .map(drop)
}

/// Makes the directories and files of the ESP.
fn fill_esp(
    raw: &Path,
    artifacts: &Artifacts,
    base: &Base,
    scratch: &Path,
    epoch: u64,
) -> Result<()> {
    let mtools = |name: &str| -> Result<Command> {
        let mut command = tools::program(name)?;
        // The times of new directories and files; FAT's are in local time.
        command
            .env("SOURCE_DATE_EPOCH", epoch.to_string())
            .env("TZ", "UTC0")
            .arg("-i")
            .arg(format!("{}@@{ESP_START}", raw.display()));
        Ok(command)
    };
    command::output(mtools("mmd")?.args([
        "::EFI",
        "::EFI/BOOT",
        "::EFI/orlop",
        "::loader",
        "::loader/entries",
    ]))?;
    let version = &artifacts.version;
    let text = |name: &str, text: &str| {
        let path = scratch.join(name);
        fs::write(&path, text)
            .with_context(|| format!("write {}", path.display()))
            .map(|()| path)
    };
    for (source, target) in [
        (
            base.boot_file("systemd-bootx64.efi"),
            "EFI/BOOT/BOOTX64.EFI".to_string(),
        ),
        (artifacts.efi.clone(), format!("EFI/orlop/{version}.efi")),
        (
            text("loader.conf", LOADER_CONF)?,
            "loader/loader.conf".to_string(),
        ),
        (
            text("entry.conf", &entry(version))?,
            format!("loader/entries/orlop-{version}.conf"),
        ),
    ] {
        command::output(mtools("mcopy")?.arg(&source).arg(format!("::{target}")))?;
    }
    Ok(())
}

/// A type 1 entry of the Boot Loader Specification. The only release of a disk has no boot counter: there is
/// nothing to fall back to. An upgrade adds its entry with one.
fn entry(version: &str) -> String {
    format!(
        "title Orlop {version}\nversion {version}\nsort-key orlop\narchitecture x64\nefi /EFI/orlop/{version}.efi\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, SeekFrom};

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

//! Looks at the machine: sysfs for the disks and the kernel's partitions, their first and last bytes for
//! what is on them. Reads only.

use super::{Failure, Places, meta_store, open, table};
use crate::planner::layout::{KIND_ESP, OURS};
use crate::planner::{
    efi,
    model::{Content, Contents, Disk, Extent, Observed, Partition},
    signature,
};
use init_proto::paths::PARTITION_META;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};
use uuid::Uuid;

/// Most disks that are looked at.
const DISKS_MAX: usize = 1024;
/// Longest text of a sysfs attribute.
const ATTRIBUTE_MAX: u64 = 4096;
/// sysfs counts in these, whatever the disk's own sectors are.
const SYSFS_SECTOR: u64 = 512;
/// Never a place for a system: optical and floppy drives.
const NO_DISKS: [&str; 2] = ["sr", "fd"];

/// The machine as it is now.
pub(crate) fn observe(places: &Places, fresh: [Uuid; 5]) -> Result<Observed, Failure> {
    let block = places.sysfs.join("block");
    let mut names: Vec<String> = fs::read_dir(&block)
        .map_err(Failure::io(format!("list {}", block.display())))?
        .take(DISKS_MAX)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !NO_DISKS.iter().any(|prefix| name.starts_with(prefix)))
        .collect();
    names.sort();
    Ok(Observed {
        boot_partition: boot_partition(places)?,
        disks: names.iter().filter_map(|name| disk(places, name)).collect(),
        fresh,
        ..Observed::default()
    })
}

fn boot_partition(places: &Places) -> Result<Option<Uuid>, Failure> {
    let path = places
        .sysfs
        .join("firmware/efi/efivars")
        .join(efi::LOADER_DEVICE_PART_UUID);
    match File::open(&path) {
        Ok(file) => {
            let mut bytes = Vec::new();
            file.take(efi::VARIABLE_MAX)
                .read_to_end(&mut bytes)
                .map_err(Failure::io(format!("read {}", path.display())))?;
            Ok(efi::loader_device(&bytes))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io(format!("read {}", path.display()))(error)),
    }
}

/// A disk; `None` for one without a medium.
fn disk(places: &Places, name: &str) -> Option<Disk> {
    let directory = places.sysfs.join("block").join(name);
    let text = |attribute: &str| attribute_text(&directory.join(attribute));
    let number = |attribute: &str| text(attribute).parse::<u64>().ok();
    let bytes = number("size")?.checked_mul(SYSFS_SECTOR)?;
    if bytes == 0 {
        return None;
    }
    let device = device_file(places, name);
    let sector = number("queue/logical_block_size").unwrap_or(SYSFS_SECTOR);
    let is_virtual = !directory.join("device").exists();
    let kernel = extents(&directory, name);
    let first = |attributes: &[&str]| {
        let texts = attributes.iter().map(|attribute| text(attribute));
        texts
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_default()
    };
    let mut disk = Disk {
        name: name.to_owned(),
        bytes,
        sector,
        is_virtual,
        read_only: number("ro") == Some(1),
        model: first(&["device/model"]),
        serial: first(&["serial", "device/serial"]),
        wwid: first(&["wwid", "device/wwid"]),
        bus_path: bus_path(&directory),
        rotational: number("queue/rotational") == Some(1),
        contents: Contents::Blank,
        kernel,
        device,
    };
    disk.contents = match contents(&disk) {
        Ok(contents) => contents,
        Err(error) => Contents::Unreadable(error.to_string()),
    };
    Some(disk)
}

fn contents(disk: &Disk) -> io::Result<Contents> {
    let mut file = open(Path::new(&disk.device), false)?;
    match table::read(&mut file, disk.bytes, disk.sector)? {
        table::Found::Table(table) => Ok(Contents::Table(table)),
        table::Found::Unusable(what) => Ok(Contents::Foreign(what.to_owned())),
        table::Found::Nothing => {
            Ok(found(&mut file, disk.bytes)?.map_or(Contents::Blank, Contents::Foreign))
        }
    }
}

/// Fills in device file and content of our partitions on the disk with this device file, where the kernel
/// shows them as the table has them. Other disks are not looked into.
pub(crate) fn look_inside(
    places: &Places,
    observed: &mut Observed,
    device: &str,
) -> Result<(), Failure> {
    let disk = observed.disks.iter_mut().find(|disk| disk.device == device);
    let Some(Disk {
        contents: Contents::Table(table),
        kernel,
        name,
        ..
    }) = disk
    else {
        return Ok(());
    };
    for partition in &mut table.partitions {
        let shown = Extent {
            number: partition.number,
            start: partition.start,
            bytes: partition.bytes,
        };
        if !kernel.contains(&shown) {
            continue;
        }
        let device = device_file(places, &partition_name(name, partition.number));
        if OURS.contains(&partition.name.as_str()) || partition.kind == KIND_ESP {
            let failed = || Failure::io(format!("look at {device}"));
            partition.content = content(&device, partition).map_err(failed())?;
            partition.in_use = in_use(&device).map_err(failed())?;
        }
        partition.device = Some(device);
    }
    Ok(())
}

fn content(device: &str, partition: &Partition) -> io::Result<Content> {
    let mut file = open(Path::new(device), false)?;
    if partition.name == PARTITION_META
        && let Some(generation) = meta_store::read(&mut file)?
    {
        return Ok(Content::Meta(generation.meta));
    }
    let head = read_up_to(&mut file, 0, signature::HEAD_BYTES)?;
    if let Some(ext) = signature::ext(&head) {
        return Ok(Content::Ext {
            label: ext.label,
            bytes: ext.bytes,
        });
    }
    Ok(signature::find(&head, &[], partition.bytes).map_or(Content::Nothing, Content::Other))
}

/// Whether a partition is mounted or held otherwise: the kernel then refuses an exclusive opening.
fn in_use(device: &str) -> io::Result<bool> {
    let exclusive = rustix::fs::open(device, OFlags::EXCL | OFlags::CLOEXEC, Mode::empty());
    match exclusive {
        Ok(_) => Ok(false),
        Err(Errno::BUSY) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn found(file: &mut File, bytes: u64) -> io::Result<Option<String>> {
    let head = read_up_to(file, 0, signature::HEAD_BYTES)?;
    let tail_start = bytes.saturating_sub(signature::TAIL_BYTES as u64);
    let tail = read_up_to(file, tail_start, signature::TAIL_BYTES)?;
    Ok(signature::find(&head, &tail, bytes))
}

fn read_up_to(file: &mut File, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.take(bytes_max as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The kernel's partitions of a disk, by number.
fn extents(directory: &Path, name: &str) -> Vec<Extent> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut extents: Vec<Extent> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            entry.file_name().to_str()?.strip_prefix(name)?;
            let number = |attribute: &str| {
                attribute_text(&entry.path().join(attribute))
                    .parse::<u64>()
                    .ok()
            };
            Some(Extent {
                number: u32::try_from(number("partition")?).ok()?,
                start: number("start")?.checked_mul(SYSFS_SECTOR)?,
                bytes: number("size")?.checked_mul(SYSFS_SECTOR)?,
            })
        })
        .collect();
    extents.sort();
    extents
}

/// `vda` and 1 give `vda1`; `nvme0n1` and 1 give `nvme0n1p1`.
fn partition_name(disk: &str, number: u32) -> String {
    let separator = if disk.ends_with(|c: char| c.is_ascii_digit()) {
        "p"
    } else {
        ""
    };
    format!("{disk}{separator}{number}")
}

/// sysfs writes `!` for the `/` of names such as `cciss/c0d0`.
fn device_file(places: &Places, name: &str) -> String {
    places
        .dev
        .join(name.replace('!', "/"))
        .display()
        .to_string()
}

/// The last bus address on the device's path: `pci-0000:00:05.0`.
fn bus_path(directory: &Path) -> String {
    let Ok(real) = fs::canonicalize(directory) else {
        return String::new();
    };
    let is_pci = |part: &&str| {
        let bytes = part.as_bytes();
        bytes.len() == 12 && bytes[4] == b':' && bytes[7] == b':' && bytes[10] == b'.'
    };
    let mut parts = real.iter().rev().filter_map(|part| part.to_str());
    parts
        .find(is_pci)
        .map(|address| format!("pci-{address}"))
        .unwrap_or_default()
}

fn attribute_text(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(ATTRIBUTE_MAX).read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes)
            .trim_matches(|c: char| c.is_whitespace() || c == '\0')
            .to_owned(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_named_as_the_kernel_does() {
        assert_eq!(partition_name("vda", 1), "vda1");
        assert_eq!(partition_name("nvme0n1", 12), "nvme0n1p12");
    }
}

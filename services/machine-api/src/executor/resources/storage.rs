//! Disks from `/sys/block`, mounts from `/proc/self/mountinfo`.

use super::{ReadError, Reading, Sources, fields, file};
use crate::planner::resources::{Snapshot, Spec};
use rustix::fs::statvfs;
use serde_json::Value as Json;
use std::{fs, path::Path};

/// Disks and mounts that are listed.
const MAX: usize = 4096;
/// The kernel counts /sys/block/NAME/size in these, whatever the disk's own sectors.
const SYSFS_SECTOR: u64 = 512;

pub(super) fn disks(_: &Sources) -> Reading<'_> {
    Box::pin(std::future::ready(read_disks(Path::new("/sys/block"))))
}

fn read_disks(directory: &Path) -> Result<Snapshot, ReadError> {
    let failed = |source| ReadError::File {
        path: directory.display().to_string(),
        source,
    };
    let mut found = Snapshot::new();
    for entry in fs::read_dir(directory).map_err(failed)?.take(MAX) {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Loop, RAM and network block devices that hold nothing are not there for a person.
        let size = number(&entry.path(), "size")
            .unwrap_or(0)
            .saturating_mul(SYSFS_SECTOR);
        if size > 0 {
            found.insert(name.clone(), disk(&entry.path(), &name, size));
        }
    }
    Ok(found)
}

fn disk(path: &Path, name: &str, size: u64) -> Spec {
    let place = fs::canonicalize(path).ok();
    let bus = place
        .as_deref()
        .and_then(Path::to_str)
        .and_then(|place| place.strip_prefix("/sys/devices/"))
        .and_then(|place| place.split_once("/block/"))
        .map(|(bus, _)| bus.to_owned());
    let mut partitions: Vec<Json> = fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("partition").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned().into())
        .collect();
    partitions.sort_by_key(ToString::to_string);
    fields([
        ("path", format!("/dev/{name}").into()),
        ("size", size.into()),
        ("model", text(path, "device/model").into()),
        (
            "serial",
            text(path, "device/serial")
                .or_else(|| text(path, "serial"))
                .into(),
        ),
        (
            "wwid",
            text(path, "device/wwid")
                .or_else(|| text(path, "wwid"))
                .into(),
        ),
        ("busPath", bus.into()),
        (
            "rotational",
            number(path, "queue/rotational")
                .map(|value| value == 1)
                .into(),
        ),
        (
            "readOnly",
            number(path, "ro").map(|value| value == 1).into(),
        ),
        (
            "removable",
            number(path, "removable").map(|value| value == 1).into(),
        ),
        (
            "sectorSize",
            number(path, "queue/logical_block_size").into(),
        ),
        ("partitions", partitions.into()),
    ])
}

fn text(path: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(path.join(name)).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn number(path: &Path, name: &str) -> Option<u64> {
    text(path, name)?.parse().ok()
}

pub(super) fn mounts(_: &Sources) -> Reading<'_> {
    Box::pin(std::future::ready(
        file("/proc/self/mountinfo").map(|text| parse_mounts(&text)),
    ))
}

/// proc_pid_mountinfo(5).
fn parse_mounts(text: &str) -> Snapshot {
    text.lines()
        .take(MAX)
        .filter_map(|line| {
            let (front, back) = line.split_once(" - ")?;
            let front: Vec<_> = front.split(' ').collect();
            let mut back = back.split(' ');
            let target = unescape(front.get(4)?);
            let options = front.get(5)?;
            let read_only = options.split(',').any(|option| option == "ro");
            let (kind, source) = (back.next()?, unescape(back.next()?));
            let room = statvfs(target.as_str())
                .ok()
                .filter(|room| room.f_blocks > 0);
            let bytes = |blocks: u64, size: u64| Json::from(blocks.saturating_mul(size));
            let size = room
                .as_ref()
                .map(|room| bytes(room.f_blocks, room.f_frsize));
            let free = room
                .as_ref()
                .map(|room| bytes(room.f_bavail, room.f_frsize));
            let spec = fields([
                ("target", target.clone().into()),
                ("source", source.into()),
                ("type", kind.into()),
                ("options", (*options).into()),
                ("readOnly", read_only.into()),
                ("size", size.into()),
                ("available", free.into()),
            ]);
            // A later mount on the same place hides the earlier one, as the map does here.
            Some((target, spec))
        })
        .collect()
}

/// Undoes the kernel's octal escapes of space, tab, newline and backslash.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read() {
        let text = "22 1 0:20 / / ro,noatime shared:1 - erofs /dev/loop0 ro\n\
                    23 22 0:21 / /with\\040space rw,nosuid - tmpfs tmpfs rw,size=1k\n\
                    broken line\n";
        let found = parse_mounts(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found["/"]["type"], "erofs");
        assert_eq!(found["/"]["readOnly"], true);
        assert_eq!(found["/with space"]["source"], "tmpfs");
    }

    #[test]
    fn disks_are_read() {
        let root = tempfile::tempdir().unwrap();
        let disk = root.path().join("vda");
        fs::create_dir_all(disk.join("queue")).unwrap();
        fs::create_dir_all(disk.join("vda1")).unwrap();
        fs::write(disk.join("size"), "8\n").unwrap();
        fs::write(disk.join("serial"), "abc\n").unwrap();
        fs::write(disk.join("queue/rotational"), "1\n").unwrap();
        fs::write(disk.join("vda1/partition"), "1\n").unwrap();
        fs::create_dir_all(root.path().join("loop0")).unwrap();
        fs::write(root.path().join("loop0/size"), "0\n").unwrap();
        let found = read_disks(root.path()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found["vda"]["size"], 4096);
        assert_eq!(found["vda"]["serial"], "abc");
        assert_eq!(found["vda"]["rotational"], true);
        assert_eq!(found["vda"]["partitions"], serde_json::json!(["vda1"]));
    }
}

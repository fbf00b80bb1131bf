//! What block and input devices are there, from sysfs.

use super::sys;
use crate::planner::blocks::{Block, Found, sort_out};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::path::Path;

/// Devices looked at.
const DEVICES_MAX: usize = 1024;
/// `struct input_event` on 64-bit machines: two 8-byte times, then type, code and value.
pub(crate) const INPUT_EVENT_BYTES: usize = 24;
/// linux/input-event-codes.h
const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;

/// Looks at all block devices.
pub(crate) fn blocks() -> Found {
    let mut blocks = Vec::new();
    let entries = fs::read_dir("/sys/class/block").into_iter().flatten();
    for entry in entries.flatten().take(DEVICES_MAX) {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let uevent = fs::read_to_string(path.join("uevent")).unwrap_or_default();
        let sectors: u64 = fs::read_to_string(path.join("size"))
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0);
        let partitions = has_partitions(&path, &name);
        blocks.push(Block::parse(
            &name,
            &uevent,
            sectors.saturating_mul(512),
            partitions,
        ));
    }
    sort_out(blocks)
}

fn has_partitions(path: &Path, name: &str) -> bool {
    fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| {
            entry.file_name().to_string_lossy().starts_with(name)
                && entry.path().join("partition").exists()
        })
}

/// Opens a block device for reading.
pub(crate) fn open_block(name: &str) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::open(format!("/dev/{name}"), flags, Mode::empty()).ok()
}

/// Makes the kernel read the partition tables again: partitions that a program has announced one by one
/// have no names until then. A disk that is in use keeps what it has.
pub(crate) fn reread_tables(disks: &[String]) {
    for disk in disks {
        if let Some(file) = open_block(disk) {
            let _ = sys::reread_partitions(file.as_fd());
        }
    }
}

/// The machine's power buttons, opened without blocking: path and descriptor.
pub(crate) fn power_buttons() -> Vec<(String, OwnedFd)> {
    let entries = fs::read_dir("/sys/class/input").into_iter().flatten();
    entries
        .flatten()
        .take(DEVICES_MAX)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("event"))
        .filter(|entry| {
            fs::read_to_string(entry.path().join("device/name"))
                .is_ok_and(|name| name.trim() == "Power Button")
        })
        .filter_map(|entry| {
            let path = format!("/dev/input/{}", entry.file_name().to_string_lossy());
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
            let file = rustix::fs::open(&path, flags, Mode::empty()).ok()?;
            Some((path, file))
        })
        .collect()
}

/// Whether these `struct input_event`s hold a press of the power key.
pub(crate) fn power_pressed(bytes: &[u8]) -> bool {
    bytes.chunks_exact(INPUT_EVENT_BYTES).any(|event| {
        let kind = u16::from_ne_bytes([event[16], event[17]]);
        let code = u16::from_ne_bytes([event[18], event[19]]);
        let value = i32::from_ne_bytes([event[20], event[21], event[22], event[23]]);
        (kind, code, value) == (EV_KEY, KEY_POWER, 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u16, code: u16, value: i32) -> Vec<u8> {
        let mut bytes = vec![0; 16];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(code.to_ne_bytes());
        bytes.extend(value.to_ne_bytes());
        bytes
    }

    #[test]
    fn only_the_press_of_the_power_key_counts() {
        let press = [event(EV_KEY, KEY_POWER, 1), event(0, 0, 0)].concat();
        assert!(power_pressed(&press));
        assert!(!power_pressed(&event(EV_KEY, KEY_POWER, 0)));
        assert!(!power_pressed(&event(EV_KEY, 30, 1)));
        assert!(!power_pressed(&press[..10]));
    }
}

//! Where the partitions lie.
//!
//! ```text
//!   0      1 MiB                                                          end - 1 MiB   end
//!   | MBR, │ ESP 512 MiB │ META 4 MiB │ STATE 128 MiB │ DATA             │ GPT backup  |
//!   | GPT  │ (made by us, or kept)    │               │                  │             |
//! ```

use super::{
    Refusal,
    model::{Content, Disk, Partition, Table},
};
use init_proto::paths::{PARTITION_DATA, PARTITION_ESP, PARTITION_META, PARTITION_STATE};
use uuid::{Uuid, uuid};

/// One mebibyte: the alignment of every partition, and room for the table at both ends.
pub(crate) const MIB: u64 = 1024 * 1024;
/// ESP that the installer makes: two releases of 160 MiB, the boot loader, and FAT32 that every firmware
/// reads (OVMF refuses one of 128 MiB).
pub(crate) const ESP_BYTES: u64 = 512 * MIB;
/// META: two copies of 4 KiB, each in its own half so that no flash page holds both.
pub(crate) const META_BYTES: u64 = 4 * MIB;
/// STATE: configs of 1 MiB, identity, keys; the journal takes 4 MiB.
pub(crate) const STATE_BYTES: u64 = 128 * MIB;
/// Least DATA.
pub(crate) const DATA_BYTES_MIN: u64 = 128 * MIB;
/// Cleared at the start of each new partition: covers every signature that is looked for.
pub(crate) const CLEAR_BYTES: u64 = 4 * MIB;

/// Type GUID of an EFI system partition (UEFI 2.10, table 5-7).
pub(crate) const KIND_ESP: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
/// Type GUID of Linux file system data.
pub(crate) const KIND_LINUX: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");

/// Our partitions behind the ESP.
pub(crate) const OURS: [&str; 3] = [PARTITION_META, PARTITION_STATE, PARTITION_DATA];

/// Identities for what is made: disk, ESP, META, STATE, DATA.
pub(crate) type Fresh = [Uuid; 5];

/// A table for a disk of which nothing is kept, and what is zeroed first.
pub(crate) fn whole_disk(disk: &Disk, fresh: &Fresh) -> Result<(Table, Vec<(u64, u64)>), Refusal> {
    let esp = new(1, PARTITION_ESP, KIND_ESP, fresh[1], MIB, ESP_BYTES);
    let (table, mut clear) = behind(disk, fresh[0], vec![esp], fresh)?;
    // The first partition's start, and both ends where boot sectors, superblocks and RAID
    // metadata of former lives are.
    clear.push((MIB, CLEAR_BYTES));
    clear.push((0, MIB));
    clear.push((disk.bytes - MIB, MIB));
    Ok((table, clear))
}

/// A table with the kept partitions and ours that are missing behind them, and what is zeroed first.
pub(crate) fn behind(
    disk: &Disk,
    id: Uuid,
    kept: Vec<Partition>,
    fresh: &Fresh,
) -> Result<(Table, Vec<(u64, u64)>), Refusal> {
    let mut partitions = kept;
    let mut clear = Vec::new();
    let end = usable_end(disk);
    let mut start = partitions
        .iter()
        .map(Partition::end)
        .max()
        .unwrap_or_default()
        .max(MIB)
        .next_multiple_of(MIB);
    let missing: Vec<_> = OURS
        .iter()
        .zip(&fresh[2..])
        .filter(|(name, _)| !partitions.iter().any(|p| p.name == **name))
        .map(|(name, id)| (*name, *id))
        .collect();
    let need: u64 = missing.iter().map(|(name, _)| least(name)).sum();
    if end.saturating_sub(start) < need {
        return Err(Refusal::TooSmall {
            device: disk.device.clone(),
            have: disk.bytes / MIB,
            need: (start + need) / MIB + 1,
        });
    }
    for (name, id) in missing {
        let bytes = if name == PARTITION_DATA {
            end - start
        } else {
            least(name)
        };
        let number = partitions
            .iter()
            .map(|p| p.number)
            .max()
            .unwrap_or_default()
            + 1;
        partitions.push(new(number, name, KIND_LINUX, id, start, bytes));
        clear.push((start, CLEAR_BYTES));
        start += bytes;
    }
    let table = Table {
        id,
        whole: true,
        partitions,
    };
    Ok((table, clear))
}

/// The size that DATA can have: to the next partition, or to the disk's end.
pub(crate) fn data_bytes(disk: &Disk, table: &Table, data: &Partition) -> u64 {
    let end = table
        .partitions
        .iter()
        .map(|other| other.start)
        .filter(|start| *start > data.start)
        .min()
        .unwrap_or_else(|| usable_end(disk));
    end.saturating_sub(data.start).max(data.bytes)
}

/// Where the last partition ends at most: the last mebibyte holds the backup table.
fn usable_end(disk: &Disk) -> u64 {
    (disk.bytes / MIB).saturating_sub(1) * MIB
}

fn least(name: &str) -> u64 {
    match name {
        PARTITION_META => META_BYTES,
        PARTITION_STATE => STATE_BYTES,
        _ => DATA_BYTES_MIN,
    }
}

/// A partition that nothing is known of but its entry.
pub(crate) fn new(
    number: u32,
    name: &str,
    kind: Uuid,
    id: Uuid,
    start: u64,
    bytes: u64,
) -> Partition {
    Partition {
        number,
        name: name.to_owned(),
        kind,
        id,
        flags: 0,
        start,
        bytes,
        device: None,
        in_use: false,
        content: Content::Nothing,
    }
}

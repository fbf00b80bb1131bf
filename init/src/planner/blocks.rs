//! Which block device is what: our own partitions by GPT name, and the small ones that may carry a
//! NoCloud volume.

use init_proto::paths::{PARTITION_DATA, PARTITION_ESP, PARTITION_META, PARTITION_STATE};

/// Devices handed to `orlop plan` beside the ESP.
pub(crate) const CANDIDATES_MAX: usize = 64;
/// Largest device that is taken for a config volume: NoCloud images are of a few hundred KiB, ISO tools
/// pad them to some MiB.
pub(crate) const CANDIDATE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Devices of the kernel's own making, never disks of the machine.
const NOT_DISKS: [&str; 5] = ["loop", "ram", "zram", "dm-", "nbd"];

/// A block device as `/sys/class/block/<name>` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// Kernel name, "vda1".
    pub(crate) name: String,
    /// GPT partition name, where it is a partition that has one.
    pub(crate) partition_name: Option<String>,
    /// A partition, not a whole disk.
    pub(crate) is_partition: bool,
    /// Size in bytes.
    pub(crate) bytes: u64,
    /// A whole disk with partitions on it.
    pub(crate) has_partitions: bool,
}

impl Block {
    /// From the text of its `uevent` file.
    pub(crate) fn parse(name: &str, uevent: &str, bytes: u64, has_partitions: bool) -> Self {
        let value = |key: &str| {
            uevent
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        };
        Self {
            name: name.to_owned(),
            partition_name: value("PARTNAME").map(Into::into),
            is_partition: value("DEVTYPE") == Some("partition"),
            bytes,
            has_partitions,
        }
    }

    /// A disk of the machine: whole, not of the kernel's own making, with a medium in it.
    pub(crate) fn is_disk(&self) -> bool {
        !self.is_partition
            && self.bytes > 0
            && !NOT_DISKS.iter().any(|prefix| self.name.starts_with(prefix))
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// EFI system partition.
    pub(crate) esp: Option<String>,
    /// STATE.
    pub(crate) state: Option<String>,
    /// DATA.
    pub(crate) data: Option<String>,
    /// Possible config volumes, by name, at most [`CANDIDATES_MAX`].
    pub(crate) candidates: Vec<String>,
    /// Disks of the machine, by name.
    pub(crate) disks: Vec<String>,
}

/// Sorts the devices out. Where two partitions carry the same name (a cloned disk), the first by kernel
/// name is taken, so that every boot takes the same one.
pub(crate) fn sort_out(mut blocks: Vec<Block>) -> Found {
    blocks.sort_by(|a, b| a.name.cmp(&b.name));
    let mut found = Found {
        disks: blocks
            .iter()
            .filter(|block| block.is_disk())
            .map(|block| block.name.clone())
            .collect(),
        ..Found::default()
    };
    for block in &blocks {
        let place = match block.partition_name.as_deref() {
            Some(PARTITION_ESP) => &mut found.esp,
            Some(PARTITION_STATE) => &mut found.state,
            Some(PARTITION_DATA) => &mut found.data,
            Some(PARTITION_META) => continue,
            _ => {
                let usable = (block.is_partition || block.is_disk())
                    && !block.has_partitions
                    && (1..=CANDIDATE_BYTES_MAX).contains(&block.bytes);
                if usable && found.candidates.len() < CANDIDATES_MAX {
                    found.candidates.push(block.name.clone());
                }
                continue;
            }
        };
        place.get_or_insert_with(|| block.name.clone());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn partition(name: &str, label: &str, bytes: u64) -> Block {
        let uevent = format!("MAJOR=254\nDEVTYPE=partition\nPARTN=1\nPARTNAME={label}\n");
        Block::parse(name, &uevent, bytes, false)
    }

    fn disk(name: &str, bytes: u64, has_partitions: bool) -> Block {
        Block::parse(name, "DEVTYPE=disk\n", bytes, has_partitions)
    }

    #[test]
    fn a_usual_machine() {
        let found = sort_out(vec![
            disk("vda", 4096 * MIB, true),
            partition("vda1", "ORLOP-ESP", 512 * MIB),
            partition("vda2", "ORLOP-META", MIB),
            partition("vda3", "ORLOP-STATE", 100 * MIB),
            partition("vda4", "ORLOP-DATA", 3000 * MIB),
            disk("vdb", MIB, false),
            disk("loop0", MIB, false),
            disk("sr0", 0, false),
        ]);
        assert_eq!(found.esp.as_deref(), Some("vda1"));
        assert_eq!(found.state.as_deref(), Some("vda3"));
        assert_eq!(found.data.as_deref(), Some("vda4"));
        assert_eq!(found.candidates, ["vdb"]);
        assert_eq!(found.disks, ["vda", "vdb"]);
    }

    #[test]
    fn a_cloned_disk_does_not_change_the_choice() {
        let found = sort_out(vec![
            partition("vdb1", "ORLOP-STATE", MIB),
            partition("vda1", "ORLOP-STATE", MIB),
        ]);
        assert_eq!(found.state.as_deref(), Some("vda1"));
    }

    #[test]
    fn many_small_disks_are_bounded() {
        let disks = (0..200).map(|n| disk(&format!("sd{n}"), MIB, false));
        assert_eq!(sort_out(disks.collect()).candidates.len(), CANDIDATES_MAX);
    }
}

//! What the planner sees and what it says. All offsets and sizes are in bytes.

use crate::meta::Meta;
use std::collections::BTreeSet;
use uuid::Uuid;

/// The machine's disks and what this run has done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    /// GUID of the partition that the machine booted from, where the boot loader said it.
    pub(crate) boot_partition: Option<Uuid>,
    /// All disks, in the order of their names.
    pub(crate) disks: Vec<Disk>,
    /// This run has asked the kernel to read the table again since it was last written.
    pub(crate) read_again: bool,
    /// File systems that this run has made and META does not know of yet, by partition GUID.
    pub(crate) made: BTreeSet<Uuid>,
    /// File systems that this run has checked, by partition GUID.
    pub(crate) checked: BTreeSet<Uuid>,
    /// File systems that this run has grown, by partition GUID.
    pub(crate) grown: BTreeSet<Uuid>,
    /// Drawn by the executor, one per use: disk, ESP, META, STATE, DATA.
    pub(crate) fresh: [Uuid; 5],
}

/// A disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Disk {
    /// The kernel's name, such as `vda`.
    pub(crate) name: String,
    /// Device file, such as `/dev/vda`.
    pub(crate) device: String,
    /// Size.
    pub(crate) bytes: u64,
    /// Logical sector size.
    pub(crate) sector: u64,
    /// Loop, device-mapper, memory: chosen by path only.
    pub(crate) is_virtual: bool,
    /// Refuses writes.
    pub(crate) read_only: bool,
    /// For selectors; unknown texts are empty.
    pub(crate) model: String,
    /// Serial number.
    pub(crate) serial: String,
    /// World-wide identifier.
    pub(crate) wwid: String,
    /// Place on the bus.
    pub(crate) bus_path: String,
    /// Whether it spins.
    pub(crate) rotational: bool,
    /// What is on it.
    pub(crate) contents: Contents,
    /// The partitions that the kernel shows.
    pub(crate) kernel: Vec<Extent>,
}

/// What is on a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Nothing that is known.
    #[default]
    Blank,
    /// A GUID partition table.
    Table(Table),
    /// Something else, by name.
    Foreign(String),
    /// It could not be read; why.
    Unreadable(String),
}

/// A GUID partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// Disk GUID.
    pub(crate) id: Uuid,
    /// Both copies are whole, equal and in their places, and the protective MBR is there.
    pub(crate) whole: bool,
    /// Used entries in the order of their numbers.
    pub(crate) partitions: Vec<Partition>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partition {
    /// Number, from 1.
    pub(crate) number: u32,
    /// Name.
    pub(crate) name: String,
    /// Type GUID.
    pub(crate) kind: Uuid,
    /// Unique GUID.
    pub(crate) id: Uuid,
    /// Attribute flags.
    pub(crate) flags: u64,
    /// Offset on the disk.
    pub(crate) start: u64,
    /// Size.
    pub(crate) bytes: u64,
    /// Device file, where the kernel shows the partition as the table has it.
    pub(crate) device: Option<String>,
    /// Mounted, or held by something else; looked at as `content`.
    pub(crate) in_use: bool,
    /// What is in it; looked at where `device` is known and the name is one of ours.
    pub(crate) content: Content,
}

impl Partition {
    /// Where it ends.
    pub(crate) const fn end(&self) -> u64 {
        self.start.saturating_add(self.bytes)
    }
}

/// What is in a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing that is known, or not looked at.
    #[default]
    Nothing,
    /// An ext file system of this label and size.
    Ext {
        /// Its label.
        label: String,
        /// Its size.
        bytes: u64,
    },
    /// META, with its newest whole copy.
    Meta(Meta),
    /// Something else, by name.
    Other(String),
}

/// A partition as the kernel shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Extent {
    /// Number, from 1.
    pub(crate) number: u32,
    /// Offset on the disk.
    pub(crate) start: u64,
    /// Size.
    pub(crate) bytes: u64,
}

/// One thing to do. Each can be cut off at any point and is then done again or overtaken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Clear what would be mistaken for content, then write the table: backup, then primary.
    WriteTable {
        /// The disk.
        device: String,
        /// Its size, for the backup's place.
        bytes: u64,
        /// Its logical sector size.
        sector: u64,
        /// The table.
        table: Table,
        /// Offsets and sizes of what is zeroed first.
        clear: Vec<(u64, u64)>,
    },
    /// Make the kernel read the table again. It may refuse, or know no GPT.
    ReadAgain {
        /// The disk.
        device: String,
    },
    /// Make the kernel show these partitions.
    TellKernel {
        /// The disk.
        device: String,
        /// What it shows now.
        now: Vec<Extent>,
        /// What it shall show.
        wanted: Vec<Extent>,
    },
    /// Write META's next generation.
    WriteMeta {
        /// The partition.
        device: String,
        /// The content.
        meta: Meta,
    },
    /// Make an empty FAT32.
    MakeEsp {
        /// The partition.
        device: String,
        /// Its GUID.
        id: Uuid,
        /// Logical sector size of its disk.
        sector: u64,
    },
    /// Make an empty ext4.
    MakeExt {
        /// The partition.
        device: String,
        /// Its label.
        label: &'static str,
        /// Its GUID, and the file system's.
        id: Uuid,
    },
    /// Replay the journal and repair what is safe to repair.
    Check {
        /// The partition.
        device: String,
        /// Its GUID.
        id: Uuid,
    },
    /// Grow the ext4 to its partition.
    Grow {
        /// The partition.
        device: String,
        /// Its GUID.
        id: Uuid,
    },
}

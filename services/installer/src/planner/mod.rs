//! Pure half: the disks as they are and the config's wish, to the one next step.

pub(crate) mod choose;
pub(crate) mod efi;
pub(crate) mod layout;
pub(crate) mod model;
pub(crate) mod signature;
mod steps;
#[cfg(test)]
mod tests;

pub(crate) use steps::{Verdict, next_step};

/// Why the disks are left as they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The disk holds data that is not ours.
    #[error(
        "disk {device} holds {found}: it is left as it is. Set install.wipe: true in the machine \
         config to overwrite it, or choose another disk"
    )]
    Foreign {
        /// The disk.
        device: String,
        /// What was found.
        found: String,
    },
    /// The machine booted from no disk, and the config names none. Running from memory would lose what
    /// was acknowledged.
    #[error(
        "the machine booted from no disk, and the machine config names none ({disks}). Name one in \
         install.disk or install.diskSelector"
    )]
    Diskless {
        /// What there is.
        disks: String,
    },
    /// The partition that the boot loader names is on no disk.
    #[error(
        "the machine booted from partition {partition}, which no disk has ({disks}). Name the disk in \
         install.disk of the machine config"
    )]
    NoBootDisk {
        /// The partition.
        partition: String,
        /// What there is.
        disks: String,
    },
    /// No disk is the one that the config names.
    #[error("install.disk: there is no disk {path} ({disks})")]
    NoDisk {
        /// The path of the config.
        path: String,
        /// What there is.
        disks: String,
    },
    /// Not exactly one disk fits.
    #[error("install.diskSelector fits {fitting}; it must fit exactly one disk ({disks})")]
    Selector {
        /// What fits.
        fitting: String,
        /// What there is.
        disks: String,
    },
    /// The disk is too small.
    #[error("disk {device} has {have} MiB where {need} MiB are needed")]
    TooSmall {
        /// The disk.
        device: String,
        /// Free or whole size, in MiB.
        have: u64,
        /// Size needed, in MiB.
        need: u64,
    },
    /// The disk cannot be used.
    #[error("disk {device} cannot be used: {why}")]
    Unusable {
        /// The disk.
        device: String,
        /// Why.
        why: String,
    },
}

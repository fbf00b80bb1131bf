//! What a launcher needs to know of its node, as the one JSON argument of `orlop-sandbox`.

use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// One sandboxed node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Specification {
    /// Unique on this host, as [`crate::leftovers::name`] makes it; the cgroup's name.
    pub name: String,
    /// The release's root tree; mounted read-only.
    pub root: PathBuf,
    /// An empty directory to mount the node's root on; seen only in the node's mount namespace.
    pub mount_point: PathBuf,
    /// Becomes `/system/state`.
    pub state: PathBuf,
    /// Becomes `/var`.
    pub data: PathBuf,
    /// Machine config to inject, as QEMU's fw_cfg would.
    pub config: Option<PathBuf>,
    /// Host files bound read-only over files of the root: (host path, path in the node).
    pub overlays: Vec<(PathBuf, PathBuf)>,
    /// Arguments of `init` after `--sandbox`.
    pub arguments: Vec<String>,
    /// Its link to the lab; None: loopback only.
    pub link: Option<Link>,
}

/// A node's link to its lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Link {
    /// Name of the lab's end, at most 15 bytes, unique in the lab.
    pub lab_end: String,
    /// The bridge it is put on.
    pub bridge: String,
    /// Hardware address of `eth0`.
    pub hardware_address: [u8; 6],
    /// An address that `eth0` has from the start, with its prefix length; None: the node sees to it.
    pub address: Option<(Ipv4Addr, u8)>,
}

/// Exit code by which a sandboxed `init` asks for a reboot.
pub const EXIT_REBOOT: i32 = 133;
/// Exit code of the launcher when it could not start the node.
pub const EXIT_LAUNCH: i32 = 125;

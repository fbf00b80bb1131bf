//! Nodes as virtual machines: the real kernel, the real firmware, real power cuts.
//!
//! ```text
//!   Machine   what to boot, typed; becomes QEMU's arguments                  machine
//!   Guest     a running QEMU: serial log, QMP, power, forwarded port         guest
//!   disk      raw and qcow2 images, the release's disk                       disk
//!   volume    small volumes that carry a config                              volume
//!   log_writes  recorded writes of a disk, and their replay up to any point  log_writes
//!   toy_image    the release with toy services
//!   runtime_image  the release's kernel with the container runtime alone
//!   accelerator  KVM where a probe boot works, else TCG                      accelerator
//!   turn      one process's guests at a time, and how many a suite may start turn
//! ```
//! Guests have no way out: their user-mode network is restricted, and only a loopback port leads in. One
//! that needs servers is plugged into a lab, as sandboxed nodes are.

pub mod accelerator;
pub mod disk;
pub mod guest;
pub mod log_writes;
pub mod machine;
pub mod runtime_image;
pub mod toy_image;
pub mod turn;
pub mod volume;

pub use guest::Guest;
pub use machine::{Boot, Disk, Machine, Network};

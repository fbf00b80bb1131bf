//! Nodes as sandboxes on this Linux host: the release's own `init` as PID 1 of its own namespaces.
//!
//! ```text
//!   test process                         Lab: a network namespace with a bridge, kept by a descriptor
//!     └─ orlop-sandbox (single thread)   launcher: boots, reports, boots again after a reboot
//!          └─ init --sandbox             PID 1 in new PID, mount, network, UTS, IPC, cgroup namespaces
//!               eth0 ── veth ── nN on the lab's bridge
//! ```
//! Nothing outlives its maker: the launcher kills its node when its standard input closes, the node dies
//! with the launcher, the kernel drops namespaces, mounts and links with their last process. Cgroups and
//! scratch directories are removed by name, see [`crate::leftovers`].
//!
//! The host is left as it was: the root is mounted read-only, `/proc/sys` too but for the node's own
//! network namespace, there is no `/dev/kmsg`, and the capabilities for clock, modules, raw I/O and the
//! machine's power are out of the bounding set.
//!
//! This module knows nothing of tests: a provisioner of nodes on a host can be built on it.

pub mod cgroup;
pub mod lab;
pub mod launcher;
pub mod links;
pub mod mounts;
pub mod node;
pub mod specification;
mod sys;

pub use lab::Lab;
pub use node::{Node, NodeOptions};
pub use specification::Specification;

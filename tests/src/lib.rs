//! What the suites under `tests/tests` stand on.
//!
//! ```text
//!   sandbox   nodes as namespaces on this host: `init --sandbox` on the release's own root
//!   qemu      nodes as virtual machines: direct kernel boot, firmware boot, power cuts
//!   api       the API server as a program, and transcripts of kubectl
//!   containers  Orlop's runtime and containerd as programs, a registry, images
//!   client    talks to a node as a user does: the real orlopctl
//!   control   talks to a node's `init` over its own socket
//!   host      what a test must not change on this host
//!   servers   an HTTP and an NTP server in a lab
//!   store     the store and etcd as programs, held against each other
//!   load      what `cargo xtask bench store` measures of both, `bench apiserver` of the API server, `bench runtime` of runtimes
//!   toys      small services with bad manners, and plans for them
//!   wait      every wait is on a condition, with a bound
//!   programs  the programs under test and how to make them
//! ```
//!
//! A missing prerequisite fails a test with the command that makes it; nothing is skipped. All traffic is
//! on loopback or in network namespaces that the test makes.

pub mod api;
pub mod client;
pub mod containers;
pub mod control;
pub mod guard;
pub mod host;
pub mod leftovers;
pub mod load;
pub mod programs;
pub mod qemu;
pub mod sandbox;
pub mod servers;
pub mod store;
pub mod toys;
pub mod wait;

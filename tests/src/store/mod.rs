//! The store and etcd as programs: started, asked, stopped and killed in the same way, so that tests and benchmarks can
//! hold one against the other.
//!
//! ```text
//!   small_disk   a file system for a member's data that can be filled to the last byte
//!   cluster      one, three or five members of either on free ports of loopback
//!   usage        what a running program has used: CPU, memory, bytes written
//!   transcript   what users' commands come to, so that it can be compared
//!   normal       what may differ between two clusters that behave alike
//! ```

pub mod cluster;
pub mod normal;
pub mod small_disk;
pub mod transcript;
pub mod usage;

pub use cluster::{Cluster, Kind, Options};
pub use usage::Usage;

//! Container runtimes as programs: Orlop's and Debian's containerd, started and asked in the same way, so that tests and
//! benchmarks can hold one against the other.
//!
//! ```text
//!   image      images made for a test, as files
//!   registry   Debian's docker-registry, and what pushes to it
//!   site       either runtime in namespaces of its own, with which all that it has started ends
//!   answers    answers of CRI as lines, to be compared
//!   cri        calls of CRI, and the configs they carry
//! ```

pub mod answers;
pub mod cri;
pub mod image;
pub mod registry;
pub mod site;

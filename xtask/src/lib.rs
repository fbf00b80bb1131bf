//! What a developer runs, as a library: the tests crate uses the same tools tree and the same images.
//!
//! ```text
//!   verbs/*      one file per verb: arguments in, calls into the modules below
//!   image        stages, seals and checks a release            (image::build, image::built)
//!   tools        the trixie tools tree: QEMU, mkfs, nft, ...   (tools::program)
//!   peers        programs that ours are compared with          (peers::etcd)
//!   etcd_client  a program on a client library of etcd's       (etcd_client::program)
//!   kube_client  a program on Rust's client of Kubernetes      (kube_client::program)
//!   machine, qmp one QEMU machine for a person, and QEMU's monitor
//!   schemas      Kubernetes' own types, as text            (schemas::files)
//!   packages     Debian packages: resolve, lock, fetch, index
//!   host         the few packages that the host itself must have
//!   workspace    paths, commit time, the lock of the cache
//!   command      runs a program; its failure shows what it said
//! ```
//!
//! Nothing here changes the host but those packages, the cache directory and the work tree's ignored directories
//! (`out/`, `target/`, `.orlop/`).

pub mod cargo;
pub mod command;
pub mod digest;
pub mod etcd_client;
pub mod host;
pub mod image;
pub mod kube_client;
pub mod layers;
pub mod machine;
pub mod mkosi;
pub mod packages;
pub mod peers;
pub mod qmp;
pub mod schemas;
pub mod suites;
pub mod tools;
pub mod verbs;
pub mod workspace;

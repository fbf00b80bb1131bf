//! The images half of the runtime against real sockets, a real disk and real overlayfs. Needs root.
//!
//! Registries are servers of the tests' own (`registry`), as bad as they must be; archives are made by the crate tar and by GNU
//! tar.

#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

mod archives;
mod crash;
mod full_disk;
mod hostile_layers;
mod hostile_registry;
mod layers;
mod measure;
mod registry;
mod straight;
mod support;

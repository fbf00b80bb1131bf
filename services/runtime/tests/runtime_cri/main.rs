//! The runtime as a kubelet uses it: over CRI, with a registry, real sandboxes and containers, and a runtime that is killed.
//!
//! They need root. The containers' programs are the host's own /usr, mounted read-only.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

mod crashes;
mod keeper_dies;
mod life;
mod limits;
mod node;
mod refusals;
#[allow(dead_code, reason = "another test program uses all of it")]
#[path = "../runtime_images/registry.rs"]
mod registry;
mod rotation;
#[allow(dead_code, reason = "another test program uses all of it")]
#[path = "../runtime_images/support.rs"]
mod support;
mod users;

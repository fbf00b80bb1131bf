//! Pods' networks: a real kernel with namespaces of the test's own, real packets, real plugins, and a runtime that is killed.
//!
//! They need root. The plugins are Debian's, as they come in packages.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

mod cni;
mod crashes;
mod hostile_cni;
#[allow(dead_code, reason = "another test program uses all of it")]
#[path = "../runtime_cri/node.rs"]
mod node;
mod place;
mod plugins;
mod ports;
#[allow(dead_code, reason = "another test program uses all of it")]
#[path = "../runtime_images/registry.rs"]
mod registry;
mod routed;
#[allow(dead_code, reason = "another test program uses all of it")]
#[path = "../runtime_images/support.rs"]
mod support;

//! Exec, attach and port-forward as users have them: kubectl, a front that tunnels as API server and kubelet do, and the runtime.
//!
//! They need root. The containers' programs are the host's own /usr, mounted read-only.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

mod attach;
mod exec;
mod forward;
mod front;
mod hostile;
#[allow(dead_code, reason = "another test program uses all of it")]
#[path = "../runtime_cri/node.rs"]
mod node;
mod processes;
#[allow(dead_code, reason = "another test program uses all of it")]
#[path = "../runtime_images/registry.rs"]
mod registry;
#[allow(dead_code, reason = "another test program uses all of it")]
#[path = "../runtime_images/support.rs"]
mod support;

//! The machine API: the only way into a node.
//!
//! ```text
//!   TCP 50000 ──> executor/listener.rs ──> executor/gate.rs ──> executor/machine.rs ──> init's socket
//!                   TLS, bounds              who may call          the RPCs         └──> kernel
//!                   (admission.rs)           (access.rs)
//!   config, addresses, clock ──> wiring.rs ──> executor/credentials.rs ──> Settings (watched by all)
//! ```
//!
//! - [`planner`]: pure decisions: who may call what, which connections live, what a config changes,
//!   what a watcher is told.
//! - [`executor`]: sockets, TLS, `init`, the kernel.
//!
//! Privileged acts are `init`'s; this service runs without any privilege. It stores no config itself
//! and knows nothing of Kubernetes.

pub mod executor;
pub mod planner;
mod wiring;

pub use wiring::{Args, WiringError, run};

//! What `init` and the services say to each other.
//!
//! ```text
//!   orlop plan ──(stdout: one frame)──> Plan ──> init's supervisor
//!   services   ──(NOTIFY_SOCKET, sd_notify(3) datagrams)──> init
//!   machine-api, runtime ──(/run/orlop/init.sock, frames)──> init
//! ```
//!
//! - [`plan`]: the small typed plan that the unprivileged one-shot `orlop plan` hands to `init`.
//! - [`services`]: the one table of supervised services.
//! - [`control`]: requests and answers on `init`'s socket, and the events it streams.
//! - [`frame`]: length-prefixed postcard frames, the only encoding that `init` decodes.
//! - [`generation`]: the on-disk form of the two generations of the machine config on STATE.
//! - [`paths`]: the places that `init` and the services agree on.
//!
//! Readiness, watchdog and the file-descriptor store are sd_notify(3)'s protocol, socket handing is
//! sd_listen_fds(3)'s, so that services run unchanged under another supervisor.
//!
//! This crate knows nothing of YAML, TLS or Kubernetes.

pub mod control;
pub mod frame;
pub mod generation;
pub mod paths;
pub mod plan;
pub mod services;

//! What every service shares: arguments, structured logs, metrics, readiness, graceful stop,
//! deadlines, back-off, build version.
//!
//! ```text
//!   orlop NAME --flags ──> Arguments ──> run(name, arguments, |context| async { ... })
//!                                          │
//!        logs: JSON lines on stdout <──────┤──> sd_notify: READY=1, STATUS=, WATCHDOG=1, STOPPING=1
//!        metrics: HTTP GET /metrics <──────┤
//!        SIGTERM, SIGINT ──> context.stopping()      SIGHUP ──> context.reloads()
//! ```
//!
//! One single-threaded runtime per service: the services are small, and a thread that never exists
//! needs no memory. A service that wants threads asks for them itself.
//!
//! This crate knows no service by name and nothing of Kubernetes.

pub mod arguments;
pub mod backoff;
pub mod context;
pub mod init_client;
pub mod logs;
pub mod metrics;
pub mod notify;
pub mod process;
mod run;

pub use arguments::Arguments;
pub use context::Context;
#[cfg(feature = "threads")]
pub use run::run_threaded;
pub use run::{RunError, STOP_DEADLINE, chain, run};

/// Version of the build: "0.1.0", or `0.1.0+COMMIT` for a build that knows its commit.
#[must_use]
pub fn version() -> &'static str {
    option_env!("ORLOP_VERSION").unwrap_or(env!("CARGO_PKG_VERSION"))
}

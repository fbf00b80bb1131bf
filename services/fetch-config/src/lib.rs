//! `orlop fetch-config`: fetches the machine config from the URL of the kernel command line, and hands it
//! to `init`.
//!
//! ```text
//!   part (URL, UUID, serial) ──┐
//!   links, host name ──────────┴─> planner: Fetcher ── Get ──> executor::http <──> server
//!                                        ^    │ └───── Apply ─> init's socket ──> orlop plan
//!                                        │    └ Wait ──> status line, log
//!                                        └──────── what became of it ──────┘
//! ```
//!
//! It runs in maintenance mode only, as a user that may give a machine its first config and nothing more.
//! It bounds what it takes and looks into none of it: `orlop plan` does.

pub mod executor;
pub mod planner;
mod wiring;

pub use wiring::{Args, WiringError, run};

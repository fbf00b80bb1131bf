//! Members and their files as they are: real directories, loopback, TLS.
//!
//! One program, because each that runs members is minutes of compiling.

mod cluster;
mod files;
mod full_disk;
mod integrity;
mod member;
mod metrics;
mod peers;
#[allow(dead_code, reason = "the simulation uses the rest of it")]
#[path = "../../src/executor/simulated.rs"]
mod simulated;

use orlop_store::executor::disk;

//! Members and their files as they are: real directories, loopback, TLS.
//!
//! One program, because each that runs members is minutes of compiling.

mod cluster;
mod files;
mod integrity;
mod member;
mod metrics;
mod peers;

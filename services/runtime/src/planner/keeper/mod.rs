//! The keeper: its frames, its table of containers, and log lines.

pub mod frames;
pub mod log;
pub mod table;

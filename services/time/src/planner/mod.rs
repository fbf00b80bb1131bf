//! The pure half: moments, packets and server addresses come in; requests and clock corrections come
//! out.
//!
//! - [`packet`]: NTP packets.
//! - [`select`]: which servers agree, and on what.
//! - [`discipline`]: how the clock is corrected by it.
//! - [`client`]: when which server is asked.
//! - [`floor`]: the time that it cannot be earlier than.
//!
//! All of it counts in whole nanoseconds, so that a simulation gives the same result everywhere.

pub mod client;
pub mod discipline;
pub mod floor;
pub mod packet;
pub mod select;

/// Nanoseconds: a difference, or a time since 1970-01-01T00:00:00Z. Holds until the year 2262.
pub type Nanos = i64;

/// One second.
pub const SECOND: Nanos = 1_000_000_000;

/// A reading of both clocks at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Since boot, never set (CLOCK_MONOTONIC).
    pub steady: Nanos,
    /// The clock that is corrected (CLOCK_REALTIME).
    pub wall: Nanos,
}

#[cfg(test)]
mod simulation;

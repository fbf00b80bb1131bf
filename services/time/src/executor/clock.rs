//! The clocks: read, stepped, slewed. A trait, so that the service can run on a simulated clock.

use super::adjtimex::{adjtimex, empty};
use crate::planner::{Nanos, SECOND, Stamp};
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::io;

/// Clocks of a machine.
pub trait Clock {
    /// Both clocks at this moment.
    fn now(&self) -> Stamp;
    /// Adds to the wall clock at once.
    ///
    /// # Errors
    /// The system's.
    fn step(&mut self, offset: Nanos) -> io::Result<()>;
    /// Adds to the wall clock slowly, in place of what is left of the slew before; sets the frequency
    /// correction (parts per billion); tells the kernel that the clock is right within `error`, so that
    /// it keeps the battery-backed clock right too.
    ///
    /// # Errors
    /// The system's.
    fn slew(&mut self, offset: Nanos, frequency: i64, error: Nanos) -> io::Result<()>;
    /// The frequency correction in parts per billion.
    ///
    /// # Errors
    /// The system's.
    fn frequency(&self) -> io::Result<i64>;
}

/// The kernel's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct KernelClock;

impl Clock for KernelClock {
    fn now(&self) -> Stamp {
        Stamp {
            steady: nanos(clock_gettime(ClockId::Monotonic)),
            wall: nanos(clock_gettime(ClockId::Realtime)),
        }
    }

    fn step(&mut self, offset: Nanos) -> io::Result<()> {
        let mut request = empty();
        request.modes = libc::ADJ_SETOFFSET | libc::ADJ_NANO;
        // The fraction must not be negative; with ADJ_NANO the field holds nanoseconds.
        request.time.tv_sec = offset.div_euclid(SECOND);
        request.time.tv_usec = offset.rem_euclid(SECOND);
        adjtimex(request).map(drop)
    }

    fn slew(&mut self, offset: Nanos, frequency: i64, error: Nanos) -> io::Result<()> {
        // The single shot must be a call of its own (kernel/time/ntp.c).
        let mut slew = empty();
        slew.modes = libc::ADJ_OFFSET_SINGLESHOT;
        slew.offset = offset / 1_000;
        adjtimex(slew)?;
        let mut rate = empty();
        rate.modes =
            libc::ADJ_FREQUENCY | libc::ADJ_STATUS | libc::ADJ_MAXERROR | libc::ADJ_ESTERROR;
        // Parts per million with 16 bits of fraction.
        rate.freq = frequency * 65_536 / 1_000;
        // No flag: STA_UNSYNC is cleared, and the kernel's own loops stay off.
        rate.status = 0;
        rate.maxerror = error / 1_000;
        rate.esterror = offset.saturating_abs() / 1_000;
        adjtimex(rate).map(drop)
    }

    fn frequency(&self) -> io::Result<i64> {
        Ok(adjtimex(empty())?.freq * 1_000 / 65_536)
    }
}

fn nanos(time: Timespec) -> Nanos {
    time.tv_sec
        .saturating_mul(SECOND)
        .saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reading asks for no privilege and changes nothing; setting is tried in virtual machines only.
    #[test]
    fn the_kernels_clocks_can_be_read() {
        let clock = KernelClock;
        let (first, second) = (clock.now(), clock.now());
        assert!(first.steady <= second.steady && first.wall > 0);
        assert!(clock.frequency().unwrap().abs() <= crate::planner::discipline::FREQUENCY_MAX);
    }
}

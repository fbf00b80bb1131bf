//! The hardware watchdog. Once armed it is fed from the loop only, so that a hang of `init` in any
//! place ends in a reset.

use super::sys;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use std::io;
use std::time::Duration;

/// Asked of the hardware. Long enough for a stalled TCG guest, short enough for three tries of a bad
/// release to take minutes, not hours.
const TIMEOUT_SECONDS: i32 = 30;

/// An armed watchdog.
#[derive(Debug)]
pub(crate) struct Watchdog {
    device: OwnedFd,
    /// What the hardware granted.
    pub(crate) seconds: u32,
    next: Duration,
}

impl Watchdog {
    /// Opens and so arms the first watchdog; None where there is none.
    pub(crate) fn arm() -> io::Result<Option<Self>> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let device = match rustix::fs::open("/dev/watchdog", flags, Mode::empty()) {
            Ok(device) => device,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NODEV) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // A fixed timeout of the hardware is as good as ours.
        let granted = sys::watchdog_set_timeout(device.as_fd(), TIMEOUT_SECONDS);
        let seconds = u32::try_from(granted.unwrap_or(TIMEOUT_SECONDS)).unwrap_or(1);
        Ok(Some(Self {
            device,
            seconds: seconds.max(1),
            next: Duration::ZERO,
        }))
    }

    /// Feeds it when a quarter of its timeout has passed.
    pub(crate) fn feed(&mut self, now: Duration) {
        if now < self.next {
            return;
        }
        self.next = now + self.interval();
        // After a failed write there are three more tries within the timeout; there is nobody to tell.
        let _ = rustix::io::write(&self.device, b"\0");
    }

    /// When it wants to be fed next.
    pub(crate) fn next_feed(&self) -> Duration {
        self.next
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(u64::from(self.seconds)) / 4
    }

    /// Disarms it (magic close), where the driver allows that: before a power-off.
    pub(crate) fn disarm(self) {
        let _ = rustix::io::write(&self.device, b"V");
    }
}

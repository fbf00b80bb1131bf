//! NTP packets (RFC 5905 section 7.3; client part as in RFC 4330): ours encoded, a server's decoded and
//! checked.
//!
//! ```text
//!   0        1        2       3          4           8            12       16
//!   | LI VN M| stratum| poll  | precision| root delay| root disp. | ref id |
//!   16                24               32               40               48
//!   | reference time  | origin time    | receive time   | transmit time  |
//! ```
//!
//! A request says nothing of this machine: its transmit time is a random number, which the server
//! returns as origin time and which nobody off the path can guess.

use super::{Nanos, SECOND, Stamp};

/// Size of a packet without extensions.
pub const PACKET: usize = 48;
/// Farthest that a server may be from its reference clock, half the delay and the dispersion taken
/// together (RFC 5905: MAXDIST is 1 s, to which the way to the server comes).
pub const ROOT_DISTANCE_MAX: Nanos = SECOND * 3 / 2;
/// Longest round trip that is believed.
pub const DELAY_MAX: Nanos = 2 * SECOND;

/// Seconds from 1900 (NTP's era 0) to 1970.
const UNIX_EPOCH: u64 = 2_208_988_800;
/// Version 4, mode 3 (client).
const REQUEST_HEAD: u8 = 4 << 3 | 3;
const MODE_SERVER: u8 = 4;
const LEAP_UNKNOWN: u8 = 3;

/// What one exchange with a server says of our clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// What has to be added to our clock.
    pub offset: Nanos,
    /// Round trip without the server's own time.
    pub delay: Nanos,
    /// Half the delay and all that lies between server and reference clock: how wrong it can be.
    pub distance: Nanos,
    /// The server's stratum, 1 to 15.
    pub stratum: u8,
}

/// What the server wants instead of answering (RFC 5905 section 7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kiss {
    /// RATE: ask less often.
    Slower,
    /// DENY, RSTR: do not ask again.
    Stop,
}

/// A request that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The random number in it.
    pub nonce: u64,
    /// When it was sent.
    pub sent: Stamp,
}

/// Why an answer was ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ignored {
    /// Too short, another version, or no server's answer.
    Malformed,
    /// Does not answer our request.
    WrongOrigin,
    /// The server says that it is not synchronised itself.
    Unsynchronised,
    /// Farther from its reference than [`ROOT_DISTANCE_MAX`].
    TooFar,
    /// Took longer than [`DELAY_MAX`], or less than no time.
    AbsurdDelay,
    /// Our own clock was set in between.
    ClockMoved,
    /// From an address that was not asked, or asked and done.
    Unexpected,
}

impl Ignored {
    /// As metrics label it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::WrongOrigin => "wrong_origin",
            Self::Unsynchronised => "unsynchronised",
            Self::TooFar => "too_far",
            Self::AbsurdDelay => "absurd_delay",
            Self::ClockMoved => "clock_moved",
            Self::Unexpected => "unexpected",
        }
    }
}

/// Most that the two clocks may differ over one exchange before it counts as set.
const CLOCK_MOVED: Nanos = SECOND / 100;

/// Encodes a request.
#[must_use]
pub fn encode(nonce: u64) -> [u8; PACKET] {
    let mut packet = [0; PACKET];
    packet[0] = REQUEST_HEAD;
    packet[40..].copy_from_slice(&nonce.to_be_bytes());
    packet
}

/// Decodes the answer to `request`, received at `now`. `floor` is a time that has passed for sure: it tells
/// the era of the 32 bits of seconds, which wrap in 2036.
///
/// # Errors
/// [`Ignored`] where it is not a usable answer.
pub fn decode(
    bytes: &[u8],
    request: &Request,
    now: Stamp,
    floor: Nanos,
) -> Result<Result<Sample, Kiss>, Ignored> {
    let bytes: &[u8; PACKET] = bytes.first_chunk().ok_or(Ignored::Malformed)?;
    let (leap, version, mode) = (bytes[0] >> 6, bytes[0] >> 3 & 7, bytes[0] & 7);
    if mode != MODE_SERVER || !(3..=4).contains(&version) {
        return Err(Ignored::Malformed);
    }
    if long(bytes, 24) != request.nonce {
        return Err(Ignored::WrongOrigin);
    }
    let stratum = bytes[1];
    if stratum == 0 {
        return match &bytes[12..16] {
            b"RATE" => Ok(Err(Kiss::Slower)),
            b"DENY" | b"RSTR" => Ok(Err(Kiss::Stop)),
            _ => Err(Ignored::Unsynchronised),
        };
    }
    let (received, sent) = (long(bytes, 32), long(bytes, 40));
    if leap == LEAP_UNKNOWN || stratum > 15 || received == 0 || sent == 0 {
        return Err(Ignored::Unsynchronised);
    }
    let (received, sent) = (time(received, floor), time(sent, floor));
    let elapsed = now.steady.saturating_sub(request.sent.steady);
    let wall_elapsed = now.wall.saturating_sub(request.sent.wall);
    if elapsed.saturating_sub(wall_elapsed).saturating_abs() > CLOCK_MOVED {
        return Err(Ignored::ClockMoved);
    }
    let served = sent.saturating_sub(received);
    let delay = elapsed.saturating_sub(served);
    if served < 0 || elapsed > DELAY_MAX || delay < -CLOCK_MOVED {
        return Err(Ignored::AbsurdDelay);
    }
    let delay = delay.max(0);
    let distance = (delay / 2)
        .saturating_add(short(bytes, 4) / 2)
        .saturating_add(short(bytes, 8));
    if distance > ROOT_DISTANCE_MAX {
        return Err(Ignored::TooFar);
    }
    let there = received.saturating_sub(request.sent.wall);
    let back = sent.saturating_sub(now.wall);
    let offset = there / 2 + back / 2;
    Ok(Ok(Sample {
        offset,
        delay,
        distance,
        stratum,
    }))
}

fn long(bytes: &[u8; PACKET], at: usize) -> u64 {
    let field: [u8; 8] = bytes[at..at + 8]
        .try_into()
        .expect("a range of eight bytes");
    u64::from_be_bytes(field)
}

/// A short time: 16 bits of seconds, 16 of their fraction. Never negative.
fn short(bytes: &[u8; PACKET], at: usize) -> Nanos {
    let field: [u8; 4] = bytes[at..at + 4].try_into().expect("a range of four bytes");
    // 65 535 s in nanoseconds times 2^16 stays far below an i64.
    Nanos::from(u32::from_be_bytes(field)) * SECOND / 0x1_0000
}

/// A timestamp's time: the first one at or after `floor`, less half a year for a floor that is not quite
/// right, with these 32 bits of seconds.
fn time(timestamp: u64, floor: Nanos) -> Nanos {
    const SLACK: u64 = 180 * 86_400;
    let (seconds, fraction) = (timestamp >> 32, timestamp & 0xffff_ffff);
    let earliest = u64::try_from(floor / SECOND)
        .unwrap_or(0)
        .saturating_sub(SLACK)
        + UNIX_EPOCH;
    let era = earliest & !0xffff_ffff;
    let mut absolute = era | seconds;
    if absolute < earliest {
        absolute += 1 << 32;
    }
    let nanos = (fraction * 1_000_000_000) >> 32;
    let unix = i64::try_from(absolute - UNIX_EPOCH).unwrap_or(i64::MAX);
    unix.saturating_mul(SECOND)
        .saturating_add(i64::try_from(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests;

//! Times and durations as the API writes them: `metav1.Time`, `metav1.MicroTime`, `metav1.Duration`.
//!
//! A [`Time`] has whole seconds and a [`MicroTime`] microseconds, always in UTC; what is read may have any offset and
//! any fraction (RFC 3339), and what is finer is cut off. A duration is Go's: `1h30m`, `1.5s`, `300ms`.
//!
//! ```
//! use orlop_objects::time::{Time, format_duration, parse_duration};
//!
//! assert_eq!("2024-05-01T12:00:00.9+02:00".parse::<Time>()?.to_string(), "2024-05-01T10:00:00Z");
//! assert_eq!(format_duration(parse_duration("90m")?), "1h30m0s");
//! # Ok::<(), orlop_objects::time::TimeError>(())
//! ```

mod duration;

use std::fmt;
use std::str::FromStr;

use jiff::fmt::temporal::DateTimeParser;
use jiff::{Timestamp, Unit};

use crate::go::quote;

pub use duration::{
    Duration, format_duration, human_duration, parse_duration, short_human_duration,
};

/// A text that is no time or no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not RFC 3339.
    #[error("parsing time {} as \"2006-01-02T15:04:05Z07:00\": not a time of RFC 3339", quote(.0))]
    Time(String),
    /// Not a duration of Go.
    #[error("time: invalid duration {}", quote(.0))]
    Duration(String),
    /// A number without a unit.
    #[error("time: missing unit in duration {}", quote(.0))]
    MissingUnit(String),
    /// A unit that nobody knows.
    #[error("time: unknown unit {} in duration {}", quote(.1), quote(.0))]
    UnknownUnit(String, String),
}

/// A point in time with whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(Timestamp);

/// A point in time with microseconds: of leases and events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MicroTime(Timestamp);

impl Time {
    /// The second that a moment is in.
    #[must_use]
    pub fn new(moment: Timestamp) -> Self {
        Time(floor(moment, Unit::Second))
    }

    /// The moment.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
}

impl MicroTime {
    /// The microsecond that a moment is in.
    #[must_use]
    pub fn new(moment: Timestamp) -> Self {
        MicroTime(floor(moment, Unit::Microsecond))
    }

    /// The moment.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
}

impl fmt::Display for Time {
    /// `2024-05-01T10:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}", self.0)
    }
}

impl fmt::Display for MicroTime {
    /// `2024-05-01T10:00:00.000000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.0)
    }
}

impl FromStr for Time {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        parse(text).map(Time::new)
    }
}

impl FromStr for MicroTime {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        parse(text).map(MicroTime::new)
    }
}

/// The unit's beginning that a moment is in.
fn floor(moment: Timestamp, unit: Unit) -> Timestamp {
    let round = jiff::TimestampRound::new()
        .smallest(unit)
        .mode(jiff::RoundMode::Floor);
    moment.round(round).expect(
        "seconds and microseconds divide a day, and the first moment there is begins a second",
    )
}

/// RFC 3339 in the form that Go takes: `T` and `Z` in capitals, seconds, and an offset with a colon.
fn parse(text: &str) -> Result<Timestamp, TimeError> {
    const PARSER: DateTimeParser = DateTimeParser::new();
    let wrong = || TimeError::Time(text.to_owned());
    if !is_rfc3339(text.as_bytes()) {
        return Err(wrong());
    }
    PARSER.parse_timestamp(text).map_err(|_| wrong())
}

/// jiff reads wider forms (RFC 9557, ISO 8601): these are the shapes of RFC 3339 alone.
fn is_rfc3339(text: &[u8]) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let fits = |text: &[u8], shape: &[u8]| {
        text.len() == shape.len()
            && text.iter().zip(shape).all(|(b, s)| match s {
                b'0' => b.is_ascii_digit(),
                b'+' => matches!(b, b'+' | b'-'),
                _ => b == s,
            })
    };
    let Some((date, mut rest)) = text.split_at_checked(SHAPE.len()) else {
        return false;
    };
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        // A nanosecond is the finest that anything here keeps.
        if !(1..=9).contains(&digits) {
            return false;
        }
        rest = &fraction[digits..];
    }
    fits(date, SHAPE) && (rest == b"Z" || fits(rest, b"+00:00"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_written_in_utc() {
        let check = |text: &str, time: &str, micro: &str| {
            assert_eq!(
                text.parse::<Time>().map(|t| t.to_string()),
                Ok(time.to_owned())
            );
            assert_eq!(
                text.parse::<MicroTime>().map(|t| t.to_string()),
                Ok(micro.to_owned())
            );
        };
        check(
            "2024-05-01T10:00:00Z",
            "2024-05-01T10:00:00Z",
            "2024-05-01T10:00:00.000000Z",
        );
        check(
            "2024-05-01T10:00:00.9999999+02:00",
            "2024-05-01T08:00:00Z",
            "2024-05-01T08:00:00.999999Z",
        );
        check(
            "1969-12-31T23:59:59.5Z",
            "1969-12-31T23:59:59Z",
            "1969-12-31T23:59:59.500000Z",
        );
    }

    #[test]
    fn other_forms_are_no_times() {
        for text in [
            "",
            "2024-05-01",
            "2024-05-01 10:00:00Z",
            "2024-05-01T10:00:00",
            "2024-05-01T10:00Z",
            "2024-13-01T10:00:00Z",
            "2024-05-01t10:00:00z",
            "2024-05-01T10:00:00+0200",
            "2024-05-01T10:00:00Z[UTC]",
            "20240501T100000Z",
            "2024-05-01T10:00:00.Z",
        ] {
            assert_eq!(text.parse::<Time>(), Err(TimeError::Time(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(seconds in -30_000_000_000_i64..200_000_000_000, micros in 0_i32..1_000_000) {
            let moment = Timestamp::new(seconds, micros * 1_000).expect("in range");
            let (time, micro) = (Time::new(moment), MicroTime::new(moment));
            prop_assert_eq!(time.timestamp().as_second(), seconds);
            prop_assert_eq!(time.to_string().parse::<Time>(), Ok(time));
            prop_assert_eq!(micro.timestamp(), moment);
            prop_assert_eq!(micro.to_string().parse::<MicroTime>(), Ok(micro));
        }

        #[test]
        fn no_text_breaks_the_reader(text in "[-0-9TZ:.+]{0,40}") {
            let _ = text.parse::<Time>();
        }
    }
}

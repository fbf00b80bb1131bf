//! Sizes and durations with their unit in the text.

use std::fmt;
use std::time::Duration;

use super::{TextValue, text_type};

/// Units of sizes, largest first so that a size prints in the largest unit that divides it.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

/// Units of durations in milliseconds.
const SPAN_UNITS: &[(&str, u64)] = &[("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

/// Longest duration: a week. Nothing that the config times is longer.
const SPAN_MAX_MS: u64 = 7 * 24 * 3_600_000;

/// A size in bytes, such as `10GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// The size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = SIZE_UNITS
            .iter()
            .find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit));
        let (name, unit) = unit.unwrap_or(&("B", 1));
        write!(f, "{}{name}", self.0 / unit)
    }
}

impl TextValue for ByteSize {
    const FORMAT: &'static str = "byte-size";
    const ABOUT: &'static str =
        "a whole number with a unit: B, kB, MB, GB, TB, KiB, MiB, GiB or TiB";

    fn parse(text: &str) -> Result<Self, String> {
        scaled(text, SIZE_UNITS).map(Self)
    }
}

text_type!(ByteSize);

/// A duration, such as `90s` or `2m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(u64);

impl Span {
    /// From whole seconds.
    #[must_use]
    pub const fn from_seconds(seconds: u32) -> Self {
        Self(seconds as u64 * 1_000)
    }

    /// The duration.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = ["h", "m", "s", "ms"].iter().find_map(|name| {
            let (_, unit) = SPAN_UNITS.iter().find(|(unit, _)| unit == name)?;
            self.0.is_multiple_of(*unit).then_some((name, unit))
        });
        match unit {
            Some((name, unit)) if self.0 > 0 => write!(f, "{}{name}", self.0 / unit),
            _ => f.write_str("0s"),
        }
    }
}

impl TextValue for Span {
    const FORMAT: &'static str = "duration";
    const ABOUT: &'static str = "a whole number with a unit: ms, s, m or h, such as 90s";

    fn parse(text: &str) -> Result<Self, String> {
        let span = scaled(text, SPAN_UNITS)?;
        if span > SPAN_MAX_MS {
            return Err("is longer than a week".to_owned());
        }
        Ok(Self(span))
    }
}

text_type!(Span);

fn scaled(text: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() {
        return Err("does not begin with a whole number".to_owned());
    }
    let Some((_, scale)) = units.iter().find(|(name, _)| *name == unit) else {
        let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        return Err(format!("needs one of the units {}", names.join(", ")));
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*scale))
        .ok_or_else(|| "is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_print_what_they_parse() {
        for text in ["10GiB", "512B", "1TB", "1500MB", "1KiB"] {
            assert_eq!(ByteSize::parse(text).unwrap().to_string(), text);
        }
        for text in ["90s", "2m", "1h", "250ms", "0s"] {
            assert_eq!(Span::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Span::parse("120s").unwrap().to_string(), "2m");
        for bad in ["", "10", "10 GiB", "-1B", "1.5GiB", "99999999999TiB", "GiB"] {
            assert!(ByteSize::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "10", "8000h", "-1s", "1d"] {
            assert!(Span::parse(bad).is_err(), "{bad}");
        }
    }
}

//! Durations in Go's form, and for people in the AGE column.

use super::TimeError;

/// A span of time in nanoseconds, as in Go: 292 years at most, in either direction.
pub type Duration = jiff::SignedDuration;

/// Units and their nanoseconds; `µ` has two code points (U+00B5, U+03BC).
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3_600 * SECOND),
];

const SECOND: u64 = 1_000_000_000;

/// A duration's text: `[sign] (number unit)+`, or `0`.
///
/// # Errors
/// When it has another form or is longer than 292 years; the messages are Go's.
pub fn parse_duration(text: &str) -> Result<Duration, TimeError> {
    let wrong = || TimeError::Duration(text.to_owned());
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut nanoseconds = 0_u64;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(wrong());
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit());
        let (unit, after) = after.split_at(end.unwrap_or(after.len()));
        if unit.is_empty() {
            return Err(TimeError::MissingUnit(text.to_owned()));
        }
        let known = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, unit) =
            known.ok_or_else(|| TimeError::UnknownUnit(text.to_owned(), unit.to_owned()))?;
        let part = amount(whole, fraction, *unit).ok_or_else(wrong)?;
        nanoseconds = nanoseconds.checked_add(part).ok_or_else(wrong)?;
        rest = after;
    }
    let nanoseconds = i128::from(nanoseconds) * if negative { -1 } else { 1 };
    match i64::try_from(nanoseconds) {
        Ok(nanoseconds) => Ok(Duration::from_nanos(nanoseconds)),
        Err(_) => Err(wrong()),
    }
}

/// A duration as Go writes it: `0s`, `1.5s`, `300ms`, `1h0m0s`. Beyond Go's 292 years, as long as those.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let sign = if duration.is_negative() { "-" } else { "" };
    let nanoseconds = u64::try_from(duration.as_nanos().unsigned_abs()).unwrap_or(u64::MAX);
    match nanoseconds {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{nanoseconds}ns"),
        1_000..1_000_000 => format!("{sign}{}\u{b5}s", decimal(nanoseconds, 1_000)),
        1_000_000..SECOND => format!("{sign}{}ms", decimal(nanoseconds, 1_000_000)),
        _ => {
            let seconds = decimal(nanoseconds % (60 * SECOND), SECOND);
            let minutes = nanoseconds / (60 * SECOND);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// How long ago something was, as kubectl's AGE column says it: `5s`, `3m10s`, `2d3h`. Two seconds of another clock's
/// being ahead are forgiven.
#[must_use]
pub fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3_600);
    let days = hours / 24;
    let two = |large: i64, unit: char, small: i64, small_unit: char| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{small_unit}"),
    };
    match seconds {
        i64::MIN..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        _ if minutes < 3 * 60 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => two(days, 'd', hours % 24, 'h'),
        _ if days < 2 * 365 => format!("{days}d"),
        _ if days < 8 * 365 => two(days / 365, 'y', days % 365, 'd'),
        _ => format!("{}y", days / 365),
    }
}

/// The same in one unit: `90s` is `1m`.
#[must_use]
pub fn short_human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let hours = seconds / 3_600;
    match seconds {
        i64::MIN..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        _ if hours < 24 => format!("{hours}h"),
        _ if hours < 24 * 365 => format!("{}d", hours / 24),
        _ => format!("{}y", hours / 24 / 365),
    }
}

/// `whole.fraction` units, what is finer than a nanosecond cut off.
fn amount(whole: &str, fraction: &str, unit: u64) -> Option<u64> {
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    // Fifteen digits of an hour are finer than a nanosecond.
    let fraction = &fraction[..fraction.len().min(15)];
    let part = if fraction.is_empty() {
        0
    } else {
        let digits = u32::try_from(fraction.len()).ok()?;
        let numerator: u128 = fraction.parse().ok()?;
        u64::try_from(numerator * u128::from(unit) / 10_u128.pow(digits)).ok()?
    };
    whole.checked_mul(unit)?.checked_add(part)
}

/// `value / unit` with as many digits after the point as say something.
fn decimal(value: u64, unit: u64) -> String {
    let width = unit.ilog10() as usize;
    let text = format!("{}.{:0width$}", value / unit, value % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The digits that a text begins with, and the rest.
fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_those_of_go() {
        let check = |text: &str, expect: &str| {
            let duration = parse_duration(text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(format_duration(duration), expect, "{text}");
        };
        check("0", "0s");
        check("1.5h", "1h30m0s");
        check("90s", "1m30s");
        check("300ms", "300ms");
        check("1us", "1\u{b5}s");
        check("1500\u{3bc}s", "1.5ms");
        check("-1m1.25s", "-1m1.25s");
        check("+.5s", "500ms");
        check("100h", "100h0m0s");
        check("1h0.000000001s", "1h0m0.000000001s");
        check("2562047h47m16.854775807s", "2562047h47m16.854775807s");
    }

    #[test]
    fn what_is_no_duration() {
        let check = |text: &str, expect: &str| {
            let error = parse_duration(text).expect_err(text);
            assert_eq!(error.to_string(), expect);
        };
        check("", "time: invalid duration \"\"");
        check("-", "time: invalid duration \"-\"");
        check("3", "time: missing unit in duration \"3\"");
        check("3d", "time: unknown unit \"d\" in duration \"3d\"");
        check("1s.", "time: invalid duration \"1s.\"");
        check("3000000h", "time: invalid duration \"3000000h\"");
    }

    #[test]
    fn ages_are_kubectls() {
        let check = |seconds: i64, expect: &str, short: &str| {
            let duration = Duration::from_secs(seconds);
            assert_eq!(human_duration(duration), expect);
            assert_eq!(short_human_duration(duration), short);
        };
        const DAY: i64 = 24 * 3_600;
        check(-2, "<invalid>", "<invalid>");
        check(-1, "0s", "0s");
        check(119, "119s", "1m");
        check(120, "2m", "2m");
        check(190, "3m10s", "3m");
        check(600, "10m", "10m");
        check(3 * 3_600 - 1, "179m", "2h");
        check(3 * 3_600, "3h", "3h");
        check(7 * 3_600 + 60, "7h1m", "7h");
        check(8 * 3_600 + 60, "8h", "8h");
        check(2 * DAY + 3 * 3_600, "2d3h", "2d");
        check(8 * DAY, "8d", "8d");
        check(729 * DAY, "729d", "1y");
        check(731 * DAY, "2y1d", "2y");
        check(8 * 365 * DAY + DAY, "8y", "8y");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(nanoseconds: i64) {
            prop_assume!(nanoseconds != i64::MIN);
            let duration = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_breaks_the_reader(text in "[-+0-9.hmsnu\u{b5}]{0,40}") {
            let _ = parse_duration(&text);
        }
    }
}

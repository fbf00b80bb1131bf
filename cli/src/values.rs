//! Values of arguments: spans and points of time, in people's form.

use std::time::{Duration, SystemTime};

/// A span such as `500ms`, `30s`, `10m`, `2h`, `7d`, or several: `1h30m`.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time; write 500ms, 30s, 10m, 2h, 7d or 1h30m");
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest
            .find(|letter: char| !letter.is_ascii_digit())
            .ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let letters = tail
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(milliseconds).ok_or_else(wrong)?;
        total = total
            .checked_add(Duration::from_millis(part))
            .ok_or_else(wrong)?;
        rest = tail;
    }
    if total.is_zero() {
        return Err(wrong());
    }
    Ok(total)
}

/// A point of time, or an age before now.
pub(crate) fn since(text: &str) -> Result<SystemTime, String> {
    if let Ok(age) = span(text) {
        return SystemTime::now()
            .checked_sub(age)
            .ok_or_else(|| format!("{text:?} is too long ago"));
    }
    text.parse::<jiff::Timestamp>()
        .map(SystemTime::from)
        .map_err(|_| {
            format!("{text:?} is neither an age (10m, 2h) nor a time (2026-11-21T10:00:00Z)")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, milliseconds: Option<u64>) {
        assert_eq!(
            span(text).ok(),
            milliseconds.map(Duration::from_millis),
            "{text}"
        );
    }

    #[test]
    fn spans() {
        check("500ms", Some(500));
        check("1h30m", Some(5_400_000));
        check("7d", Some(604_800_000));
        check("30", None);
        check("", None);
        check("0s", None);
        check("s", None);
        check("3 s", None);
        check("99999999999999999999s", None);
        check("18446744073709551615d", None);
    }

    #[test]
    fn points_of_time() {
        let day = since("2026-11-21T10:00:00Z").unwrap();
        let seconds = day
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        assert_eq!(seconds, 1_795_255_200);
        assert!(since("10m").unwrap() < SystemTime::now());
        assert!(since("yesterday").is_err());
    }
}

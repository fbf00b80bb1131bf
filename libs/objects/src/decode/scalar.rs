//! Grammars of texts whose types look into them when they are decoded. Each gives the text of upstream's error.

use super::report::quoted;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// What is said of anything that is no quantity.
pub(super) const NOT_A_QUANTITY: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// What is said of a quantity without digits.
const NO_NUMBER: &str = "unable to parse numeric part of quantity";

/// What is said of a quantity with a unit that does not exist.
const NO_SUFFIX: &str = "unable to parse quantity's suffix";

/// A quantity: a decimal number, and a suffix or an exponent.
pub(super) fn quantity(text: &str) -> Result<(), String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(NOT_A_QUANTITY.to_owned());
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let dots = number.bytes().filter(|byte| *byte == b'.').count();
    if suffix
        .chars()
        .any(|letter| !"eEinumkKMGTP+-".contains(letter) && !letter.is_ascii_digit())
    {
        return Err(NOT_A_QUANTITY.to_owned());
    }
    if dots > 1 {
        return Err(NOT_A_QUANTITY.to_owned());
    }
    if number.len() == dots {
        return Err(NO_NUMBER.to_owned());
    }
    match suffix {
        "" | "n" | "u" | "m" | "k" | "M" | "G" | "T" | "P" | "E" | "Ki" | "Mi" | "Gi" | "Ti"
        | "Pi" | "Ei" => Ok(()),
        _ => suffix
            .strip_prefix(['e', 'E'])
            .filter(|exponent| exponent.parse::<i32>().is_ok())
            .map(|_| ())
            .ok_or_else(|| NO_SUFFIX.to_owned()),
    }
}

/// Base64 as Go reads it: line ends are passed over.
pub(crate) fn bytes(text: &str) -> Result<Vec<u8>, String> {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
    );
    let folded: Vec<u8>;
    let text = if text.contains(['\r', '\n']) {
        folded = text
            .bytes()
            .filter(|byte| !matches!(byte, b'\r' | b'\n'))
            .collect();
        &folded[..]
    } else {
        text.as_bytes()
    };
    ENGINE.decode(text).map_err(|error| {
        let at = match error {
            base64::DecodeError::InvalidByte(at, _)
            | base64::DecodeError::InvalidLastSymbol(at, _) => at,
            _ => text.len() / 4 * 4,
        };
        format!("illegal base64 data at input byte {at}")
    })
}

/// RFC 3339, to the second or finer.
pub(super) fn time(text: &str) -> Result<(), String> {
    instant(text, "2006-01-02T15:04:05Z07:00", Fraction::Any)
}

/// RFC 3339, to the microsecond exactly.
pub(super) fn micro_time(text: &str) -> Result<(), String> {
    instant(text, "2006-01-02T15:04:05.000000Z07:00", Fraction::Six)
}

/// How many digits follow the seconds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fraction {
    Any,
    Six,
}

/// Reads by Go's layout, whose parts name themselves in its errors.
fn instant(text: &str, layout: &str, fraction: Fraction) -> Result<(), String> {
    let fault = |rest: &str, part: &str| {
        format!(
            "parsing time {} as {}: cannot parse {} as {}",
            quoted(text),
            quoted(layout),
            quoted(rest),
            quoted(part)
        )
    };
    let beyond = |what: &str| format!("parsing time {}: {what} out of range", quoted(text));
    let mut rest = text;
    let mut numbers = [0_u32; 6];
    let parts = [
        ("2006", 4, "-"),
        ("01", 2, "-"),
        ("02", 2, "T"),
        ("15", 2, ":"),
        ("04", 2, ":"),
        ("05", 2, ""),
    ];
    for ((part, width, after), number) in parts.into_iter().zip(&mut numbers) {
        let digits = rest
            .get(..width)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .ok_or_else(|| fault(rest, part))?;
        *number = digits.parse().map_err(|_| fault(rest, part))?;
        rest = &rest[width..];
        rest = rest.strip_prefix(after).ok_or_else(|| fault(rest, after))?;
    }
    let digits = rest
        .strip_prefix(['.', ','])
        .map(|after| after.bytes().take_while(u8::is_ascii_digit).count());
    match (fraction, digits) {
        (Fraction::Any, None) => {}
        (Fraction::Any, Some(count)) if count > 0 => rest = &rest[count + 1..],
        (Fraction::Six, Some(6)) => rest = &rest[7..],
        (Fraction::Any, Some(_)) => return Err(fault(rest, "Z07:00")),
        (Fraction::Six, _) => return Err(fault(rest, ".000000")),
    }
    let [year, month, day, hour, minute, second] = numbers;
    rest = match rest.strip_prefix('Z') {
        Some(rest) => rest,
        None => offset(rest).ok_or_else(|| fault(rest, "Z07:00"))?,
    };
    if !rest.is_empty() {
        return Err(format!(
            "parsing time {}: extra text: {}",
            quoted(text),
            quoted(rest)
        ));
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => return Err(beyond("month")),
    };
    for (value, most, least, what) in [
        (day, days, 1, "day"),
        (hour, 23, 0, "hour"),
        (minute, 59, 0, "minute"),
        (second, 59, 0, "second"),
    ] {
        if value > most || value < least {
            return Err(beyond(what));
        }
    }
    Ok(())
}

/// What follows `+07:00`.
fn offset(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(['+', '-'])?;
    let (hours, rest) = rest.split_at_checked(2)?;
    let (minutes, rest) = rest.strip_prefix(':')?.split_at_checked(2)?;
    let within = |digits: &str, most: u32| {
        digits.bytes().all(|byte| byte.is_ascii_digit())
            && digits.parse::<u32>().is_ok_and(|number| number <= most)
    };
    (within(hours, 24) && within(minutes, 59)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(of: fn(&str) -> Result<(), String>, text: &str, expect: &str) {
        let found = of(text).err().unwrap_or_default();
        assert!(
            found == expect || (!expect.is_empty() && found.ends_with(expect)),
            "{text}: {found}"
        );
    }

    #[test]
    fn quantities() {
        for good in [
            "1", "1.5", ".5", "5.", "-1", "+2Ki", "1e3", "1E-3", "100m", "3Ei", "2E", "1u",
        ] {
            check(quantity, good, "");
        }
        check(quantity, "", NOT_A_QUANTITY);
        check(quantity, "1.2.3", NOT_A_QUANTITY);
        check(quantity, "1x", NOT_A_QUANTITY);
        check(quantity, "true", NOT_A_QUANTITY);
        check(quantity, "Ki", NO_NUMBER);
        check(quantity, "1KiB", NOT_A_QUANTITY);
        check(quantity, "1ki", NO_SUFFIX);
        check(quantity, "1e", NO_SUFFIX);
    }

    fn base64_text(text: &str) -> Result<(), String> {
        bytes(text).map(drop)
    }

    #[test]
    fn base64() {
        check(base64_text, "", "");
        check(base64_text, "aGk=", "");
        check(base64_text, "aG\nk=\r\n", "");
        check(base64_text, "a!k=", "illegal base64 data at input byte 1");
        check(base64_text, "aGk", "illegal base64 data at input byte 0");
    }

    #[test]
    fn times() {
        check(time, "2024-02-29T23:59:59Z", "");
        check(time, "2024-02-29T23:59:59.123+02:00", "");
        check(time, "soon", r#"cannot parse "soon" as "2006""#);
        check(
            time,
            "2024-02-29 12:00:00Z",
            r#"cannot parse " 12:00:00Z" as "T""#,
        );
        check(
            time,
            "2024-02-29T12:00:00",
            r#"cannot parse "" as "Z07:00""#,
        );
        check(time, "2023-02-29T12:00:00Z", ": day out of range");
        check(time, "2023-02-28T12:00:00Zz", r#": extra text: "z""#);
        check(micro_time, "2024-02-29T23:59:59.123456Z", "");
        check(
            micro_time,
            "2024-02-29T23:59:59Z",
            r#"cannot parse "Z" as ".000000""#,
        );
    }
}

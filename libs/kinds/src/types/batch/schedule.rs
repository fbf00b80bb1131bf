//! The grammar of a cron job's schedule, and of the names of time zones.
//!
//! ```text
//!   schedule = minute hour day-of-month month day-of-week
//!            | @yearly | @annually | @monthly | @weekly | @daily | @midnight | @hourly | @every duration
//!   field    = range ("," range)*
//!   range    = ("*" | "?" | value ["-" value]) ["/" step]
//! ```
//!
//! Months and days of the week have names of three letters. The messages are those of the library that upstream reads it
//! with (`robfig/cron` v3, `ParseStandard`).

use objects::time::parse_duration;

/// A schedule that cannot be read, in upstream's words.
pub type ScheduleError = String;

/// The bounds of a field and the names of its values.
struct Field {
    min: i64,
    max: i64,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &[
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: [Field; 5] = [
    Field::new(0, 59, &[]),
    Field::new(0, 23, &[]),
    Field::new(1, 31, &[]),
    Field::new(1, 12, MONTHS),
    Field::new(0, 6, DAYS),
];

/// Most bytes of a part of a time zone's name.
const ZONE_PART_MAX: usize = 14;

impl Field {
    const fn new(min: i64, max: i64, names: &'static [&'static str]) -> Self {
        Self { min, max, names }
    }
}

/// What is wrong with a schedule.
///
/// # Errors
/// Where it breaks the grammar.
pub fn check(schedule: &str) -> Result<(), ScheduleError> {
    if schedule.is_empty() {
        return Err("empty spec string".to_owned());
    }
    let mut rest = schedule;
    if rest.starts_with("TZ=") || rest.starts_with("CRON_TZ=") {
        let (zone, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let (_, zone) = zone.split_once('=').unwrap_or_default();
        if let Some(message) = check_zone(zone) {
            return Err(format!("provided bad location {zone}: {message}"));
        }
        rest = after.trim();
    }
    if rest.starts_with('@') {
        return descriptor(rest);
    }
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        let shown = fields.join(" ");
        return Err(format!(
            "expected exactly {} fields, found {}: [{shown}]",
            FIELDS.len(),
            fields.len()
        ));
    }
    for (text, field) in fields.iter().zip(&FIELDS) {
        for part in text.split(',').filter(|part| !part.is_empty()) {
            range(part, field)?;
        }
    }
    Ok(())
}

/// What is wrong with the name of a time zone: its form alone, since which zones there are is not known here.
#[must_use]
pub fn check_zone(zone: &str) -> Option<String> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"._-+".contains(&b);
    let wrong = |part: &str| {
        matches!(part, "" | "." | "..")
            || part.starts_with('-')
            || part.len() > ZONE_PART_MAX
            || !part.bytes().all(inner)
    };
    zone.split('/')
        .any(wrong)
        .then(|| format!("unknown time zone {zone}"))
}

fn descriptor(text: &str) -> Result<(), ScheduleError> {
    const KNOWN: &[&str] = &[
        "@yearly",
        "@annually",
        "@monthly",
        "@weekly",
        "@daily",
        "@midnight",
        "@hourly",
    ];
    if KNOWN.contains(&text) {
        return Ok(());
    }
    match text.strip_prefix("@every ") {
        None => Err(format!("unrecognized descriptor: {text}")),
        Some(duration) => match parse_duration(duration) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("failed to parse duration {text}: {error}")),
        },
    }
}

fn range(text: &str, field: &Field) -> Result<(), ScheduleError> {
    let steps: Vec<&str> = text.split('/').collect();
    let ends: Vec<&str> = steps[0].split('-').collect();
    let (start, mut end) = match ends.as_slice() {
        ["*" | "?", ..] => (field.min, field.max),
        [only] => {
            let only = value(only, field)?;
            (only, only)
        }
        [first, last] => (value(first, field)?, value(last, field)?),
        _ => return Err(format!("too many hyphens: {text}")),
    };
    let step = match steps.as_slice() {
        [_] => 1,
        [_, step] => {
            if ends.len() == 1 {
                end = field.max;
            }
            number(step)?
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    if start < field.min {
        let min = field.min;
        return Err(format!(
            "beginning of range ({start}) below minimum ({min}): {text}"
        ));
    }
    if end > field.max {
        let max = field.max;
        return Err(format!(
            "end of range ({end}) above maximum ({max}): {text}"
        ));
    }
    if start > end {
        return Err(format!(
            "beginning of range ({start}) beyond end of range ({end}): {text}"
        ));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    Ok(())
}

fn value(text: &str, field: &Field) -> Result<i64, ScheduleError> {
    let lower = text.to_lowercase();
    match field.names.iter().position(|name| *name == lower) {
        Some(place) => Ok(field.min + i64::try_from(place).unwrap_or(0)),
        None => number(text),
    }
}

fn number(text: &str) -> Result<i64, ScheduleError> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing \"{text}\": invalid syntax"
        ));
    }
    match text.parse::<i64>() {
        Ok(number) if number < 0 => Err(format!("negative number ({number}) not allowed: {text}")),
        Ok(number) => Ok(number),
        Err(_) => Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing \"{text}\": value out of range"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn schedules() {
        for text in [
            "* * * * *",
            "*/5 0-12/2 1,15 JAN-mar Mon,5",
            "5/10 ? * * ?",
            "@hourly",
            "@every 1h30m",
            "TZ=Europe/Berlin 0 0 * * *",
            " 0  0 * * * ",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_is_no_schedule() {
        let wrong = |text: &str, expect: &str| {
            assert_eq!(check(text), Err(expect.to_owned()), "{text}");
        };
        wrong("", "empty spec string");
        wrong("* * *", "expected exactly 5 fields, found 3: [* * *]");
        wrong("60 * * * *", "end of range (60) above maximum (59): 60");
        wrong("* * 0 * *", "beginning of range (0) below minimum (1): 0");
        wrong(
            "5-2 * * * *",
            "beginning of range (5) beyond end of range (2): 5-2",
        );
        wrong("1-2-3 * * * *", "too many hyphens: 1-2-3");
        wrong("1/2/3 * * * *", "too many slashes: 1/2/3");
        wrong(
            "*/0 * * * *",
            "step of range should be a positive number: */0",
        );
        wrong(
            "x * * * *",
            "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax",
        );
        wrong(
            "99999999999999999999 * * * *",
            "failed to parse int from 99999999999999999999: strconv.Atoi: parsing \"99999999999999999999\": value out of range",
        );
        wrong("@never", "unrecognized descriptor: @never");
        wrong(
            "@every x",
            "failed to parse duration @every x: time: invalid duration \"x\"",
        );
        wrong(
            "TZ=../x * * * * *",
            "provided bad location ../x: unknown time zone ../x",
        );
    }

    #[test]
    fn zones() {
        for zone in [
            "UTC",
            "Europe/Berlin",
            "America/Argentina/Ushuaia",
            "Etc/GMT+5",
        ] {
            assert_eq!(check_zone(zone), None);
        }
        for zone in [
            "",
            "a//b",
            "../etc/passwd",
            "-a",
            "a b",
            "abcdefghijklmno",
            "/a",
        ] {
            assert!(check_zone(zone).is_some(), "{zone}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "[-@*/,?0-9a-zTZ= ]{0,40}|.{0,20}") {
            let _ = check(&text);
            let _ = check_zone(&text);
        }
    }
}

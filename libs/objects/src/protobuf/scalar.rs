//! Values that JSON shows as one text or number.

use crate::time::{MicroTime, Time};
use jiff::Timestamp;
use serde_json::{Number, Value};

/// `0001-01-01T00:00:00Z`: Go's zero time, which JSON shows as null.
const GO_ZERO: i64 = -62_135_596_800;

/// A time's text; none for Go's zero time. The years are 1 to 9999: RFC 3339 has no others.
pub(super) fn time(seconds: i64, nanoseconds: i32, micro: bool) -> Result<Option<Value>, String> {
    if seconds < GO_ZERO || !(0..1_000_000_000).contains(&nanoseconds) {
        return Err(format!("the time {seconds}.{nanoseconds} is out of range"));
    }
    if (seconds, nanoseconds) == (GO_ZERO, 0) {
        return Ok(None);
    }
    let moment = Timestamp::new(seconds, nanoseconds).map_err(|error| error.to_string())?;
    let text = if micro {
        MicroTime::new(moment).to_string()
    } else {
        Time::new(moment).to_string()
    };
    Ok(Some(text.into()))
}

/// The seconds and nanoseconds of a time's text. A comma for the point, and digits beyond the ninth, are Go's liberties.
pub(super) fn instant(text: &str, micro: bool) -> Result<(i64, i32), String> {
    let dotted = text.replace(',', ".");
    let text = match dotted.split_once('.') {
        None => dotted,
        Some((whole, rest)) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            format!("{whole}.{}{}", &rest[..digits.min(9)], &rest[digits..])
        }
    };
    let moment = if micro {
        text.parse::<MicroTime>().map(MicroTime::timestamp)
    } else {
        text.parse::<Time>().map(Time::timestamp)
    };
    let moment = moment.map_err(|error| error.to_string())?;
    // Before 1970 jiff has both parts negative; a protobuf timestamp counts its nanoseconds upwards.
    let (seconds, nanoseconds) = (moment.as_second(), moment.subsec_nanosecond());
    Ok(if nanoseconds < 0 {
        (seconds - 1, nanoseconds + 1_000_000_000)
    } else {
        (seconds, nanoseconds)
    })
}

/// A number as JSON has it: Go writes a whole one without a point, and it is read as whole.
pub(super) fn number(value: f64) -> Option<Number> {
    /// More than any 64 bits hold.
    const WHOLE_MAX: f64 = 1.9e19;
    if value.fract() == 0.0
        && value.abs() < WHOLE_MAX
        && !(value == 0.0 && value.is_sign_negative())
    {
        let text = value.to_string();
        let signed = text.parse::<i64>().map(Number::from);
        if let Ok(whole) = signed.or_else(|_| text.parse::<u64>().map(Number::from)) {
            return Some(whole);
        }
    }
    Number::from_f64(value)
}

/// The low 32 bits: protobuf's rule for a number that has no room in its field.
pub(super) fn int32(value: u64) -> i32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

/// Whether a value is Go's zero value of its type.
pub(super) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_both_ways() {
        let check = |seconds, nanoseconds, micro, text: &str| {
            let found = time(seconds, nanoseconds, micro);
            assert_eq!(found, Ok(Some(text.into())));
            let expect = (seconds, if micro { nanoseconds } else { 0 });
            assert_eq!(instant(text, micro), Ok(expect));
        };
        check(0, 0, false, "1970-01-01T00:00:00Z");
        check(1_714_557_600, 5, false, "2024-05-01T10:00:00Z");
        check(1_714_557_600, 5_000, true, "2024-05-01T10:00:00.000005Z");
        check(-1, 500_000_000, true, "1969-12-31T23:59:59.500000Z");
        check(253_402_207_200, 0, false, "9999-12-30T22:00:00Z");
        check(GO_ZERO + 1, 0, false, "0001-01-01T00:00:01Z");
        assert_eq!(time(GO_ZERO, 0, true), Ok(None));
        for (seconds, nanoseconds) in [(i64::MIN, 0), (1 << 40, 0), (0, -1), (0, 1_000_000_000)] {
            assert!(time(seconds, nanoseconds, false).is_err());
        }
    }

    #[test]
    fn what_go_takes_for_a_time_is_a_time() {
        let check = |text| instant(text, false).map(|(seconds, _)| seconds);
        assert_eq!(check("1970-01-01T00:00:01.1234567891Z"), Ok(1));
        assert_eq!(check("1970-01-01T02:00:01,5+02:00"), Ok(1));
        assert!(check("1970-01-01").is_err() && check("1970-01-01T00:00:01.é").is_err());
    }

    #[test]
    fn numbers_are_whole_where_they_can_be() {
        let check =
            |value: f64, expect: Value| assert_eq!(number(value), expect.as_number().cloned());
        check(3.0, json!(3));
        check(-3.0, json!(-3));
        check(0.5, json!(0.5));
        check(0.0, json!(0));
        check(-0.0, json!(-0.0));
        check(
            18_446_744_073_709_549_568.0,
            json!(18_446_744_073_709_550_000_u64),
        );
        check(1e300, json!(1e300));
        check(f64::NAN, Value::Null);
    }

    #[test]
    fn numbers_of_32_bits_are_cut() {
        assert_eq!(int32(5), 5);
        assert_eq!(int32(u64::MAX), -1);
        assert_eq!(int32(u64::from(u32::MAX)), -1);
        assert_eq!(int32(1 << 32), 0);
    }
}

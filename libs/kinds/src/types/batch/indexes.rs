//! Indexes of an indexed job as text: `1,3-5,7`, in growing order.

/// How many indexes a text names, all below a bound.
///
/// # Errors
/// What is wrong with the text, in upstream's words.
pub(super) fn count(text: &str, completions: i64) -> Result<i64, String> {
    let mut last: Option<i64> = None;
    let mut total = 0_i64;
    if text.is_empty() {
        return Ok(0);
    }
    for interval in text.split(',') {
        let (first, end) = parse(interval, completions)?;
        if let Some(last) = last
            && last >= first
        {
            return Err(format!(
                "non-increasing order, previous: {last}, current: {first}"
            ));
        }
        total = total.saturating_add(end.saturating_sub(first).saturating_add(1));
        last = Some(end);
    }
    Ok(total)
}

/// The first index that two texts both name. Intervals that cannot be read are left out.
pub(super) fn overlap(one: &str, other: &str, completions: i64) -> Option<i64> {
    let read = |text: &str| -> Vec<(i64, i64)> {
        let intervals = text.split(',').filter(|text| !text.is_empty());
        intervals
            .filter_map(|interval| parse(interval, completions).ok())
            .collect()
    };
    let (one, other) = (read(one), read(other));
    let (mut a, mut b) = (one.iter().peekable(), other.iter().peekable());
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        if x.0 <= y.1 && y.0 <= x.1 {
            return Some(x.0.max(y.0));
        }
        if x.0 <= y.0 {
            a.next();
        } else {
            b.next();
        }
    }
    None
}

fn parse(interval: &str, completions: i64) -> Result<(i64, i64), String> {
    let number = |text: &str| {
        let number = text.parse::<i64>();
        let number = number
            .map_err(|_| format!("cannot convert string to integer for index: \"{text}\""))?;
        if number >= completions {
            return Err(format!("too large index: \"{text}\""));
        }
        Ok(number)
    };
    let limits: Vec<&str> = interval.split('-').collect();
    match limits.as_slice() {
        [only] => number(only).map(|only| (only, only)),
        [first, last] => {
            let (first, last) = (number(first)?, number(last)?);
            if first >= last {
                return Err(format!(
                    "non-increasing order, previous: {first}, current: {last}"
                ));
            }
            Ok((first, last))
        }
        _ => Err(format!(
            "the fragment \"{interval}\" violates the requirement that an index interval can have at most two parts separated by '-'"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts() {
        let check = |text: &str, expect: Result<i64, &str>| {
            assert_eq!(count(text, 10), expect.map_err(str::to_owned), "{text}");
        };
        check("", Ok(0));
        check("1,3-5,9", Ok(5));
        check("3,1", Err("non-increasing order, previous: 3, current: 1"));
        check("5-5", Err("non-increasing order, previous: 5, current: 5"));
        check("10", Err("too large index: \"10\""));
        check(
            "a",
            Err("cannot convert string to integer for index: \"a\""),
        );
        check(
            "1-2-3",
            Err(
                "the fragment \"1-2-3\" violates the requirement that an index interval can have at most two parts separated by '-'",
            ),
        );
    }

    #[test]
    fn overlaps() {
        assert_eq!(overlap("1,3-5", "2,5-7", 10), Some(5));
        assert_eq!(overlap("1,3-5", "2,6-7", 10), None);
        assert_eq!(overlap("", "2", 10), None);
        assert_eq!(overlap("x,2", "2", 10), Some(2));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(one in "[-,0-9a]{0,30}", other in "[-,0-9a]{0,30}", bound: i64) {
            let _ = count(&one, bound);
            let _ = overlap(&one, &other, bound);
        }
    }
}

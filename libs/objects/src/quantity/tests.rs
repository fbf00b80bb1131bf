//! Quantities by example, and the laws of their arithmetic.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn q(text: &str) -> Quantity {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Checks what is written for what was read.
#[track_caller]
fn check(text: &str, expect: &str) {
    assert_eq!(q(text).to_string(), expect, "{text}");
}

#[test]
fn the_canonical_form() {
    for same in [
        "0", "1", "100m", "1Ki", "1500Mi", "12e6", "1E", "-1k", "250n", "1025", "1E3",
    ] {
        check(same, same);
    }
    check("0Ki", "0");
    check("-0", "0");
    check("00.00", "0");
    check("1000m", "1");
    check("0.5", "500m");
    check(".5", "500m");
    check("0.1m", "100u");
    check("0.00000000001", "1n");
    check("-0.00000000001", "-1n");
    check("1.5n", "2n");
    check("1.5Gi", "1536Mi");
    check("0.5Gi", "512Mi");
    check("1024Ki", "1Mi");
    check("1000Ki", "1000Ki");
    check("1024", "1024");
    check("512Ki", "512Ki");
    check("0.5Ki", "512");
    check("0.0001Ki", "102400u");
    check("0.1Ki", "102400m");
    check("1e2", "100");
    check("1e4", "10e3");
    check("1e-1", "100e-3");
    check("1e-20", "1e-9");
    check("1e-999999", "1e-9");
    check("10000000000000000000000", "10000E");
    check("1e40", "10e39");
    check("8Ei", "9223372036854775807");
    check("-8Ei", "-9223372036854775807");
    check("9223372036854775807", "9223372036854775807");
}

#[test]
fn what_upstream_takes_for_canonical_is_kept() {
    for same in ["+1", "1.", "1.500", "01Ki", "+4Ki", "012", "1.500e3"] {
        check(same, same);
    }
    check("1.000", "1");
    check("0.500", "500m");
    check("8Ki", "8Ki");
    assert_eq!(q("1.500").add(&q("1")).to_string(), "2500m");
}

#[test]
fn what_is_no_quantity() {
    let check = |text: &str, expect| assert_eq!(text.parse::<Quantity>(), Err(expect), "{text}");
    for text in ["", "1.1.M", "1+1.0M", "aoeu", "1 Mi", "1e3x", "1,5", "½"] {
        check(text, QuantityError::Format);
    }
    for text in [
        "0.1mi",
        ".5i",
        "--1",
        "1i",
        "-3.01i",
        "-3.01e-",
        "1KiKi",
        "1e99999999999999999999",
        "1e2000",
        "1K",
    ] {
        check(text, QuantityError::Suffix);
    }
    assert_eq!(
        Quantity::from_value(&json!(true)),
        Err(QuantityError::Format)
    );
    assert_eq!(Quantity::from_value(&json!(0.5)), Ok(q("500m")));
    assert_eq!(Quantity::from_value(&json!(" 2Gi ")), Ok(q("2Gi")));
}

#[test]
fn numbers_are_rounded_away_from_zero() {
    assert_eq!(q("100m").value(), 1);
    assert_eq!(q("-100m").value(), -1);
    assert_eq!(q("1500u").milli_value(), 2);
    assert_eq!(q("2").milli_value(), 2_000);
    assert_eq!(q("1Ki").value(), 1_024);
    assert_eq!(q("10E").milli_value(), i64::MAX);
    assert_eq!(q("-1e30").value(), i64::MIN);
    assert_eq!(q("1500m").as_whole(), None);
    assert_eq!(q("15e2").as_whole(), Some(1_500));
    assert!((q("1500m").approximate() - 1.5).abs() < f64::EPSILON);
}

#[test]
fn sums_are_written_like_their_first_part() {
    assert_eq!(q("1Gi").add(&q("1Mi")).to_string(), "1025Mi");
    assert_eq!(q("0").add(&q("1Mi")).to_string(), "1Mi");
    assert_eq!(q("1").sub(&q("1500m")).to_string(), "-500m");
    assert_eq!(q("1Ki").add(&q("100m")).to_string(), "1024100m");
    assert!(q("1e1000").add(&q("1n")) > q("1e1000"));
    assert_eq!(
        q("5Gi").times(3).map(|q| q.to_string()).as_deref(),
        Some("15Gi")
    );
    assert!(q("1e1000") > q("1e999") && q("-1e1000") < q("-1n") && q("1n") < q("1e1000"));
}

/// Texts of all forms.
fn texts() -> impl Strategy<Value = String> {
    "[+-]?[0-9]{1,20}(\\.[0-9]{0,12})?(|n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e-?[0-9]{1,2}|E[0-9])"
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(text in texts()) {
        let quantity = q(&text);
        let mut canonical = quantity.clone();
        canonical.text = None;
        prop_assert_eq!(&q(&canonical.to_string()), &quantity);
        let again = q(&canonical.to_string());
        prop_assert_eq!(again.to_string(), canonical.to_string());
        prop_assert!(!canonical.to_string().contains('.'));
    }

    #[test]
    fn order_is_that_of_numbers(a in texts(), b in texts()) {
        let (a, b) = (q(&a), q(&b));
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        let difference = a.sub(&b);
        let sign = if difference.is_zero() { Ordering::Equal } else if difference.is_negative() { Ordering::Less } else { Ordering::Greater };
        prop_assert_eq!(a.cmp(&b), sign);
        if (a.approximate() - b.approximate()).abs() > 1e-6 * a.approximate().abs().max(b.approximate().abs()) {
            prop_assert_eq!(Some(a.cmp(&b)), a.approximate().partial_cmp(&b.approximate()));
        }
    }

    #[test]
    fn small_sums_are_exact(a in -1_000_000_000_i64..1_000_000_000, b in -1_000_000_000_i64..1_000_000_000) {
        let sum = Quantity::from_milli(a, Format::DecimalSi).add(&Quantity::from_milli(b, Format::BinarySi));
        prop_assert_eq!(sum.milli_value(), a + b);
        prop_assert_eq!(sum.sub(&Quantity::from_milli(b, Format::DecimalSi)).milli_value(), a);
    }

    #[test]
    fn no_text_breaks_the_reader(text in "[-+0-9.eEinumkKMGTPx ]{0,60}") {
        if let Ok(quantity) = text.parse::<Quantity>() {
            let _ = (quantity.to_string(), quantity.value(), quantity.milli_value());
        }
    }
}

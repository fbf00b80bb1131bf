//! Text to a quantity.

use std::str::FromStr;

use super::{Format, NANO, Quantity, QuantityError, divide_away};

/// Suffixes of powers of 1024.
pub(super) const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// Suffixes of powers of 1000, from a billionth.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

/// Most digits of a number that has to be exact: those of 64 bits.
const FAST_DIGITS: usize = 18;

/// Most digits that a mantissa surely has room for.
const DIGITS_MAX: usize = 38;

/// The largest power of ten in a quantity. Upstream has no bound and would write the zeros out; nothing that is counted
/// comes near.
const EXPONENT_MAX: i32 = 1_000;

/// The suffix of a power of ten that is a multiple of three from -9 to 18.
pub(super) fn decimal_suffix(exponent: i32) -> &'static str {
    let place = usize::try_from((exponent - NANO) / 3).unwrap_or(0);
    DECIMAL.get(place).copied().unwrap_or("")
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        if text.is_empty() {
            return Err(QuantityError::Format);
        }
        let parts = Parts::scan(text)?;
        let (format, exponent) = parts.suffix()?;
        let mut mantissa = parts.mantissa();
        // Of the powers of ten: the digits beyond a mantissa, the fraction, the suffix.
        let mut scale = mantissa.1;
        let binary = format == Format::BinarySi;
        if binary {
            let factor = 1_i128 << exponent;
            while mantissa.0.checked_mul(factor).is_none() {
                mantissa.0 = divide_away(mantissa.0, 1);
                scale += 1;
            }
            mantissa.0 *= factor;
        } else {
            scale += exponent;
        }
        if scale < NANO {
            mantissa.0 = divide_away(mantissa.0, NANO - scale);
            scale = NANO;
        }
        let mut quantity = Quantity::scaled(mantissa.0, scale, format);
        if binary {
            let max = Quantity::new(i64::MAX, format);
            if quantity > max {
                quantity = max;
            }
            if !parts.fraction.is_empty() && quantity < Quantity::new(1, format) {
                quantity.format = if quantity.is_zero() {
                    format
                } else {
                    Format::DecimalSi
                };
            }
        }
        if parts.negative {
            quantity = quantity.neg();
        }
        if parts.keeps_text(format, exponent) {
            quantity.text = Some(text.into());
        }
        Ok(quantity)
    }
}

/// A text cut into what a quantity is made of.
struct Parts<'a> {
    negative: bool,
    /// Digits before the point, without leading zeros.
    whole: &'a str,
    /// Digits after the point.
    fraction: &'a str,
    suffix: &'a str,
}

impl<'a> Parts<'a> {
    /// As lenient as upstream: a number may lack digits on either side of its point, and even altogether.
    fn scan(text: &'a str) -> Result<Self, QuantityError> {
        let negative = text.starts_with('-');
        let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
        let rest = rest.trim_start_matches('0');
        let (whole, rest) = split_digits(rest);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => split_digits(rest),
            None => ("", rest),
        };
        let letters = |c: char| "eEinumkKMGTP".contains(c);
        let exponent = suffix.trim_start_matches(letters);
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if !split_digits(exponent).1.is_empty() {
            return Err(QuantityError::Format);
        }
        Ok(Parts {
            negative,
            whole,
            fraction,
            suffix,
        })
    }

    /// The family, and the power: of two for binary suffixes, else of ten.
    fn suffix(&self) -> Result<(Format, i32), QuantityError> {
        let find = |known: &[&str]| {
            let place = known.iter().position(|known| *known == self.suffix);
            place.and_then(|place| i32::try_from(place).ok())
        };
        if let Some(place) = find(&DECIMAL) {
            return Ok((Format::DecimalSi, NANO + 3 * place));
        }
        if let Some(place) = find(&BINARY) {
            return Ok((Format::BinarySi, 10 * place));
        }
        let digits = self.suffix.strip_prefix(['e', 'E']);
        let digits = digits.filter(|digits| !digits.is_empty());
        let exponent: i64 = digits
            .and_then(|digits| digits.parse().ok())
            .ok_or(QuantityError::Suffix)?;
        // Less than the least makes no difference: it is rounded away from zero.
        let exponent = i32::try_from(exponent.max((-EXPONENT_MAX).into()));
        match exponent {
            Ok(exponent) if exponent <= EXPONENT_MAX => Ok((Format::DecimalExponent, exponent)),
            _ => Err(QuantityError::Suffix),
        }
    }

    /// All digits as one number, and the power of ten to bring it back. Digits beyond those that have room are
    /// rounded away from zero.
    fn mantissa(&self) -> (i128, i32) {
        let digits = || self.whole.bytes().chain(self.fraction.bytes());
        let zeros = digits().take_while(|digit| *digit == b'0').count();
        let mut digits = digits().skip(zeros).map(|digit| i128::from(digit - b'0'));
        let mut mantissa = 0_i128;
        let mut taken = zeros;
        for digit in digits.by_ref().take(DIGITS_MAX) {
            mantissa = mantissa * 10 + digit;
            taken += 1;
        }
        if digits.any(|digit| digit != 0) {
            mantissa += 1;
        }
        let point = i32::try_from(self.whole.len()).unwrap_or(i32::MAX);
        let taken = i32::try_from(taken).unwrap_or(i32::MAX);
        (mantissa, point.saturating_sub(taken))
    }

    /// Whether upstream writes the text again as it was read: it takes these for canonical, and some are not.
    fn keeps_text(&self, format: Format, exponent: i32) -> bool {
        let whole = if self.whole.is_empty() {
            "0"
        } else {
            self.whole
        };
        let digits = whole.len() + self.fraction.len();
        if format == Format::BinarySi {
            let bits = usize::try_from(exponent).unwrap_or(usize::MAX);
            let fits = whole.len() + bits * 3 / 10 < 15;
            // The last three digits decide of the last three bits.
            let tail = &whole[whole.len().saturating_sub(3)..];
            let odd = tail.parse::<u32>().is_ok_and(|tail| tail & 7 != 0);
            return self.fraction.is_empty() && fits && odd;
        }
        let fraction = i32::try_from(self.fraction.len()).unwrap_or(i32::MAX);
        let scale = exponent.saturating_sub(fraction);
        let (w, f) = (whole.as_bytes(), self.fraction.as_bytes());
        let mut tail = w.iter().chain(f).rev();
        let three_zeros = digits >= 3 && tail.by_ref().take(3).all(|b| *b == b'0');
        digits <= FAST_DIGITS && scale >= NANO && scale % 3 == 0 && !three_zeros && w[0] != b'0'
    }
}

/// The digits that a text begins with, and the rest.
fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

//! `resource.Quantity`: an amount of CPU, of memory, of anything that a pod may ask for.
//!
//! ```text
//!   quantity = [sign] digits ["." digits] suffix
//!   suffix   = n u m "" k M G T P E         powers of 1000
//!            | Ki Mi Gi Ti Pi Ei            powers of 1024
//!            | ("e" | "E") [sign] digits    powers of 10
//! ```
//!
//! A quantity is a decimal number and the family of its suffix, in which it is written again. What is smaller than a
//! billionth is rounded away from zero; binary ones are capped at 2^63-1, as upstream does
//! (`k8s.io/apimachinery/pkg/api/resource`).
//!
//! ```
//! use orlop_objects::quantity::Quantity;
//!
//! let half: Quantity = "0.5".parse()?;
//! assert_eq!((half.to_string().as_str(), half.milli_value()), ("500m", 500));
//! # Ok::<(), orlop_objects::quantity::QuantityError>(())
//! ```

mod parse;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

/// The finest part that is kept: a billionth.
const NANO: i32 = -9;

/// The highest power of 1000 that has a suffix is E, 10^18.
const DECIMAL_EXPONENT_MAX: i32 = 18;

/// The highest power of 1024 that has a suffix is Ei, 1024^6.
const BINARY_EXPONENT_MAX: usize = 6;

/// The family of suffixes that a quantity is written with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// `12e6`.
    DecimalExponent,
    /// `12Mi`, 12 times 2^20.
    BinarySi,
    /// `12M`, 12 times 10^6.
    #[default]
    DecimalSi,
}

/// A text that is no quantity; the messages are upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// It has another form.
    #[error(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Format,
    /// Its number is none.
    #[error("unable to parse numeric part of quantity")]
    Number,
    /// Nobody knows its suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// An exact amount: `mantissa` times ten to the power of `scale`.
///
/// Kept without trailing zeros, so that equal amounts are the same two numbers; a mantissa has at most 38 digits. Two
/// quantities are equal when their amounts are, whatever they are written like.
#[derive(Debug, Clone, Default)]
pub struct Quantity {
    mantissa: i128,
    scale: i32,
    format: Format,
    /// The text that was read, where upstream keeps it although it is not canonical (`1.500`, `+1`).
    text: Option<Box<str>>,
}

impl Quantity {
    /// A whole number.
    #[must_use]
    pub fn new(value: i64, format: Format) -> Self {
        Self::scaled(value.into(), 0, format)
    }

    /// A number of thousandths.
    #[must_use]
    pub fn from_milli(value: i64, format: Format) -> Self {
        Self::scaled(value.into(), -3, format)
    }

    /// The quantity of a JSON value, a text or a number.
    ///
    /// # Errors
    /// When the text is none, or the value is of another type.
    pub fn from_value(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::String(text) => text.trim().parse(),
            Value::Number(number) => number.to_string().parse(),
            _ => Err(QuantityError::Format),
        }
    }

    /// The amount `mantissa * 10^scale`, brought to the form without trailing zeros.
    fn scaled(mut mantissa: i128, mut scale: i32, format: Format) -> Self {
        if mantissa == 0 {
            scale = 0;
        }
        while mantissa != 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale += 1;
        }
        Quantity {
            mantissa,
            scale,
            format,
            text: None,
        }
    }

    /// How it is written.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.mantissa == 0
    }

    /// Whether it is less than nothing.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.mantissa < 0
    }

    /// As a whole number, rounded away from zero; beyond 64 bits, the nearest number that there is.
    #[must_use]
    pub fn value(&self) -> i64 {
        self.scaled_value(0)
    }

    /// In thousandths, rounded away from zero; beyond 64 bits, the nearest number that there is.
    #[must_use]
    pub fn milli_value(&self) -> i64 {
        self.scaled_value(-3)
    }

    /// In units of `10^scale`, rounded away from zero; beyond 64 bits, the nearest number that there is.
    #[must_use]
    pub fn scaled_value(&self, scale: i32) -> i64 {
        let up = self.scale.saturating_sub(scale);
        let value = if up >= 0 {
            match power(up).and_then(|power| self.mantissa.checked_mul(power)) {
                Some(value) => value,
                None => {
                    return if self.is_negative() {
                        i64::MIN
                    } else {
                        i64::MAX
                    };
                }
            }
        } else {
            divide_away(self.mantissa, -up)
        };
        i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
    }

    /// The whole number that it is, if it is one of 64 bits.
    #[must_use]
    pub fn as_whole(&self) -> Option<i64> {
        if self.scale < 0 {
            return None;
        }
        let value = self.mantissa.checked_mul(power(self.scale)?)?;
        i64::try_from(value).ok()
    }

    /// Whether it is a whole number.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.scale >= 0
    }

    /// The nearest floating-point number.
    #[must_use]
    pub fn approximate(&self) -> f64 {
        let text = format!("{}e{}", self.mantissa, self.scale);
        text.parse().unwrap_or(f64::NAN)
    }

    /// The sum. Where this one is zero, it is written as the other. A sum of more than 38 digits is rounded away
    /// from zero.
    #[must_use]
    pub fn add(&self, other: &Quantity) -> Quantity {
        let format = if self.is_zero() {
            other.format
        } else {
            self.format
        };
        let (a, b, scale) = align(self, other);
        match a.checked_add(b) {
            Some(sum) => Self::scaled(sum, scale, format),
            None => Self::scaled(divide_away(a, 1) + divide_away(b, 1), scale + 1, format),
        }
    }

    /// The difference, by the rules of [`add`](Self::add).
    #[must_use]
    pub fn sub(&self, other: &Quantity) -> Quantity {
        self.add(&other.neg())
    }

    /// The same below zero.
    #[must_use]
    pub fn neg(&self) -> Quantity {
        Self::scaled(self.mantissa.saturating_neg(), self.scale, self.format)
    }

    /// So many times as much; none beyond 38 digits.
    #[must_use]
    pub fn times(&self, factor: i64) -> Option<Quantity> {
        let product = self.mantissa.checked_mul(factor.into())?;
        Some(Self::scaled(product, self.scale, self.format))
    }

    /// The whole binary amount as a number below 1024 powers, or none when it must be written in powers of 1000.
    fn binary(&self) -> Option<(i128, usize)> {
        if self.scale < 0 {
            return None;
        }
        let mut number = self.mantissa.checked_mul(power(self.scale)?)?;
        if (-1023..=1023).contains(&number) {
            return None;
        }
        let mut exponent = 0;
        while exponent < BINARY_EXPONENT_MAX && number % 1024 == 0 {
            number /= 1024;
            exponent += 1;
        }
        Some((number, exponent))
    }
}

impl fmt::Display for Quantity {
    /// The canonical form: no fraction, and the largest suffix that allows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return f.write_str(text);
        }
        if self.is_zero() {
            return f.write_str("0");
        }
        if self.format == Format::BinarySi
            && let Some((number, exponent)) = self.binary()
        {
            return write!(f, "{number}{}", parse::BINARY[exponent]);
        }
        let exponent = self.scale.div_euclid(3) * 3;
        let exponent = match self.format {
            Format::DecimalExponent => exponent,
            _ => exponent.min(DECIMAL_EXPONENT_MAX),
        };
        let zeros = usize::try_from(self.scale - exponent).expect("the exponent was lowered");
        write!(f, "{}{:0<zeros$}", self.mantissa, "")?;
        match self.format {
            Format::DecimalExponent if exponent == 0 => Ok(()),
            Format::DecimalExponent => write!(f, "e{exponent}"),
            _ => f.write_str(parse::decimal_suffix(exponent)),
        }
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        let signs = self.mantissa.signum().cmp(&other.mantissa.signum());
        if signs != Ordering::Equal || self.scale == other.scale {
            return signs.then(self.mantissa.cmp(&other.mantissa));
        }
        let lower = self.scale.min(other.scale);
        let at = |q: &Quantity| power(q.scale - lower).and_then(|p| q.mantissa.checked_mul(p));
        match (at(self), at(other)) {
            (Some(a), Some(b)) => a.cmp(&b),
            // What has no room at the lower scale is further from zero than what has.
            (None, _) if self.is_negative() => Ordering::Less,
            (None, _) => Ordering::Greater,
            (_, None) if self.is_negative() => Ordering::Greater,
            (_, None) => Ordering::Less,
        }
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        (self.mantissa, self.scale) == (other.mantissa, other.scale)
    }
}

impl Eq for Quantity {}

/// Ten to a power, where it has room.
fn power(exponent: i32) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(exponent).ok()?)
}

/// Divided by ten to a power, rounded away from zero.
fn divide_away(value: i128, exponent: i32) -> i128 {
    let Some(divisor) = power(exponent) else {
        return value.signum();
    };
    let quotient = value / divisor;
    if value % divisor == 0 {
        quotient
    } else {
        quotient + value.signum()
    }
}

/// Both at one scale, the lowest at which both have room.
fn align(a: &Quantity, b: &Quantity) -> (i128, i128, i32) {
    if a.is_zero() || b.is_zero() {
        let scale = if a.is_zero() { b.scale } else { a.scale };
        return (a.mantissa, b.mantissa, scale);
    }
    let (mut scale, high) = (a.scale.min(b.scale), a.scale.max(b.scale));
    let larger = if a.scale > b.scale { a } else { b };
    while scale < high
        && power(high - scale)
            .and_then(|power| larger.mantissa.checked_mul(power))
            .is_none()
    {
        scale += 1;
    }
    let at = |q: &Quantity| match power(q.scale - scale) {
        Some(power) if q.scale >= scale => q.mantissa * power,
        _ => divide_away(q.mantissa, scale - q.scale),
    };
    (at(a), at(b), scale)
}

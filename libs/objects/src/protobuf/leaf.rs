//! Values and messages that hold no object.

use super::fault::Fault;
use super::wire::{Reader, Wire};
use super::{MAX_DEPTH, scalar};
use crate::quantity::{Quantity, QuantityError};
use serde_json::Value;

pub(super) const WRONG_TYPE: &str = "wrong wire type";

pub(super) type Read<T> = Result<T, Fault>;

/// Text, bytes or a message.
pub(super) fn bytes_of(wire: Wire<'_>) -> Read<&[u8]> {
    match wire {
        Wire::Bytes(bytes) => Ok(bytes),
        _ => Err(WRONG_TYPE.into()),
    }
}

/// A number or a truth.
pub(super) fn varint(wire: Wire<'_>) -> Read<u64> {
    match wire {
        Wire::Varint(value) => Ok(value),
        _ => Err(WRONG_TYPE.into()),
    }
}

/// Text.
pub(super) fn text(wire: Wire<'_>) -> Read<&str> {
    std::str::from_utf8(bytes_of(wire)?).map_err(|_| "invalid UTF-8".into())
}

/// The last bytes that are so numbered; none are empty ones.
pub(super) fn last_bytes(bytes: &[u8], wanted: u32) -> Read<&[u8]> {
    let (mut found, mut reader) = (&[][..], Reader::new(bytes));
    while let Some((number, wire)) = reader.next()? {
        if number == wanted {
            found = bytes_of(wire)?;
        }
    }
    Ok(found)
}

/// The last number that is so numbered; none is 0.
pub(super) fn last_number(bytes: &[u8], wanted: u32) -> Read<u64> {
    let (mut found, mut reader) = (0, Reader::new(bytes));
    while let Some((number, wire)) = reader.next()? {
        if number == wanted {
            found = varint(wire)?;
        }
    }
    Ok(found)
}

/// No fields at all are no time; a zero that is written is 1970.
pub(super) fn time(bytes: &[u8], micro: bool) -> Read<Option<Value>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let seconds = last_number(bytes, 1)?.cast_signed();
    let nanoseconds = scalar::int32(last_number(bytes, 2)?);
    scalar::time(seconds, nanoseconds, micro).map_err(Fault::new)
}

/// In the form that is written again.
pub(super) fn quantity(bytes: &[u8]) -> Read<Value> {
    if bytes.is_empty() {
        return Ok("0".into());
    }
    let text = text(Wire::Bytes(last_bytes(bytes, 1)?))?;
    let quantity: Quantity = text
        .parse()
        .map_err(|error: QuantityError| Fault::new(error.to_string()))?;
    Ok(quantity.to_string().into())
}

/// What its first number says that it is.
pub(super) fn int_or_string(bytes: &[u8]) -> Read<Value> {
    match last_number(bytes, 1)? {
        0 => Ok(scalar::int32(last_number(bytes, 2)?).into()),
        1 => Ok(text(Wire::Bytes(last_bytes(bytes, 3)?))?.into()),
        _ => Err("neither a number nor a text".into()),
    }
}

/// Whether a value may lie so deep.
pub(super) fn deep(depth: usize) -> Read<()> {
    if depth > MAX_DEPTH {
        return Err(Fault::new(format!(
            "nested more than {MAX_DEPTH} levels deep"
        )));
    }
    Ok(())
}

/// Lists and objects within each other.
pub(super) fn levels(value: &Value) -> usize {
    let below = match value {
        Value::Array(items) => items.iter().map(levels).max(),
        Value::Object(fields) => fields.values().map(levels).max(),
        _ => return 0,
    };
    1 + below.unwrap_or(0)
}

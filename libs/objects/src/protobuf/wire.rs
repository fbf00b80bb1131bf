//! Protobuf's wire format: keys, varints, lengths. Nothing here knows a schema.
//!
//! ```text
//!   message = (key value)*         key = varint of number << 3 | wire type
//!   wire type 0  varint            seven bits a byte, the lowest first; at most ten bytes
//!             1  eight bytes
//!             2  varint of a length, and so many bytes
//!             3, 4  begin and end of a group: passed over, nothing has had them for years
//!             5  four bytes
//! ```

/// The largest number that a field may have.
const NUMBER_MAX: u64 = (1 << 29) - 1;

/// A value as it lies in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire<'a> {
    /// A number or a truth.
    Varint(u64),
    /// Text, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// A `double`.
    Fixed64(u64),
    /// Four bytes, or a group: no field of ours has either.
    Other,
}

/// What is wrong with bytes.
pub(super) type Fault = &'static str;

const ENDS_EARLY: Fault = "unexpected end of the message";

/// A message that is being read. No length is trusted: what is given out are parts of what came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next field's number and value; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Wire<'a>)>, Fault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, kind) = self.key()?;
        let wire = match kind {
            3 => {
                self.skip_group(number)?;
                Wire::Other
            }
            4 => return Err("the end of a group that has not begun"),
            _ => self.value(kind)?,
        };
        Ok(Some((number, wire)))
    }

    /// A number of up to 64 bits.
    pub(super) fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0_u64;
        for (at, byte) in self.rest.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            if at == 9 && bits > 1 {
                return Err("a number of more than 64 bits");
            }
            value |= bits << (7 * at);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 {
            ENDS_EARLY
        } else {
            "a number of more than 64 bits"
        })
    }

    /// Eight bytes.
    pub(super) fn fixed64(&mut self) -> Result<u64, Fault> {
        let (bytes, rest) = self.rest.split_first_chunk::<8>().ok_or(ENDS_EARLY)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    fn key(&mut self) -> Result<(u32, u64), Fault> {
        let key = self.varint()?;
        let number = key >> 3;
        match u32::try_from(number) {
            Ok(short) if (1..=NUMBER_MAX).contains(&number) => Ok((short, key & 7)),
            _ => Err("a field's number is out of range"),
        }
    }

    /// The value of a wire type that is no group's.
    fn value(&mut self, kind: u64) -> Result<Wire<'a>, Fault> {
        match kind {
            0 => self.varint().map(Wire::Varint),
            1 => self.fixed64().map(Wire::Fixed64),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| ENDS_EARLY)?;
                let (bytes, rest) = self.rest.split_at_checked(length).ok_or(ENDS_EARLY)?;
                self.rest = rest;
                Ok(Wire::Bytes(bytes))
            }
            5 => {
                let (_, rest) = self.rest.split_at_checked(4).ok_or(ENDS_EARLY)?;
                self.rest = rest;
                Ok(Wire::Other)
            }
            _ => Err("an unknown wire type"),
        }
    }

    /// Past a group and those within it, without recursion: they cost a byte each.
    fn skip_group(&mut self, number: u32) -> Result<(), Fault> {
        let mut open = vec![number];
        while let Some(innermost) = open.last().copied() {
            let (number, kind) = self.key()?;
            match kind {
                3 if open.len() >= super::MAX_DEPTH => return Err("groups are nested too deep"),
                3 => open.push(number),
                4 if number == innermost => {
                    open.pop();
                }
                4 => return Err("a group ends as another one than it began"),
                kind => {
                    self.value(kind)?;
                }
            }
        }
        Ok(())
    }
}

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while let Some(more) = Some(value >> 7).filter(|more| *more > 0) {
        out.push(0x80 | low_bits(value));
        value = more;
    }
    out.push(low_bits(value));
}

/// The lowest seven bits.
fn low_bits(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

/// Appends a number's field.
pub(super) fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

/// Appends eight bytes' field.
pub(super) fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a field of bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends a field whose bytes are written by `fill`; they are moved once, to make room for their length.
pub(super) fn put_nested<E>(
    out: &mut Vec<u8>,
    number: u32,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    put_varint(out, u64::from(number) << 3 | 2);
    let begin = out.len();
    fill(out)?;
    let length = out.len() - begin;
    put_length(out, length);
    out[begin..].rotate_left(length);
    Ok(())
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    put_varint(
        out,
        u64::try_from(length).expect("lengths have 64 bits at most"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u32, Wire<'_>)>, Fault> {
        let mut reader = Reader::new(bytes);
        let mut found = Vec::new();
        while let Some(field) = reader.next()? {
            found.push(field);
        }
        Ok(found)
    }

    #[test]
    fn fields_of_each_wire_type() {
        let check = |bytes: &[u8], expect: &[(u32, Wire<'_>)]| {
            assert_eq!(all(bytes).as_deref(), Ok(expect), "{bytes:02x?}");
        };
        check(&[], &[]);
        check(&[0x08, 0x96, 0x01], &[(1, Wire::Varint(150))]);
        check(
            &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
            &[(1, Wire::Varint(u64::MAX))],
        );
        check(&[0x12, 2, b'h', b'i'], &[(2, Wire::Bytes(b"hi"))]);
        check(&[0x19, 1, 0, 0, 0, 0, 0, 0, 0], &[(3, Wire::Fixed64(1))]);
        check(&[0x1d, 1, 0, 0, 0], &[(3, Wire::Other)]);
        // A group that holds a number and another group.
        check(
            &[0x0b, 0x08, 1, 0x13, 0x14, 0x0c, 0x10, 1],
            &[(1, Wire::Other), (2, Wire::Varint(1))],
        );
    }

    #[test]
    fn what_is_no_message() {
        let check = |bytes: &[u8], expect: &str| {
            assert_eq!(all(bytes), Err(expect), "{bytes:02x?}");
        };
        check(&[0x08], ENDS_EARLY);
        check(&[0x08, 0x80], ENDS_EARLY);
        check(&[0x12, 3, b'h', b'i'], ENDS_EARLY);
        check(
            &[0x12, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
            ENDS_EARLY,
        );
        check(&[0x19, 1], ENDS_EARLY);
        check(&[0x1d, 1], ENDS_EARLY);
        check(&[0x0b], ENDS_EARLY);
        check(&[0x0b, 0x14], "a group ends as another one than it began");
        check(&[0x0c], "the end of a group that has not begun");
        check(&[0x0e], "an unknown wire type");
        check(&[0x00, 0], "a field's number is out of range");
        check(
            &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
            "a number of more than 64 bits",
        );
        check(&[0x0b; 4096], "groups are nested too deep");
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_they_were_written(value: u64, number in 1_u32..1 << 29) {
            let mut out = Vec::new();
            put_number(&mut out, number, value);
            put_fixed64(&mut out, number, value);
            prop_assert_eq!(
                all(&out),
                Ok(vec![(number, Wire::Varint(value)), (number, Wire::Fixed64(value))])
            );
        }

        #[test]
        fn a_nested_message_is_as_if_it_were_known_before(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let (mut known, mut nested) = (vec![7], vec![7]);
            put_bytes(&mut known, 3, &bytes);
            put_nested(&mut nested, 3, |out| {
                out.extend_from_slice(&bytes);
                Ok::<(), ()>(())
            }).unwrap();
            prop_assert_eq!(known, nested);
        }

        #[test]
        fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = all(&bytes);
        }
    }
}

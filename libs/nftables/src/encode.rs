//! Netlink's framing: attributes, nested ones, messages.
//!
//! ```text
//!   nlmsghdr    length u32 │ type u16 │ flags u16 │ sequence u32 │ port u32      the machine's byte order
//!   nfgenmsg    family u8 │ version u8 │ resource u16 (big-endian)
//!   attribute   length u16 │ type u16 │ value, padded to 4                       lengths without padding
//! ```

/// Bit of an attribute's type: it holds attributes.
const NESTED: u16 = 0x8000;
/// Octets of a message's header.
pub(crate) const HEADER: usize = 16;

/// Attributes of one message. What does not fit into a length makes all of it unusable.
#[derive(Debug, Default, Clone)]
pub(crate) struct Attributes {
    bytes: Vec<u8>,
    too_large: bool,
}

impl Attributes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The bytes; None: one of them was too long.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        (!self.too_large).then_some(self.bytes)
    }

    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let Ok(length) = u16::try_from(value.len() + 4) else {
            self.too_large = true;
            return self;
        };
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// Netfilter's numbers are big-endian.
    pub(crate) fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(crate) fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    pub(crate) fn nest(&mut self, kind: u16, inner: impl FnOnce(&mut Self)) -> &mut Self {
        let mut within = Self::new();
        inner(&mut within);
        self.too_large |= within.too_large;
        self.bytes(kind | NESTED, &within.bytes)
    }
}

/// A message's header, before its length is known to be right: the caller bounds the body.
pub(crate) fn header(
    out: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    body: usize,
) -> Option<()> {
    let length = u32::try_from(HEADER.checked_add(body)?).ok()?;
    out.extend(length.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend(0_u32.to_ne_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_counted_without_padding() {
        let mut all = Attributes::new();
        all.text(1, "ab").nest(4, |inner| {
            inner.number(2, 7);
        });
        let bytes = all.finish().expect("small");
        let mut expect = vec![];
        expect.extend(7_u16.to_ne_bytes());
        expect.extend(1_u16.to_ne_bytes());
        expect.extend(b"ab\0\0");
        expect.extend(12_u16.to_ne_bytes());
        expect.extend(0x8004_u16.to_ne_bytes());
        expect.extend(8_u16.to_ne_bytes());
        expect.extend(2_u16.to_ne_bytes());
        expect.extend([0, 0, 0, 7]);
        assert_eq!(bytes, expect);
    }

    #[test]
    fn what_is_longer_than_a_length_is_refused() {
        let mut all = Attributes::new();
        all.nest(1, |inner| {
            inner.bytes(1, &vec![0; 70_000]);
        });
        assert_eq!(all.finish(), None);
        let mut all = Attributes::new();
        all.nest(1, |inner| {
            for _ in 0..20 {
                inner.bytes(1, &vec![0; 4000]);
            }
        });
        assert_eq!(all.finish(), None);
    }
}

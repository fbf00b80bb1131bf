//! A point in the store's history.

use std::fmt;

/// The store's revision before anything was written (etcd starts at 1, so that 0 can mean "none").
pub const FIRST: i64 = 1;

/// What "compacted at" says while nothing has been compacted, as `HashKV` reports it.
pub const NEVER_COMPACTED: i64 = -1;

/// One change: the store's revision, and the change's place among those of that revision.
///
/// All changes of one transaction share `main` and count up `sub`, so that the order of revisions is the
/// order in which changes were made. `main` is signed because the wire's is; it is never negative here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// The store's revision.
    pub main: i64,
    /// Place within it, from 0.
    pub sub: u32,
}

impl Revision {
    /// Bytes of [`Revision::to_bytes`].
    pub const LENGTH: usize = 12;

    /// The key under which the change's record is kept: big endian, so that byte order is revision order.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..8].copy_from_slice(&self.main.to_be_bytes());
        bytes[8..].copy_from_slice(&self.sub.to_be_bytes());
        bytes
    }

    /// The one right after it, whether or not there is such a change.
    #[must_use]
    pub fn next(self) -> Self {
        match self.sub.checked_add(1) {
            Some(sub) => Self { sub, ..self },
            None => Self {
                main: self.main + 1,
                sub: 0,
            },
        }
    }

    /// The reverse of [`Revision::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        Self {
            main: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
            sub: u32::from_be_bytes([i, j, k, l]),
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.main, self.sub)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_keep_the_order(a in 0..i64::MAX, b in 0..i64::MAX, c: u32, d: u32) {
            let (left, right) = (Revision { main: a, sub: c }, Revision { main: b, sub: d });
            prop_assert_eq!(left.cmp(&right), left.to_bytes().cmp(&right.to_bytes()));
            prop_assert_eq!(Revision::from_bytes(left.to_bytes()), left);
            prop_assert!(left < left.next() && (right <= left || left.next() <= right));
        }
    }
}

//! A range of keys as requests name it.

use std::ops::Bound;

/// Bounds of a part of an ordered map.
pub type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Which keys a request means (etcd's `key` and `range_end`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRange<'a> {
    /// This one key.
    One(&'a [u8]),
    /// From the first (included) to the second (excluded); empty where they are not in order.
    Between(&'a [u8], &'a [u8]),
    /// From this key on.
    From(&'a [u8]),
}

impl<'a> KeyRange<'a> {
    /// Reads the wire's two fields: no end means the one key, an end of one zero byte means every key from `key` on.
    #[must_use]
    pub fn new(key: &'a [u8], range_end: &'a [u8]) -> Self {
        match range_end {
            [] => Self::One(key),
            [0] => Self::From(key),
            _ => Self::Between(key, range_end),
        }
    }

    /// Whether `key` is meant.
    #[must_use]
    pub fn contains(self, key: &[u8]) -> bool {
        match self {
            Self::One(one) => key == one,
            Self::Between(start, end) => start <= key && key < end,
            Self::From(start) => start <= key,
        }
    }

    /// Bounds for an ordered map; None where no key is meant (an ordered map panics on reversed bounds).
    #[must_use]
    pub fn bounds(self) -> Option<Bounds<'a>> {
        match self {
            Self::One(key) => Some((Bound::Included(key), Bound::Included(key))),
            Self::Between(start, end) => {
                (start < end).then_some((Bound::Included(start), Bound::Excluded(end)))
            }
            Self::From(start) => Some((Bound::Included(start), Bound::Unbounded)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_wire_has_three_forms() {
        assert_eq!(KeyRange::new(b"a", b""), KeyRange::One(b"a"));
        assert_eq!(KeyRange::new(b"a", b"\0"), KeyRange::From(b"a"));
        assert_eq!(
            KeyRange::new(b"a", b"\0\0"),
            KeyRange::Between(b"a", b"\0\0")
        );
        assert_eq!(KeyRange::new(b"b", b"a").bounds(), None);
        assert_eq!(KeyRange::new(b"a", b"a").bounds(), None);
    }

    proptest! {
        #[test]
        fn bounds_and_contains_agree(key in "[a-c]{0,2}", start in "[a-c]{0,2}", end in "[a-c\\x00]{0,2}") {
            use std::ops::RangeBounds;
            let range = KeyRange::new(start.as_bytes(), end.as_bytes());
            let within = range
                .bounds()
                .is_some_and(|bounds| RangeBounds::<[u8]>::contains(&bounds, key.as_bytes()));
            prop_assert_eq!(within, range.contains(key.as_bytes()));
        }
    }
}

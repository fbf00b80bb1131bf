//! A hash of contents that clients only compare: FNV-1a of 64 bits (draft-eastlake-fnv).
//!
//! Upstream uses SHA-2, and its clients take either for an opaque word. Nobody gains by a collision: at worst a client keeps
//! a document that it has already read.

/// The hash of what comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let start = 0xcbf2_9ce4_8422_2325;
        Self(bytes.iter().fold(start, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        }))
    }

    /// 16 digits, as in an `ETag` or after `?hash=`.
    pub(crate) fn hexadecimal(self) -> String {
        format!("{:016X}", self.0)
    }

    /// 11 characters and `=`, as in `storageVersionHash`: its 8 bytes and a ninth of zero, whose character is left out.
    pub(crate) fn base64(self) -> String {
        const DIGITS: [char; 64] = digits();
        let bits = u128::from(self.0) << 8;
        let mut text: String = (1..12)
            .map(|place| {
                let digit = (bits >> (72 - 6 * place)) & 63;
                usize::try_from(digit).map_or('A', |digit| DIGITS[digit])
            })
            .collect();
        text.push('=');
        text
    }
}

/// The alphabet of RFC 4648, section 4.
const fn digits() -> [char; 64] {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut digits = ['A'; 64];
    let mut place = 0;
    while place < 64 {
        digits[place] = alphabet[place] as char;
        place += 1;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let check = |text: &str, hexadecimal: &str, base64: &str| {
            let hash = Hash::of(text.as_bytes());
            assert_eq!(hash.hexadecimal(), hexadecimal, "{text}");
            assert_eq!(hash.base64(), base64, "{text}");
        };
        check("", "CBF29CE484222325", "y/Kc5IQiIyU=");
        check("a", "AF63DC4C8601EC8C", "r2PcTIYB7Iw=");
        check("foobar", "85944171F73967E8", "hZRBcfc5Z+g=");
    }
}

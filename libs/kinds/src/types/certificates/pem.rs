//! Blocks of PEM (RFC 7468) in the base64 of a JSON field, as far as they are read without a reader of X.509: labels, headers,
//! and whether a block holds one whole DER sequence.

/// A block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// Such as `CERTIFICATE`.
    pub(crate) label: String,
    /// Whether there are headers (RFC 1421) before the data.
    pub(crate) has_headers: bool,
    /// What is in it.
    pub(crate) data: Vec<u8>,
}

/// The blocks of a text; what is between them does not count, and nor does one that is broken.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim_end);
    while let Some(line) = lines.next() {
        let Some(label) = marker(line, "BEGIN") else {
            continue;
        };
        let mut body = String::new();
        let mut has_headers = false;
        for line in lines.by_ref() {
            if marker(line, "END").is_some_and(|end| end == label) {
                if let Some(data) = decode(&body) {
                    let label = label.to_owned();
                    blocks.push(Block {
                        label,
                        has_headers,
                        data,
                    });
                }
                break;
            }
            if line.contains(':') {
                has_headers = true;
            } else {
                body.push_str(line);
            }
        }
    }
    blocks
}

fn marker<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let line = line.strip_prefix("-----")?.strip_suffix("-----")?;
    line.strip_prefix(word)?.strip_prefix(' ')
}

/// Base64 (RFC 4648), with padding; white space does not count.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut bits = 0_u32;
    let mut count = 0_u32;
    let mut padding = 0_u32;
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        if byte == b'=' {
            padding += 1;
            continue;
        }
        if padding > 0 {
            return None;
        }
        bits = (bits << 6) | u32::from(sextet(byte)?);
        count += 1;
        if count == 4 {
            out.extend_from_slice(&bits.to_be_bytes()[1..]);
            (bits, count) = (0, 0);
        }
    }
    let rest = match (count, padding) {
        (0, 0) => 0,
        (2, 2) => 1,
        (3, 1) => 2,
        _ => return None,
    };
    if rest > 0 {
        let bits = bits << (6 * (4 - count));
        out.extend_from_slice(&bits.to_be_bytes()[1..=rest]);
    }
    Some(out)
}

fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// How many DER sequences data is made of; none where it is made of something else.
pub(crate) fn sequences(mut data: &[u8]) -> Option<usize> {
    const SEQUENCE: u8 = 0x30;
    let mut count = 0;
    while !data.is_empty() {
        let (&tag, rest) = data.split_first()?;
        let (&first, rest) = rest.split_first()?;
        if tag != SEQUENCE {
            return None;
        }
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let bytes = usize::from(first & 0x7f);
            if bytes == 0 || bytes > 4 || rest.len() < bytes {
                return None;
            }
            let (length, rest) = rest.split_at(bytes);
            let length = length
                .iter()
                .fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
            (length, rest)
        };
        data = rest.get(length..)?;
        count += 1;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn base64() {
        let check = |text: &str, expect: Option<&[u8]>| {
            assert_eq!(decode(text).as_deref(), expect, "{text}");
        };
        check("", Some(b""));
        check("Zg==", Some(b"f"));
        check("Zm8=", Some(b"fo"));
        check("Zm9v\nYmFy", Some(b"foobar"));
        for text in ["Z", "Zg", "Zg=", "=", "Zg==Zg==", "Z*=="] {
            check(text, None);
        }
    }

    #[test]
    fn blocks_are_found() {
        let text = "x\n-----BEGIN A-----\nh: v\n\nZm8=\n-----END A-----\n-----BEGIN B C-----\nZg==\n-----END B C-----\n-----BEGIN D-----\n";
        let found = blocks(text);
        let found: Vec<(&str, bool, &[u8])> = found
            .iter()
            .map(|block| {
                (
                    block.label.as_str(),
                    block.has_headers,
                    block.data.as_slice(),
                )
            })
            .collect();
        assert_eq!(found, [("A", true, &b"fo"[..]), ("B C", false, &b"f"[..])]);
    }

    #[test]
    fn sequences_are_counted() {
        assert_eq!(sequences(&[0x30, 1, 0, 0x30, 0]), Some(2));
        assert_eq!(sequences(&[0x30, 0x81, 1, 7]), Some(1));
        assert_eq!(sequences(&[]), Some(0));
        for data in [
            &[0x31, 0][..],
            &[0x30, 2, 0],
            &[0x30, 0x80],
            &[0x30, 0x85, 0, 0, 0, 0, 0],
            &[0x30],
        ] {
            assert_eq!(sequences(data), None, "{data:?}");
        }
    }

    proptest! {
        #[test]
        fn no_data_breaks_the_reader(text in "[-A-Za-z0-9+/=: \n]{0,200}", data: Vec<u8>) {
            let _ = blocks(&text);
            let _ = decode(&text);
            let _ = sequences(&data);
        }
    }
}

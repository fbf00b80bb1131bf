//! Records of `/dev/kmsg`, as the kernel's Documentation/ABI/testing/dev-kmsg has them:
//! `<prefix>,<sequence>,<microseconds>,<flags>[,...];<text>\n[ KEY=value\n]...`.

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// syslog severity, 0 to 7.
    pub level: u32,
    /// syslog facility.
    pub facility: u32,
    /// Grows by one per record.
    pub sequence: u64,
    /// Since the kernel's start.
    pub microseconds: u64,
    /// The text, its `\xNN` escapes undone; what is no UTF-8 is replaced.
    pub text: String,
}

/// Reads one record; None for bytes that are none.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Record> {
    let at = bytes.iter().position(|byte| *byte == b';')?;
    let (head, rest) = (std::str::from_utf8(&bytes[..at]).ok()?, &bytes[at + 1..]);
    let mut fields = head.split(',');
    let prefix: u32 = fields.next()?.parse().ok()?;
    let sequence = fields.next()?.parse().ok()?;
    let microseconds = fields.next()?.parse().ok()?;
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Some(Record {
        level: prefix & 7,
        facility: prefix >> 3,
        sequence,
        microseconds,
        text: String::from_utf8_lossy(&unescape(line)).into_owned(),
    })
}

fn unescape(line: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((first, tail)) = rest.split_first() {
        let code = rest
            .strip_prefix(b"\\x")
            .and_then(|hex| std::str::from_utf8(hex.get(..2)?).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(byte) => {
                out.push(byte);
                rest = &rest[4..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(bytes: &[u8], expect: Option<(u32, u32, u64, u64, &str)>) {
        let expect = expect.map(|(level, facility, sequence, microseconds, text)| Record {
            level,
            facility,
            sequence,
            microseconds,
            text: text.to_owned(),
        });
        assert_eq!(parse(bytes), expect);
    }

    #[test]
    fn records() {
        check(
            b"6,339,5140900,-;NET: Registered protocol family 10\n",
            Some((6, 0, 339, 5_140_900, "NET: Registered protocol family 10")),
        );
        check(
            b"30,340,5690716,-,caller=T1;udevd[80]: starting\n SUBSYSTEM=acpi\n",
            Some((6, 3, 340, 5_690_716, "udevd[80]: starting")),
        );
        check(
            b"4,1,2,-;a\\x09b\\x5cc\\xZ\n",
            Some((4, 0, 1, 2, "a\tb\\c\\xZ")),
        );
        check(b"no record", None);
        check(b"x,1,2,-;text", None);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes);
        }
    }
}

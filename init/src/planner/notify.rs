//! Messages of sd_notify(3).
//!
//! Bounds: a datagram of at most [`DATAGRAM_MAX`] bytes; a status of at most [`STATUS_MAX`].

/// Longest datagram that is read; longer ones are cut by the kernel and dropped here.
pub(crate) const DATAGRAM_MAX: usize = 4096;
/// Longest `STATUS=` kept.
pub(crate) const STATUS_MAX: usize = 512;
/// Longest `FDNAME=`, as in the protocol.
const NAME_MAX: usize = 255;

/// One assignment that `init` acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// `READY=1`
    Ready,
    /// `STOPPING=1`
    Stopping,
    /// `WATCHDOG=1`
    Watchdog,
    /// `STATUS=...`
    Status(String),
    /// `FDSTORE=1` with this `FDNAME=` ("stored" without one, as the protocol says).
    StoreDescriptors(String),
    /// `FDSTOREREMOVE=1` with `FDNAME=`.
    RemoveDescriptors(String),
}

/// What a datagram says. Unknown assignments (`MAINPID=` among them: the main process is the one that
/// `init` started) are left out.
pub(crate) fn parse(datagram: &[u8]) -> Vec<Message> {
    let text = String::from_utf8_lossy(datagram);
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("FDNAME="))
        .filter(|name| valid_name(name))
        .unwrap_or("stored");
    text.lines()
        .filter_map(|line| {
            Some(match line.split_once('=')? {
                ("READY", "1") => Message::Ready,
                ("STOPPING", "1") => Message::Stopping,
                ("WATCHDOG", "1") => Message::Watchdog,
                ("STATUS", status) => Message::Status(status.chars().take(STATUS_MAX).collect()),
                ("FDSTORE", "1") => Message::StoreDescriptors(name.to_owned()),
                ("FDSTOREREMOVE", "1") => Message::RemoveDescriptors(name.to_owned()),
                _ => return None,
            })
        })
        .collect()
}

fn valid_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte) && byte != b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(datagram: &str, expect: &[Message]) {
        assert_eq!(parse(datagram.as_bytes()), expect, "{datagram:?}");
    }

    #[test]
    fn assignments() {
        check(
            "READY=1\nSTATUS=listening on :50000\n",
            &[
                Message::Ready,
                Message::Status("listening on :50000".into()),
            ],
        );
        check("WATCHDOG=1", &[Message::Watchdog]);
        check("MAINPID=1\nREADY=0\nnonsense", &[]);
        check(
            "FDSTORE=1\nFDNAME=pipe-1",
            &[Message::StoreDescriptors("pipe-1".into())],
        );
        check(
            "FDNAME=a:b\nFDSTOREREMOVE=1",
            &[Message::RemoveDescriptors("stored".into())],
        );
    }

    #[test]
    fn a_long_status_is_cut() {
        let long = format!("STATUS={}", "ä".repeat(STATUS_MAX + 1));
        let Message::Status(status) = &parse(long.as_bytes())[0] else {
            panic!("no status");
        };
        assert_eq!(status.chars().count(), STATUS_MAX);
    }
}

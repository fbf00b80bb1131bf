//! Which protocols there are, and which of those that a client names is spoken.
//!
//! ```text
//!   exec, attach   SPDY       v4.channel.k8s.io, v3, v2, channel.k8s.io      by X-Stream-Protocol-Version
//!                  WebSocket  v5.channel.k8s.io, v4, channel.k8s.io, base64  by Sec-WebSocket-Protocol; none is channel.k8s.io
//!   port-forward   SPDY       portforward.k8s.io
//!                  WebSocket  v4.channel.k8s.io, v4.base64; SPDY/3.1+portforward.k8s.io: SPDY within messages
//! ```
//! Source: k8s.io/kubelet/pkg/cri/streaming and k8s.io/apimachinery/pkg/util/httpstream. The first of the client's list that is known is
//! taken.

/// Where a SPDY client names its protocols; commas part them, and there may be several.
pub const SPDY_PROTOCOLS: &str = "x-stream-protocol-version";
/// Where it is told ours, if it named none that is known.
pub const SPDY_ACCEPTED: &str = "x-accepted-stream-protocol-versions";
/// Longest message on a stream of errors by which a version before the fourth is told why.
pub const TEXT_MAX: usize = 16 * 1024;

/// How an end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As text, and nothing for success.
    Text,
    /// As a metav1.Status in JSON.
    Status,
}

/// How bytes are in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As they are, in binary messages.
    Binary,
    /// In base64, in messages of text.
    Base64,
}

/// Of exec and attach over SPDY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpdyTerms {
    /// Its name.
    pub name: &'static str,
    /// How an end is told.
    pub ending: Ending,
    /// Whether there is a stream of sizes where there is a terminal.
    pub resize: bool,
}

/// Of exec and attach over SPDY, the best first.
pub const SPDY: [SpdyTerms; 4] = [
    spdy("v4.channel.k8s.io", Ending::Status, true),
    spdy("v3.channel.k8s.io", Ending::Text, true),
    spdy("v2.channel.k8s.io", Ending::Text, false),
    spdy("channel.k8s.io", Ending::Text, false),
];

const fn spdy(name: &'static str, ending: Ending, resize: bool) -> SpdyTerms {
    SpdyTerms {
        name,
        ending,
        resize,
    }
}

/// Over WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketTerms {
    /// Its name; "" where the client names none.
    pub name: &'static str,
    /// How an end is told.
    pub ending: Ending,
    /// How bytes are in messages.
    pub form: Form,
    /// Whether a message may end a channel.
    pub closes: bool,
    /// Whether messages are SPDY.
    pub tunnel: bool,
}

const SOCKET: SocketTerms = SocketTerms {
    name: "",
    ending: Ending::Text,
    form: Form::Binary,
    closes: false,
    tunnel: false,
};

/// Of exec and attach over WebSocket.
pub const SOCKETS: [SocketTerms; 6] = [
    SocketTerms {
        name: "v5.channel.k8s.io",
        ending: Ending::Status,
        closes: true,
        ..SOCKET
    },
    SocketTerms {
        name: "v4.channel.k8s.io",
        ending: Ending::Status,
        ..SOCKET
    },
    SocketTerms {
        name: "v4.base64.channel.k8s.io",
        ending: Ending::Status,
        form: Form::Base64,
        ..SOCKET
    },
    SocketTerms {
        name: "channel.k8s.io",
        ..SOCKET
    },
    SocketTerms {
        name: "base64.channel.k8s.io",
        form: Form::Base64,
        ..SOCKET
    },
    SOCKET,
];

/// Of port-forward over SPDY.
pub const FORWARD_SPDY: &str = "portforward.k8s.io";

/// Of port-forward over WebSocket.
pub const FORWARD_SOCKETS: [SocketTerms; 4] = [
    SocketTerms {
        name: "SPDY/3.1+portforward.k8s.io",
        tunnel: true,
        ..SOCKET
    },
    SocketTerms {
        name: "v4.channel.k8s.io",
        ..SOCKET
    },
    SocketTerms {
        name: "v4.base64.channel.k8s.io",
        form: Form::Base64,
        ..SOCKET
    },
    SOCKET,
];

/// The first that the client names and that is known.
#[must_use]
pub fn choose<'a, T>(
    asked: &[impl AsRef<str>],
    known: &'a [T],
    name: impl Fn(&T) -> &'static str,
) -> Option<&'a T> {
    asked
        .iter()
        .find_map(|asked| known.iter().find(|known| name(known) == asked.as_ref()))
}

/// Which of the three, and of the terminal's sizes, a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The client's to the process.
    pub stdin: bool,
    /// The process's to the client.
    pub stdout: bool,
    /// As well.
    pub stderr: bool,
    /// All three are one terminal.
    pub tty: bool,
}

/// A stream of exec and attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Channel 0.
    Stdin,
    /// Channel 1.
    Stdout,
    /// Channel 2.
    Stderr,
    /// Channel 3: how it ended.
    Error,
    /// Channel 4: sizes of the terminal.
    Resize,
}

impl Kind {
    /// In the order of their channels.
    pub const ALL: [Self; 5] = [
        Self::Stdin,
        Self::Stdout,
        Self::Stderr,
        Self::Error,
        Self::Resize,
    ];

    /// By the header `streamtype`.
    #[must_use]
    pub fn of_header(value: &str) -> Option<Self> {
        Some(match value {
            "stdin" => Self::Stdin,
            "stdout" => Self::Stdout,
            "stderr" => Self::Stderr,
            "error" => Self::Error,
            "resize" => Self::Resize,
            _ => return None,
        })
    }

    /// Whether it is one of those that a call is about.
    #[must_use]
    pub const fn is_of(self, wanted: Wanted, resize: bool) -> bool {
        match self {
            Self::Stdin => wanted.stdin,
            Self::Stdout => wanted.stdout,
            Self::Stderr => wanted.stderr && !wanted.tty,
            Self::Error => true,
            Self::Resize => wanted.tty && resize,
        }
    }
}

/// Size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub struct Size {
    /// Columns.
    #[serde(rename = "Width")]
    pub width: u16,
    /// Rows.
    #[serde(rename = "Height")]
    pub height: u16,
}

/// Sizes, one JSON object after the other. What is none is passed over, as the kubelet does with what it cannot read.
#[derive(Debug, Default)]
pub struct Sizes {
    begun: Vec<u8>,
}

/// Longest text of one size.
const SIZE_MAX: usize = 1024;

impl Sizes {
    /// The last of those that are whole now: those before it hold no longer.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Size> {
        let mut last = None;
        for byte in bytes {
            self.begun.push(*byte);
            if *byte == b'}' || self.begun.len() > SIZE_MAX {
                let text = std::mem::take(&mut self.begun);
                last = serde_json::from_slice(&text).ok().or(last);
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_client_that_is_known() {
        let check = |asked: &[&str]| choose(asked, &SOCKETS, |terms| terms.name).map(|t| t.name);
        assert_eq!(check(&["v5.channel.k8s.io"]), Some("v5.channel.k8s.io"));
        assert_eq!(
            check(&["v9", "channel.k8s.io", "v5.channel.k8s.io"]),
            Some("channel.k8s.io")
        );
        assert_eq!(check(&[""]), Some(""));
        assert_eq!(check(&["v9"]), None);
        let names = SPDY.map(|terms| terms.name);
        assert_eq!(
            choose(
                &["v5.channel.k8s.io", "v4.channel.k8s.io"],
                &names,
                |name| name
            ),
            Some(&"v4.channel.k8s.io")
        );
    }

    #[test]
    fn sizes_come_in_any_pieces() {
        let text = br#"{"Width":80,"Height":24}
            {"Width":-1,"Height":24}{"Height":50,"Width":120}"#;
        for at in 0..text.len() {
            let mut sizes = Sizes::default();
            let (one, two) = text.split_at(at);
            sizes.push(one);
            let last = sizes.push(two);
            assert_eq!((last.unwrap().width, last.unwrap().height), (120, 50));
        }
        let mut sizes = Sizes::default();
        assert_eq!(sizes.push(&vec![b' '; 10_000]), None);
        assert!(sizes.begun.len() <= SIZE_MAX);
    }

    #[test]
    fn a_terminal_has_no_stream_of_complaints() {
        let wanted = Wanted {
            stdin: true,
            stdout: true,
            stderr: true,
            tty: true,
        };
        let of = |resize| {
            let kinds = Kind::ALL.into_iter();
            kinds
                .filter(|kind| kind.is_of(wanted, resize))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of(true),
            [Kind::Stdin, Kind::Stdout, Kind::Error, Kind::Resize]
        );
        assert_eq!(of(false), [Kind::Stdin, Kind::Stdout, Kind::Error]);
    }
}

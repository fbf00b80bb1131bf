//! Frames, read as their bytes come and written.
//!
//! ```text
//!   control  1 | version 15 | type 16 | flags 8 | length 24 | body       SYN_STREAM 1, SYN_REPLY 2, RST_STREAM 3, SETTINGS 4,
//!                                                                        PING 6, GOAWAY 7, HEADERS 8, WINDOW_UPDATE 9
//!   data     0 | stream 31            | flags 8 | length 24 | bytes
//! ```
//! The body of a control frame is kept until it is whole, and is bounded. Data are passed on as they come: a frame of them may be
//! 16 MiB long, and nobody waits for its end.

use super::{
    SpdyError,
    headers::{self, BLOCK_MAX, Pairs},
};

/// Of every frame.
const HEAD: usize = 8;
/// The only version: 3.1 differs in windows, which nobody has.
const VERSION: u16 = 3;
/// SYN_STREAM before its header block: stream, associated stream, priority, slot.
const SYN_STREAM_HEAD: usize = 10;
/// Largest body of a control frame.
pub const CONTROL_MAX: usize = BLOCK_MAX + SYN_STREAM_HEAD;
/// The last frame of a side.
const FLAG_FIN: u8 = 1;
/// Numbers of streams have 31 bits.
const STREAM_BITS: u32 = 0x7fff_ffff;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

/// Why a stream ends before its time (RST_STREAM).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Reset {
    /// It is none.
    InvalidStream = 2,
    /// There are too many.
    RefusedStream = 3,
    /// Nobody wants it any longer.
    Cancel = 5,
}

/// Why a connection ends (GOAWAY).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum GoAway {
    /// It is done.
    Ok = 0,
    /// What came is not SPDY.
    ProtocolError = 1,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A stream begins.
    SynStream {
        /// Its number.
        stream: u32,
        /// The client will send nothing on it.
        fin: bool,
        /// What it is for.
        headers: Pairs,
    },
    /// Some of a stream's bytes.
    Data {
        /// Its number.
        stream: u32,
        /// Them.
        bytes: &'a [u8],
        /// They are the client's last.
        fin: bool,
    },
    /// A stream is of no more use.
    RstStream {
        /// Its number.
        stream: u32,
    },
    /// To be sent back as it is.
    Ping {
        /// The client's are odd.
        number: u32,
    },
    /// The client begins no more streams.
    GoAway,
    /// A stream's client has sent its last headers, or there is nothing to do.
    Headers {
        /// Its number.
        stream: u32,
        /// The client will send nothing more on it.
        fin: bool,
    },
    /// Nothing to do: settings, windows, what is not known.
    Other,
}

#[derive(Debug)]
enum State {
    Head(Vec<u8>),
    Control {
        kind: u16,
        flags: u8,
        length: usize,
        body: Vec<u8>,
    },
    Data {
        stream: u32,
        fin: bool,
        left: usize,
    },
    /// A frame that is of no interest, of any length.
    Skip(usize),
}

/// Of the bytes of one connection.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    headers: headers::Reader,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            state: State::Head(Vec::new()),
            headers: headers::Reader::default(),
        }
    }
}

impl Decoder {
    /// Takes from `bytes` until there is a frame, or a part of one's data. None: it has taken all.
    ///
    /// # Errors
    /// [`SpdyError`]. It is of no more use then.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Frame<'a>>, SpdyError> {
        loop {
            match &mut self.state {
                State::Head(head) => {
                    take(bytes, head, HEAD);
                    let Some(whole) = head.first_chunk::<HEAD>() else {
                        return Ok(None);
                    };
                    self.state = begin(*whole)?;
                }
                State::Control {
                    kind,
                    flags,
                    length,
                    body,
                } => {
                    take(bytes, body, *length);
                    if body.len() < *length {
                        return Ok(None);
                    }
                    let (kind, flags, body) = (*kind, *flags, std::mem::take(body));
                    self.state = State::Head(Vec::with_capacity(HEAD));
                    return self.control(kind, flags, &body).map(Some);
                }
                State::Data { stream, fin, left } => {
                    if bytes.is_empty() && *left > 0 {
                        return Ok(None);
                    }
                    let (part, rest) = bytes.split_at((*left).min(bytes.len()));
                    *bytes = rest;
                    *left -= part.len();
                    let last = *left == 0;
                    let frame = Frame::Data {
                        stream: *stream,
                        bytes: part,
                        fin: *fin && last,
                    };
                    if last {
                        self.state = State::Head(Vec::with_capacity(HEAD));
                    }
                    return Ok(Some(frame));
                }
                State::Skip(left) => {
                    let part = (*left).min(bytes.len());
                    *bytes = bytes.get(part..).unwrap_or_default();
                    *left -= part;
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.state = State::Head(Vec::with_capacity(HEAD));
                    return Ok(Some(Frame::Other));
                }
            }
        }
    }

    fn control(&mut self, kind: u16, flags: u8, body: &[u8]) -> Result<Frame<'static>, SpdyError> {
        let fin = flags & FLAG_FIN != 0;
        match kind {
            SYN_STREAM => {
                let (stream, _) = numbers(body, "SYN_STREAM")?;
                let block = block(body, SYN_STREAM_HEAD, "SYN_STREAM")?;
                Ok(Frame::SynStream {
                    stream: stream & STREAM_BITS,
                    fin,
                    headers: self.headers.read(block)?,
                })
            }
            // They are read even if nobody wants them: the next block's compression goes on from theirs.
            SYN_REPLY | HEADERS => {
                let stream = number(body, "HEADERS")?;
                self.headers.read(block(body, 4, "HEADERS")?)?;
                Ok(Frame::Headers {
                    stream: stream & STREAM_BITS,
                    fin,
                })
            }
            RST_STREAM => {
                let (stream, _) = numbers(body, "RST_STREAM")?;
                Ok(Frame::RstStream {
                    stream: stream & STREAM_BITS,
                })
            }
            PING => Ok(Frame::Ping {
                number: number(body, "PING")?,
            }),
            GOAWAY => numbers(body, "GOAWAY").map(|_| Frame::GoAway),
            _ => Ok(Frame::Other),
        }
    }
}

fn begin(head: [u8; HEAD]) -> Result<State, SpdyError> {
    let [a, b, c, d, flags, e, f, g] = head;
    let length = usize::try_from(u32::from_be_bytes([0, e, f, g])).unwrap_or(usize::MAX);
    let first = u32::from_be_bytes([a, b, c, d]);
    if first & !STREAM_BITS == 0 {
        return Ok(State::Data {
            stream: first,
            fin: flags & FLAG_FIN != 0,
            left: length,
        });
    }
    let version = u16::from_be_bytes([a & 0x7f, b]);
    if version != VERSION {
        return Err(SpdyError::Version(version));
    }
    let kind = u16::from_be_bytes([c, d]);
    let (name, bounds) = match kind {
        SYN_STREAM => ("SYN_STREAM", SYN_STREAM_HEAD..=CONTROL_MAX),
        SYN_REPLY => ("SYN_REPLY", 4..=CONTROL_MAX),
        HEADERS => ("HEADERS", 4..=CONTROL_MAX),
        RST_STREAM => ("RST_STREAM", 8..=8),
        PING => ("PING", 4..=4),
        GOAWAY => ("GOAWAY", 8..=8),
        WINDOW_UPDATE => ("WINDOW_UPDATE", 8..=8),
        SETTINGS => ("SETTINGS", 4..=CONTROL_MAX),
        _ => return Ok(State::Skip(length)),
    };
    if !bounds.contains(&length) {
        return Err(SpdyError::Length { kind: name, length });
    }
    Ok(State::Control {
        kind,
        flags,
        length,
        body: Vec::with_capacity(length),
    })
}

fn take(bytes: &mut &[u8], into: &mut Vec<u8>, whole: usize) {
    let missing = whole.saturating_sub(into.len()).min(bytes.len());
    let (part, rest) = bytes.split_at(missing);
    into.extend_from_slice(part);
    *bytes = rest;
}

fn number(body: &[u8], kind: &'static str) -> Result<u32, SpdyError> {
    let found = body.first_chunk::<4>().copied().map(u32::from_be_bytes);
    found.ok_or(SpdyError::Length {
        kind,
        length: body.len(),
    })
}

fn numbers(body: &[u8], kind: &'static str) -> Result<(u32, u32), SpdyError> {
    let rest = body.get(4..).unwrap_or_default();
    Ok((number(body, kind)?, number(rest, kind)?))
}

fn block<'a>(body: &'a [u8], from: usize, kind: &'static str) -> Result<&'a [u8], SpdyError> {
    body.get(from..).ok_or(SpdyError::Length {
        kind,
        length: body.len(),
    })
}

// --- what is sent ---

/// The head of a frame with some of a stream's bytes, of which there are fewer than 16 MiB.
#[must_use]
pub fn data_head(stream: u32, length: usize, fin: bool) -> [u8; HEAD] {
    let [a, b, c, d] = (stream & STREAM_BITS).to_be_bytes();
    let [_, e, f, g] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [a, b, c, d, if fin { FLAG_FIN } else { 0 }, e, f, g]
}

/// RST_STREAM.
#[must_use]
pub fn reset(stream: u32, why: Reset) -> Vec<u8> {
    control(
        RST_STREAM,
        &[stream.to_be_bytes(), (why as u32).to_be_bytes()].concat(),
    )
}

/// PING.
#[must_use]
pub fn ping(number: u32) -> Vec<u8> {
    control(PING, &number.to_be_bytes())
}

/// GOAWAY, with the last stream that was taken.
#[must_use]
pub fn go_away(last: u32, why: GoAway) -> Vec<u8> {
    control(
        GOAWAY,
        &[last.to_be_bytes(), (why as u32).to_be_bytes()].concat(),
    )
}

/// SYN_REPLY, with this header block.
#[must_use]
pub fn syn_reply(stream: u32, block: &[u8]) -> Vec<u8> {
    control(SYN_REPLY, &[&stream.to_be_bytes(), block].concat())
}

fn control(kind: u16, body: &[u8]) -> Vec<u8> {
    let [a, b] = (VERSION | 0x8000).to_be_bytes();
    let [c, d] = kind.to_be_bytes();
    let [_, e, f, g] = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[a, b, c, d, 0, e, f, g], body].concat()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As a client sends it.
    pub(crate) fn syn_stream(
        writer: &mut headers::Writer,
        stream: u32,
        pairs: &[(&str, &str)],
    ) -> Vec<u8> {
        let block = writer.write(pairs).unwrap();
        let body = [&stream.to_be_bytes()[..], &[0; 6], &block].concat();
        control(SYN_STREAM, &body)
    }

    fn all(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<String>, SpdyError> {
        let mut left = bytes;
        let mut frames = Vec::new();
        while let Some(frame) = decoder.next(&mut left)? {
            frames.push(format!("{frame:?}"));
        }
        assert!(left.is_empty());
        Ok(frames)
    }

    fn story() -> Vec<u8> {
        let mut writer = headers::Writer::default();
        [
            syn_stream(&mut writer, 1, &[("streamtype", "error")]),
            syn_stream(&mut writer, 3, &[("streamtype", "stdin")]),
            control(SETTINGS, &[0; 4]),
            data_head(3, 5, false).to_vec(),
            b"hello".to_vec(),
            ping(1),
            control(77, b"whatever"),
            data_head(3, 0, true).to_vec(),
            control(WINDOW_UPDATE, &[0; 8]),
            reset(3, Reset::Cancel),
            go_away(0, GoAway::Ok),
        ]
        .concat()
    }

    #[test]
    fn a_story_is_read() {
        let frames = all(&mut Decoder::default(), &story()).unwrap();
        assert_eq!(
            frames,
            [
                r#"SynStream { stream: 1, fin: false, headers: [("streamtype", "error")] }"#,
                r#"SynStream { stream: 3, fin: false, headers: [("streamtype", "stdin")] }"#,
                "Other",
                "Data { stream: 3, bytes: [104, 101, 108, 108, 111], fin: false }",
                "Ping { number: 1 }",
                "Other",
                "Data { stream: 3, bytes: [], fin: true }",
                "Other",
                "RstStream { stream: 3 }",
                "GoAway",
            ]
        );
    }

    #[test]
    fn it_may_be_split_at_any_byte() {
        let story = story();
        let expected = all(&mut Decoder::default(), &story).unwrap().len();
        for at in 0..story.len() {
            let mut decoder = Decoder::default();
            let (one, two) = story.split_at(at);
            let count =
                all(&mut decoder, one).unwrap().len() + all(&mut decoder, two).unwrap().len();
            // Data may come in two parts.
            assert!(count == expected || count == expected + 1, "{at}: {count}");
        }
    }

    #[test]
    fn bounds_hold() {
        let refused = |bytes: &[u8]| all(&mut Decoder::default(), bytes).unwrap_err();
        assert_eq!(refused(&[0x80, 2, 0, 1, 0, 0, 0, 0]), SpdyError::Version(2));
        assert_eq!(
            refused(&[0x80, 3, 0, 1, 0, 1, 0, 0]),
            SpdyError::Length {
                kind: "SYN_STREAM",
                length: 65536
            }
        );
        assert_eq!(
            refused(&[0x80, 3, 0, 6, 0, 0, 0, 5]),
            SpdyError::Length {
                kind: "PING",
                length: 5
            }
        );
        // HTTP is not SPDY: a stream of this number was never begun.
        let mut decoder = Decoder::default();
        assert_eq!(all(&mut decoder, b"GET / HTTP/1.1").unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = all(&mut Decoder::default(), &bytes);
        }

        #[test]
        fn hostile_frames_never_panic(kind in 0_u16..12, flags: u8, body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut frame = control(kind, &body);
            frame[4] = flags;
            let _ = all(&mut Decoder::default(), &frame);
        }
    }
}

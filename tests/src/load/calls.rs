//! Unary calls of gRPC on one connection, with as little of HTTP/2 (RFC 9113) and HPACK (RFC 7541) as a client may do.
//!
//! Client and servers share the machine, so whatever the client spends on a call hides what a server saves. This one sends all
//! that is queued by one system call, knows its headers' places in the table of the other side by heart, and does not
//! read headers at all: a call that failed has an answer without a message.

use anyhow::{Context as _, Result, bail, ensure};
use etcd_proto::prost::Message;
use std::collections::{HashMap, VecDeque};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER: usize = 9;
/// Of a message of gRPC: whether it is compressed, and its length.
const MESSAGE_HEADER: usize = 5;
/// Largest frame that every peer takes, and so the longest request.
const FRAME_MAX: usize = 16_384;
/// Bytes that the other side may send on one stream, and on all: more than the largest answer has, so that flow control is not
/// what is measured.
const STREAM_WINDOW: u32 = 16 * 1024 * 1024;
/// Bytes that a connection may have under way at first.
const WINDOW: u32 = 65_535;
/// Received bytes of which the other side is told together.
const WINDOW_STEP: u32 = STREAM_WINDOW / 4;
/// Bytes that one read takes.
const READ: usize = 64 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACKNOWLEDGED: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

const HEADER_TABLE_SIZE: u16 = 1;
const INITIAL_WINDOW_SIZE: u16 = 4;
/// What HPACK's dynamic table holds unless somebody asks for less.
const HEADER_TABLE_BYTES: u32 = 4096;

/// HPACK: POST, http, then path, authority, `te` and `content-type` by their places in the dynamic table, where the
/// first call put them.
const HEADERS_AGAIN: &[u8] = &[0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe];

/// A connection with calls of one method under way.
#[derive(Debug)]
pub struct Calls {
    stream: TcpStream,
    /// Headers of the next call.
    headers: Vec<u8>,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    next_stream: u32,
    /// Who made the call of a stream, and what came of its answer so far.
    under_way: HashMap<u32, (usize, Vec<u8>)>,
    /// Calls for which the other side has no room yet.
    waiting: VecDeque<(usize, Vec<u8>)>,
    /// Bytes that the other side still takes.
    window: i64,
    /// Bytes that came since it was told so.
    received: u32,
}

/// One answer: who asked, and the message.
pub type Answer = (usize, Vec<u8>);

impl Calls {
    /// Connects to `http://ADDRESS` for calls of the method with this path.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn connect(endpoint: &str, path: &str) -> Result<Self> {
        let authority = endpoint
            .strip_prefix("http://")
            .with_context(|| format!("{endpoint} is not plain HTTP"))?;
        let stream = TcpStream::connect(authority)
            .await
            .with_context(|| format!("connect to {endpoint}"))?;
        stream.set_nodelay(true).context("switch off delays")?;
        let mut calls = Self {
            stream,
            headers: first_headers(path, authority)?,
            outgoing: PREFACE.to_vec(),
            incoming: Vec::new(),
            next_stream: 1,
            under_way: HashMap::new(),
            waiting: VecDeque::new(),
            window: WINDOW.into(),
            received: 0,
        };
        let mut settings = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
        settings.extend(STREAM_WINDOW.to_be_bytes());
        calls.frame(SETTINGS, 0, 0, &[&settings]);
        calls.frame(WINDOW_UPDATE, 0, 0, &[&STREAM_WINDOW.to_be_bytes()]);
        Ok(calls)
    }

    /// Queues a call, whose answer comes with `who`.
    ///
    /// # Errors
    /// The request is larger than a frame.
    pub fn call(&mut self, who: usize, request: &impl Message) -> Result<()> {
        let length = request.encoded_len();
        ensure!(
            length + MESSAGE_HEADER <= FRAME_MAX,
            "a request of {length} bytes is none for this client"
        );
        let mut message = Vec::with_capacity(length + MESSAGE_HEADER);
        message.push(0);
        message.extend(
            u32::try_from(length)
                .context("a small number")?
                .to_be_bytes(),
        );
        request.encode(&mut message).context("encode a request")?;
        self.waiting.push_back((who, message));
        self.begin();
        Ok(())
    }

    /// Sends what is queued, and waits until there are answers.
    ///
    /// # Errors
    /// A call failed, or the connection did.
    pub async fn answers(&mut self, answers: &mut Vec<Answer>) -> Result<()> {
        while answers.is_empty() {
            if !self.outgoing.is_empty() {
                let sent = self.stream.write_all(&self.outgoing).await;
                sent.context("send calls")?;
                self.outgoing.clear();
            }
            self.incoming.reserve(READ);
            let read = self.stream.read_buf(&mut self.incoming).await;
            ensure!(
                read.context("read answers")? > 0,
                "the connection is closed"
            );
            let taken = self.take_frames(answers)?;
            self.incoming.drain(..taken);
        }
        Ok(())
    }

    /// Begins the calls for which there is room.
    fn begin(&mut self) {
        while let Some((who, message)) = self.waiting.pop_front() {
            let length = i64::try_from(message.len()).expect("no larger than a frame");
            if length > self.window {
                self.waiting.push_front((who, message));
                return;
            }
            self.window -= length;
            let stream = self.next_stream;
            self.next_stream += 2;
            let headers = std::mem::replace(&mut self.headers, HEADERS_AGAIN.to_vec());
            self.frame(HEADERS, END_HEADERS, stream, &[&headers]);
            self.frame(DATA, END_STREAM, stream, &[&message]);
            self.under_way.insert(stream, (who, Vec::new()));
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let length = u32::try_from(length).expect("our frames are small");
        self.outgoing.extend(&length.to_be_bytes()[1..]);
        self.outgoing.extend([kind, flags]);
        self.outgoing.extend(stream.to_be_bytes());
        parts.iter().for_each(|part| self.outgoing.extend(*part));
    }

    /// Takes the frames that are there as a whole, and returns how many bytes they are.
    fn take_frames(&mut self, answers: &mut Vec<Answer>) -> Result<usize> {
        let incoming = std::mem::take(&mut self.incoming);
        let mut taken = 0;
        while let Some((header, rest)) = incoming[taken..].split_first_chunk::<FRAME_HEADER>() {
            let [a, b, c, kind, flags, stream @ ..] = *header;
            let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).context("32 bits")?;
            let Some(payload) = rest.get(..length) else {
                break;
            };
            let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
            self.take(kind, flags, stream, payload, answers)?;
            taken += FRAME_HEADER + length;
        }
        self.incoming = incoming;
        Ok(taken)
    }

    fn take(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
        answers: &mut Vec<Answer>,
    ) -> Result<()> {
        match kind {
            DATA => {
                self.count(payload.len())?;
                let call = self.under_way.get_mut(&stream);
                let (_, body) = call.with_context(|| format!("data of no call: {stream}"))?;
                body.extend(unpadded(flags, payload)?);
            }
            SETTINGS if flags & ACKNOWLEDGED == 0 => {
                for setting in payload.chunks_exact(6) {
                    let name = u16::from_be_bytes([setting[0], setting[1]]);
                    let value =
                        u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
                    ensure!(
                        name != HEADER_TABLE_SIZE || value >= HEADER_TABLE_BYTES,
                        "the other side has a table of headers of {value} bytes only"
                    );
                }
                self.frame(SETTINGS, ACKNOWLEDGED, 0, &[]);
            }
            PING if flags & ACKNOWLEDGED == 0 => self.frame(PING, ACKNOWLEDGED, 0, &[payload]),
            WINDOW_UPDATE if stream == 0 => {
                let bytes = payload.try_into().context("four bytes of a window")?;
                self.window += i64::from(u32::from_be_bytes(bytes));
                self.begin();
            }
            RESET => bail!("a call was reset: {payload:?}"),
            GO_AWAY => bail!("the other side goes away: {payload:?}"),
            SETTINGS | PING | HEADERS | WINDOW_UPDATE | CONTINUATION => {}
            other => bail!("a frame of kind {other}"),
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            let call = self.under_way.remove(&stream);
            let (who, mut body) = call.with_context(|| format!("the end of no call: {stream}"))?;
            ensure!(
                body.len() >= MESSAGE_HEADER,
                "a call failed (its status is in the headers, which are not read)"
            );
            body.drain(..MESSAGE_HEADER);
            answers.push((who, body));
        }
        Ok(())
    }

    /// Makes room for more once a part of what the other side may send has come.
    fn count(&mut self, bytes: usize) -> Result<()> {
        self.received += u32::try_from(bytes).context("a frame is small")?;
        if self.received >= WINDOW_STEP {
            let bytes = std::mem::take(&mut self.received).to_be_bytes();
            self.frame(WINDOW_UPDATE, 0, 0, &[&bytes]);
        }
        Ok(())
    }
}

/// The headers of the first call; those that come again go into the table.
fn first_headers(path: &str, authority: &str) -> Result<Vec<u8>> {
    // The names by their places in HPACK's static table: `:path`, `:authority`; a new one; `content-type`.
    let mut headers = HEADERS_AGAIN[..2].to_vec();
    let literals: [(&[u8], &str); 4] = [
        (&[0x44], path),
        (&[0x41], authority),
        (b"\x40\x02te", "trailers"),
        (&[0x5f], "application/grpc"),
    ];
    for (name, value) in literals {
        headers.extend(name);
        let length = u8::try_from(value.len())
            .ok()
            .filter(|length| *length < 127);
        headers.push(length.with_context(|| format!("{value} is a long header"))?);
        headers.extend(value.as_bytes());
    }
    Ok(headers)
}

fn unpadded(flags: u8, payload: &[u8]) -> Result<&[u8]> {
    if flags & PADDED == 0 {
        return Ok(payload);
    }
    let (padding, rest) = payload.split_first().context("padding without length")?;
    let length = rest.len().checked_sub(usize::from(*padding));
    Ok(&rest[..length.context("more padding than frame")?])
}

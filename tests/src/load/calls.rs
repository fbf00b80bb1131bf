//! Requests of one method and path on one connection, with as little of HTTP/2 (RFC 9113) and HPACK (RFC 7541) as a client
//! may do: calls of gRPC, and requests of the Kubernetes API.
//!
//! Client and servers share the machine, so whatever the client spends on a call hides what a server saves. This one sends all
//! that is queued by one system call, knows its headers' places in the table of the other side by heart, and does not
//! read headers at all: a call of gRPC that failed has an answer without a message, and the API's faults are seen in the body.

use anyhow::{Context as _, Result, bail, ensure};
use etcd_proto::prost::Message;
use std::collections::{HashMap, VecDeque};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER: usize = 9;
/// Of a message of gRPC: whether it is compressed, and its length.
const MESSAGE_HEADER: usize = 5;
/// Largest frame that every peer takes, and so the longest request.
const FRAME_MAX: usize = 16_384;
/// Bytes that the other side may send on one stream: more than the largest answer has, so that flow control is not what is
/// measured.
const STREAM_WINDOW: u32 = 1 << 30;
/// Bytes that it may send on all before it is told that they have come.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// Bytes that a connection may have under way at first.
const WINDOW: u32 = 65_535;
/// Received bytes of which the other side is told together.
const WINDOW_STEP: u32 = CONNECTION_WINDOW / 4;
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
/// An indexed header: the first place of the dynamic table, behind the static one's 61.
const DYNAMIC_TABLE: u8 = 0x80 | 62;
/// HPACK: POST, http.
const POST_HTTP: &[u8] = &[0x83, 0x86];
/// Names of literals by their places in the static table: `:path`, `:authority`, `content-type`.
pub const PATH: &[u8] = &[0x44];
/// See [`PATH`].
pub const AUTHORITY: &[u8] = &[0x41];
/// See [`PATH`].
pub const CONTENT_TYPE: &[u8] = &[0x5f];

/// What the connection goes over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How a body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One message of gRPC.
    Grpc,
    /// As it is.
    Whole,
    /// Each piece is an answer, when it comes; an empty one is the end.
    Pieces,
}

/// Headers of all calls of a connection, as HPACK has them.
#[derive(Debug, Clone)]
pub struct Headers {
    /// Of the first call: it puts the literals into the table of the other side.
    first: Vec<u8>,
    /// Of those that come after it.
    again: Vec<u8>,
}

impl Headers {
    /// `known`: headers that HPACK's static table has whole (method, scheme). `literals`: a name as HPACK writes it for
    /// a literal that goes into the table, and the value.
    ///
    /// # Errors
    /// A value is longer than 126 bytes.
    pub fn new(known: &[u8], literals: &[(&[u8], &str)]) -> Result<Self> {
        let (mut first, mut again) = (known.to_vec(), known.to_vec());
        for (place, (name, value)) in literals.iter().enumerate() {
            first.extend(*name);
            let length = u8::try_from(value.len())
                .ok()
                .filter(|length| *length < 127);
            first.push(length.with_context(|| format!("{value} is a long header"))?);
            first.extend(value.as_bytes());
            // The table's first place is the last literal's.
            let behind = u8::try_from(literals.len() - 1 - place).context("a few headers")?;
            again.push(DYNAMIC_TABLE + behind);
        }
        Ok(Self { first, again })
    }
}

/// A connection with calls of one method under way.
pub struct Calls {
    stream: Box<dyn Stream>,
    framing: Framing,
    /// Headers of the next call.
    headers: Vec<u8>,
    /// Of those behind it.
    headers_again: Vec<u8>,
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

/// One answer: who asked, and the message, the body, or the piece of it that came.
pub type Answer = (usize, Vec<u8>);

impl std::fmt::Debug for Calls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Calls")
            .field("under_way", &self.under_way.len())
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

impl Calls {
    /// Connects to `http://ADDRESS` for calls of gRPC to the method with this path.
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
        let headers = Headers::new(
            POST_HTTP,
            &[
                (PATH, path),
                (AUTHORITY, authority),
                (b"\x40\x02te", "trailers"),
                (CONTENT_TYPE, "application/grpc"),
            ],
        )?;
        Ok(Self::over(Box::new(stream), headers, Framing::Grpc))
    }

    /// Calls with these headers over a stream.
    #[must_use]
    pub fn over(stream: Box<dyn Stream>, headers: Headers, framing: Framing) -> Self {
        let mut calls = Self {
            stream,
            framing,
            headers: headers.first,
            headers_again: headers.again,
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
        calls.frame(WINDOW_UPDATE, 0, 0, &[&CONNECTION_WINDOW.to_be_bytes()]);
        calls
    }

    /// Queues a call of gRPC, whose answer comes with `who`.
    ///
    /// # Errors
    /// The request is larger than a frame.
    pub fn call(&mut self, who: usize, request: &impl Message) -> Result<()> {
        let length = request.encoded_len();
        let mut message = Vec::with_capacity(length + MESSAGE_HEADER);
        message.push(0);
        message.extend(
            u32::try_from(length)
                .context("a small number")?
                .to_be_bytes(),
        );
        request.encode(&mut message).context("encode a request")?;
        self.send(who, message)
    }

    /// Queues a request with this body, or without one; its answer comes with `who`.
    ///
    /// # Errors
    /// The body is larger than a frame.
    pub fn send(&mut self, who: usize, body: Vec<u8>) -> Result<()> {
        let length = body.len();
        ensure!(
            length <= FRAME_MAX,
            "a request of {length} bytes is none for this client"
        );
        self.waiting.push_back((who, body));
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
                self.stream.flush().await.context("send calls")?;
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
            let headers = std::mem::replace(&mut self.headers, self.headers_again.clone());
            if message.is_empty() {
                self.frame(HEADERS, END_HEADERS | END_STREAM, stream, &[&headers]);
            } else {
                self.frame(HEADERS, END_HEADERS, stream, &[&headers]);
                self.frame(DATA, END_STREAM, stream, &[&message]);
            }
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
                let (who, body) = call.with_context(|| format!("data of no call: {stream}"))?;
                let payload = unpadded(flags, payload)?;
                if self.framing != Framing::Pieces {
                    body.extend(payload);
                } else if !payload.is_empty() {
                    answers.push((*who, payload.to_vec()));
                }
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
            if self.framing == Framing::Grpc {
                ensure!(
                    body.len() >= MESSAGE_HEADER,
                    "a call failed (its status is in the headers, which are not read)"
                );
                body.drain(..MESSAGE_HEADER);
            }
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

fn unpadded(flags: u8, payload: &[u8]) -> Result<&[u8]> {
    if flags & PADDED == 0 {
        return Ok(payload);
    }
    let (padding, rest) = payload.split_first().context("padding without length")?;
    let length = rest.len().checked_sub(usize::from(*padding));
    Ok(&rest[..length.context("more padding than frame")?])
}

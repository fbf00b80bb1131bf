//! What SPDY is spoken over: a TCP connection, or the messages of a WebSocket.

use super::connection::{CHUNK, GOODBYE_MAX};
use bytes::Bytes;
use futures_util::{
    FutureExt as _, SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
};
use std::io;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

/// What is read.
#[derive(Debug)]
pub(super) enum Source {
    /// A connection, and what was read of it already.
    Plain(OwnedReadHalf, Bytes),
    /// Messages.
    Tunnel(SplitStream<WebSocketStream<TcpStream>>, Presence),
}

/// What is written.
#[derive(Debug)]
pub(super) enum Sink {
    /// A connection.
    Plain(OwnedWriteHalf),
    /// Messages.
    Tunnel(SplitSink<WebSocketStream<TcpStream>, Message>),
}

/// Both halves of a connection.
pub(super) fn plain(stream: TcpStream, begun: Bytes) -> (Source, Sink) {
    let (read, write) = stream.into_split();
    (Source::Plain(read, begun), Sink::Plain(write))
}

/// Both halves of a socket.
pub(super) fn tunnel(socket: WebSocketStream<TcpStream>) -> (Source, Sink) {
    let presence = Presence::of(socket.get_ref());
    let (sink, source) = socket.split();
    (Source::Tunnel(source, presence), Sink::Tunnel(sink))
}

/// Whether a client is there still, while nothing is read from it: of a socket whose halves are others'.
#[derive(Debug)]
pub(super) struct Presence(Option<OwnedFd>);

impl Presence {
    /// Where there is no descriptor left it is known only once it is read.
    pub(super) fn of(stream: &TcpStream) -> Self {
        Self(rustix::io::fcntl_dupfd_cloexec(stream, 0).ok())
    }

    /// Whether the client has closed its end, though what it sent before was not read yet.
    pub(super) fn is_over(&self) -> bool {
        self.0.as_ref().is_some_and(|socket| {
            let mut polled = [PollFd::new(socket, PollFlags::RDHUP)];
            matches!(poll(&mut polled, Some(&Timespec::default())), Ok(1..))
        })
    }

    /// Reads what still comes, for nobody, until the client has closed its end: a connection that is closed over unread bytes loses what was
    /// sent last.
    pub(super) async fn drain(self) -> io::Result<()> {
        let Some(socket) = self.0 else { return Ok(()) };
        let mut stream = TcpStream::from_std(socket.into())?;
        let mut buffer = vec![0; CHUNK];
        while stream.read(&mut buffer).await? > 0 {}
        Ok(())
    }
}

impl Source {
    /// None: it has ended, however.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::Plain(_, begun) if !begun.is_empty() => Some(std::mem::take(begun)),
            Self::Plain(half, _) => {
                let mut buffer = vec![0; CHUNK];
                let count = half
                    .read(&mut buffer)
                    .await
                    .ok()
                    .filter(|count| *count > 0)?;
                buffer.truncate(count);
                Some(buffer.into())
            }
            Self::Tunnel(messages, _) => loop {
                match messages.next().await?.ok()? {
                    Message::Binary(bytes) if !bytes.is_empty() => return Some(bytes),
                    Message::Close(_) => {
                        answer_close(messages).await;
                        return None;
                    }
                    _ => {}
                }
            },
        }
    }

    /// Whether the client has closed its end, though what it sent before was not read yet.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Plain(half, _) => {
                let ready = half.ready(Interest::READABLE).now_or_never();
                ready.is_some_and(|ready| ready.is_ok_and(|ready| ready.is_read_closed()))
            }
            Self::Tunnel(_, presence) => presence.is_over(),
        }
    }
}

/// Has the answer to a client's Close sent, which tungstenite does with the next that is read.
pub(super) async fn answer_close(messages: &mut SplitStream<WebSocketStream<TcpStream>>) {
    let _ = timeout(GOODBYE_MAX, messages.next()).await;
}

impl Sink {
    pub(super) async fn send(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        match self {
            Self::Plain(half) => half.write_all(&bytes).await,
            Self::Tunnel(messages) => messages
                .send(Message::binary(bytes))
                .await
                .map_err(io::Error::other),
        }
    }

    /// Nothing more is sent.
    pub(super) async fn close(&mut self) {
        let _ = match self {
            Self::Plain(half) => half.shutdown().await,
            Self::Tunnel(messages) => messages
                .send(Message::Close(Some(CloseFrame {
                    code: CloseCode::Normal,
                    reason: "".into(),
                })))
                .await
                .map_err(io::Error::other),
        };
    }
}

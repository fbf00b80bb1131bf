//! What SPDY is spoken over: a TCP connection, or the messages of a WebSocket.

use super::connection::CHUNK;
use bytes::Bytes;
use futures_util::{
    FutureExt as _, SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use std::io;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
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
    Tunnel(SplitStream<WebSocketStream<TcpStream>>),
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
    let (sink, source) = socket.split();
    (Source::Tunnel(source), Sink::Tunnel(sink))
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
            Self::Tunnel(messages) => loop {
                match messages.next().await?.ok()? {
                    Message::Binary(bytes) if !bytes.is_empty() => return Some(bytes),
                    Message::Close(_) => return None,
                    _ => {}
                }
            },
        }
    }

    /// Whether the client has closed its end, though what it sent before was not read yet. Of messages that is not known.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Plain(half, _) => {
                let ready = half.ready(Interest::READABLE).now_or_never();
                ready.is_some_and(|ready| ready.is_ok_and(|ready| ready.is_read_closed()))
            }
            Self::Tunnel(_) => false,
        }
    }
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

//! A connection of channels over WebSocket: all of a call's streams are there at once.

use super::{
    connection::{
        CHUNK, Connection, Feed, GOODBYE_MAX, Gone, Incoming, MESSAGES_MAX, Message, Outgoing,
        Parting, Shared, Streams,
    },
    transport::{Presence, answer_close},
};
use crate::planner::streams::{
    channels::{self, Said},
    protocol::{Form, Kind, SocketTerms, Wanted},
};
use bytes::Bytes;
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use std::collections::HashMap;
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self,
        error::ProtocolError,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

/// Largest message of a client, all of which is in memory; a longer one is answered with 1009. Those of Kubernetes send 32 KiB at once; who sends
/// a file as one message has to part it.
const MESSAGE_MAX: usize = 4 * 1024 * 1024;

/// Over a connection that was upgraded, of which something was read already.
pub(super) async fn over(stream: TcpStream, begun: Bytes) -> WebSocketStream<TcpStream> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    WebSocketStream::from_partially_read(stream, begun.to_vec(), Role::Server, Some(config)).await
}

/// Channels that a client may send on, and a connection with all that may be sent.
pub(super) fn begin(
    socket: WebSocketStream<TcpStream>,
    terms: SocketTerms,
    channels: &[u8],
) -> (Connection, HashMap<u8, Incoming>, mpsc::Sender<Message>) {
    let presence = Presence::of(socket.get_ref());
    let (sink, source) = socket.split();
    let (queue, messages) = mpsc::channel(MESSAGES_MAX);
    let shared = Shared::new();
    let (mut feeds, mut incomings) = (HashMap::new(), HashMap::new());
    for channel in channels {
        let (feed, incoming) = Shared::stream();
        feeds.insert(*channel, feed);
        incomings.insert(*channel, incoming);
    }
    let reader = Reader {
        feeds,
        terms,
        shared: shared.clone(),
        presence,
        queue: queue.clone(),
    };
    let reader = reader.run(source);
    let writer = write(sink, messages, terms.form, shared);
    let connection = Connection::begin(queue.clone(), reader, writer);
    (connection, incomings, queue)
}

/// The streams of exec and attach.
pub(super) async fn streams(
    socket: WebSocketStream<TcpStream>,
    wanted: Wanted,
    terms: SocketTerms,
) -> Streams {
    let (connection, mut incomings, queue) =
        begin(socket, terms, &[Kind::Stdin as u8, Kind::Resize as u8]);
    let outgoing = |kind: Kind| Outgoing::new(u32::from(kind as u8), queue.clone());
    let is_wanted = |kind: Kind| kind.is_of(wanted, true);
    let mut incoming = |kind: Kind| {
        let incoming = incomings.remove(&(kind as u8));
        incoming.filter(|_| is_wanted(kind))
    };
    let streams = Streams {
        stdin: incoming(Kind::Stdin),
        resize: incoming(Kind::Resize),
        stdout: is_wanted(Kind::Stdout).then(|| outgoing(Kind::Stdout)),
        stderr: is_wanted(Kind::Stderr).then(|| outgoing(Kind::Stderr)),
        error: outgoing(Kind::Error),
        ending: terms.ending,
        connection,
    };
    // By an empty message clients see that it has begun.
    let first = streams.stdout.as_ref().or(streams.stderr.as_ref());
    let _ = first.unwrap_or(&streams.error).send(Vec::new()).await;
    streams
}

struct Reader {
    feeds: HashMap<u8, Feed>,
    terms: SocketTerms,
    shared: Shared,
    presence: Presence,
    queue: mpsc::Sender<Message>,
}

impl Reader {
    async fn run(mut self, mut source: SplitStream<WebSocketStream<TcpStream>>) {
        let shared = self.shared.clone();
        let parting = tokio::select! {
            parting = self.read(&mut source) => parting,
            () = shared.idle() => {
                tracing::info!("a connection of streams was idle for too long");
                None
            }
        };
        if let Some(parting) = parting {
            let told = async {
                let _ = self.queue.send(Message::Goodbye(parting)).await;
                self.queue.closed().await;
                let _ = self.presence.drain().await;
            };
            let _ = timeout(GOODBYE_MAX, told).await;
        }
    }

    /// Until the client has gone; or what it is to be told.
    async fn read(
        &mut self,
        source: &mut SplitStream<WebSocketStream<TcpStream>>,
    ) -> Option<Parting> {
        loop {
            let message = source.next().await?;
            self.shared.touch();
            let bytes = match message {
                Ok(message) if message.is_binary() || message.is_text() => message.into_data(),
                Ok(message) if message.is_close() => {
                    answer_close(source).await;
                    return None;
                }
                Ok(_) => continue,
                Err(error) => {
                    tracing::debug!(%error, "a client of streams has gone, or makes no sense");
                    return parting(&error);
                }
            };
            match channels::read(&bytes, self.terms.form, self.terms.closes) {
                Said::Bytes(channel, bytes) => self.feed(channel, &bytes).await.ok()?,
                Said::Close(channel) => drop(self.feeds.remove(&channel)),
                Said::Nothing => {}
            }
        }
    }

    async fn feed(&self, channel: u8, bytes: &[u8]) -> Result<(), Gone> {
        if let Some(feed) = self.feeds.get(&channel) {
            for bytes in bytes.chunks(CHUNK) {
                let is_gone = || {
                    let _ = self.queue.try_send(Message::Ping);
                    self.presence.is_over()
                };
                self.shared.feed(feed, bytes.to_vec(), is_gone).await?;
            }
        }
        Ok(())
    }
}

/// What a client is told who has sent what cannot be read; nothing where nobody is there.
const fn parting(error: &tungstenite::Error) -> Option<Parting> {
    match error {
        tungstenite::Error::Capacity(_) => Some(Parting::TooLong),
        // Its connection has ended, without a word.
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_) => Some(Parting::Fault),
        _ => None,
    }
}

async fn write(
    mut sink: SplitSink<WebSocketStream<TcpStream>, tungstenite::Message>,
    mut messages: mpsc::Receiver<Message>,
    form: Form,
    shared: Shared,
) {
    while let Some(message) = messages.recv().await {
        let sent = match message {
            Message::Data(channel, bytes) => {
                let channel = u8::try_from(channel).unwrap_or(u8::MAX);
                let bytes = channels::write(channel, &bytes, form);
                let message = match form {
                    Form::Binary => tungstenite::Message::binary(bytes),
                    // Base64 is UTF-8.
                    Form::Base64 => {
                        tungstenite::Message::text(String::from_utf8(bytes).unwrap_or_default())
                    }
                };
                sink.send(message).await
            }
            Message::Ping => {
                let ping = tungstenite::Message::Ping(Bytes::new());
                if sink.send(ping).await.is_err() {
                    return;
                }
                // It is no sign of life.
                continue;
            }
            // Channels have no end of their own.
            Message::End(_) | Message::Reset(_) | Message::Raw(_) => Ok(()),
            Message::Goodbye(parting) => {
                let close = CloseFrame {
                    code: match parting {
                        Parting::Done => CloseCode::Normal,
                        Parting::Fault => CloseCode::Protocol,
                        Parting::TooLong => CloseCode::Size,
                    },
                    reason: "".into(),
                };
                let _ = sink.send(tungstenite::Message::Close(Some(close))).await;
                drop(messages);
                if parting != Parting::Done {
                    // The reader, who wanted it said, ends the connection when the client has had time to hear it.
                    std::future::pending::<()>().await;
                }
                return;
            }
        };
        if sent.is_err() {
            return;
        }
        shared.touch();
    }
}

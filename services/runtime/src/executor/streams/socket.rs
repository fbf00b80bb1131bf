//! A connection of channels over WebSocket: all of a call's streams are there at once.

use super::connection::{
    CHUNK, Connection, Feed, Gone, Incoming, MESSAGES_MAX, Message, Outgoing, Shared, Streams,
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
use tokio::{net::TcpStream, sync::mpsc};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

/// Largest message of a client. Those in Python send what they have as one.
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
    let (sink, source) = socket.split();
    let (queue, messages) = mpsc::channel(MESSAGES_MAX);
    let shared = Shared::new();
    let (mut feeds, mut incomings) = (HashMap::new(), HashMap::new());
    for channel in channels {
        let (feed, incoming) = Shared::stream();
        feeds.insert(*channel, feed);
        incomings.insert(*channel, incoming);
    }
    let reader = read(source, feeds, terms, shared.clone());
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

async fn read(
    mut source: SplitStream<WebSocketStream<TcpStream>>,
    mut feeds: HashMap<u8, Feed>,
    terms: SocketTerms,
    shared: Shared,
) {
    let read = async {
        loop {
            let message = source.next().await.ok_or(Gone)?;
            shared.touch();
            let bytes = match message {
                Ok(message) if message.is_binary() || message.is_text() => message.into_data(),
                Ok(message) if message.is_close() => return Err(Gone),
                Ok(_) => continue,
                Err(error) => {
                    tracing::debug!(%error, "a client of streams has gone");
                    return Err::<(), _>(Gone);
                }
            };
            match channels::read(&bytes, terms.form, terms.closes) {
                Said::Bytes(channel, bytes) => {
                    if let Some(feed) = feeds.get(&channel) {
                        for bytes in bytes.chunks(CHUNK) {
                            shared.feed(feed, bytes.to_vec(), None).await?;
                        }
                    }
                }
                Said::Close(channel) => drop(feeds.remove(&channel)),
                Said::Nothing => {}
            }
        }
    };
    tokio::select! {
        _ = read => {}
        () = shared.idle() => tracing::info!("a connection of streams was idle for too long"),
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
            // Channels have no end of their own.
            Message::End(_) | Message::Reset(_) | Message::Raw(_) => Ok(()),
            Message::Goodbye(_) => {
                let close = CloseFrame {
                    code: CloseCode::Normal,
                    reason: "".into(),
                };
                let _ = sink.send(tungstenite::Message::Close(Some(close))).await;
                return;
            }
        };
        if sent.is_err() {
            return;
        }
        shared.touch();
    }
}

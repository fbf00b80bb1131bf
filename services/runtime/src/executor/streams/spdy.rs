//! A connection of SPDY: its reader, its writer, and the streams that the client begins.

use super::{
    connection::{
        CHUNK, Connection, Feed, GOODBYE_MAX, Gathered, Gone, Incoming, MESSAGES_MAX, Message,
        Outgoing, Parting, Shared, Streams, in_time,
    },
    transport::{Sink, Source},
};
use crate::planner::streams::{
    protocol::{Kind, SpdyTerms, Wanted},
    spdy::{
        frame::{GoAway, data_head, ping},
        headers::{Pairs, value},
        session::{Event, Session},
    },
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{sync::mpsc, time::timeout};

/// Streams that wait to be looked at.
const OPENED_MAX: usize = 16;
/// Streams of exec and attach: five, and some that come to nothing.
const STREAMS_MAX: usize = 16;
/// The server's numbers are even.
const PING: u32 = 2;

/// A stream that a client has begun.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) stream: u32,
    pub(super) headers: Pairs,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
}

/// Begins to speak it, with so many streams at once.
pub(super) fn begin(
    (source, sink): (Source, Sink),
    streams_max: usize,
) -> (Connection, mpsc::Receiver<Opened>) {
    let session = Arc::new(Mutex::new(Session::new(streams_max)));
    let (queue, messages) = mpsc::channel(MESSAGES_MAX);
    let (opens, opened) = mpsc::channel(OPENED_MAX);
    let shared = Shared::new();
    let reader = Reader {
        session: Arc::clone(&session),
        queue: queue.clone(),
        shared: shared.clone(),
        opens,
        feeds: HashMap::new(),
    };
    let connection = Connection::begin(
        queue,
        reader.run(source),
        write(session, messages, sink, shared),
    );
    (connection, opened)
}

/// The streams of exec and attach. None: the client has not begun them in time.
pub(super) async fn streams(
    halves: (Source, Sink),
    wanted: Wanted,
    terms: SpdyTerms,
) -> Option<Streams> {
    let (connection, mut opened) = begin(halves, STREAMS_MAX);
    let gathered = in_time(async {
        let mut gathered = Gathered::default();
        while !gathered.is_whole(wanted, terms.resize) {
            let opened = opened.recv().await?;
            let kind = value(&opened.headers, "streamtype").and_then(Kind::of_header);
            let kind = kind.filter(|kind| kind.is_of(wanted, terms.resize));
            if let Err(of_no_use) = gathered.push(kind, opened.incoming, opened.outgoing) {
                tracing::debug!(headers = ?opened.headers, "a stream of no use");
                of_no_use.reset().await;
            }
        }
        Some(gathered)
    })
    .await?;
    // Others are of no use any longer; nobody must wait until they are looked at.
    tokio::spawn(async move {
        while let Some(opened) = opened.recv().await {
            opened.outgoing.reset().await;
        }
    });
    gathered.streams(terms.ending, connection)
}

fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Reader {
    session: Arc<Mutex<Session>>,
    queue: mpsc::Sender<Message>,
    shared: Shared,
    opens: mpsc::Sender<Opened>,
    feeds: HashMap<u32, Feed>,
}

impl Reader {
    async fn run(mut self, mut source: Source) {
        let shared = self.shared.clone();
        let read = async {
            while let Some(bytes) = source.next().await {
                shared.touch();
                for bytes in bytes.chunks(CHUNK) {
                    self.receive(bytes, &source).await?;
                }
            }
            Err::<(), _>(Gone)
        };
        tokio::select! {
            _ = read => {}
            () = shared.idle() => tracing::info!("a connection of streams was idle for too long"),
        }
    }

    async fn receive(&mut self, bytes: &[u8], source: &Source) -> Result<(), Gone> {
        let mut events = Vec::new();
        let received = lock(&self.session).receive(bytes, &mut events);
        for event in events {
            self.event(event, source).await?;
        }
        if let Err(error) = received {
            tracing::info!(%error, "a client of streams does not speak SPDY");
            self.say(Message::Goodbye(Parting::Fault)).await?;
            // The connection ends with us: first it is to be said why.
            let _ = timeout(GOODBYE_MAX, self.queue.closed()).await;
            return Err(Gone);
        }
        Ok(())
    }

    async fn event(&mut self, event: Event, source: &Source) -> Result<(), Gone> {
        match event {
            Event::Opened { stream, headers } => {
                let (feed, incoming) = Shared::stream();
                self.feeds.retain(|_, feed| feed.is_wanted());
                self.feeds.insert(stream, feed);
                let opened = Opened {
                    stream,
                    headers,
                    incoming,
                    outgoing: Outgoing::new(stream, self.queue.clone()),
                };
                self.opens.send(opened).await.map_err(|_| Gone)?;
            }
            Event::Data { stream, bytes } => {
                if let Some(feed) = self.feeds.get(&stream) {
                    let is_gone = || {
                        let _ = self.queue.try_send(Message::Ping);
                        source.is_closed()
                    };
                    self.shared.feed(feed, bytes, is_gone).await?;
                }
            }
            Event::Ended { stream } => {
                if let Some(feed) = self.feeds.get_mut(&stream) {
                    feed.end();
                }
            }
            Event::Reset { stream } => {
                if let Some(feed) = self.feeds.remove(&stream) {
                    feed.reset();
                }
            }
            Event::Send(bytes) => self.say(Message::Raw(bytes)).await?,
        }
        Ok(())
    }

    /// When nothing is sent any longer, what comes is read to its end all the same.
    async fn say(&self, message: Message) -> Result<(), Gone> {
        let _ = self.queue.send(message).await;
        Ok(())
    }
}

/// Gives back what must not be closed yet: clients (moby/spdystream) drop what they have queued for slow readers when they see the end of the
/// connection, and close it by themselves when all their streams have ended.
async fn write(
    session: Arc<Mutex<Session>>,
    mut messages: mpsc::Receiver<Message>,
    mut sink: Sink,
    shared: Shared,
) -> Option<Sink> {
    while let Some(message) = messages.recv().await {
        let bytes = match message {
            Message::Data(stream, bytes) if lock(&session).may_send(stream) => {
                [&data_head(stream, bytes.len(), false)[..], &bytes].concat()
            }
            Message::End(stream) if lock(&session).server_ends(stream) => {
                data_head(stream, 0, true).to_vec()
            }
            Message::Data(..) | Message::End(_) => continue,
            Message::Reset(stream) => match lock(&session).server_resets(stream) {
                Some(bytes) => bytes,
                None => continue,
            },
            Message::Raw(bytes) => bytes,
            Message::Ping => {
                if sink.send(ping(PING)).await.is_err() {
                    return None;
                }
                // It is no sign of life.
                continue;
            }
            Message::Goodbye(Parting::Done) => {
                let goodbye = lock(&session).goodbye(GoAway::Ok);
                return sink.send(goodbye).await.is_ok().then_some(sink);
            }
            Message::Goodbye(Parting::Fault | Parting::TooLong) => {
                let goodbye = lock(&session).goodbye(GoAway::ProtocolError);
                let _ = sink.send(goodbye).await;
                sink.close().await;
                return None;
            }
        };
        if sink.send(bytes).await.is_err() {
            return None;
        }
        shared.touch();
    }
    None
}

//! What both protocols give: streams that wait for each other's ends, and a connection that says when the client has gone.
//!
//! ```text
//!   reader task ──chunks, within a budget──> Incoming ──> process
//!   writer task <──messages, a few───────── Outgoing <── process
//! ```

use super::{CREATION_MAX, IDLE_MAX};
use crate::planner::streams::{
    protocol::{Ending, Kind, Wanted},
    status::{self, Outcome},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// Bytes in one chunk.
pub(super) const CHUNK: usize = 32 * 1024;
/// Bytes of one stream that wait for its process.
const STREAM_WAITING_MAX: usize = 256 * 1024;
/// What a piece counts for at least: beside its bytes it has a place in a queue, and an allocation.
const PIECE_MIN: usize = 1024;
/// Pieces of one stream, which come to its bytes.
const PIECES_MAX: usize = STREAM_WAITING_MAX / PIECE_MIN;
/// Bytes of all a connection's streams that wait for processes.
const WAITING_MAX: usize = 4 * 1024 * 1024;
/// Messages that wait to be sent to the client, of a chunk at most.
pub(super) const MESSAGES_MAX: usize = 8;
/// Until a client that makes no sense has been told so.
pub(super) const GOODBYE_MAX: Duration = Duration::from_secs(5);
/// How often it is looked whether a client has gone while nothing is read from it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// To the writer.
#[derive(Debug)]
pub(super) enum Message {
    /// Bytes of a stream.
    Data(u32, Vec<u8>),
    /// A stream's last.
    End(u32),
    /// A stream is of no more use.
    Reset(u32),
    /// The protocol's own.
    Raw(Vec<u8>),
    /// To be answered. The end of a client that has gone stands behind what it sent before, where nobody reads that; but what comes to a client
    /// that is no more is answered with an end.
    Ping,
    /// The last.
    Goodbye(Parting),
}

/// Why nothing more is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parting {
    /// All was said.
    Done,
    /// What the client says makes no sense.
    Fault,
    /// It has said too much at once.
    TooLong,
}

/// The client has gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gone;

/// To the client. A stream that nobody ends ends with its connection.
#[derive(Debug)]
pub(super) struct Outgoing {
    stream: u32,
    queue: mpsc::Sender<Message>,
}

impl Outgoing {
    pub(super) const fn new(stream: u32, queue: mpsc::Sender<Message>) -> Self {
        Self { stream, queue }
    }

    /// Waits while the client does not read.
    pub(super) async fn send(&self, bytes: Vec<u8>) -> Result<(), Gone> {
        let message = Message::Data(self.stream, bytes);
        self.queue.send(message).await.map_err(|_| Gone)
    }

    pub(super) async fn end(self) {
        let _ = self.queue.send(Message::End(self.stream)).await;
    }

    pub(super) async fn reset(self) {
        let _ = self.queue.send(Message::Reset(self.stream)).await;
    }
}

/// From the client.
#[derive(Debug)]
pub(super) struct Incoming {
    chunks: mpsc::Receiver<Chunk>,
    reset: watch::Receiver<bool>,
}

#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    _room: [OwnedSemaphorePermit; 2],
}

impl Incoming {
    /// None: the client sends no more on it.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        Some(self.chunks.recv().await?.bytes)
    }

    /// Until it is of no more use to the client, also while what came before waits. An end is none.
    pub(super) fn reset(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut reset = self.reset.clone();
        async move {
            if reset.wait_for(|reset| *reset).await.is_err() {
                std::future::pending().await
            }
        }
    }
}

/// The reader's end of an [`Incoming`].
#[derive(Debug)]
pub(super) struct Feed {
    /// None: it has ended.
    chunks: Option<mpsc::Sender<Chunk>>,
    room: Arc<Semaphore>,
    reset: watch::Sender<bool>,
}

impl Feed {
    /// Nothing more comes. It may be reset still, while what came waits.
    pub(super) fn end(&mut self) {
        self.chunks = None;
    }

    pub(super) fn reset(self) {
        self.reset.send_replace(true);
    }

    /// Whether anybody would hear of it.
    pub(super) fn is_wanted(&self) -> bool {
        !self.reset.is_closed()
    }
}

/// What is a connection's, of all its streams.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    room: Arc<Semaphore>,
    begun: Instant,
    /// Milliseconds from then until something went last.
    active: Arc<AtomicU64>,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            room: Arc::new(Semaphore::new(WAITING_MAX)),
            begun: Instant::now(),
            active: Arc::new(AtomicU64::new(0)),
        }
    }

    pub(super) fn stream() -> (Feed, Incoming) {
        let (sender, chunks) = mpsc::channel(PIECES_MAX);
        let (resets, reset) = watch::channel(false);
        let feed = Feed {
            chunks: Some(sender),
            room: Arc::new(Semaphore::new(STREAM_WAITING_MAX)),
            reset: resets,
        };
        (feed, Incoming { chunks, reset })
    }

    /// Hands on some bytes, no more than a chunk, and waits while there is no room for them, unless the client has gone meanwhile.
    /// What nobody wants any longer is dropped.
    pub(super) async fn feed(
        &self,
        feed: &Feed,
        bytes: Vec<u8>,
        is_gone: impl Fn() -> bool,
    ) -> Result<(), Gone> {
        let Some(chunks) = &feed.chunks else {
            return Ok(());
        };
        let room = bytes.len().clamp(PIECE_MIN, CHUNK);
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        let hand_on = async {
            // The stream's own first: who waits for it takes nothing of the others'. Neither is ever closed.
            let Ok(own) = Arc::clone(&feed.room).acquire_many_owned(room).await else {
                return;
            };
            let Ok(common) = Arc::clone(&self.room).acquire_many_owned(room).await else {
                return;
            };
            let _room = [own, common];
            let _ = chunks.send(Chunk { bytes, _room }).await;
        };
        tokio::pin!(hand_on);
        loop {
            tokio::select! {
                biased;
                () = &mut hand_on => return Ok(()),
                // Who waits for room waits for other streams; his own may be of no use meanwhile.
                () = chunks.closed() => return Ok(()),
                () = sleep(LOOK_EVERY) => if is_gone() {
                    return Err(Gone);
                },
            }
        }
    }

    pub(super) fn touch(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.active.store(now, Ordering::Relaxed);
    }

    /// Until nothing has gone either way for too long.
    pub(super) async fn idle(&self) {
        loop {
            let last = self.begun + Duration::from_millis(self.active.load(Ordering::Relaxed));
            let left = IDLE_MAX.saturating_sub(last.elapsed());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}

/// A client. It is cut off when this is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    queue: mpsc::Sender<Message>,
    /// The reader has ended.
    gone: watch::Receiver<bool>,
    /// The writer has ended.
    sent: watch::Receiver<bool>,
    _tasks: JoinSet<()>,
}

impl Connection {
    /// Of what reads and what writes it. What the writer gives back is kept until the end.
    pub(super) fn begin<T: Send>(
        queue: mpsc::Sender<Message>,
        reader: impl Future<Output = ()> + Send + 'static,
        writer: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        let (reads, gone) = watch::channel(false);
        let (writes, sent) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            reader.await;
            reads.send_replace(true);
        });
        tasks.spawn(async move {
            let _kept = writer.await;
            writes.send_replace(true);
            std::future::pending::<()>().await;
        });
        Self {
            queue,
            gone,
            sent,
            _tasks: tasks,
        }
    }

    /// Until the client has gone: it has closed its end, said what makes no sense, takes nothing more, or was silent for too long.
    pub(super) fn gone(&self) -> impl Future<Output = ()> + Send + 'static {
        let (mut gone, mut sent) = (self.gone.clone(), self.sent.clone());
        async move {
            // An error is the end of the task.
            tokio::select! {
                _ = gone.wait_for(|gone| *gone) => {}
                _ = sent.wait_for(|sent| *sent) => {}
            }
        }
    }

    /// All was said. What was said is sent, for as long as the client reads; then it is for the client to close. It may read late, and a
    /// connection that is closed over unread bytes loses what was sent last. The reader's bound on silence is this one's too.
    pub(super) async fn finish(mut self) {
        let said = async {
            let _ = self.queue.send(Message::Goodbye(Parting::Done)).await;
            let _ = self.sent.wait_for(|sent| *sent).await;
        };
        let mut gone = self.gone.clone();
        tokio::select! {
            () = said => {}
            _ = gone.wait_for(|gone| *gone) => return,
        }
        let _ = self.gone.wait_for(|gone| *gone).await;
    }
}

/// The streams of exec and attach.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) stdin: Option<Incoming>,
    pub(super) stdout: Option<Outgoing>,
    pub(super) stderr: Option<Outgoing>,
    pub(super) resize: Option<Incoming>,
    pub(super) error: Outgoing,
    pub(super) ending: Ending,
    pub(super) connection: Connection,
}

impl Streams {
    /// The last: how it ended.
    pub(super) async fn finish(self, outcome: &Outcome) {
        let gone = self.connection.gone();
        // What the client sends still is of no use, and is read: it would not see the end behind it.
        drop((self.stdin, self.resize));
        let tell = async {
            for outgoing in [self.stdout, self.stderr].into_iter().flatten() {
                outgoing.end().await;
            }
            let told = status::bytes(outcome, self.ending);
            if !told.is_empty() {
                self.error.send(told).await?;
            }
            self.error.end().await;
            Ok::<_, Gone>(())
        };
        let told = tokio::select! {
            told = tell => told,
            () = gone => Err(Gone),
        };
        if told.is_ok() {
            self.connection.finish().await;
        }
    }
}

/// Streams of SPDY as they come, until all are there.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    stdin: Option<Incoming>,
    stdout: Option<Outgoing>,
    stderr: Option<Outgoing>,
    resize: Option<Incoming>,
    error: Option<Outgoing>,
}

impl Gathered {
    /// One more. What is of no use is given back.
    pub(super) fn push(
        &mut self,
        kind: Option<Kind>,
        incoming: Incoming,
        outgoing: Outgoing,
    ) -> Result<(), Outgoing> {
        match kind {
            Some(Kind::Stdin) if self.stdin.is_none() => self.stdin = Some(incoming),
            Some(Kind::Resize) if self.resize.is_none() => self.resize = Some(incoming),
            Some(Kind::Stdout) if self.stdout.is_none() => self.stdout = Some(outgoing),
            Some(Kind::Stderr) if self.stderr.is_none() => self.stderr = Some(outgoing),
            Some(Kind::Error) if self.error.is_none() => self.error = Some(outgoing),
            _ => return Err(outgoing),
        }
        Ok(())
    }

    /// Whether all are there.
    pub(super) const fn is_whole(&self, wanted: Wanted, resize: bool) -> bool {
        (self.stdin.is_some() || !Kind::Stdin.is_of(wanted, resize))
            && (self.stdout.is_some() || !Kind::Stdout.is_of(wanted, resize))
            && (self.stderr.is_some() || !Kind::Stderr.is_of(wanted, resize))
            && (self.resize.is_some() || !Kind::Resize.is_of(wanted, resize))
            && self.error.is_some()
    }

    pub(super) fn streams(self, ending: Ending, connection: Connection) -> Option<Streams> {
        Some(Streams {
            stdin: self.stdin,
            stdout: self.stdout,
            stderr: self.stderr,
            resize: self.resize,
            error: self.error?,
            ending,
            connection,
        })
    }
}

/// Bounded by the time that a client may take for its streams.
pub(super) async fn in_time<T>(work: impl Future<Output = Option<T>>) -> Option<T> {
    timeout(CREATION_MAX, work).await.ok().flatten()
}

//! Accepts connections and serves HTTP/1.1 and HTTP/2 on them.
//!
//! ```text
//!   TCP on loopback, Unix socket ─────────────────────┐
//!   TCP elsewhere ──> mutual TLS (handshake bounded) ─┴──> HTTP, by what the client says first ──> Answer
//! ```

use crate::{cork::Cork, count::Count, tls::Tls};
use bytes::Bytes;
use http_body::Body;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::pki_types::CertificateDer;
use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

/// Connections of one listener; the next waits to be accepted. A thousand nodes with a few each.
pub const CONNECTIONS_MAX: usize = 8192;
/// Longest TLS handshake.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Longest wait for the headers of an HTTP/1 request, and for the first bytes of any connection.
pub const HEADERS_MAX: Duration = Duration::from_secs(30);
/// Who has said this much speaks HTTP/2, whose signs of life begin then, or HTTP/1, whose headers have their own bound.
const PREFACE_BYTES: usize = 24;
/// Calls at once on one connection: an API server has all its watches on a few.
pub const CALLS_PER_CONNECTION_MAX: u32 = 16_384;
/// How long calls may go on when the service stops.
pub const GRACE: Duration = Duration::from_secs(5);
/// HTTP/2's signs of life, against clients that are gone without a word (etcd: 2 h and 20 s; gateways forget sooner).
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Streams that a client opened and reset before we looked at them (the "rapid reset" attack).
const RESET_STREAMS_MAX: usize = 64;
/// Wait after accept failed, for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of HTTP, as they are below TLS.
#[derive(Debug, Default)]
pub struct Traffic {
    /// From those who connected.
    pub received: Count,
    /// To them.
    pub sent: Count,
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// None on a Unix socket.
    pub address: Option<SocketAddr>,
    /// What it showed in the handshake, its own first: verified against the trusted CAs. Empty without TLS, and where a
    /// certificate is not asked for.
    pub certificates: Arc<[CertificateDer<'static>]>,
}

/// What answers requests.
pub trait Answer: Clone + Send + Sync + 'static {
    /// Of an answer.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;

    /// What answers those of one connection.
    #[must_use]
    fn connected(&self, peer: Peer) -> Self {
        let _ = peer;
        self.clone()
    }

    /// Answers one.
    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Why a body ended early.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Where connections come in.
#[derive(Debug)]
pub enum Listener {
    /// Plain HTTP. Whoever makes one has seen that the address is on loopback.
    Plain(TcpListener),
    /// Mutual TLS.
    Tls(TcpListener, Arc<Tls>),
    /// Plain HTTP, for whom the file's permissions let in.
    Unix(UnixListener),
}

/// Why nobody can connect.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address.
    #[error("listen on {address}")]
    Tcp {
        /// Where.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Without TLS, anybody on the way could read and write.
    #[error("plain HTTP is served on loopback only, and {0} is not: use https")]
    NotLoopback(SocketAddr),
    /// The socket.
    #[error("listen on {path}")]
    Unix {
        /// Where.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl Listener {
    /// Listens for plain HTTP on loopback.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn plain(address: SocketAddr) -> Result<Self, ListenError> {
        if !address.ip().is_loopback() {
            return Err(ListenError::NotLoopback(address));
        }
        bind(address).await.map(Self::Plain)
    }

    /// Listens for mutual TLS.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn tls(address: SocketAddr, tls: Arc<Tls>) -> Result<Self, ListenError> {
        let listener = bind(address).await?;
        Ok(Self::Tls(listener, tls))
    }

    /// Listens on a Unix socket, which replaces one that a process before us left.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn unix(path: PathBuf) -> Result<Self, ListenError> {
        let listen = || {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            UnixListener::bind(&path)
        };
        match listen() {
            Ok(listener) => Ok(Self::Unix(listener)),
            Err(source) => Err(ListenError::Unix { path, source }),
        }
    }

    /// Where it listens; None for a Unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Plain(listener) | Self::Tls(listener, _) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Serves until what `stopping` makes is done, and then until the calls have ended, at most [`GRACE`]. `traffic` counts
    /// what goes over its connections.
    pub async fn serve<A, S, F>(self, answers: A, traffic: Arc<Traffic>, stopping: S)
    where
        A: Answer,
        S: Fn() -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stopping());
        let connection = Connection {
            answers,
            traffic,
            stopping,
        };
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = self.accept(&slots) => accepted,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            };
            match accepted {
                Ok((stream, slot)) => {
                    connections.spawn(connection.clone().run(stream, slot));
                }
                Err(error) => {
                    tracing::warn!(%error, "accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self);
        let ended = async { while connections.join_next().await.is_some() {} };
        if timeout(GRACE, ended).await.is_err() {
            tracing::debug!("connections are cut: their calls did not end");
        }
    }

    async fn accept(&self, slots: &Arc<Semaphore>) -> io::Result<(Stream, OwnedSemaphorePermit)> {
        let slot = Arc::clone(slots)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let stream = match self {
            Self::Plain(listener) => Stream::Plain(listener.accept().await?.0),
            Self::Tls(listener, tls) => Stream::Tls(listener.accept().await?.0, tls.config()),
            Self::Unix(listener) => Stream::Unix(listener.accept().await?.0),
        };
        Ok((stream, slot))
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ListenError::Tcp { address, source })
}

enum Stream {
    Plain(tokio::net::TcpStream),
    Tls(tokio::net::TcpStream, Arc<rustls::ServerConfig>),
    Unix(tokio::net::UnixStream),
}

#[derive(Clone)]
struct Connection<A, S> {
    answers: A,
    traffic: Arc<Traffic>,
    stopping: S,
}

impl<A, S, F> Connection<A, S>
where
    A: Answer,
    S: Fn() -> F,
    F: Future<Output = ()>,
{
    async fn run(self, stream: Stream, _slot: OwnedSemaphorePermit) {
        let mut peer = Peer::default();
        match stream {
            Stream::Unix(stream) => self.serve(Box::new(stream), peer).await,
            Stream::Plain(stream) => {
                // Else small answers wait for the acknowledgement of those before.
                let _ = stream.set_nodelay(true);
                peer.address = stream.peer_addr().ok();
                self.serve(Box::new(stream), peer).await;
            }
            Stream::Tls(stream, config) => {
                let _ = stream.set_nodelay(true);
                peer.address = stream.peer_addr().ok();
                let accepted = TlsAcceptor::from(config).accept(stream);
                match timeout(HANDSHAKE_MAX, accepted).await {
                    Ok(Ok(stream)) => {
                        if let Some(shown) = stream.get_ref().1.peer_certificates() {
                            peer.certificates =
                                shown.iter().map(|one| one.clone().into_owned()).collect();
                        }
                        self.serve(Box::new(stream), peer).await;
                    }
                    Ok(Err(error)) => tracing::info!(%error, "TLS handshake failed"),
                    Err(_) => tracing::info!("TLS handshake took longer than {HANDSHAKE_MAX:?}"),
                }
            }
        }
    }

    async fn serve(self, stream: Box<dyn Wire>, peer: Peer) {
        let answers = Arc::new(self.answers.connected(peer));
        let service = service_fn(move |request: Request<Incoming>| {
            let answers = Arc::clone(&answers);
            // In a box, since hyper moves the future of a stream five times before it is polled.
            Box::pin(async move { Ok::<_, Infallible>(answers.answer(request).await) })
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(CALLS_PER_CONNECTION_MAX)
            .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        let heard = Arc::new(AtomicUsize::new(0));
        let stream = Counted {
            stream,
            heard: heard.clone(),
            traffic: self.traffic.clone(),
        };
        let sender = Cork::new(stream);
        let stream = TokioIo::new(sender.clone());
        let upgradable = builder.serve_connection_with_upgrades(stream, service);
        let mut serving = std::pin::pin!(upgradable);
        // Each time that the connection has done what there was to do, what it wrote is sent.
        let poll = move |context: &mut Context<'_>, serving: Pin<&mut _>| {
            let served = Future::poll(serving, context);
            if served.is_ready() {
                // It goes on as another protocol, perhaps, with nobody here to send what it writes.
                sender.open();
            }
            match sender.poll_send(context) {
                Poll::Ready(Err(error)) if served.is_pending() => Poll::Ready(Err(error.into())),
                _ => served,
            }
        };
        let silent = async {
            sleep(HEADERS_MAX).await;
            if heard.load(Ordering::Relaxed) >= PREFACE_BYTES {
                std::future::pending().await
            }
        };
        tokio::select! {
            result = poll_fn(|context| poll(context, serving.as_mut())) => return ended(result),
            () = silent => {
                tracing::debug!("connection is cut: nothing was said within {HEADERS_MAX:?}");
                return;
            }
            () = (self.stopping)() => {}
        }
        serving.as_mut().graceful_shutdown();
        ended(poll_fn(|context| poll(context, serving.as_mut())).await);
    }
}

/// A connection of any kind. HTTP would be compiled for each kind else, in each program that serves it.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for S {}

/// Counts what came, and what went.
struct Counted {
    stream: Box<dyn Wire>,
    /// What came on this connection.
    heard: Arc<AtomicUsize>,
    traffic: Arc<Traffic>,
}

impl Counted {
    fn sent(&self, polled: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = polled {
            self.traffic.sent.add(*bytes);
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let came = buffer.filled().len() - before;
        self.heard.fetch_add(came, Ordering::Relaxed);
        self.traffic.received.add(came);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.sent(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.sent(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn ended(result: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = result {
        tracing::debug!(%error, "connection broke");
    }
}

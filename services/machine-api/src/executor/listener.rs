//! Accepts connections within bounds and serves HTTP/2 on them.
//!
//! ```text
//!   accept ──> TLS handshake (10 s) ──> HTTP/2 ──> gate.rs ──> machine.rs
//!      └── planner/admission.rs says who is dropped for whom
//! ```

use super::{
    credentials::Settings,
    gate::{Caller, Gate},
};
use crate::planner::admission::{Admission, Completed, Id, Peer};
use hyper::{Request, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pki::Identity;
use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Longest TLS handshake: a client under emulation needs 2 s.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Calls at once on one connection.
pub const CALLS_PER_CONNECTION_MAX: u32 = 32;
/// Bytes of a request's headers.
pub const HEADERS_MAX: u32 = 16 * 1024;
/// Longest wait for calls to end when their connection must: its trust changed, or the service stops.
pub const GRACE: Duration = Duration::from_secs(5);
/// The same for a connection without a call under way: time for the goodbye to arrive.
pub const IDLE_GRACE: Duration = Duration::from_millis(200);
/// Connections that the kernel keeps for us before they are accepted.
const BACKLOG: i32 = 1024;
/// Streams that a client opened and reset before we looked at them (the "rapid reset" attack).
const RESET_STREAMS_MAX: usize = 32;
/// Flow control: what a client may send ahead per stream and per connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 128 * 1024;
/// Bytes of answers per stream that wait for a slow client.
const SEND_BUFFER: usize = 64 * 1024;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Wait after accept failed, for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens on `address`; on IPv4 only where it is `[::]` and the machine has no IPv6.
///
/// # Errors
/// What the system says.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let any_v6 = address.is_ipv6() && address.ip().is_unspecified();
    match bind(address) {
        Err(error) if any_v6 && no_ipv6(&error) => {
            bind(SocketAddr::from(([0, 0, 0, 0], address.port())))
        }
        result => result,
    }
}

fn no_ipv6(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    errno == Some(rustix::io::Errno::AFNOSUPPORT) || errno == Some(rustix::io::Errno::ADDRNOTAVAIL)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// All connections and what serves them.
#[derive(Debug)]
pub struct Connections {
    gate: Gate,
    stopping: watch::Receiver<bool>,
    live: Mutex<Live>,
}

#[derive(Debug, Default)]
struct Live {
    admission: Admission,
    tasks: HashMap<Id, Task>,
    next: Id,
}

#[derive(Debug)]
struct Task {
    abort: AbortHandle,
    calls: Arc<AtomicUsize>,
}

impl Connections {
    /// Connections through this gate, until `stopping` is true.
    #[must_use]
    pub fn new(gate: Gate, stopping: watch::Receiver<bool>) -> Arc<Self> {
        Arc::new(Self {
            gate,
            stopping,
            live: Mutex::default(),
        })
    }

    /// Accepts until the service stops, then waits for connections to end, at most [`GRACE`].
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut stopping = self.stopping.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopping.wait_for(|stopping| *stopping) => break,
            };
            match accepted {
                Ok((stream, address)) => self.arrive(stream, address),
                Err(error) => {
                    tracing::warn!(%error, "accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        let deadline = Instant::now() + GRACE;
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while self.live().admission.open() > 0 && Instant::now() < deadline {
            ticks.tick().await;
        }
    }

    fn arrive(self: &Arc<Self>, stream: TcpStream, address: SocketAddr) {
        let mut live = self.live();
        let id = live.next;
        live.next += 1;
        let victim = live.admission.arrive(id, Peer::from(address.ip()));
        let calls = Arc::new(AtomicUsize::new(0));
        let leave = Leave {
            connections: Arc::clone(self),
            id,
        };
        let task = tokio::spawn(connection(leave, stream, address, Arc::clone(&calls)));
        let abort = task.abort_handle();
        live.tasks.insert(id, Task { abort, calls });
        if let Some(task) = victim.and_then(|victim| live.tasks.remove(&victim)) {
            task.abort.abort();
            self.gate.metrics.dropped.inc();
        }
        self.count(&live);
    }

    fn complete(&self, id: Id) -> Completed {
        let mut live = self.live();
        let Live {
            admission, tasks, ..
        } = &mut *live;
        let idle = |id| {
            tasks
                .get(&id)
                .is_none_or(|task: &Task| task.calls.load(Ordering::Relaxed) == 0)
        };
        let completed = admission.complete(id, idle);
        if let Completed::InPlaceOf(victim) = completed
            && let Some(task) = tasks.remove(&victim)
        {
            task.abort.abort();
        }
        self.count(&live);
        completed
    }

    fn leave(&self, id: Id) {
        let mut live = self.live();
        live.admission.leave(id);
        live.tasks.remove(&id);
        self.count(&live);
    }

    fn count(&self, live: &Live) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let metrics = &self.gate.metrics;
        metrics.open.set(gauge(live.admission.open()));
        metrics.half_open.set(gauge(live.admission.half_open()));
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the connection off the books however its task ends.
struct Leave {
    connections: Arc<Connections>,
    id: Id,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.connections.leave(self.id);
    }
}

async fn connection(leave: Leave, stream: TcpStream, address: SocketAddr, calls: Arc<AtomicUsize>) {
    let gate = &leave.connections.gate;
    let settings = Arc::clone(&gate.settings.borrow());
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %address, "connection is gone");
        return;
    }
    let acceptor = TlsAcceptor::from(Arc::clone(&settings.tls));
    let tls = match timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => {
            gate.metrics.failed_handshakes.inc();
            tracing::info!(%error, %address, "TLS handshake failed");
            return;
        }
        Err(_) => {
            gate.metrics.failed_handshakes.inc();
            return;
        }
    };
    match leave.connections.complete(leave.id) {
        Completed::Admitted | Completed::InPlaceOf(_) => {}
        Completed::Refused => {
            tracing::warn!(%address, "connection refused: all connections are busy");
            return;
        }
        Completed::Gone => return,
    }
    match caller(&settings, &tls, address, calls) {
        Ok(caller) => serve(&leave.connections, tls, Arc::new(caller)).await,
        Err(error) => tracing::info!(%error, %address, "client certificate cannot be read"),
    }
}

fn caller(
    settings: &Settings,
    tls: &TlsStream<TcpStream>,
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
) -> Result<Caller, pki::PkiError> {
    let certificate = tls
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first());
    let identity = certificate.map(|der| Identity::of(der)).transpose()?;
    let expires_at = certificate.map(|der| pki::expires_at(der)).transpose()?;
    Ok(Caller {
        identity,
        expires_at,
        trust: settings.trust,
        address: address.ip().to_canonical(),
        calls,
    })
}

async fn serve(connections: &Connections, tls: TlsStream<TcpStream>, caller: Arc<Caller>) {
    let gate = connections.gate.clone();
    let mut settings = gate.settings.clone();
    let mut stopping = connections.stopping.clone();
    let trust = caller.trust;
    let calls = Arc::clone(&caller.calls);
    let service = service_fn(move |request: Request<Incoming>| {
        let (gate, caller) = (gate.clone(), Arc::clone(&caller));
        async move { Ok::<_, Infallible>(gate.answer(&caller, request).await) }
    });
    let serving = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(CALLS_PER_CONNECTION_MAX)
        .max_header_list_size(HEADERS_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(RESET_STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .serve_connection(TokioIo::new(tls), service);
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        result = serving.as_mut() => return ended(result),
        _ = settings.wait_for(|settings| settings.trust != trust) => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
    serving.as_mut().graceful_shutdown();
    let idle = calls.load(Ordering::Relaxed) == 0;
    let grace = if idle { IDLE_GRACE } else { GRACE };
    tokio::select! {
        result = serving => ended(result),
        () = sleep_until(Instant::now() + grace) => {}
    }
}

fn ended(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(error = %service::chain(&error), "connection broke");
    }
}

//! Prometheus metrics over HTTP: `GET /metrics` in the OpenMetrics text form.
//!
//! Bounds: [`CONNECTIONS_MAX`] at once, [`REQUEST_TIMEOUT`] per connection; what is over is closed.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header, service::service_fn};
use hyper_util::rt::TokioIo;
use prometheus_client::registry::Registry;
use std::{
    convert::Infallible,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
};

/// Connections served at once: scrapers are few.
pub const CONNECTIONS_MAX: usize = 8;
/// Pause after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// Longest life of a connection.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The metrics of one process.
pub type Shared = Arc<Mutex<Registry>>;

/// Serves `registry` on a Unix socket, replacing a stale one, until the task is dropped.
///
/// # Errors
/// Where the socket cannot be bound.
pub async fn serve_unix(path: &Path, registry: Shared) -> io::Result<Infallible> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => spawn(stream, &registry, &slots),
            Err(error) => not_accepted(&error).await,
        }
    }
}

/// Serves `registry` on a TCP listener until the task is dropped.
pub async fn serve_tcp(listener: TcpListener, registry: Shared) -> Infallible {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => spawn(stream, &registry, &slots),
            Err(error) => not_accepted(&error).await,
        }
    }
}

/// accept(2) fails when a peer has gone already or descriptors are short: both pass, and a service that
/// ran short once must not be without metrics for good.
async fn not_accepted(error: &io::Error) {
    tracing::debug!(%error, "a scraper was not accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

fn spawn<S>(stream: S, registry: &Shared, slots: &Arc<Semaphore>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(slot) = Arc::clone(slots).try_acquire_owned() else {
        return;
    };
    let registry = Arc::clone(registry);
    tokio::spawn(async move {
        let _slot = slot;
        let answer = service_fn(|request| std::future::ready(answer(&request, &registry)));
        let connection = hyper::server::conn::http1::Builder::new()
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), answer);
        // A scraper that goes away or dawdles is its own problem.
        let _ = tokio::time::timeout(REQUEST_TIMEOUT, connection).await;
    });
}

fn answer(
    request: &Request<Incoming>,
    registry: &Mutex<Registry>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let response = Response::builder();
    let built = if request.uri().path() != "/metrics" {
        response
            .status(StatusCode::NOT_FOUND)
            .body(Full::from("not found; metrics are at /metrics\n"))
    } else if request.method() != Method::GET {
        response
            .status(StatusCode::METHOD_NOT_ALLOWED)
            .body(Full::from("use GET\n"))
    } else {
        let mut text = String::new();
        let registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
        match prometheus_client::encoding::text::encode(&mut text, &registry) {
            Ok(()) => response
                .header(
                    header::CONTENT_TYPE,
                    "application/openmetrics-text; version=1.0.0; charset=utf-8",
                )
                .body(Full::from(text)),
            Err(error) => response
                .status(StatusCode::INTERNAL_SERVER_ERROR)
                .body(Full::from(format!("encode metrics: {error}\n"))),
        }
    };
    Ok(built.expect("status and headers above are valid"))
}

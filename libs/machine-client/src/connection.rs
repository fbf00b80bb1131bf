//! One HTTP/2 connection as the transport of the generated client.
//!
//! Invariant: a call that fails because the connection ended carries the connection's own error, since
//! that one says why (a TLS alert, a reset), and the call's says only that it was cancelled.

use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http2::{Connection as Driver, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::AlertDescription;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{net::TcpStream, sync::watch};
use tokio_rustls::client::TlsStream;
use tonic::{body::Body, codegen::Service};

/// Longest wait for a connection's own error after a call on it failed.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A call failed in transport.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the connection to the node broke")]
pub struct TransportError {
    /// The alert by which the node ended the connection, where it was one: it refused the client
    /// certificate.
    pub alert: Option<AlertDescription>,
    #[source]
    source: Arc<hyper::Error>,
}

impl TransportError {
    fn new(error: Arc<hyper::Error>) -> Self {
        Self {
            alert: alert(&*error),
            source: error,
        }
    }
}

/// A connection to one node.
#[derive(Debug, Clone)]
pub struct Connection {
    sender: SendRequest<Body>,
    ended: watch::Receiver<Option<Result<(), Arc<hyper::Error>>>>,
}

impl Connection {
    pub(crate) fn start(
        sender: SendRequest<Body>,
        driver: Driver<TokioIo<TlsStream<TcpStream>>, Body, TokioExecutor>,
    ) -> Self {
        let (end, ended) = watch::channel(None);
        tokio::spawn(async move {
            let result = driver.await.map_err(Arc::new);
            let _ = end.send(Some(result));
        });
        Self { sender, ended }
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // A closed connection shows in the call, which knows why.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut sender = self.sender.clone();
        let mut ended = self.ended.clone();
        Box::pin(async move {
            let error = match sender.ready().await {
                Ok(()) => match sender.send_request(request).await {
                    Ok(response) => return Ok(response),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let last_word = tokio::time::timeout(LAST_WORD, ended.wait_for(Option::is_some)).await;
            let own = match last_word {
                Ok(Ok(result)) => result.as_ref().and_then(|result| result.clone().err()),
                _ => None,
            };
            Err(TransportError::new(own.unwrap_or_else(|| Arc::new(error))))
        })
    }
}

pub(crate) fn alert(error: &(dyn std::error::Error + 'static)) -> Option<AlertDescription> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::AlertReceived(alert)) = error.downcast_ref::<rustls::Error>() {
            return Some(*alert);
        }
        // An io::Error hides its inner error from source() and shows it here.
        if let Some(inner) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            && let Some(found) = alert(inner)
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}

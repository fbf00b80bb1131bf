//! Connections to members are made here: TCP, and mutual TLS where the URL says https.
//!
//! ```text
//!   URLs of a member ── one after the other ──> addresses ──> TCP ──> TLS: his certificate is for the URL's host,
//!                       the last that worked first                    and of our CA; he sees ours
//! ```
//!
//! A connection uses the certificates that are on disk when it is made. Names are asked of the nameservers of a resolv.conf(5): a
//! static program has no other way.

use crate::address::{Host, MemberUrl};
use http_server::tls::{ClientTls, Files, TlsError};
use hyper_util::rt::TokioIo;
use names::NameError;
use rustls::pki_types::ServerName;
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic::{
    codegen::{Service, http::Uri},
    transport::{Channel, Endpoint},
};

/// URLs of one member that are tried. A machine has not more networks.
pub const URLS_MAX: usize = 8;
/// A TCP connection that cannot be made in this time counts as none.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// Longest TLS handshake: other members answer at once, or are too busy to be waited for.
const HANDSHAKE_MAX: Duration = Duration::from_secs(3);
/// Longest look-up of a name: one nameserver that is silent, and one that answers.
const LOOK_UP_MAX: Duration = Duration::from_secs(5);
/// HTTP/2's signs of life: a connection to a machine that is gone without a word is given up after both.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a member cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// We have nothing to show.
    #[error("{0}: https needs the certificates for peers")]
    NoCertificates(String),
    /// Its name has no address.
    #[error("connect to {url}")]
    Name {
        /// Where.
        url: String,
        /// Why not.
        #[source]
        source: NameError,
    },
    /// Nobody listens, or the network is broken.
    #[error("connect to {url} at {address}")]
    Connect {
        /// Where.
        url: String,
        /// At which address.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Nobody listens there, or we may not connect.
    #[error("connect to {path}")]
    Socket {
        /// The socket's file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Who answers is not whom we called, or does not take us for whom we are.
    #[error("TLS with {url}")]
    Handshake {
        /// Where.
        url: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// No answer.
    #[error("{url}: {what} took longer than {max:?}")]
    Timeout {
        /// Where.
        url: String,
        /// What was waited for.
        what: &'static str,
        /// How long.
        max: Duration,
    },
}

/// Makes connections.
#[derive(Debug)]
pub struct Dialer {
    tls: Option<ClientTls>,
    resolv_conf: PathBuf,
}

/// A connection, plain or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection as tonic takes it.
type Connected = TokioIo<Box<dyn Stream>>;

impl Dialer {
    /// With these certificates; without, https URLs cannot be called.
    ///
    /// # Errors
    /// The certificates cannot be used.
    pub fn new(certificates: Option<Files>, resolv_conf: PathBuf) -> Result<Self, TlsError> {
        let tls = certificates.map(ClientTls::client).transpose()?;
        Ok(Self { tls, resolv_conf })
    }

    async fn dial(&self, url: &MemberUrl) -> Result<Box<dyn Stream>, DialError> {
        let tls = match url.certified() {
            Some(name) => {
                let tls = self.tls.as_ref();
                let tls = tls.ok_or_else(|| DialError::NoCertificates(url.to_string()))?;
                Some((tls, name))
            }
            None => None,
        };
        if let Host::Socket(path) = url.host() {
            let stream = UnixStream::connect(path).await;
            let stream = stream.map_err(|source| DialError::Socket {
                path: path.clone(),
                source,
            })?;
            return Ok(Box::new(stream));
        }
        let stream = self.connect(url).await?;
        // Else small messages wait for the acknowledgement of those before.
        let _ = stream.set_nodelay(true);
        match tls {
            Some((tls, name)) => encrypt(tls, url, name, stream).await,
            None => Ok(Box::new(stream)),
        }
    }

    async fn connect(&self, url: &MemberUrl) -> Result<TcpStream, DialError> {
        let mut fault = None;
        for address in self.addresses(url).await? {
            let address = SocketAddr::new(address, url.port());
            match timeout(CONNECT_MAX, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(source)) => {
                    let url = url.to_string();
                    fault = Some(DialError::Connect {
                        url,
                        address,
                        source,
                    });
                }
                Err(_) => fault = Some(late(url, "a connection", CONNECT_MAX)),
            }
        }
        Err(fault.unwrap_or_else(|| late(url, "an address", LOOK_UP_MAX)))
    }

    async fn addresses(&self, url: &MemberUrl) -> Result<Vec<IpAddr>, DialError> {
        let name = match url.host() {
            Host::Addresses(addresses) => return Ok(addresses.clone()),
            Host::Name(name) => name,
            Host::Socket(_) => return Ok(Vec::new()),
        };
        let found = timeout(LOOK_UP_MAX, names::look_up(name, &self.resolv_conf)).await;
        let found = found.map_err(|_| late(url, "the look-up of its name", LOOK_UP_MAX))?;
        found.map_err(|source| DialError::Name {
            url: url.to_string(),
            source,
        })
    }
}

async fn encrypt(
    tls: &ClientTls,
    url: &MemberUrl,
    name: &ServerName<'static>,
    stream: TcpStream,
) -> Result<Box<dyn Stream>, DialError> {
    let connector = TlsConnector::from(tls.config());
    match timeout(HANDSHAKE_MAX, connector.connect(name.clone(), stream)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(source)) => Err(DialError::Handshake {
            url: url.to_string(),
            source,
        }),
        Err(_) => Err(late(url, "the TLS handshake", HANDSHAKE_MAX)),
    }
}

fn late(url: &MemberUrl, what: &'static str, max: Duration) -> DialError {
    DialError::Timeout {
        url: url.to_string(),
        what,
        max,
    }
}

/// The ways to one member. Whoever holds it connects by the URLs that it was told last.
#[derive(Debug)]
pub struct Route {
    dialer: Arc<Dialer>,
    /// The one that worked last comes first.
    urls: Mutex<Vec<MemberUrl>>,
    parse: fn(&str) -> Result<MemberUrl, String>,
    /// The last attempt failed, and that has been said.
    down: AtomicBool,
}

impl Route {
    /// By these URLs, which are parsed by `parse`.
    ///
    /// # Errors
    /// None of them can be called.
    pub fn new(
        dialer: Arc<Dialer>,
        urls: &[String],
        parse: fn(&str) -> Result<MemberUrl, String>,
    ) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self {
            dialer,
            urls: Mutex::new(all(urls, parse)?),
            parse,
            down: AtomicBool::new(false),
        }))
    }

    /// From the next connection on, by these URLs.
    ///
    /// # Errors
    /// None of them can be called: nothing is changed.
    pub fn change(&self, urls: &[String]) -> Result<(), String> {
        let urls = all(urls, self.parse)?;
        *self.urls() = urls;
        Ok(())
    }

    /// A channel that connects when it is first used, and again when it has lost its connection.
    #[must_use]
    pub fn channel(self: &Arc<Self>) -> Channel {
        // Where to is the route's; this is only what HTTP wants to be told.
        Endpoint::from_static("http://member")
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(Connector(self.clone()))
    }

    async fn connect(&self) -> Result<Connected, Unreached> {
        let urls = self.urls().clone();
        let mut faults = Vec::new();
        for url in urls {
            match self.dialer.dial(&url).await {
                Ok(stream) => {
                    self.worked(&url);
                    return Ok(TokioIo::new(stream));
                }
                Err(error) => faults.push(service::chain(&error)),
            }
        }
        let fault = Unreached(faults.join("; "));
        if !self.down.swap(true, Ordering::Relaxed) {
            tracing::warn!(error = %fault, "a member is out of reach");
        }
        Err(fault)
    }

    fn worked(&self, url: &MemberUrl) {
        let mut urls = self.urls();
        // They may have been changed meanwhile.
        if let Some(position) = urls.iter().position(|known| known == url) {
            urls[..=position].rotate_right(1);
        }
        if self.down.swap(false, Ordering::Relaxed) {
            tracing::info!(%url, "a member is reached again");
        }
    }

    fn urls(&self) -> std::sync::MutexGuard<'_, Vec<MemberUrl>> {
        self.urls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn all(
    urls: &[String],
    parse: fn(&str) -> Result<MemberUrl, String>,
) -> Result<Vec<MemberUrl>, String> {
    let mut faults = Vec::new();
    let mut parsed = Vec::new();
    for url in urls.iter().take(URLS_MAX) {
        match parse(url) {
            Ok(url) => parsed.push(url),
            Err(fault) => faults.push(fault),
        }
    }
    if parsed.is_empty() {
        return Err(if faults.is_empty() {
            "it has no URL".to_owned()
        } else {
            faults.join("; ")
        });
    }
    Ok(parsed)
}

/// What was tried, and why each of it failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unreached(String);

/// A [`Route`] as tonic calls it.
#[derive(Clone)]
struct Connector(Arc<Route>);

impl Service<Uri> for Connector {
    type Response = Connected;
    type Error = Unreached;
    type Future = Pin<Box<dyn Future<Output = Result<Connected, Unreached>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Unreached>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _member: Uri) -> Self::Future {
        let route = self.0.clone();
        Box::pin(async move { route.connect().await })
    }
}

//! HTTP/1.1 to registries, bounded in every direction but the length of a body, which its reader bounds.
//!
//! ```text
//!   look up ──> connect, one address after the other ──> TLS ──> head ──> chunks, none later than `silence`
//!                                          idle connections <──────────────┘ at the body's end
//! ```
//!
//! Redirects, statuses and attempts are [`super::registry`]'s.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request, StatusCode,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, InvalidDnsNameError, ServerName, pem::PemObject as _},
};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// Most bytes of an answer's head, and of what is read at once.
const BUFFER_MAX: usize = 256 * 1024;
/// Most header fields of an answer.
const HEADERS_MAX: usize = 100;
/// Most connections that wait for a next request, of one origin.
const IDLE_MAX: usize = 4;

/// How long each part may take, and how often it is tried.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// Until one address accepts, and TLS is agreed on, each.
    pub connect: Duration,
    /// From a request to the end of the answer's head, and from one chunk of a body to the next.
    pub silence: Duration,
    /// A whole manifest, config or token.
    pub document: Duration,
    /// How often something is asked for that could not be had.
    pub attempts: u32,
    /// Wait after the first failure; it doubles to the longest.
    pub wait: Duration,
    /// The longest wait, also of those that a registry asks for.
    pub wait_max: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            document: Duration::from_secs(60),
            attempts: 5,
            wait: Duration::from_millis(200),
            wait_max: Duration::from_secs(5),
        }
    }
}

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The host's name.
    #[error(transparent)]
    Name(#[from] names::NameError),
    /// No address accepts; the last one's answer.
    #[error("connect to {address}")]
    Connect {
        /// The address that was tried last.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// No host, or a name without an address.
    #[error("{0} has no address")]
    NoAddress(String),
    /// The authorities cannot be read.
    #[error("read the authorities in {path}")]
    Authorities {
        /// The bundle.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// TLS cannot be set up.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// The host's name cannot be in a certificate.
    #[error("the host's name cannot be verified")]
    ServerName(#[from] InvalidDnsNameError),
    /// The server is not who it should be, or speaks no TLS.
    #[error("TLS with {address}")]
    Handshake {
        /// Its address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not HTTP, or cut short.
    #[error("HTTP")]
    Http(#[from] hyper::Error),
    /// Something that HTTP does not carry.
    #[error("make the request")]
    Request(#[from] hyper::http::Error),
    /// More than is wanted.
    #[error("the answer has more than {0} bytes")]
    TooLong(u64),
    /// A part took longer than it may.
    #[error("{what} took more than {bound:?}")]
    Timeout {
        /// What.
        what: &'static str,
        /// Its bound.
        bound: Duration,
    },
}

impl HttpError {
    /// Whether it may go better the next time.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Name(_) | Self::Connect { .. } | Self::Timeout { .. } | Self::Http(_) => true,
            // A server that is cut off in the handshake; a wrong certificate stays wrong.
            Self::Handshake { source, .. } => source.kind() != io::ErrorKind::InvalidData,
            _ => false,
        }
    }
}

/// One request.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) url: &'a Url,
    pub(super) ca_file: Option<&'a Path>,
    pub(super) headers: HeaderMap,
    /// A form to post; none: GET.
    pub(super) form: Option<String>,
}

/// An answer, its body still to come.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

/// What comes after the head.
#[derive(Debug)]
pub(super) struct Body {
    incoming: Incoming,
    silence: Duration,
    /// Goes back to the others at the end.
    connection: Option<Connection>,
    idle: Idle,
    origin: String,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Ends with the connection.
    _driver: JoinSet<()>,
}

type Idle = Arc<Mutex<HashMap<String, Vec<Connection>>>>;

/// Asks registries; of one pull, whose connections it keeps.
#[derive(Debug)]
pub(super) struct Http {
    resolv_conf: PathBuf,
    ca_bundle: PathBuf,
    timeouts: Timeouts,
    idle: Idle,
    tls: Mutex<HashMap<Option<PathBuf>, Arc<ClientConfig>>>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Http {
    pub(super) fn new(resolv_conf: PathBuf, ca_bundle: PathBuf, timeouts: Timeouts) -> Self {
        Self {
            resolv_conf,
            ca_bundle,
            timeouts,
            idle: Idle::default(),
            tls: Mutex::default(),
        }
    }

    /// Asks once. A connection that was idle may have been closed in the meantime: then a new one is made.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Answer, HttpError> {
        let origin = format!(
            "{}|{:?}",
            &ask.url[..url::Position::BeforePath],
            ask.ca_file
        );
        let idle = lock(&self.idle).get_mut(&origin).and_then(Vec::pop);
        if let Some(connection) = idle
            && let Ok(answer) = self.exchange(connection, ask, &origin).await
        {
            return Ok(answer);
        }
        let connection = self.connect(ask).await?;
        self.exchange(connection, ask, &origin).await
    }

    async fn connect(&self, ask: &Ask<'_>) -> Result<Connection, HttpError> {
        let no_address = || HttpError::NoAddress(ask.url.to_string());
        let host = ask.url.host().ok_or_else(no_address)?;
        let port = ask.url.port_or_known_default().ok_or_else(no_address)?;
        let addresses = match host {
            Host::Ipv4(address) => vec![IpAddr::from(address)],
            Host::Ipv6(address) => vec![IpAddr::from(address)],
            // RFC 6761: nobody is to be asked for it.
            Host::Domain("localhost") => {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            }
            Host::Domain(name) => names::look_up(name, &self.resolv_conf).await?,
        };
        let (address, stream) = self
            .first_that_accepts(&addresses, port, no_address)
            .await?;
        // A request is one packet, and waits for nothing.
        let _ = stream.set_nodelay(true);
        if ask.url.scheme() == "http" {
            return self.handshake(Box::new(stream)).await;
        }
        let name = match host {
            Host::Domain(name) => ServerName::try_from(name.to_owned())?,
            Host::Ipv4(address) => ServerName::from(IpAddr::from(address)),
            Host::Ipv6(address) => ServerName::from(IpAddr::from(address)),
        };
        let connector = TlsConnector::from(self.tls(ask.ca_file)?);
        let bound = self.timeouts.connect;
        let stream = within("TLS's handshake", bound, connector.connect(name, stream))
            .await?
            .map_err(|source| HttpError::Handshake { address, source })?;
        self.handshake(Box::new(stream)).await
    }

    async fn first_that_accepts(
        &self,
        addresses: &[IpAddr],
        port: u16,
        none: impl Fn() -> HttpError,
    ) -> Result<(SocketAddr, TcpStream), HttpError> {
        let bound = self.timeouts.connect;
        let mut last = none();
        for address in addresses {
            let address = SocketAddr::new(*address, port);
            match within("connecting", bound, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok((address, stream)),
                Ok(Err(source)) => last = HttpError::Connect { address, source },
                Err(late) => last = late,
            }
        }
        Err(last)
    }

    async fn handshake(&self, stream: Box<dyn Stream>) -> Result<Connection, HttpError> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER_MAX)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // What goes wrong is told to whoever reads the body.
            let _ = connection.await;
        });
        Ok(Connection {
            sender,
            _driver: driver,
        })
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        ask: &Ask<'_>,
        origin: &str,
    ) -> Result<Answer, HttpError> {
        let silence = self.timeouts.silence;
        let asking = async {
            connection.sender.ready().await?;
            let response = connection.sender.send_request(request(ask)?).await?;
            Ok::<_, HttpError>(response)
        };
        let response = within("the answer's head", silence, asking).await??;
        let (parts, incoming) = response.into_parts();
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: Body {
                incoming,
                silence,
                connection: Some(connection),
                idle: Arc::clone(&self.idle),
                origin: origin.to_owned(),
            },
        })
    }

    /// Read once for each pull: authorities change, and what nobody keeps takes no memory.
    fn tls(&self, ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, HttpError> {
        let key = ca_file.map(Path::to_owned);
        if let Some(config) = lock(&self.tls).get(&key) {
            return Ok(Arc::clone(config));
        }
        let mut roots = RootCertStore::empty();
        for path in [Some(self.ca_bundle.as_path()), ca_file]
            .into_iter()
            .flatten()
        {
            // The authorities of all are of no use to who has none, and whose registry brings its own.
            if ca_file.is_some() && path == self.ca_bundle && !path.exists() {
                continue;
            }
            let unreadable = |source| HttpError::Authorities {
                path: path.to_owned(),
                source,
            };
            for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
                // One that this TLS library does not take is no reason to refuse the others.
                if let Err(error) = roots.add(certificate.map_err(unreadable)?) {
                    tracing::debug!(%error, "authority left out");
                }
            }
        }
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        lock(&self.tls).insert(key, Arc::clone(&config));
        Ok(config)
    }
}

impl Body {
    /// The next bytes; `None` at the end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            let frame = within(
                "the next part of the answer",
                self.silence,
                self.incoming.frame(),
            );
            match frame.await? {
                None => {
                    self.give_back();
                    return Ok(None);
                }
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// All of it, if it is not more than `most` bytes.
    pub(super) async fn all(mut self, most: u64) -> Result<Vec<u8>, HttpError> {
        let mut bytes = Vec::new();
        while let Some(data) = self.chunk().await? {
            if u64::try_from(bytes.len() + data.len()).unwrap_or(u64::MAX) > most {
                return Err(HttpError::TooLong(most));
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes)
    }

    fn give_back(&mut self) {
        if let Some(connection) = self.connection.take()
            && !connection.sender.is_closed()
        {
            let mut idle = lock(&self.idle);
            let of_origin = idle.entry(std::mem::take(&mut self.origin)).or_default();
            if of_origin.len() < IDLE_MAX {
                of_origin.push(connection);
            }
        }
    }
}

fn request(ask: &Ask<'_>) -> Result<Request<Full<Bytes>>, HttpError> {
    let target = &ask.url[url::Position::BeforePath..url::Position::AfterQuery];
    let host = &ask.url[url::Position::BeforeHost..url::Position::AfterPort];
    let builder = match ask.form {
        None => Request::get(target),
        Some(_) => Request::post(target).header(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        ),
    };
    let mut request = builder
        .header(header::HOST, host)
        .header(header::USER_AGENT, format!("orlop/{}", service::version()))
        .body(Full::new(Bytes::from(ask.form.clone().unwrap_or_default())))?;
    request.headers_mut().extend(ask.headers.clone());
    Ok(request)
}

pub(super) async fn within<F: Future>(
    what: &'static str,
    bound: Duration,
    work: F,
) -> Result<F::Output, HttpError> {
    timeout(bound, work)
        .await
        .map_err(|_| HttpError::Timeout { what, bound })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

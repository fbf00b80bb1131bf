//! One GET, bounded in every direction.
//!
//! ```text
//!   look up ──> connect, one address after the other ──> TLS ──> head ──> body
//!   └──────────────────────────── Timeouts::total ──────────────────────────┘
//! ```
//!
//! One connection per request: requests are minutes apart.

use crate::planner::{Answer, Target};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use init_proto::generation::CONFIG_MAX;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, InvalidDnsNameError, ServerName, pem::PemObject as _},
};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// Most bytes of an answer's head.
pub const HEAD_MAX: usize = 32 * 1024;
/// Most header fields of an answer.
pub const HEADERS_MAX: usize = 100;
/// Most bytes of an answer's body: the largest config.
pub const BODY_MAX: usize = CONFIG_MAX;

/// How long each part may take.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// Until one address accepts.
    pub connect: Duration,
    /// TLS's handshake.
    pub handshake: Duration,
    /// From the request to the end of the answer's head.
    pub head: Duration,
    /// Everything together.
    pub total: Duration,
}

impl Default for Timeouts {
    /// A minute in all: 1 MiB over a slow line.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(20),
            total: Duration::from_secs(60),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The host's name.
    #[error(transparent)]
    Name(#[from] names::NameError),
    /// The name has no address.
    #[error("the host's name has no address")]
    NoAddress,
    /// No address accepts; the last one's answer.
    #[error("connect to {address}")]
    Connect {
        /// The address that was tried last.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
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
    /// The URL has something that HTTP does not carry.
    #[error("make the request")]
    Request(#[from] hyper::http::Error),
    /// Over [`BODY_MAX`].
    #[error("the file has more than {BODY_MAX} bytes, the most that a config may have")]
    TooLong,
    /// A part took longer than it may.
    #[error("{what} took more than {bound:?}")]
    Timeout {
        /// What.
        what: &'static str,
        /// Its bound.
        bound: Duration,
    },
}

/// Asks for configs.
#[derive(Debug, Clone)]
pub struct Http {
    /// Nameservers, in resolv.conf(5)'s form.
    pub resolv_conf: PathBuf,
    /// Authorities that servers are verified by, in PEM.
    pub ca_bundle: PathBuf,
    /// How long each part may take.
    pub timeouts: Timeouts,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Http {
    /// Asks once; redirects are the caller's to follow.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn get(&self, target: &Target) -> Result<Answer, HttpError> {
        within("the whole request", self.timeouts.total, async {
            let stream = self.connect(target).await?;
            self.exchange(stream, target).await
        })
        .await?
    }

    async fn connect(&self, target: &Target) -> Result<Box<dyn Stream>, HttpError> {
        let addresses = names::look_up(&target.host(), &self.resolv_conf).await?;
        let (address, stream) = self.first_that_accepts(&addresses, target.port()).await?;
        if !target.https() {
            return Ok(Box::new(stream));
        }
        let name = match target.host().parse::<IpAddr>() {
            Ok(address) => ServerName::from(address),
            Err(_) => ServerName::try_from(target.host())?,
        };
        let connector = TlsConnector::from(Arc::new(self.tls()?));
        let handshake = connector.connect(name, stream);
        let stream = within("TLS's handshake", self.timeouts.handshake, handshake)
            .await?
            .map_err(|source| HttpError::Handshake { address, source })?;
        Ok(Box::new(stream))
    }

    /// Read anew for each connection: they are rare, and what nobody keeps takes no memory.
    fn tls(&self) -> Result<ClientConfig, HttpError> {
        let unreadable = |source| HttpError::Authorities {
            path: self.ca_bundle.clone(),
            source,
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&self.ca_bundle).map_err(unreadable)? {
            // One that this TLS library does not take is no reason to refuse the others.
            if let Err(error) = roots.add(certificate.map_err(unreadable)?) {
                tracing::debug!(%error, "authority left out");
            }
        }
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    async fn first_that_accepts(
        &self,
        addresses: &[IpAddr],
        port: u16,
    ) -> Result<(SocketAddr, TcpStream), HttpError> {
        let bound = self.timeouts.connect;
        let mut last = HttpError::NoAddress;
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

    async fn exchange(
        &self,
        stream: Box<dyn Stream>,
        target: &Target,
    ) -> Result<Answer, HttpError> {
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_MAX)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await?;
        // Ends with this function, however that ends.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let asking = sender.send_request(request(target)?);
        let response = within("the answer's head", self.timeouts.head, asking).await??;
        let status = response.status();
        let location = response
            .headers()
            .get(header::LOCATION)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let body = if status == StatusCode::OK {
            body(response).await?
        } else {
            Vec::new()
        };
        Ok(Answer {
            status: status.as_u16(),
            location,
            body,
        })
    }
}

fn request(target: &Target) -> Result<Request<Empty<Bytes>>, HttpError> {
    let mut request = Request::get(target.request_target())
        .header(header::HOST, target.host_header())
        .header(header::USER_AGENT, format!("orlop/{}", service::version()))
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::new())?;
    if let Some(authorization) = target.authorization() {
        let mut value = HeaderValue::try_from(authorization).map_err(hyper::http::Error::from)?;
        value.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    Ok(request)
}

async fn body(response: Response<Incoming>) -> Result<Vec<u8>, HttpError> {
    let mut incoming = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = incoming.frame().await {
        if let Ok(data) = frame?.into_data() {
            if bytes.len() + data.len() > BODY_MAX {
                return Err(HttpError::TooLong);
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

async fn within<F: Future>(
    what: &'static str,
    bound: Duration,
    work: F,
) -> Result<F::Output, HttpError> {
    timeout(bound, work)
        .await
        .map_err(|_| HttpError::Timeout { what, bound })
}
